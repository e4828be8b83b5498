//! The questions to the API, on a thread of their own: keys are heeded while an answer is awaited.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use super::api::Api;
use super::reason::Reason;
use super::sample::{Question, Sample};

/// The longest time before the second look, which has the first rates.
const FIRST: Duration = Duration::from_secs(1);

/// Asks the API again and again. It ends with the process.
pub(super) struct Asker {
    questions: Sender<Question>,
    answers: Receiver<Result<Sample, Reason>>,
    /// Readable once there is an answer.
    bell: UnixStream,
}

impl Asker {
    /// Asks a question in each interval.
    ///
    /// # Errors
    /// There is no thread or socket to be had.
    pub(super) fn start(api: Arc<Api>, question: Question, interval: Duration) -> io::Result<Self> {
        let (questions, asked) = mpsc::channel();
        let (answered, answers) = mpsc::channel();
        let (bell, mut ringing) = UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        thread::Builder::new().name("asker".to_owned()).spawn(move || {
            let mut question = question;
            let mut next = Instant::now() + interval.min(FIRST);
            loop {
                match asked.recv_timeout(next.saturating_duration_since(Instant::now())) {
                    Ok(newer) => question = asked.try_iter().last().unwrap_or(newer),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                }
                next = Instant::now() + interval;
                let answer = Sample::take(&api, &question);
                if answered.send(answer).is_err() || ringing.write_all(b"!").is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { questions, answers, bell })
    }

    /// Asks at once, and from now on.
    pub(super) fn ask(&self, question: Question) {
        // The thread ends after this.
        let _ = self.questions.send(question);
    }

    /// What is readable once there is an answer.
    pub(super) fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// The answers that have come.
    pub(super) fn answers(&mut self) -> impl Iterator<Item = Result<Sample, Reason>> {
        // One byte for each answer, and the answer is there before its byte.
        let _ = self.bell.read(&mut [0; 64]);
        self.answers.try_iter()
    }
}
