//! The duty to have one certificate, and to renew it in time.
//!
//! ```text
//!   due? ──no──▶ ask for renewal information now and then ─┐
//!    │ ▲◀──────────────────────────────────────────────────┘
//!   yes └── wait, longer after each failure ◀── order
//! ```

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use weir_engine::clock;
use weir_engine::duty::{Duty, Plans};
use weir_engine::error_log::Level;
use weir_upstream::shared_turn;

use crate::account;
use crate::error::{AcmeError, Scope};
use crate::issuer::{Resolving, Wanted, at};
use crate::order;
use crate::renewal::Window;
use crate::schedule::{Next, Schedule, Validity};
use crate::session::Session;
use crate::state;
use crate::url::AcmeUrl;

/// The longest sleep: the wall clock may be set meanwhile.
const LONGEST_SLEEP: Duration = Duration::from_secs(3600);

/// The first questions about renewal after a start are spread: one in this time.
const SPREAD: Duration = Duration::from_millis(200);

/// What a duty works by; a reload replaces it.
struct Plan {
    wanted: Wanted,
    resolver: Option<Resolving>,
}

/// The duty to have a certificate. `resolver` finds the authority.
pub fn duty(wanted: &Wanted, resolver: Option<Resolving>) -> Duty {
    let key = format!("keep the certificate {}", wanted.certificate.id());
    let plan = Plan { wanted: wanted.clone(), resolver };
    Duty::planned(key, plan, keep)
}

impl Plan {
    /// From now on, the certificate is this issuer's.
    fn begin(&self) {
        self.wanted.certificate.set_issuer(self.wanted.issuer.name());
    }

    /// Writes a certificate. What was in the place of its file may be worth more than it seems.
    async fn save(&self, text: String) {
        let Wanted { certificate, issuer, config } = &self.wanted;
        let file = certificate.file();
        if certificate.take_unusable() {
            state::set_aside(issuer, config, &file).await;
        }
        state::save(issuer, config, &file, text).await;
    }
}

/// The progress of one certificate.
struct Keeper {
    plans: Plans<Plan>,
    plan: Arc<Plan>,
    schedule: Schedule,
    /// Whether this node orders, or another one for all.
    is_ours: watch::Receiver<bool>,
    counted: Counted,
}

/// Counts the certificates of an issuer.
struct Counted(Arc<crate::Issuer>);

impl Counted {
    fn new(issuer: &Arc<crate::Issuer>) -> Self {
        issuer.certificates.fetch_add(1, Relaxed);
        Self(Arc::clone(issuer))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.certificates.fetch_sub(1, Relaxed);
    }
}

async fn keep(mut plans: Plans<Plan>) {
    let plan = plans.current();
    plan.begin();
    let counted = Counted::new(&plan.wanted.issuer);
    let spread = u32::try_from(counted.0.certificates.load(Relaxed)).unwrap_or(u32::MAX);
    let first_question = SPREAD.saturating_mul(spread).mul_f64(fastrand::f64());
    let schedule = Schedule::new(clock::now(), first_question, fastrand::f64());
    let is_ours = shared_turn::watch();
    let mut keeper = Keeper { plans, plan, schedule, is_ours, counted };
    keeper.heed_mark().await;
    loop {
        keeper.turn().await;
    }
}

impl Keeper {
    /// The validity of the certificate in force.
    fn valid(&self) -> Option<Validity> {
        self.plan.wanted.certificate.pem().map(|pem| pem.valid)
    }

    /// Does what is next, or waits for it.
    async fn turn(&mut self) {
        let Wanted { certificate, issuer, .. } = self.plan.wanted.clone();
        state::save_again(&issuer, &self.plan.wanted.config).await;
        account::take_over(&issuer, &self.plan.wanted.config).await;
        self.save_what_lacks().await;
        let is_ours = *self.is_ours.borrow_and_update();
        certificate.leave_to_others(!is_ours);
        if !is_ours {
            return self.wait(LONGEST_SLEEP).await;
        }
        let now = clock::now();
        match (self.schedule.next(self.valid(), now, issuer.now()), issuer.closed()) {
            (Next::Order, Some((closed, reason))) => {
                // Others have found out.
                certificate.fail(&reason, wall_after(closed));
                self.wait(closed).await;
            }
            (Next::Ask, Some((closed, _))) => self.schedule.ask_not_before(closed, now),
            (Next::Order, None) => self.renew().await,
            (Next::Ask, None) => self.ask().await,
            (Next::Wait(left), _) => {
                self.plan_next();
                self.wait(left).await;
            }
        }
    }

    /// Tells when the next order will be, unless that is when the last failure said.
    fn plan_next(&self) {
        let Wanted { certificate, issuer, .. } = &self.plan.wanted;
        if self.schedule.due(self.valid()) > issuer.now() || !certificate.has_failed() {
            let next = self.schedule.next_order(self.valid(), clock::now(), issuer.now());
            certificate.plan(next - (issuer.now() - clock::wall_secs()));
        }
    }

    /// Writes the account in use and the certificate in force to their files: it may be another
    /// node's, or the directory is another one, or was lost.
    async fn save_what_lacks(&self) {
        let Wanted { certificate, issuer, config } = &self.plan.wanted;
        account::save_what_lacks(issuer, config).await;
        let Some(pem) = certificate.pem() else { return };
        if certificate.take_unsaved() || state::lacks(issuer, config, &certificate.file()).await {
            self.plan.save(pem.text()).await;
        }
    }

    /// Waits, but not over a change of what concerns the certificate: a reload may have mended what
    /// has failed.
    async fn wait(&mut self, time: Duration) {
        let mut deadline = weir_engine::Deadline::new();
        let has_unsaved = !self.plan.wanted.issuer.unsaved.lock().await.is_empty();
        deadline.after(time.min(if has_unsaved { state::WRITES_AGAIN } else { LONGEST_SLEEP }));
        loop {
            let certificate = Arc::clone(&self.plan.wanted.certificate);
            tokio::select! {
                () = deadline.wait() => return,
                () = certificate.news() => return,
                // The sender lives as long as the process.
                _ = self.is_ours.changed() => return,
                () = self.plans.changed() => {}
            }
            let before = std::mem::replace(&mut self.plan, self.plans.current());
            self.plan.begin();
            if !Arc::ptr_eq(&self.counted.0, &self.plan.wanted.issuer) {
                self.counted = Counted::new(&self.plan.wanted.issuer);
            }
            if before.wanted.config != self.plan.wanted.config {
                self.plan.wanted.issuer.ask_at_once();
                self.schedule.try_at_once(clock::now());
                self.heed_mark().await;
                return;
            }
            if self.heed_mark().await {
                return;
            }
            // The reload has made the directory again if it was lost.
            self.save_what_lacks().await;
        }
    }

    /// Whether the operator wants another certificate now, by a file beside the one in force. It is
    /// removed once there is one.
    async fn heed_mark(&mut self) -> bool {
        let Wanted { certificate, issuer, config } = self.plan.wanted.clone();
        if self.schedule.is_forced() || !state::exists(&config, &certificate.mark()).await {
            return false;
        }
        let names = certificate.names();
        if !state::removes(&config).await {
            let what = format!(
                "{names}: another certificate is wanted, but the file that says so could not be \
                 removed then, so that each start would order one; it is not heeded"
            );
            issuer.log(Level::Error, &what);
            return false;
        }
        issuer.log(Level::Notice, &format!("{names}: another certificate is wanted now"));
        issuer.ask_at_once();
        self.schedule.force(clock::now());
        true
    }

    /// Orders the certificate.
    async fn renew(&mut self) {
        let plan = Arc::clone(&self.plan);
        let Wanted { certificate, issuer, .. } = &plan.wanted;
        let Ok(_turn) = issuer.turns.acquire().await else { return };
        if issuer.closed().is_some() {
            return;
        }
        if certificate.begin() {
            let names = certificate.names();
            let what = format!("{names}: ordering; until it is there, TLS handshakes fail");
            issuer.log(Level::Notice, &what);
        }
        match self.order(&plan).await {
            Ok(true) => self.succeed(&plan),
            // The authority's clock says that it is not due.
            Ok(false) => {}
            Err(error) => self.fail(&plan, &error),
        }
    }

    /// Returns whether there is another certificate.
    async fn order(&self, plan: &Plan) -> Result<bool, AcmeError> {
        let Wanted { certificate, issuer, config } = &plan.wanted;
        let mut session = Session::open(issuer, config, plan.resolver.as_ref()).await?;
        if self.schedule.due(self.valid()) > issuer.now() {
            return Ok(false);
        }
        session.log_in().await?;
        issuer.open();
        let before = certificate.pem();
        let replaces = before.as_ref().and_then(|pem| pem.renewal_id.clone());
        let mut issued = order::order(&mut session, &plan.wanted, replaces.as_deref()).await;
        if issued.as_ref().is_err_and(|error| error.is("accountDoesNotExist")) {
            session.forget_account().await;
            session.log_in().await?;
            issued = order::order(&mut session, &plan.wanted, replaces.as_deref()).await;
        }
        let text = match issued {
            Ok(text) => text,
            Err(error) => {
                if error.ends_order {
                    order::end(&plan.wanted).await;
                }
                return Err(error);
            }
        };
        let installed = certificate.install(&text);
        if installed.is_ok() {
            state::remove(issuer, config, &certificate.mark()).await;
            plan.save(text).await;
        }
        order::end(&plan.wanted).await;
        installed.map(|()| true)
    }

    fn succeed(&mut self, plan: &Plan) {
        let Wanted { certificate, issuer, .. } = &plan.wanted;
        certificate.succeed();
        let Some(pem) = certificate.pem() else { return };
        self.schedule.issued(pem.valid, clock::now(), fastrand::f64());
        self.plan_next();
        let next = self.schedule.next_order(Some(pem.valid), clock::now(), issuer.now());
        let left = Duration::from_secs(u64::try_from(next - issuer.now()).unwrap_or(0));
        let names = certificate.names();
        issuer.log(Level::Notice, &format!("{names}: a new certificate; next try {}", at(left)));
    }

    fn fail(&mut self, plan: &Plan, error: &AcmeError) {
        let Wanted { certificate, issuer, .. } = &plan.wanted;
        if error.scope == Scope::Issuer {
            let wait = issuer.close(error);
            certificate.fail(&error.what, wall_after(wait));
            return;
        }
        let wait = self.schedule.failed(error.wait, clock::now(), fastrand::f64());
        let is_new = certificate.fail(&error.what, wall_after(wait));
        let level = if is_new { Level::Error } else { Level::Info };
        let line = format!("{}: {error}; next try {}", certificate.names(), at(wait));
        issuer.log(level, &line);
    }

    /// Asks when the authority wants the certificate to be renewed (RFC 9773 section 4).
    async fn ask(&mut self) {
        let plan = Arc::clone(&self.plan);
        let issuer = &plan.wanted.issuer;
        let Ok(_turn) = issuer.turns.acquire().await else { return };
        let wait = match self.renewal_information(&plan).await {
            Ok(wait) => wait,
            Err(error) => {
                // The certificate is renewed in time without it.
                issuer.log(Level::Info, &format!("no renewal information: {error}"));
                error.wait
            }
        };
        self.schedule.ask_after(wait, clock::now());
    }

    /// Returns the time until the next question, if the authority says it.
    async fn renewal_information(&mut self, plan: &Plan) -> Result<Option<Duration>, AcmeError> {
        let Wanted { certificate, issuer, config } = &plan.wanted;
        // Whatever comes of it, the authority's time is known again.
        let mut session = Session::open(issuer, config, plan.resolver.as_ref()).await?;
        let pem = certificate.pem();
        let id = pem.as_ref().and_then(|pem| pem.renewal_id.clone());
        let Some(id) = id else { return Ok(None) };
        let Ok(base) = session.resource("renewalInfo") else { return Ok(None) };
        let url = format!("{}/{id}", base.to_string().trim_end_matches('/'));
        let url = AcmeUrl::parse(&url).ok_or_else(|| AcmeError::new("its URL is malformed"))?;
        let answer = session.get(&url).await?;
        if let Some(window) = window(&answer.value)
            && self.schedule.inform(window, self.valid(), issuer.now())
        {
            let reason = answer.value.get("explanationURL").and_then(Value::as_str);
            let reason: String = reason.unwrap_or("no reason").chars().take(200).collect();
            let reason: String = reason.chars().filter(|c| !c.is_control()).collect();
            let what = format!("{}: the authority wants a renewal ({reason})", certificate.names());
            issuer.log(Level::Notice, &what);
        }
        Ok(answer.wait)
    }
}

/// The suggested period of renewal information. One without a length is as none (RFC 9773 section
/// 4.2).
pub(crate) fn window(value: &Value) -> Option<Window> {
    let suggested = value.get("suggestedWindow")?;
    let time = |name: &str| {
        let text = suggested.get(name)?.as_str()?;
        weir_wire::date::parse_rfc3339(text.as_bytes())
    };
    let window = Window { start: time("start")?, end: time("end")? };
    (window.start < window.end).then_some(window)
}

/// The wall clock after a time, in seconds since 1970.
fn wall_after(time: Duration) -> i64 {
    clock::wall_secs().saturating_add(i64::try_from(time.as_secs()).unwrap_or(i64::MAX))
}
