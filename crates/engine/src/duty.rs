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

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use crate::error_log::{Level, process_log};
use crate::event_loop::{JoinHandle, spawn_joined};
use crate::timer;

/// The pause of a duty after a panic.
const RESTART: Duration = Duration::from_secs(1);

type BoxedDuty = Pin<Box<dyn Future<Output = ()>>>;

/// A duty that has not been started.
pub struct Duty {
    key: String,
    begin: Box<dyn Fn() -> BoxedDuty + Send>,
}

impl Duty {
    /// A duty started by calling `begin` on its loop, and again after a panic. `key` covers
    /// everything that distinguishes the duty: a running one with the same key is the same duty.
    pub fn new<F>(key: String, begin: impl Fn() -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + 'static,
    {
        Self { key, begin: Box::new(move || Box::pin(begin())) }
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
    running: BTreeMap<String, RunningDuty>,
    restart: Duration,
}

impl Default for Duties {
    fn default() -> Self {
        Self { running: BTreeMap::new(), restart: RESTART }
    }
}

impl Duties {
    /// Stops duties that are no longer wanted, starts new ones, and leaves the others alone. Of
    /// several duties with one key, one runs.
    pub fn reconcile(&mut self, wanted: Vec<Duty>) {
        let mut before = std::mem::take(&mut self.running);
        for duty in wanted {
            if self.running.contains_key(&duty.key) {
                continue;
            }
            let key = duty.key.clone();
            let running = before.remove(&key);
            let restart = self.restart;
            let running = running.unwrap_or_else(|| RunningDuty::start(supervise(duty, restart)));
            self.running.insert(key, running);
        }
    }
}

/// Runs a duty to its end, restarting it after each panic.
async fn supervise(duty: Duty, restart: Duration) {
    let Duty { key, begin } = duty;
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
