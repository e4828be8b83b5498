//! Duties: background work that runs as long as the configuration requires it, such as keeping a
//! name resolved. Duties are identified by keys, so a reload affects only those that it changes.
//!
//! ```text
//!              wanted            no longer wanted
//!   (none) ─────────────▶ runs ──────────────────▶ dropped
//!                        │ ▲  │ ends by itself
//!                 panics │ │  └─────────────▶ done, until no longer wanted
//!                        ▼ │ RESTART later
//!                       pauses
//! ```
//!
//! A duty with something to finish is not dropped at once: see [`Duty::ending_within`].

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::error_log::{Level, process_log};
use crate::event_loop::{JoinHandle, spawn_joined};
use crate::timer;

/// The pause of a duty after a panic.
const RESTART: Duration = Duration::from_secs(1);

type BoxedDuty = Pin<Box<dyn Future<Output = ()>>>;

/// A plan with its type erased.
type AnyPlan = Arc<dyn Any + Send + Sync>;

/// A duty that has not been started.
pub struct Duty {
    key: String,
    begin: Box<dyn Fn() -> BoxedDuty + Send>,
    plan: Option<watch::Sender<AnyPlan>>,
    grace: Duration,
}

/// The plan of a running duty, which a load replaces.
pub struct Plans<P> {
    plan: watch::Receiver<AnyPlan>,
    kind: PhantomData<fn() -> P>,
}

impl<P: Send + Sync + 'static> Plans<P> {
    /// The plan in force.
    ///
    /// # Panics
    /// If duties of one key had plans of different types.
    pub fn current(&mut self) -> Arc<P> {
        let plan = Arc::clone(&self.plan.borrow_and_update());
        plan.downcast().unwrap_or_else(|_| panic!("the plans of a duty have one type"))
    }

    /// Waits until the plan was replaced since [`Plans::current`].
    pub async fn changed(&mut self) {
        if !self.changed_or_ending().await {
            std::future::pending().await
        }
    }

    /// Waits until the plan was replaced, or nobody wants the duty any more, which is `false`.
    pub async fn changed_or_ending(&mut self) -> bool {
        self.plan.changed().await.is_ok()
    }
}

impl Duty {
    /// A duty started by calling `begin` on its loop, and again after a panic. `key` covers
    /// everything that distinguishes the duty: a running one with the same key is the same duty.
    pub fn new<F>(key: String, begin: impl Fn() -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + 'static,
    {
        let grace = Duration::ZERO;
        Self { key, begin: Box::new(move || Box::pin(begin())), plan: None, grace }
    }

    /// A duty as by [`Duty::new`] with a plan, which its key does not cover: a running duty with
    /// the same key goes on with this plan.
    pub fn planned<P, F>(
        key: String,
        plan: P,
        begin: impl Fn(Plans<P>) -> F + Send + 'static,
    ) -> Self
    where
        P: Send + Sync + 'static,
        F: Future<Output = ()> + 'static,
    {
        let plan: AnyPlan = Arc::new(plan);
        let (sender, receiver) = watch::channel(plan);
        let begin = move || begin(Plans { plan: receiver.clone(), kind: PhantomData });
        Self { plan: Some(sender), ..Self::new(key, begin) }
    }

    /// Gives a planned duty this time to end by itself when it is no longer wanted, which
    /// [`Plans::changed_or_ending`] tells.
    #[must_use]
    pub fn ending_within(self, grace: Duration) -> Self {
        Self { grace, ..self }
    }

    /// The duty's key.
    pub fn key(&self) -> &str {
        &self.key
    }
}

impl fmt::Debug for Duty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Duty").field("key", &self.key).finish_non_exhaustive()
    }
}

/// The running duties of this thread's loop. Dropping it stops them all.
#[derive(Debug)]
pub struct Duties {
    running: BTreeMap<String, Supervised>,
    /// Duties that finish something.
    ending: Vec<RunningDuty>,
    restart: Duration,
}

impl Default for Duties {
    fn default() -> Self {
        Self { running: BTreeMap::new(), ending: Vec::new(), restart: RESTART }
    }
}

impl Duties {
    /// Stops duties that are no longer wanted, starts new ones, and gives the others their new
    /// plans. Of several duties with one key, one runs.
    pub fn reconcile(&mut self, wanted: Vec<Duty>) {
        let mut before = std::mem::take(&mut self.running);
        for duty in wanted {
            if self.running.contains_key(&duty.key) {
                continue;
            }
            let key = duty.key.clone();
            let running = match before.remove(&key) {
                Some(running) => {
                    running.take_plan(duty);
                    running
                }
                None => Supervised::start(duty, self.restart),
            };
            self.running.insert(key, running);
        }
        self.ending.extend(before.into_values().filter_map(Supervised::end));
    }

    /// Stops all duties, and waits for those that finish something.
    pub async fn end(mut self) {
        self.reconcile(Vec::new());
        for duty in &mut self.ending {
            let _ = (&mut duty.0).await;
        }
    }
}

/// A running duty, with its plan.
#[derive(Debug)]
struct Supervised {
    task: RunningDuty,
    grace: Duration,
    plan: Option<watch::Sender<AnyPlan>>,
}

impl Supervised {
    fn start(mut duty: Duty, restart: Duration) -> Self {
        let (plan, grace) = (duty.plan.take(), duty.grace);
        Self { task: RunningDuty::start(supervise(duty, restart)), grace, plan }
    }

    /// Stops the duty, or has it end by itself.
    fn end(self) -> Option<RunningDuty> {
        let Self { mut task, grace, plan } = self;
        drop(plan);
        let ended = async move { drop(timer::timeout(grace, &mut task.0).await) };
        (!grace.is_zero()).then(|| RunningDuty::start(ended))
    }

    /// Goes on with the plan of another duty of the same key.
    fn take_plan(&self, duty: Duty) {
        if let (Some(plan), Some(next)) = (&self.plan, duty.plan) {
            plan.send_replace(Arc::clone(&next.borrow()));
        }
    }
}

/// Runs a duty to its end, restarting it after each panic.
async fn supervise(duty: Duty, restart: Duration) {
    let Duty { key, begin, .. } = duty;
    let begin: Rc<dyn Fn() -> BoxedDuty> = Rc::from(begin as Box<dyn Fn() -> BoxedDuty>);
    loop {
        let begin = Rc::clone(&begin);
        let mut turn = RunningDuty::start(async move { begin().await });
        if (&mut turn.0).await.is_ok() {
            return;
        }
        let seconds = restart.as_secs_f64();
        let text = format!("the duty to {key} panicked, restarting in {seconds} s");
        process_log().log(Level::Alert, 0, text);
        timer::sleep(restart).await;
    }
}

/// A task that is stopped with its handle.
#[derive(Debug)]
struct RunningDuty(JoinHandle<()>);

impl RunningDuty {
    fn start(task: impl Future<Output = ()> + 'static) -> Self {
        Self(spawn_joined(task))
    }
}

impl Drop for RunningDuty {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

    use super::*;
    use crate::event_loop::block_on;

    #[test]
    fn a_duty_may_have_time_to_end() {
        block_on(async {
            let (say, mut said) = unbounded_channel();
            let duty = |name: &'static str, takes: u64, grace: u64| {
                let say = say.clone();
                let begin = move |mut plans: Plans<u64>| {
                    let says = Says(name, say.clone());
                    async move {
                        while plans.changed_or_ending().await {}
                        timer::sleep(Duration::from_millis(takes)).await;
                        says.1.send(format!("{name} is done")).unwrap();
                    }
                };
                Duty::planned(name.to_owned(), 0, begin).ending_within(Duration::from_secs(grace))
            };
            let mut duties = Duties::default();
            duties.reconcile(vec![duty("a", 1, 60), duty("b", 1, 0), duty("c", 60_000, 1)]);
            timer::sleep(Duration::from_millis(1)).await;
            duties.reconcile(vec![duty("b", 1, 0), duty("c", 60_000, 1)]);
            assert_eq!(said.recv().await.as_deref(), Some("a is done"));
            assert_eq!(said.recv().await.as_deref(), Some("a stops"));
            duties.end().await;
            assert_eq!(said.recv().await.as_deref(), Some("b stops"), "it has no time");
            assert_eq!(said.recv().await.as_deref(), Some("c stops"), "its time is up");
            assert!(said.try_recv().is_err());
        });
    }

    /// Sends a message when dropped.
    struct Says(&'static str, UnboundedSender<String>);

    impl Drop for Says {
        fn drop(&mut self) {
            let _ = self.1.send(format!("{} stops", self.0));
        }
    }

    fn lasting(key: &'static str, say: &UnboundedSender<String>) -> Duty {
        let say = say.clone();
        Duty::new(key.to_owned(), move || {
            let say = say.clone();
            async move {
                let _ = say.send(format!("{key} begins"));
                let _says = Says(key, say);
                std::future::pending::<()>().await;
            }
        })
    }

    #[test]
    fn a_change_stops_and_starts_what_it_changes() {
        block_on(async {
            let (say, mut said) = unbounded_channel();
            let mut duties = Duties::default();
            duties.reconcile(vec![lasting("a", &say), lasting("b", &say), lasting("a", &say)]);
            assert_eq!(said.recv().await.unwrap(), "a begins");
            assert_eq!(said.recv().await.unwrap(), "b begins");
            duties.reconcile(vec![lasting("b", &say), lasting("c", &say)]);
            assert_eq!(said.recv().await.unwrap(), "a stops");
            assert_eq!(said.recv().await.unwrap(), "c begins");
            drop(duties);
            assert_eq!(said.recv().await.unwrap(), "b stops");
            assert_eq!(said.recv().await.unwrap(), "c stops");
            drop(say);
            assert_eq!(said.recv().await, None);
        });
    }

    #[test]
    fn a_running_duty_follows_its_plan() {
        block_on(async {
            let (say, mut said) = unbounded_channel();
            let planned = |plan: u32| {
                let say = say.clone();
                Duty::planned("count".to_owned(), plan, move |mut plans: Plans<u32>| {
                    let _ = say.send("begins".to_owned());
                    let say = say.clone();
                    async move {
                        loop {
                            let _ = say.send(plans.current().to_string());
                            plans.changed().await;
                        }
                    }
                })
            };
            let mut duties = Duties::default();
            for plan in [1, 2] {
                duties.reconcile(vec![planned(plan)]);
                if plan == 1 {
                    assert_eq!(said.recv().await.unwrap(), "begins");
                }
                assert_eq!(said.recv().await.unwrap(), plan.to_string());
            }
            duties.reconcile(Vec::new());
            duties.reconcile(vec![planned(3)]);
            assert_eq!(said.recv().await.unwrap(), "begins");
            assert_eq!(said.recv().await.unwrap(), "3");
        });
    }

    /// Other duties go on, and a duty stopped during its pause does not start again.
    #[test]
    fn a_duty_begins_again_after_a_panic() {
        block_on(async {
            let (say, mut said) = unbounded_channel();
            let turns = Arc::new(AtomicUsize::new(0));
            let (count, tell) = (Arc::clone(&turns), say.clone());
            let unsteady = move || {
                let (turn, tell) = (count.fetch_add(1, Relaxed), tell.clone());
                // A panic before there is a future.
                assert!(turn != 0, "the first turn");
                async move {
                    assert!(turn != 1, "the second turn");
                    let _ = tell.send(format!("turn {turn}"));
                }
            };
            let mut duties = Duties { restart: Duration::from_millis(1), ..Duties::default() };
            duties
                .reconcile(vec![Duty::new("stumble".to_owned(), unsteady), lasting("stay", &say)]);
            assert_eq!(said.recv().await.unwrap(), "stay begins");
            assert_eq!(said.recv().await.unwrap(), "turn 2");
            // The duty has ended: though still wanted, it is not started again.
            duties.reconcile(vec![
                Duty::new("stumble".to_owned(), || async { panic!("not to be begun") }),
                lasting("stay", &say),
            ]);
            duties.reconcile(vec![lasting("last", &say)]);
            assert_eq!(said.recv().await.unwrap(), "stay stops");
            assert_eq!(said.recv().await.unwrap(), "last begins");
            assert_eq!(turns.load(Relaxed), 3);
        });
    }
}
