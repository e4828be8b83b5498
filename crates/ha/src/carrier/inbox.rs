//! The master's messages to the mirror. The worker's first thread receives them, and the duty takes
//! them on the caretaker's thread.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::host::Tell;
use crate::mirror::Name;

/// What is durable on a node: its name, and the state with the bytes of its set.
pub(super) type Beginning = (Name, Option<(Vec<u8>, Arc<[u8]>)>);

#[derive(Default)]
struct Inbox {
    waiting: VecDeque<Tell>,
    /// The latest beginning, for a mirror that begins again after a panic.
    begin: Option<Beginning>,
}

static INBOX: Mutex<Inbox> = Mutex::new(Inbox { waiting: VecDeque::new(), begin: None });
static ARRIVED: Notify = Notify::const_new();

fn inbox() -> MutexGuard<'static, Inbox> {
    INBOX.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes a message of the master.
pub fn tell(tell: Tell) {
    let mut inbox = inbox();
    if let Tell::Begin { me, held } = &tell {
        inbox.begin = Some((me.clone(), held.clone()));
        // What was said before is for an earlier mirror.
        inbox.waiting.clear();
    }
    inbox.waiting.push_back(tell);
    drop(inbox);
    ARRIVED.notify_one();
}

/// The next message of the master.
pub(super) async fn told() -> Tell {
    loop {
        let next = inbox().waiting.pop_front();
        match next {
            Some(tell) => return tell,
            None => ARRIVED.notified().await,
        }
    }
}

/// Whether the master has begun this node's mirror.
pub(super) fn has_begun(me: &Name) -> bool {
    inbox().begin.as_ref().is_some_and(|(name, _)| name == me)
}

/// The latest beginning, for this node's mirror, which begins now and gets what comes after it.
pub(super) fn begin(me: &Name) -> Option<Beginning> {
    let mut inbox = inbox();
    let begin = inbox.begin.clone().filter(|(name, _)| name == me)?;
    inbox.waiting.pop_front_if(|tell| matches!(tell, Tell::Begin { .. }));
    Some(begin)
}

/// Waits until the master begins this node's mirror. What it says after that stays for the mirror.
pub(super) async fn begins(me: Option<&Name>) {
    let Some(me) = me else { return std::future::pending().await };
    let begins = |tell: &Tell| matches!(tell, Tell::Begin { me: name, .. } if name == me);
    while !inbox().waiting.front().is_some_and(begins) {
        ARRIVED.notified().await;
    }
}
