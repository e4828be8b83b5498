//! etcd as a source: every key below a prefix is a server. It is asked by its JSON gateway, which
//! needs no gRPC.
//!
//! ```text
//!          ┌──────── a pause after a round of failures ◀──────────────┐
//!          ▼                                                          │ fails
//!   log in, list, watch from there ─────────▶ messages of the watch ──┤
//!          ▲                                    every PROBE: is it    │ compacted, silent,
//!          │                                    all that there is?    │ closed, another cluster
//!          └────────────────────── at once ◀──────────────────────────┘
//! ```
//!
//! A new connection begins with a list, so nothing depends on what the last one has missed.

mod answer;
mod course;
mod gateway;
mod mirror;

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use weir_engine::{event_loop::on_a_thread, timer};

use super::{
    MAX_LISTED, Report, Source,
    config::{Endpoint, EtcdConfig, Login},
    entry::Reader,
};
use crate::clock::Now;
use crate::discovery::SourceError;
use course::Course;
use gateway::{Line, Query, Stream};
use mirror::{Mirror, Taken};

/// The time between two looks at whether the watch tells everything.
const PROBE: Duration = Duration::from_secs(2);

const RANGE: &str = "/v3/kv/range";

/// The servers below a prefix.
pub(super) struct Etcd {
    config: Arc<EtcdConfig>,
    reader: Reader,
    course: Course,
    mirror: Mirror,
    session: Option<Session>,
    /// Why the last session has ended, until it is told.
    ended: Option<String>,
}

/// A watch of one endpoint.
struct Session {
    watch: Stream,
    endpoint: Endpoint,
    token: Option<String>,
    /// The connection for questions.
    questions: Option<Line>,
    /// When the next question is due, in milliseconds.
    next: u64,
}

impl Etcd {
    pub(super) fn new(config: Arc<EtcdConfig>, reader: Reader) -> Self {
        let course = Course::new(config.endpoints.len());
        let mirror = Mirror::new(config.prefix.clone());
        Self { config, reader, course, mirror, session: None, ended: None }
    }

    async fn look(&mut self) -> Report {
        loop {
            if let Some(mut session) = self.session.take() {
                match self.follow(&mut session).await {
                    Ok(()) => {
                        self.session = Some(session);
                        return self.report(false);
                    }
                    Err(reason) => self.ended = Some(reason.to_string()),
                }
                self.course.ended(now());
                continue;
            }
            timer::sleep(Duration::from_millis(self.course.wait(now()))).await;
            let at = self.course.endpoint();
            match self.begin(at).await {
                Ok(is_new) => {
                    self.course.begun(now());
                    return self.report(is_new);
                }
                Err(reason) if self.course.failed(now()) => {
                    let endpoint = self.config.endpoints.get(at);
                    let name = endpoint.map_or("", |endpoint| endpoint.authority.as_str());
                    return Report::Lost(format!("{name}: {reason}").into());
                }
                Err(_) => {}
            }
        }
    }

    fn report(&mut self, is_new: bool) -> Report {
        match self.mirror.listing(is_new) {
            Ok(mut listing) => {
                let ended = self.ended.take();
                listing.note = ended.map(|reason| format!("the watch began again: {reason}"));
                Report::List(listing)
            }
            Err(reason) => Report::Lost(reason),
        }
    }

    /// Logs in, lists and begins to watch. Returns whether etcd has lost its memory.
    async fn begin(&mut self, at: usize) -> Result<bool, SourceError> {
        let config = Arc::clone(&self.config);
        let endpoint = config.endpoints.get(at).cloned().ok_or("there is no endpoint")?;
        let tls = config.tls.as_ref();
        let mut line = Line::open(&endpoint, tls).await?;
        let mut token = None;
        if let Some(Login { user, password }) = &config.login {
            let body = answer::login_query(user, password);
            let answered = line.ask(Query { path: "/v3/auth/authenticate", body }).await?;
            token = Some(answer::token(&answered)?);
        }
        let mut line = line.with_token(token.as_deref());
        let (key, end) = self.mirror.range();
        let body = answer::list_query((key, &end), MAX_LISTED + 1);
        let answered = line.ask(Query { path: RANGE, body }).await?;
        let is_new = self.load(answered).await?;
        let watching = Line::open(&endpoint, tls).await?.with_token(token.as_deref());
        let (key, end) = self.mirror.range();
        let body = answer::watch_query((key, &end), self.mirror.next_revision());
        let mut watch = watching.watch(Query { path: "/v3/watch", body }).await?;
        let first = answer::watched(&watch.next_in_time().await?)?;
        if let Taken::Lost(reason) = self.mirror.take(first, self.reader) {
            return Err(reason);
        }
        let next = now() + PROBE.as_millis() as u64;
        self.session = Some(Session { watch, endpoint, token, questions: Some(line), next });
        Ok(is_new)
    }

    /// Reads a list on another thread, as it may be long.
    async fn load(&mut self, answered: Vec<u8>) -> Result<bool, SourceError> {
        let (mut mirror, reader) = (std::mem::take(&mut self.mirror), self.reader);
        let read = on_a_thread(move || {
            let loaded = answer::range(&answered).and_then(|range| mirror.load(range, reader));
            (mirror, loaded)
        });
        match read.await {
            Ok((mirror, loaded)) => {
                self.mirror = mirror;
                loaded
            }
            Err(_) => {
                self.mirror = Mirror::new(self.config.prefix.clone());
                Err("no thread could be started".into())
            }
        }
    }

    /// Waits for changes.
    async fn follow(&mut self, session: &mut Session) -> Result<(), SourceError> {
        loop {
            let pause = Duration::from_millis(session.next.saturating_sub(now()));
            let message = tokio::select! {
                message = session.watch.next() => Some(message?),
                () = timer::sleep(pause) => None,
            };
            let Some(message) = message else {
                self.probe(session).await?;
                continue;
            };
            let mut has_changed = self.take(&message)?;
            // What has come meanwhile belongs to the same list.
            for _ in 0..MAX_LISTED {
                let Some(message) = session.watch.ready().await? else { break };
                has_changed |= self.take(&message)?;
            }
            if has_changed {
                return Ok(());
            }
        }
    }

    fn take(&mut self, message: &[u8]) -> Result<bool, SourceError> {
        match self.mirror.take(answer::watched(message)?, self.reader) {
            Taken::Nothing => Ok(false),
            Taken::Changed => Ok(true),
            Taken::Lost(reason) => Err(reason),
        }
    }

    /// Asks whether the watch tells everything, which also shows that etcd lives.
    async fn probe(&mut self, session: &mut Session) -> Result<(), SourceError> {
        let (key, end) = self.mirror.range();
        let body = answer::newest_query((key, &end));
        let mut line = match session.questions.take() {
            Some(line) => line,
            None => {
                let line = Line::open(&session.endpoint, self.config.tls.as_ref()).await?;
                line.with_token(session.token.as_deref())
            }
        };
        let answered = line.ask(Query { path: RANGE, body }).await?;
        session.questions = Some(line);
        self.mirror.compare(&answer::range(&answered)?)?;
        session.next = now() + PROBE.as_millis() as u64;
        Ok(())
    }
}

impl Source for Etcd {
    fn next(&mut self) -> Pin<Box<dyn Future<Output = Report> + '_>> {
        Box::pin(self.look())
    }
}

/// The time in milliseconds.
fn now() -> u64 {
    Now::current().millis
}

/// Reads bytes as each kind of answer, and lines as those of one session.
pub(crate) fn fuzz(bytes: &[u8]) {
    answer::fuzz(bytes);
    let config = crate::config::GroupConfig::implicit("http u".into(), "u", Vec::new());
    let (mut mirror, reader) = (Mirror::new(b"/s/".into()), Reader::of(&config));
    for line in bytes.split(|&byte| byte == b'\n') {
        if let Ok(range) = answer::range(line) {
            let _ = mirror.compare(&range);
            let _ = mirror.load(range, reader);
        } else if let Ok(message) = answer::watched(line) {
            let _ = mirror.take(message, reader);
        }
    }
    let _ = mirror.listing(false);
}
