//! `ssl_stapling`: the responses that are stapled to the server's own certificates. A duty fetches
//! them before they are needed, and anew before they expire; a handshake only looks.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Semaphore;
use weir_engine::digest::sha256;
use weir_engine::duty::{Duty, Plans};
use weir_engine::error_log::{Level, process_log};
use weir_engine::tls::ocsp::{Belief, CertStatus, OcspJudge, Question, StatusAnswer};
use weir_engine::tls::{CertificateDer, CertifiedKey, Staple};
use weir_engine::{clock, timer};

use super::fetch::Asking;
use super::{OcspResponder, Resolving};

/// The time for one address of a responder.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The pause after the first failure; it doubles with each further one.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// The longest pause after failures, and the shortest one after a success.
const PAUSE: Duration = Duration::from_secs(300);

/// The longest pause after a success.
const LONGEST: Duration = Duration::from_secs(3600);

/// The responses that are fetched at once: a server with thousands of certificates does not ask
/// thousands of questions in one moment.
const MOST_FETCHES: usize = 8;

static FETCHES: Semaphore = Semaphore::const_new(MOST_FETCHES);

/// A certificate whose status is stapled to it.
pub struct Stapled {
    /// What distinguishes it, for its duty and over reloads.
    key: String,
    staple: Arc<Staple>,
    question: Question,
    responder: OcspResponder,
    judge: OcspJudge,
    /// The certificates at hand.
    chain: Vec<CertificateDer>,
    belief: Belief,
    /// The file of the certificate, for the log.
    file: String,
}

impl fmt::Debug for Stapled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stapled").field("file", &self.file).finish_non_exhaustive()
    }
}

/// The settings of one server's stapling.
pub struct Settings<'a> {
    /// `ssl_stapling_verify`.
    pub verify: bool,
    /// The trusted authorities.
    pub judge: &'a OcspJudge,
}

impl Stapled {
    /// Prepares the stapling to a certificate in `file`. `None` if its issuer is not known, so that
    /// no question can be asked.
    pub fn new(
        key: &CertifiedKey,
        file: &str,
        responder: OcspResponder,
        issuer: &CertificateDer,
        settings: &Settings<'_>,
    ) -> Option<Arc<Self>> {
        let certificate = key.chain().first()?;
        let question = Question::new(certificate, issuer)?;
        let belief = if settings.verify { Belief::Known } else { Belief::Anyone };
        let chain = key.chain()[1..].to_vec();
        let trust = settings.verify.then(|| settings.judge.identity());
        let name = format!("{question:?} {responder:?} {belief:?} {trust:?} {chain:?}");
        let key = format!("staple {:02x?} to {file}", sha256(&[certificate, name.as_bytes()]));
        let staple = kept(&key);
        let (judge, file) = (settings.judge.clone(), file.to_owned());
        Some(Arc::new(Self { key, staple, question, responder, judge, chain, belief, file }))
    }

    /// The responses, for handshakes.
    pub fn staple(&self) -> &Arc<Staple> {
        &self.staple
    }

    /// The duty to keep the response fresh; `resolver` finds the responder.
    pub fn duty(self: &Arc<Self>, resolver: Option<Resolving>) -> Duty {
        let own = Arc::clone(self);
        Duty::planned(self.key.clone(), resolver, move |plans| Arc::clone(&own).keep(plans))
    }

    async fn keep(self: Arc<Self>, mut plans: Plans<Option<Resolving>>) {
        let mut failures = 0;
        loop {
            let resolver = plans.current();
            let fetched = match FETCHES.acquire().await {
                Ok(_turn) => self.fetch((*resolver).as_ref()).await,
                Err(_) => None,
            };
            drop(resolver);
            let pause = match fetched {
                Some(answer) => {
                    failures = 0;
                    until_refresh(answer, clock::wall_secs())
                }
                None => {
                    failures += 1;
                    until_retry(failures)
                }
            };
            tokio::select! {
                () = timer::sleep(pause) => {}
                // A reload may have mended what has failed.
                () = plans.changed(), if failures > 0 => {}
            }
        }
    }

    /// Fetches a response and puts it in force if it is good. `None` if it is not, which has been
    /// logged.
    async fn fetch(&self, resolver: Option<&Resolving>) -> Option<StatusAnswer> {
        let log = |level: Level, message: &str| process_log().log(level, 0, message);
        let asking = Asking {
            responder: &self.responder,
            resolver,
            timeout: Some(TIMEOUT),
            certificate: Some(&self.file),
            log: &log,
        };
        let response = asking.ask(&self.question.request()).await.ok()?;
        let now = clock::wall_secs();
        let at_hand = (self.chain.as_slice(), self.belief);
        let answer = match self.judge.judge(&response, &self.question, at_hand, now) {
            Ok(answer) => answer,
            Err(error) => {
                asking.tell(Level::Error, &error.to_string(), None);
                return None;
            }
        };
        if answer.status != CertStatus::Good {
            let status = answer.status.name();
            let what = format!("certificate status \"{status}\" in the OCSP response");
            asking.tell(Level::Error, &what, None);
            return None;
        }
        self.staple.set(response, answer.until);
        Some(answer)
    }
}

/// The time until the next response is fetched: before the end of this one, but neither at once nor
/// after too long.
fn until_refresh(answer: StatusAnswer, now: i64) -> Duration {
    let left = answer.until.map_or(i64::MAX, |until| until.saturating_sub(now));
    let left = Duration::from_secs(u64::try_from(left).unwrap_or(0));
    left.saturating_sub(PAUSE).min(LONGEST).max(PAUSE)
}

/// The time until the next attempt after so many failures in a row.
fn until_retry(failures: u32) -> Duration {
    FIRST_RETRY.saturating_mul(1u32.checked_shl(failures - 1).unwrap_or(u32::MAX)).min(PAUSE)
}

/// The responses of a certificate, which may be those of an earlier configuration.
fn kept(key: &str) -> Arc<Staple> {
    static STAPLES: LazyLock<Mutex<HashMap<String, Weak<Staple>>>> = LazyLock::new(Mutex::default);
    let mut staples = STAPLES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = staples.get(key).and_then(Weak::upgrade) {
        return known;
    }
    staples.retain(|_, staple| staple.strong_count() > 0);
    let staple = Arc::new(Staple::default());
    staples.insert(key.to_owned(), Arc::downgrade(&staple));
    staple
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_are_refreshed_before_they_end() {
        let refresh =
            |until| until_refresh(StatusAnswer { status: CertStatus::Good, until }, 1000).as_secs();
        assert_eq!(refresh(None), 3600);
        assert_eq!(refresh(Some(1000 + 86_400)), 3600);
        assert_eq!(refresh(Some(1000 + 1300)), 1000);
        assert_eq!(refresh(Some(1000 + 400)), 300);
        assert_eq!(refresh(Some(900)), 300);
    }

    #[test]
    fn failures_are_retried_ever_later() {
        let pauses: Vec<_> = (1..=11).map(|failures| until_retry(failures).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(until_retry(u32::MAX), PAUSE);
    }
}
