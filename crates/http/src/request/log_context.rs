//! The context of a request in the error log: nginx's `client: …, server: …, request: …`.

use smallvec::SmallVec;
use weir_engine::error_log::{ErrorLog, Level, Part};
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
        self.error_log(|log| {
            let suffix = if self.logging { " while logging request" } else { "" };
            let parts = self.parts(upstream, log.takes_json(level));
            log.log_about(level, self.info.id, format_args!("{message}{suffix}"), &parts);
        });
    }

    /// What is known of the request, in nginx's order; `json` adds its ids.
    fn parts<'a>(&'a self, upstream: Option<&'a str>, json: bool) -> SmallVec<[Part<'a>; 9]> {
        let mut parts = SmallVec::new();
        parts.push(Part::bare("client", self.remote.ip_text()));
        parts.push(Part::bare("server", shown(&self.server.name)));
        if json {
            parts.push(Part::json("request_id", self.id()));
            parts.extend(self.trace_id().map(|id| Part::json("trace_id", id)));
        }
        let request = self.head.request_line();
        if !request.is_empty() {
            parts.push(Part::quoted("request", shown(request)));
        }
        if self.is_subrequest() {
            parts.push(Part::quoted("subrequest", shown(&self.uri)));
        }
        if let Some(upstream) = upstream {
            parts.push(Part::quoted("upstream", upstream));
        }
        if let Some(host) = self.head.get(Known::Host) {
            parts.push(Part::quoted("host", shown(host)));
        }
        if let Some(referrer) = self.head.get(Known::Referer) {
            parts.push(Part::quoted("referrer", shown(referrer)));
        }
        parts
    }
}
