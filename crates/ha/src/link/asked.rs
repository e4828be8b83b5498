//! Questions of other threads of the worker about the links, such as those of the API: the keeper
//! answers them on its own thread, where the links are.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// The most questions that wait, beyond which there is no answer.
const MOST: usize = 8;

/// The time for an answer.
const PATIENCE: Duration = Duration::from_secs(1);

static QUESTIONS: Mutex<Option<Sender<SyncSender<Value>>>> = Mutex::new(None);

/// The document of the links in this process, as [`super::show`] has it, with the groups of
/// addresses; `None` without a keeper, or if it does not answer. Blocks.
pub fn ask_keeper() -> Option<Value> {
    let questions = QUESTIONS.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
    let (answer, answers) = sync_channel(1);
    questions.try_send(answer).ok()?;
    answers.recv_timeout(PATIENCE).ok()
}

/// The questions for a keeper that begins.
pub(super) fn questions() -> Receiver<SyncSender<Value>> {
    let (sender, receiver) = channel(MOST);
    *QUESTIONS.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
    receiver
}
