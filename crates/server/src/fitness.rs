//! What the worker shows the guard of a node with an `ha` block: that its loops turn, that it
//! serves, and that the required upstreams have healthy servers. Without the block, nothing runs.

use std::time::Duration;

use weir_engine::duty::Duty;
use weir_engine::event_loop::{self, Task};
use weir_engine::timer;
use weir_ha::readiness::{beat_interval, own};

use crate::modules::core::{Process, Shows};
use crate::serve;
use crate::threads::Load;

/// How often the health of the required upstreams is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// Shows that the worker serves with a configuration.
pub(crate) fn show_serving(load: &Load) {
    if let (Some(slot), Some(shows)) = (own(), &load.process.shows) {
        if shows.required.is_empty() {
            slot.lack(None);
        }
        slot.serve(load.process.threads);
    }
}

/// Shows that the worker is ending.
pub(crate) fn show_quitting() {
    own().into_iter().for_each(|slot| slot.quit());
}

/// Shows that a thread's loop turns. For a thread that is about to start, so that no moment counts
/// as a stall.
pub(crate) fn show_turn(thread: usize) {
    own().into_iter().for_each(|slot| slot.beat(thread));
}

/// The beats of a thread's loop, until dropped.
pub(crate) struct Beating(Option<Task>);

impl Drop for Beating {
    fn drop(&mut self) {
        self.0.take().into_iter().for_each(Task::abort);
    }
}

/// Starts the beats of this thread's loop, in a configuration that has them.
pub(crate) fn beat(thread: usize, process: &Process) -> Option<Beating> {
    let interval = beat_interval(process.shows.as_ref()?.stall);
    let task = event_loop::spawn(async move {
        loop {
            show_turn(thread);
            timer::sleep(interval).await;
        }
    });
    Some(Beating(Some(task)))
}

/// The duty that looks at the required upstreams.
pub(crate) fn duty(process: &Process) -> Option<Duty> {
    let Shows { required, .. } = process.shows.as_ref()?;
    if required.is_empty() {
        return None;
    }
    let required = required.clone();
    let begin = move || {
        let required = required.clone();
        async move {
            loop {
                let lacks = required.iter().position(|name| !serve::has_healthy_server(name));
                own().into_iter().for_each(|slot| slot.lack(lacks));
                timer::sleep(LOOK).await;
            }
        }
    };
    Some(Duty::new(format!("ha requires {:?}", process.shows), begin))
}
