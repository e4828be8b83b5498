//! An issuer at run time: what its certificates have in common, found by its name. It outlives
//! reloads.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Semaphore;
use weir_engine::clock::{self, Instant};
use weir_engine::error_log::{Level, process_log};
use weir_upstream::{Resolver, shared_turn};

use crate::account::AccountKept;
use crate::certificate::Certificate;
use crate::error::AcmeError;
use crate::pair::{self, Told};
use crate::renewal;
use crate::settings::IssuerConfig;
use crate::state::Unsaved;

/// The most orders at once. Authorities limit them by hours, so that more would bring nothing.
const MOST_ORDERS: usize = 8;

/// A clock that deviates less from the authority's is right, in seconds.
const FINE_CLOCK: i64 = 300;

/// A resolver, and the time that it has.
pub type Resolving = (Resolver, Duration);

/// A certificate that a server of the configuration wants.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The certificate.
    pub certificate: Arc<Certificate>,
    /// Its issuer.
    pub issuer: Arc<Issuer>,
    /// The issuer's settings in this configuration.
    pub config: Arc<IssuerConfig>,
}

/// An issuer.
#[derive(Debug)]
pub struct Issuer {
    name: String,
    pub(crate) account: tokio::sync::Mutex<Option<AccountKept>>,
    pub(crate) turns: Semaphore,
    gate: Mutex<Gate>,
    /// What is to be written to its directory. Held while a file there is written or removed, so
    /// that nothing old is written over it.
    pub(crate) unsaved: tokio::sync::Mutex<Unsaved>,
    /// The account, as all nodes have it.
    told: Mutex<Option<Told>>,
    /// Whether another node has brought the account since the duties have looked.
    has_other: AtomicBool,
    /// The authority's clock less ours, in seconds; 0 while they agree.
    skew: AtomicI64,
    /// The number of certificates that it was asked for, so that questions are spread.
    pub(crate) certificates: AtomicUsize,
}

/// Whether the issuer is asked at present.
#[derive(Debug, Default)]
struct Gate {
    /// Not before.
    until: Option<Instant>,
    failures: u32,
    /// What was wrong last.
    reason: String,
}

/// The issuers by name.
static ISSUERS: Mutex<BTreeMap<String, Weak<Issuer>>> = Mutex::new(BTreeMap::new());

impl Issuer {
    /// The issuer of this name.
    pub fn of(name: &str) -> Arc<Self> {
        let mut all = ISSUERS.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, issuer| issuer.strong_count() > 0);
        if let Some(known) = all.get(name).and_then(Weak::upgrade) {
            return known;
        }
        let issuer = Arc::new(Self {
            name: name.to_owned(),
            account: tokio::sync::Mutex::default(),
            turns: Semaphore::new(MOST_ORDERS),
            gate: Mutex::default(),
            unsaved: tokio::sync::Mutex::default(),
            told: Mutex::default(),
            has_other: AtomicBool::new(false),
            skew: AtomicI64::new(0),
            certificates: AtomicUsize::new(0),
        });
        all.insert(name.to_owned(), Arc::downgrade(&issuer));
        issuer
    }

    /// All issuers.
    pub(crate) fn known() -> Vec<Arc<Self>> {
        let all = ISSUERS.lock().unwrap_or_else(PoisonError::into_inner);
        all.values().filter_map(Weak::upgrade).collect()
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The account, as all nodes have it.
    pub(crate) fn told(&self) -> Option<Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes the account in use, and tells the other nodes.
    pub(crate) fn tell(&self, told: Told) {
        pair::note_account(&self.name, &told);
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = Some(told);
    }

    /// Takes over the account of another node. Returns whether it is another one than before.
    pub(crate) fn take_over(&self, theirs: Told) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.as_ref() == Some(&theirs) || (told.is_some() && shared_turn::is_ours()) {
            // Who orders goes on with what is in use.
            return false;
        }
        *told = Some(theirs);
        self.has_other.store(true, Relaxed);
        true
    }

    /// The account that another node has brought since the last time.
    pub(crate) fn taken_over(&self) -> Option<Told> {
        if !self.has_other.swap(false, Relaxed) {
            return None;
        }
        self.told()
    }

    /// Logs about the issuer.
    pub(crate) fn log(&self, level: Level, what: &str) {
        let line = format!("acme issuer \"{}\": {what}", self.name);
        process_log().log(level, 0, line);
    }

    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time until the issuer is asked again, and what was wrong; `None` if it can be asked.
    pub(crate) fn closed(&self) -> Option<(Duration, String)> {
        let gate = self.gate();
        let left = gate.until?.since(clock::now());
        (!left.is_zero()).then(|| (left, gate.reason.clone()))
    }

    /// A failure that concerns all certificates: the issuer is not asked for a while. Returns how
    /// long. It is logged once for all of them, and again if the reason changes.
    pub(crate) fn close(&self, error: &AcmeError) -> Duration {
        let mut gate = self.gate();
        if let Some(left) = gate.until.map(|until| until.since(clock::now()))
            && !left.is_zero()
        {
            return left;
        }
        gate.failures = gate.failures.saturating_add(1);
        let wait = renewal::retry(gate.failures, error.wait, fastrand::f64());
        gate.until = Some(clock::now() + wait);
        let is_new = gate.failures == 1 || gate.reason != error.what;
        gate.reason.clone_from(&error.what);
        drop(gate);
        let level = if is_new { Level::Error } else { Level::Info };
        self.log(level, &format!("{error}; next try {}", at(wait)));
        wait
    }

    /// The issuer has answered as it should.
    pub(crate) fn open(&self) {
        let mut gate = self.gate();
        let before = std::mem::take(&mut *gate);
        drop(gate);
        if before.failures > 0 {
            self.log(Level::Notice, "answers again");
        }
    }

    /// A reload may have mended what was wrong: the issuer may be asked at once.
    pub(crate) fn ask_at_once(&self) {
        self.gate().until = None;
    }

    /// Compares our clock with the authority's.
    pub(crate) fn heed_clock(&self, theirs: i64) {
        let skew = theirs - clock::wall_secs();
        let skew = if skew.abs() < FINE_CLOCK { 0 } else { skew };
        let before = self.skew.swap(skew, Relaxed);
        if skew != 0 && (before - skew).abs() > FINE_CLOCK {
            let (hours, side) =
                (skew.abs() as f64 / 3600.0, if skew > 0 { "behind" } else { "ahead of" });
            let what = format!(
                "the clock of this machine is {hours:.1} hours {side} the authority's; certificates \
                 are renewed by the authority's clock, but clients may refuse them"
            );
            self.log(Level::Error, &what);
        }
    }

    /// The time by the authority's clock, in seconds since 1970.
    pub(crate) fn now(&self) -> i64 {
        clock::wall_secs().saturating_add(self.skew.load(Relaxed))
    }
}

/// A moment as in the log, this long from now.
pub(crate) fn at(wait: Duration) -> String {
    let seconds = i64::try_from(wait.as_secs()).unwrap_or(i64::MAX);
    let mut text = Vec::new();
    let when = clock::wall_secs().saturating_add(seconds);
    weir_wire::date::iso8601(when, clock::local_offset(), &mut text);
    format!("at {}", String::from_utf8_lossy(&text))
}
