//! The cache before the upstream: an answer, or the decision how to fetch one
//! (nginx: ngx_http_upstream_cache).

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use weir_engine::clock::{self, Instant};
use weir_engine::error_log::Level;
use weir_upstream::Causes;
use weir_wire::header::Known;

use super::answer;
use super::background::launch;
use super::fetch::{Candidate, Fetch};
use super::index::{Claim, Looked, Now, Stale, Terms, Varied, Whose};
use super::key::Digest;
use super::lock::Ended;
use super::opened::{self, Asks, Opened};
use super::path::CachePath;
use super::purge;
use super::rfc9111::invalidation::{Invalidation, is_unsafe};
use super::rfc9111::{lifetime, reuse};
use super::settings::{CacheZone, Caching};
use super::shown::{Conditions, Status};
use super::volume::Volume;
use super::zone::Zone;
use crate::errors::Cause;
use crate::module::Verdict;
use crate::pass::course::Pass;
use crate::request::Request;

mod keys;
mod opening;
mod wait;

use keys::key;
pub(super) use keys::{variant, write_key};
use opening::Useless;
use wait::{Waited, wait};

/// The maximum time for which the end of a connection waits for an update beside its last request.
/// As with nginx, who asks again on a new connection then usually finds the new response.
const END_WAITS: Duration = Duration::from_secs(10);

/// The number of looks at the index and at files until a response is fetched and not kept. A file
/// may be lost between two looks, but not many times in a row.
const MOST_LOOKS: u32 = 16;

/// The result of asking the cache.
pub(crate) enum Consulted<'a> {
    /// The request is answered.
    Answered(Verdict),
    /// The upstream is to be asked, and its response may be kept.
    Fetch(Box<Fetch<'a>>),
    /// The upstream is to be asked, and its response may end the use of what is kept.
    Invalidates(Box<Invalidation<'a>>),
    /// The cache has no part in the request.
    Uncached,
}

/// The first look, which needs no waiting.
pub(crate) enum First<'a> {
    /// The result.
    Done(Consulted<'a>),
    /// A file has to be opened, or another request to be awaited.
    GoOn(Box<Consult<'a>>),
}

/// A request's dealings with the cache.
pub(crate) struct Consult<'a> {
    caching: &'a Caching,
    volume: &'a Arc<Volume>,
    path: &'a CachePath,
    main: Digest,
    /// The digest of the variant, or of the main key.
    digest: Digest,
    /// The request's variant by the `Vary` that the index has.
    varied: Option<Varied>,
    terms: Terms,
    looked: Looked,
    /// Whether the index did not know all files when the response was looked up. By now the loader
    /// may be done.
    was_cold: bool,
    /// The end of waiting for another request.
    waits_until: Option<Instant>,
    /// Whether the request removes the response.
    purges: bool,
}

/// Looks for a response to the request.
pub(crate) fn at_once<'a>(
    request: &mut Request,
    pass: &Pass<'a>,
    caching: &'a Caching,
) -> First<'a> {
    let uncached = First::Done(Consulted::Uncached);
    let purges = !caching.purge.0.is_empty() && caching.purge.any(request);
    let changes = caching.rfc9111 && is_unsafe(request.method);
    if !purges && !changes && !caching.keeps(request.method) {
        return uncached;
    }
    let zone = match zone(request, caching) {
        Ok(Some(zone)) => zone,
        Ok(None) => return uncached,
        Err(UnknownZone) => return First::Done(Consulted::Answered(Verdict::Status(500))),
    };
    let Some((volume, path)) = zone.in_use() else { return uncached };
    if changes && !purges && !caching.keeps(request.method) {
        let invalidation = Box::new(Invalidation::new(caching, volume));
        return First::Done(Consulted::Invalidates(invalidation));
    }
    let is_head = request.method == weir_wire::h1::Method::Head;
    request.attempts.cache.converts = is_head && caching.convert_head;
    if caching.rfc9111 && !purges && reuse::is_for_origin(request) {
        return uncached;
    }
    let Some(main) = key(request, pass, caching) else { return uncached };
    request.attempts.cache.fetches = true;
    if caching.rfc9111 {
        reuse::demand(request);
    }
    let terms = Terms {
        min_uses: u32::try_from(caching.min_uses).unwrap_or(u32::MAX),
        counts: true,
        chosen: false,
        lock: caching.lock.then_some(caching.lock_age.0),
    };
    let looked = Looked::Scarce;
    let (digest, was_cold, waits_until) = (main, true, None);
    let mut consult = Consult {
        caching,
        volume,
        path,
        main,
        digest,
        varied: None,
        terms,
        looked,
        was_cold,
        waits_until,
        purges,
    };
    if purges {
        request.attempts.cache.fetches = false;
        return First::GoOn(Box::new(consult));
    }

    if !caching.bypass.0.is_empty() && caching.bypass.any(request) {
        request.attempts.cache.status = Some(Status::Bypass);
        let fetch = Consulted::Fetch(consult.fetch(request, None, None));
        return First::Done(unless_only_cached(request, fetch));
    }
    request.attempts.cache.status = Some(Status::Miss);
    consult.look_up(request);
    let asks = Asks { paths: may_ask(request), whole: true };
    if let Looked::Fresh(version) = consult.looked
        && let Some(opened) = opened::reuse(volume, &consult.digest, version, asks)
        && consult.is_meant(request, &opened)
        && reuse::is_good_enough(request, &opened)
        && let Some(verdict) = answer::at_once(request, pass, &opened, Status::Hit)
    {
        return First::Done(Consulted::Answered(verdict));
    }
    First::GoOn(Box::new(consult))
}

/// What comes of a request that must not reach the upstream (`only-if-cached`) if it would.
fn unless_only_cached<'a>(request: &Request, consulted: Consulted<'a>) -> Consulted<'a> {
    let is_only = request.attempts.cache.demands.is_some_and(|demands| demands.only_if_cached);
    match consulted {
        Consulted::Fetch(_) if is_only => {
            request.blame(Cause::OnlyIfCached);
            Consulted::Answered(Verdict::Status(504))
        }
        consulted => consulted,
    }
}

/// Whether the loop may wait for the disk.
fn may_ask(request: &Request) -> bool {
    request.location.usual.files.aio.is_off()
}

/// The computed name is that of no cache.
struct UnknownZone;

/// The zone for a request; None if there is none.
///
/// # Errors
/// A computed name is unknown, which has been logged.
fn zone<'a>(request: &mut Request, caching: &'a Caching) -> Result<Option<&'a Zone>, UnknownZone> {
    match &caching.zone {
        None | Some(CacheZone::Off) => Ok(None),
        Some(CacheZone::Named(zone)) => Ok(Some(zone)),
        Some(CacheZone::Computed(template, zones)) => {
            let name = request.eval(template);
            if name.is_empty() || name == b"off" {
                return Ok(None);
            }
            let Some(zone) = zones.named(&name) else {
                let name = weir_wire::shown(&name);
                request.log(Level::Error, &format!("cache \"{name}\" not found"));
                return Err(UnknownZone);
            };
            Ok(Some(zone))
        }
    }
}

impl<'a> Consult<'a> {
    /// Looks the response up, and chooses the variant.
    fn look_up(&mut self, request: &Request) {
        let index = &self.volume.index;
        self.was_cold = index.is_cold();
        if let Some(before) = self.volume.wildcards.before(&request.attempts.cache.key) {
            purge::remove_before(self.volume, &self.main, before);
        }
        self.terms.chosen = false;
        self.looked = index.look_up(&self.main, Now::of_turn(), &self.terms);
        (self.digest, self.varied) = (self.main, None);
        if let Looked::Varied(varied) = &self.looked {
            let variant = variant(request, &self.main, &varied.vary);
            if variant != varied.variant {
                self.digest = variant;
            }
            self.varied = Some(Varied { vary: Arc::clone(&varied.vary), variant });
            self.terms.chosen = true;
            self.looked = index.look_up(&self.digest, Now::of_turn(), &self.terms);
        }
        self.terms.counts = false;
    }

    /// Answers, or decides how to fetch, after the first look.
    pub(crate) async fn go_on(
        self: Box<Self>,
        request: &mut Request,
        pass: &Pass<'a>,
    ) -> Consulted<'a> {
        if self.purges {
            let has_purger = self.path.limits.has_purger;
            let purged = purge::purge(request, self.volume, &self.main, has_purger).await;
            return Consulted::Answered(purged);
        }
        let consulted = self.decide(request, pass).await;
        unless_only_cached(request, consulted)
    }

    async fn decide(mut self: Box<Self>, request: &mut Request, pass: &Pass<'a>) -> Consulted<'a> {
        let mut looks = 0;
        while looks < MOST_LOOKS {
            looks += 1;
            match std::mem::replace(&mut self.looked, Looked::Scarce) {
                Looked::Fresh(version) => match self.open(request, Some(version)).await {
                    Ok(opened) => {
                        if !reuse::is_good_enough(request, &opened) {
                            let (error, barred) = (false, false);
                            let candidate = Candidate { opened, version, error, barred };
                            return Consulted::Fetch(self.fetch(request, None, Some(candidate)));
                        }
                        let sent = answer::send(request, pass, &opened, Status::Hit).await;
                        return Consulted::Answered(sent);
                    }
                    Err(Useless::Unread) => {
                        return Consulted::Fetch(self.fetch(request, None, None));
                    }
                    Err(Useless::Other) => {}
                },
                Looked::Stale(stale) => match self.open(request, Some(stale.version)).await {
                    Ok(opened) => return self.stale(request, pass, stale, opened).await,
                    Err(Useless::Unread) => {
                        let claim = match stale.whose {
                            Whose::Mine(claim) => Some(claim),
                            _ => None,
                        };
                        return Consulted::Fetch(self.fetch(request, claim, None));
                    }
                    // Whoever had the turn has it no more.
                    Err(Useless::Other) => drop(stale),
                },
                Looked::Failed(status) => {
                    request.attempts.cache.status = Some(Status::Hit);
                    self.volume.counters.count(Status::Hit, 0);
                    request.answers_for_upstream();
                    return Consulted::Answered(Verdict::Status(status));
                }
                Looked::Absent(whose) => {
                    if !self.open_cold(request).await
                        && let Some(consulted) = self.absent(request, whose).await
                    {
                        return consulted;
                    }
                }
                // The variant has been chosen, and `Varied` is no result.
                Looked::Scarce | Looked::Varied(_) => {
                    if !self.open_cold(request).await {
                        request.attempts.cache.fetches = false;
                        return Consulted::Fetch(self.fetch(request, None, None));
                    }
                }
            }
            self.look_up(request);
        }
        request.attempts.cache.fetches = false;
        Consulted::Fetch(self.fetch(request, None, None))
    }

    /// Answers with a response whose time is over, or decides to fetch.
    async fn stale(
        &self,
        request: &mut Request,
        pass: &Pass<'a>,
        stale: Stale,
        opened: Rc<Opened>,
    ) -> Consulted<'a> {
        let update = request.attempts.cache.update.take();
        let is_background = request.attempts.cache.is_background;
        let Stale { version, whose, updating, error } = stale;
        let barred = self.caching.rfc9111 && self.forbids_stale(pass, &opened);
        // The client may take a stale response by itself (`max-stale`).
        let rfc9111 = self.caching.rfc9111 && !is_background;
        if rfc9111 && !barred && reuse::is_good_enough(request, &opened) {
            let sent = answer::send(request, pass, &opened, Status::Stale).await;
            return Consulted::Answered(sent);
        }
        let may_wait = (self.caching.use_stale.0.contains(Causes::UPDATING) || updating)
            && !is_background
            && !barred
            && reuse::is_young_enough(request, &opened);
        let candidate = |opened| Some(Candidate { opened, version, error, barred });
        let claim = match (update, whose) {
            (Some(claim), _) | (None, Whose::Mine(claim)) => claim,
            (None, _) if may_wait => {
                let sent = answer::send(request, pass, &opened, Status::Updating).await;
                return Consulted::Answered(sent);
            }
            (None, _) => {
                return Consulted::Fetch(self.fetch(request, None, candidate(opened)));
            }
        };
        if may_wait && self.caching.background_update {
            let turn = claim.turn();
            launch(request, claim);
            request.attempts.cache.end_waits = true;
            let sent = answer::send(request, pass, &opened, Status::Stale).await;
            if !request.keepalive && !request.is_subrequest() && request.flush().await.is_ok() {
                let until = clock::precise() + END_WAITS;
                wait(request, &turn, END_WAITS, until).await;
            }
            return Consulted::Answered(sent);
        }
        Consulted::Fetch(self.fetch(request, Some(claim), candidate(opened)))
    }

    /// Whether a response must not be used once its time is over (RFC 9111 section 4.2.4).
    #[cold]
    fn forbids_stale(&self, pass: &Pass<'_>, opened: &Opened) -> bool {
        let (targets, ignored) = (&self.caching.control_targets, pass.settings.ignore_headers);
        lifetime::forbids_stale(&opened.fields, targets, ignored)
    }

    /// Decides on fetching a response that is not there. None to look again.
    async fn absent(&mut self, request: &mut Request, whose: Whose) -> Option<Consulted<'a>> {
        let (turn, left) = match whose {
            Whose::Mine(claim) => {
                return Some(Consulted::Fetch(self.fetch(request, Some(claim), None)));
            }
            Whose::Free => return Some(Consulted::Fetch(self.fetch(request, None, None))),
            Whose::Theirs(turn, left) => (turn, left),
        };
        let waits_until =
            *self.waits_until.get_or_insert_with(|| clock::precise() + self.caching.lock_timeout.0);
        match wait(request, &turn, left, waits_until).await {
            Waited::Ended(Ended::Again) => None,
            Waited::Ended(Ended::NotKept) => {
                Some(Consulted::Fetch(self.fetch(request, None, None)))
            }
            Waited::TooOld => None,
            Waited::TooLong => {
                request.log(Level::Info, "cache lock timeout");
                request.attempts.cache.fetches = false;
                Some(Consulted::Fetch(self.fetch(request, None, None)))
            }
            Waited::ClientGone => {
                request.log(Level::Info, "client prematurely closed connection");
                request.response.status = 499;
                Some(Consulted::Answered(Verdict::Abort))
            }
        }
    }

    /// The fetch of a response, which may replace one whose time is over.
    fn fetch(
        &self,
        request: &mut Request,
        claim: Option<Claim>,
        candidate: Option<Candidate>,
    ) -> Box<Fetch<'a>> {
        if request.attempts.cache.fetches && is_far(request, self.caching) {
            request.attempts.cache.fetches = false;
        }
        let fetches = request.attempts.cache.fetches;
        if let Some(candidate) = &candidate {
            request.attempts.cache.status = Some(Status::Expired);
            let revalidates = (self.caching.revalidate || self.caching.rfc9111) && fetches;
            request.attempts.cache.conditions = revalidates.then(|| {
                let opened = &candidate.opened;
                Conditions::of(opened.head.status, &opened.fields)
            });
        }
        Box::new(Fetch::new(
            self.caching,
            self.volume,
            self.path,
            self.main,
            self.digest,
            claim.filter(|_| fetches),
            candidate,
        ))
    }
}

/// Whether the request is for a range that begins beyond `max_range_offset`.
fn is_far(request: &Request, caching: &Caching) -> bool {
    let Some(most) = &caching.max_range_offset else { return false };
    let Some(range) = request.head.get(Known::Range) else { return false };
    if most.0 == 0 {
        return true;
    }
    let is_bytes = range.len() >= 7 && range[..6].eq_ignore_ascii_case(b"bytes=");
    if !is_bytes {
        return false;
    }
    let start = range[6..].trim_ascii_start();
    if start.starts_with(b"-") {
        return true;
    }
    let digits = start.iter().take_while(|byte| byte.is_ascii_digit());
    let offset = digits
        .fold(0_u64, |all, digit| all.saturating_mul(10).saturating_add(u64::from(digit - b'0')));
    offset >= most.0
}
