//! The walk of a request through the phases.
//!
//! ```text
//! post_read → server_rewrite → find location → rewrite → preaccess → access → precontent → content
//!                   ▲                ▲             ▲                                          │
//!                   └ internal redirect            └ named location                           │
//!                                    └ rewritten URI                    error_page, try_files ┘
//! ```

use std::io::ErrorKind;

use weir_engine::error_log::Level;
use weir_wire::h1::Method;
use weir_wire::header::Known;

use crate::core::{ACCESS, ERRORS, Satisfy};
use crate::error_page;
use crate::module::{EntryPoint, Handler, Pending, Phase, Verdict};
use crate::pass;
use crate::request::Request;
use crate::request::pause::Gone;
use crate::response::Sent;
use crate::route::{Kind, Location};
use crate::snapshot::Held;

/// Processes a request from its head to the end of its response. The caller runs the log phase,
/// which comes after the last byte.
pub async fn run(request: &mut Request) {
    let mut verdict = Verdict::Next;
    if request.has_handlers(Phase::PostRead) {
        verdict = walk(request, Phase::PostRead).await;
    }
    if verdict == Verdict::Next {
        verdict = process(request, EntryPoint::ServerRewrite).await;
    }
    finalize(request, verdict).await;
    if request.location.usual.post_action {
        Box::pin(post_action(request)).await;
    }
}

/// Runs the `post_action` of the location that the request ended in, and of the locations that this
/// leads to. The client has its response and gets nothing of this.
async fn post_action(request: &mut Request) {
    let mut first = true;
    while let Some(action) = request.get(&ERRORS).post_action.clone() {
        if !first && request.uri_changes == 0 {
            break;
        }
        first = false;
        let client = request.client.put_aside();
        let keepalive = request.keepalive;
        let (status, head_size) = (request.response.status, request.response.head_size);
        request.reset_response();
        let response = &mut request.response;
        (response.status, response.head_size) = (status, head_size);
        response.header_only = true;
        let verdict = match action.value.starts_with(b"/") {
            true => request.internal_redirect(action.value, Vec::new()),
            false => request.named_redirect(&action.value),
        };
        finalize(request, verdict).await;
        request.client.replace_sink(client);
        request.keepalive = keepalive;
    }
}

/// Processes a request from `entry` on, for subrequests, which skip the first phase.
pub async fn run_from(request: &mut Request, entry: EntryPoint) {
    let verdict = process(request, entry).await;
    finalize(request, verdict).await;
}

/// Completes a request with `verdict`. Error pages may send it through the phases again.
pub async fn finalize(request: &mut Request, mut verdict: Verdict) {
    loop {
        verdict = match verdict {
            Verdict::Done => return finish(request).await,
            Verdict::Abort => return abort(request),
            Verdict::Restart(entry) => process(request, entry).await,
            Verdict::Status(status) => Box::pin(error_page::respond(request, status)).await,
            Verdict::Next | Verdict::Granted => Box::pin(error_page::respond(request, 404)).await,
        };
    }
}

/// Waits until everything queued has been sent.
async fn finish(request: &mut Request) {
    if request.has_left() {
        return;
    }
    if let Err(error) = request.flush().await {
        request.keepalive = false;
        request.abandon_line();
        let message: String = match error.kind() {
            ErrorKind::TimedOut => "client timed out (110: Connection timed out)".into(),
            ErrorKind::ConnectionAborted => "client prematurely closed connection".into(),
            _ => weir_engine::os_error::Failed("writev() failed", &error).to_string(),
        };
        request.log(Level::Info, &message);
    }
}

/// Gives the connection up. nginx counts such a request as 499 if it has no status.
fn abort(request: &mut Request) {
    request.keepalive = false;
    request.abandon_line();
    if request.response.status == 0 {
        request.response.status = 499;
    }
}

/// Runs the phases from `entry` until the request is decided.
pub(crate) async fn process(request: &mut Request, entry: EntryPoint) -> Verdict {
    let mut entry = entry;
    loop {
        match pass(request, entry).await {
            Verdict::Restart(next) => entry = next,
            verdict => return verdict,
        }
    }
}

/// One pass through the phases from `entry` on.
async fn pass(request: &mut Request, mut entry: EntryPoint) -> Verdict {
    if entry == EntryPoint::ServerRewrite {
        request.location = Held::map(&request.server, |server| &server.location);
        if request.has_handlers(Phase::ServerRewrite) {
            match walk(request, Phase::ServerRewrite).await {
                Verdict::Next | Verdict::Granted | Verdict::Restart(EntryPoint::FindLocation) => {}
                verdict => return verdict,
            }
        }
        entry = EntryPoint::FindLocation;
    }
    loop {
        if entry == EntryPoint::FindLocation
            && let Some(verdict) = find_location(request)
        {
            return verdict;
        }
        if !request.has_handlers(Phase::Rewrite) {
            break;
        }
        match walk(request, Phase::Rewrite).await {
            Verdict::Next | Verdict::Granted => break,
            Verdict::Restart(EntryPoint::FindLocation) => {
                let uri = weir_wire::shown(&request.uri).into_owned();
                if request.is_cycle("processing", &uri) {
                    return Verdict::Status(500);
                }
                entry = EntryPoint::FindLocation;
            }
            verdict => return verdict,
        }
    }
    for phase in [Phase::PreAccess, Phase::Access, Phase::PreContent] {
        if !request.has_handlers(phase) {
            continue;
        }
        // Before try_files can find nothing.
        if phase == Phase::PreContent
            && let Some(verdict) = unserved(request)
        {
            return verdict;
        }
        let verdict = match phase {
            Phase::Access => access(request).await,
            _ => walk(request, phase).await,
        };
        match verdict {
            Verdict::Next | Verdict::Granted => {}
            verdict => return verdict,
        }
    }
    content(request).await
}

/// Runs the handlers of one phase in order.
async fn walk(request: &mut Request, phase: Phase) -> Verdict {
    let location = request.location.clone();
    for handler in &location.handlers.phases[phase as usize] {
        match call(request, *handler).await {
            Verdict::Next => {}
            verdict => return verdict,
        }
    }
    Verdict::Next
}

/// Calls one handler.
pub(crate) async fn call(request: &mut Request, handler: Handler) -> Verdict {
    match handler {
        Handler::Sync(handler) => handler(request),
        Handler::Async(handler) => handler(request).await,
        Handler::Pass(handler) => Box::pin(pass::begin(request, handler)).await,
    }
}

/// The access phase: all handlers must agree, or one of them with `satisfy any`.
async fn access(request: &mut Request) -> Verdict {
    // A subrequest acts for a request that has passed this phase (ngx_http_core_access_phase).
    if request.is_subrequest() {
        return Verdict::Next;
    }
    let location = request.location.clone();
    let handlers = &location.handlers.phases[Phase::Access as usize];
    if handlers.is_empty() {
        return Verdict::Next;
    }
    let any = request.get(&ACCESS).satisfy == Satisfy::Any;
    let mut refused = None;
    for handler in handlers {
        match call(request, *handler).await {
            Verdict::Next => {}
            Verdict::Granted if any => {
                let tunnel = request.method == Method::Connect;
                let asked = if tunnel { Known::ProxyAuthenticate } else { Known::WwwAuthenticate };
                request.response.headers.remove(asked);
                return Verdict::Next;
            }
            Verdict::Granted => {}
            Verdict::Status(status @ (401 | 403 | 407)) if any => {
                if !matches!(refused, Some(401 | 407)) {
                    refused = Some(status);
                }
            }
            Verdict::Status(status @ (401 | 407)) => {
                return Box::pin(unauthorized(request, status)).await;
            }
            verdict => return verdict,
        }
    }
    match refused {
        Some(403) => {
            request.log(Level::Error, "access forbidden by rule");
            Verdict::Status(403)
        }
        Some(status) => Box::pin(unauthorized(request, status)).await,
        None => Verdict::Next,
    }
}

/// Delays the response by `auth_delay`.
async fn unauthorized(request: &mut Request, status: u16) -> Verdict {
    let delay = request.get(&ACCESS).auth_delay.0;
    if delay.is_zero() {
        return Verdict::Status(status);
    }
    request.log(Level::Info, "delaying unauthorized request");
    match request.pause(delay).await {
        Ok(()) => Verdict::Status(status),
        Err(Gone) => Verdict::Abort,
    }
}

/// Chooses the location for the URI, and checks the head against it
/// (ngx_http_core_find_config_phase).
fn find_location(request: &mut Request) -> Option<Verdict> {
    let (location, redirects) = Held::find(request.server.clone(), |server| {
        let found = server.find(&request.uri);
        for matched in found.captures {
            matched.apply(request);
        }
        (found.location, found.redirect_to_slash)
    });
    if !request.internal && location.is_internal() {
        request.location = location;
        return Some(Verdict::Status(404));
    }
    request.enter(location);
    if let Some(verdict) = refuse_large_body(request) {
        return Some(verdict);
    }
    if redirects {
        return Some(error_page::redirect_to_slash(request));
    }
    None
}

/// Refuses a body larger than `client_max_body_size` with 413, if it is only announced, or has been
/// read and would be passed on from here.
pub(crate) fn refuse_large_body(request: &mut Request) -> Option<Verdict> {
    let max = request.body.max_size;
    let length = request.body.content_length?;
    let is_gone = request.body.is_done() && request.body.content.is_none();
    if max == 0 || length <= max || is_gone {
        return None;
    }
    request.log(Level::Error, &format!("client intended to send too large body: {length} bytes"));
    request.body.refuse();
    Some(Verdict::Status(413))
}

/// Refuses to serve a location whose content directive is not supported yet.
fn unserved(request: &mut Request) -> Option<Verdict> {
    let name = request.location.pending_content.as_ref()?;
    let line = format!("\"{name}\" directive is not supported yet, its location serves nothing");
    request.log(Level::Error, &line);
    Some(Verdict::Status(500))
}

/// The content phase: the location's own handler, or the content modules in turn.
async fn content(request: &mut Request) -> Verdict {
    if let Some(verdict) = unserved(request) {
        return verdict;
    }
    let verdict = match request.content {
        // Inside of this future, not boxed: this is the main work of a proxy.
        Some(Handler::Pass(handler)) => pass::begin(request, handler).await,
        Some(handler) => call(request, handler).await,
        None => walk(request, Phase::Content).await,
    };
    if verdict != Verdict::Next {
        return verdict;
    }
    if request.uri.ends_with(b"/") && request.content.is_none() {
        if let Ok(path) = request.path() {
            let line = format!("directory index of \"{}\" is forbidden", path.display());
            request.log(Level::Error, &line);
        }
        return Verdict::Status(403);
    }
    Verdict::Status(404)
}

impl Request {
    /// Whether a phase has handlers. Without any, no walk begins.
    fn has_handlers(&self, phase: Phase) -> bool {
        !self.location.handlers.phases[phase as usize].is_empty()
    }

    /// Serves another URI in place of this one (nginx: `ngx_http_internal_redirect`).
    pub fn internal_redirect(&mut self, uri: Vec<u8>, args: Vec<u8>) -> Verdict {
        if self.is_cycle("internally redirecting to", &weir_wire::shown(&uri)) {
            return Verdict::Status(500);
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
    fn is_cycle(&mut self, doing: &str, what: &str) -> bool {
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
        self.enter_location();
    }

    /// Whether the head of the response can still change.
    pub fn is_undecided(&self) -> bool {
        self.response.sent == Sent::Nothing
    }
}

/// The log phase, which runs after the last byte, whatever the response.
pub async fn log(request: &mut Request) {
    if !request.discard_log && request.has_handlers(Phase::Log) {
        request.logging = true;
        walk(request, Phase::Log).await;
    }
}

/// Boxes a walk, for recursion through subrequests.
pub fn boxed(request: &mut Request, entry: EntryPoint) -> Pending<'_, ()> {
    Box::pin(run_from(request, entry))
}
