//! Fetching a response for the cache: whether it is kept, and what the client gets if it cannot be
//! fetched.

use std::rc::Rc;
use std::sync::Arc;

use weir_upstream::Causes;
use weir_wire::header::Known;

use super::answer;
use super::consult;
use super::counters::CacheCounters;
use super::faults;
use super::file::{Head, Times};
use super::freshness;
use super::index::{Claim, Now};
use super::key::Digest;
use super::opened::Opened;
use super::path::CachePath;
use super::rfc9111::shown;
use super::settings::Caching;
use super::shown::Status;
use super::storing::Storing;
use super::volume::{self, Volume};
use crate::module::{Pending, Verdict};
use crate::pass::body::BodyReader;
use crate::pass::course::Pass;
use crate::pass::headers;
use crate::pass::keep::{Case, Keep, Keeping};
use crate::pass::protocol::UpstreamHead;
use crate::request::Request;

mod strict;

/// A response whose time is over, for use if no other one can be fetched.
pub(super) struct Candidate {
    pub(super) opened: Rc<Opened>,
    pub(super) version: u64,
    /// Whether the response allows its use if the upstream fails.
    pub(super) error: bool,
    /// Whether it must not be used in place of a failure, whatever is configured.
    pub(super) barred: bool,
}

/// The fetch of a response.
pub(crate) struct Fetch<'a> {
    caching: &'a Caching,
    volume: &'a Arc<Volume>,
    path: &'a CachePath,
    main: Digest,
    /// The digest that was looked up.
    digest: Digest,
    claim: Option<Claim>,
    candidate: Option<Candidate>,
    /// The head to be stored.
    head: Head,
    /// The length that the body must have, if only the end of the connection ends it.
    length: Option<u64>,
}

impl<'a> Fetch<'a> {
    pub(super) fn new(
        caching: &'a Caching,
        volume: &'a Arc<Volume>,
        path: &'a CachePath,
        main: Digest,
        digest: Digest,
        claim: Option<Claim>,
        candidate: Option<Candidate>,
    ) -> Self {
        let head = Head { main, ..Head::default() };
        Self { caching, volume, path, main, digest, claim, candidate, head, length: None }
    }

    /// The counters of the cache.
    pub(crate) fn counters(&self) -> CacheCounters {
        self.volume.counters.clone()
    }

    /// How long to keep a response with the received fields, which the status decides unless they
    /// do. None not to keep it.
    fn times(&self, request: &Request, pass: &Pass<'_>, status: Option<u16>) -> Option<Times> {
        let ignored = pass.settings.ignore_headers;
        let by_status = status.and_then(|status| self.valid(status));
        let now = Now::of_turn().wall;
        freshness::times(&request.attempts.headers, ignored, by_status, now)
    }

    /// The seconds that the configuration sets for a status.
    fn valid(&self, status: u16) -> Option<i64> {
        self.caching.valid.as_ref().and_then(|valid| valid.of(status))
    }

    /// Decides whether to keep the response, and fills in the head to be stored.
    fn judge(&mut self, request: &mut Request, pass: &Pass<'_>, head: &UpstreamHead) -> bool {
        // A 304 answers conditions that only the client has.
        if !request.attempts.cache.fetches
            || head.upgraded
            || head.status == 304
            || !crate::pass::relay::is_buffered(request, pass.settings)
            || !self.caching.no_cache.0.is_empty() && self.caching.no_cache.any(request)
        {
            return false;
        }
        if self.caching.rfc9111 {
            return self.judge_strictly(request, pass, head);
        }
        let fields = Rc::clone(&request.attempts.headers);
        let Ok(vary) = freshness::vary(&fields, pass.settings.ignore_headers) else { return false };
        let Some(times) = self.times(request, pass, Some(head.status)) else { return false };
        self.length = match head.body {
            BodyReader::Close => fields.get(Known::ContentLength).and_then(headers::decimal),
            _ => None,
        };
        let variant = match vary.is_empty() {
            true => Digest::default(),
            false => consult::variant(request, &self.main, &vary),
        };
        self.head = Head {
            times,
            body: 0,
            status: head.status,
            status_line: request.response.status_line.clone(),
            key: request.attempts.cache.key.clone(),
            vary,
            main: self.main,
            variant,
            fields: (*fields).clone(),
        };
        true
    }
}

impl<'a> Keep<'a> for Fetch<'a> {
    fn outlasts_client(&self, request: &Request) -> bool {
        request.attempts.cache.fetches
    }

    fn wants(&mut self, request: &mut Request, pass: &Pass<'_>, head: &UpstreamHead) -> bool {
        let ignored = pass.settings.ignore_headers;
        let now = Now::of_turn().wall;
        // As in nginx: who asks for what nobody may keep gets all of it, although the upstream has
        // not heard of the client's conditions. RFC 9111 has them heeded.
        if request.attempts.cache.fetches
            && (self.caching.rfc9111
                || !freshness::forbids(&request.attempts.headers, ignored, now))
        {
            answer::judge_conditions(request, pass, false);
        }
        if self.caching.rfc9111 {
            shown::with_date(request);
        }
        let wants = self.judge(request, pass, head);
        if !wants && let Some(mut claim) = self.claim.take() {
            claim.is_not_kept();
        }
        wants
    }

    fn begin(&mut self, request: &mut Request, pass: &Pass<'a>) -> Box<dyn Keeping + 'a> {
        let head = std::mem::take(&mut self.head);
        let folder = self.path.temp.as_ref().or(pass.settings.temp_path.as_ref());
        Box::new(Storing::new(request, folder, self.volume, head, self.length, self.claim.take()))
    }

    fn answers(&self, request: &Request, case: Case) -> bool {
        let Some(candidate) = &self.candidate else { return false };
        let stale = self.caching.use_stale.0;
        match case {
            Case::Refused(_) | Case::Failed(_) if candidate.barred => false,
            Case::Refused(cause) if self.caching.rfc9111 && candidate.error => {
                stale.contains(cause) || strict::is_error(cause)
            }
            Case::NotModified => request.attempts.cache.conditions.is_some(),
            Case::Refused(cause) => stale.contains(cause),
            // No live server is an error of all of them.
            Case::Failed(Causes::NO_LIVE) => candidate.error || stale.contains(Causes::ERROR),
            Case::Failed(cause) => candidate.error || stale.contains(cause),
        }
    }

    fn answer<'r>(
        &'r mut self,
        request: &'r mut Request,
        pass: &'r Pass<'_>,
        case: Case,
    ) -> Pending<'r, Verdict> {
        let status = match case {
            Case::NotModified if self.caching.rfc9111 => {
                return Box::pin(self.answer_freshened(request, pass));
            }
            Case::NotModified => {
                self.renew(request, pass);
                Status::Revalidated
            }
            Case::Refused(_) | Case::Failed(_) => Status::Stale,
        };
        self.claim = None;
        Box::pin(async move {
            match &self.candidate {
                Some(candidate) => answer::send(request, pass, &candidate.opened, status).await,
                None => Verdict::Status(500),
            }
        })
    }

    fn replaced(&mut self, request: &Request, pass: &Pass<'_>, status: u16, is_received: bool) {
        if !request.attempts.cache.fetches {
            return;
        }
        let seconds = match is_received {
            true => {
                let times = match self.caching.rfc9111 {
                    true => self.lifetime(request, pass, status).map(|lifetime| lifetime.times),
                    false => self.times(request, pass, Some(status)),
                };
                times.map(|times| times.valid.saturating_sub(times.date))
            }
            false => self.valid(status).filter(|&seconds| seconds > 0),
        };
        if let Some(seconds) = seconds {
            self.volume.index.failed(&self.digest, status, seconds, Now::of_turn());
        }
    }
}

impl Fetch<'_> {
    /// Notes new times of a response that has not changed: those of the 304, or of the response.
    fn renew(&self, request: &mut Request, pass: &Pass<'_>) {
        let Some(Candidate { opened, version, .. }) = &self.candidate else { return };
        let told = self.times(request, pass, None);
        request.attempts.headers = Rc::clone(&opened.fields);
        let times = told.or_else(|| self.times(request, pass, Some(opened.head.status)));
        let Some(times) = times else { return };
        // One that has been deleted meanwhile is found to be so with the next use.
        if let Err(error) = opened.renew(times)
            && !volume::is_missing(&error)
        {
            faults::not_renewed(request, opened.path(), &error);
        }
        self.volume.index.renewed(&self.digest, *version, times, Now::of_turn());
    }
}
