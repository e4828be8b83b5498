//! The context of a request in the error log: nginx's `client: …, server: …, request: …`.

use std::fmt::Write;

use weir_engine::error_log::{ErrorLog, Level};
use weir_wire::header::Known;
use weir_wire::shown;

use crate::recorder::notes::Kind;
use crate::request::Request;

/// The least severe level whose messages are noted for a record even if they are not logged.
const LEAST_NOTED: Level = Level::Warn;

impl Request {
    /// Whether messages of this level are logged. Saves formatting the others.
    pub fn logs(&self, level: Level) -> bool {
        self.info.messages.is_some()
            || self.is_noted() && level <= LEAST_NOTED
            || self.error_log(|log| log.takes(level))
    }

    /// Logs a message with the context of the request.
    pub fn log(&self, level: Level, message: &str) {
        if self.logs(level) {
            self.log_with(level, message, self.attempts.label().as_deref());
        }
    }

    /// Logs a message with the context of the request and its last upstream.
    pub fn log_upstream(&self, level: Level, message: &str) {
        if self.logs(level) {
            self.log_with(level, message, self.attempts.label().as_deref());
        }
    }

    fn error_log<T>(&self, f: impl FnOnce(&ErrorLog) -> T) -> T {
        match &self.location.handlers.error_log {
            Some(log) => f(log),
            None => f(&weir_engine::error_log::process_log()),
        }
    }

    fn log_with(&self, level: Level, message: &str, upstream: Option<&str>) {
        if let Some(messages) = &self.info.messages {
            return messages.borrow_mut().push((level, message.to_owned()));
        }
        self.note(Kind::Log, |step, texts| {
            (step.name, step.to) = (level.name(), texts.add(message.as_bytes()));
        });
        let mut line = String::with_capacity(message.len() + 256);
        let _ = write!(
            line,
            "{message}{}, client: {}, server: {}",
            if self.logging { " while logging request" } else { "" },
            self.remote.ip_text(),
            shown(&self.server.name)
        );
        let request = self.head.request_line();
        if !request.is_empty() {
            let _ = write!(line, ", request: \"{}\"", shown(request));
        }
        if self.is_subrequest() {
            let _ = write!(line, ", subrequest: \"{}\"", shown(&self.uri));
        }
        if let Some(upstream) = upstream {
            let _ = write!(line, ", upstream: \"{upstream}\"");
        }
        if let Some(host) = self.head.get(Known::Host) {
            let _ = write!(line, ", host: \"{}\"", shown(host));
        }
        if let Some(referrer) = self.head.get(Known::Referer) {
            let _ = write!(line, ", referrer: \"{}\"", shown(referrer));
        }
        self.error_log(|log| log.log(level, self.info.id, &line));
    }
}
