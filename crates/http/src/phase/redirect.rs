//! Internal redirects: another URI or another location serves the request.

use weir_engine::error_log::Level;

use crate::module::{EntryPoint, Verdict};
use crate::request::Request;
use crate::response::Sent;
use crate::route::{Kind, Location};
use crate::snapshot::Held;

impl Request {
    /// Serves another URI in place of this one (nginx: `ngx_http_internal_redirect`).
    pub fn internal_redirect(&mut self, uri: Vec<u8>, args: Vec<u8>) -> Verdict {
        if self.is_cycle("internally redirecting to", &weir_wire::shown(&uri)) {
            return Verdict::Status(500);
        }
        if let Some(noting) = &self.noting {
            noting.redirect("internal", &self.uri, &uri);
        }
        self.uri_in_alias = false;
        self.leave_body();
        self.set_uri(uri, args);
        self.location_valid = true;
        self.internal = true;
        self.clear_states();
        Verdict::Restart(EntryPoint::ServerRewrite)
    }

    /// Continues in the location `@name` with the same URI (nginx: `ngx_http_named_location`).
    pub fn named_redirect(&mut self, name: &[u8]) -> Verdict {
        let text = weir_wire::shown(name).into_owned();
        if self.is_cycle("redirect to named location", &text) {
            return Verdict::Status(500);
        }
        if self.uri.is_empty() {
            let line = format!("empty URI in redirect to named location \"{text}\"");
            self.log(Level::Error, &line);
            return Verdict::Status(500);
        }
        match Held::try_map(&self.server, |server| server.locations.named(name)) {
            Some(location) => {
                debug_assert_eq!(location.kind, Kind::Named);
                if let Some(noting) = &self.noting {
                    noting.redirect("internal", &self.uri, name);
                }
                self.leave_body();
                self.enter(location);
                self.internal = true;
                self.clear_states();
                Verdict::Restart(EntryPoint::Rewrite)
            }
            None => {
                self.log(Level::Error, &format!("could not find named location \"{text}\""));
                Verdict::Status(500)
            }
        }
    }

    /// Drops a body that has been forwarded in part, as it cannot be sent again.
    fn leave_body(&mut self) {
        if self.body.is_spent() {
            self.body.refuse();
        }
    }

    /// Counts a change of the URI or the location. Returns whether there were too many, which is
    /// logged with `doing` and `what`.
    pub(super) fn is_cycle(&mut self, doing: &str, what: &str) -> bool {
        self.uri_changes = self.uri_changes.saturating_sub(1);
        let cycle = self.uri_changes == 0;
        if cycle {
            let line = format!("rewrite or internal redirection cycle while {doing} \"{what}\"");
            self.log(Level::Error, &line);
        }
        cycle
    }

    /// Enters a location, or its `limit_except` for methods that are not exempt (nginx:
    /// `ngx_http_update_location_config`).
    pub fn enter(&mut self, location: Held<Location>) {
        self.location = location;
        if let Some(methods) = self.location.usual.unlimited
            && !methods.has(self.method)
            && let Some(inner) = Held::try_map(&self.location, Location::limit_except)
        {
            self.location = inner;
        }
        // An `if` block without a handler keeps the one chosen before.
        let content = self.location.handlers.content;
        if content.is_some() || self.location.kind != Kind::If {
            self.content = content;
        }
        if self.location.usual.records || self.is_noted() {
            self.note_location();
        }
        self.enter_location();
    }

    /// Whether the head of the response can still change.
    pub fn is_undecided(&self) -> bool {
        self.response.sent == Sent::Nothing
    }
}
