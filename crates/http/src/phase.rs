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

use crate::error_page;
use crate::module::{EntryPoint, Handler, Pending, Phase, Verdict};
use crate::pass;
use crate::recorder;
use crate::recorder::notes::Kind;
use crate::request::Request;
use crate::snapshot::Held;

mod access;
mod post_action;
mod redirect;

use access::access;
use post_action::post_action;

/// Processes a request from its head to the end of its response. The caller runs the log phase,
/// which comes after the last byte.
pub(crate) async fn run(request: &mut Request) {
    request.count_beginning();
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

/// Processes a request from `entry` on, for subrequests, which skip the first phase.
pub(crate) async fn run_from(request: &mut Request, entry: EntryPoint) {
    let verdict = process(request, entry).await;
    finalize(request, verdict).await;
}

/// Completes a request with `verdict`. Error pages may send it through the phases again.
pub(crate) async fn finalize(request: &mut Request, mut verdict: Verdict) {
    loop {
        verdict = match verdict {
            Verdict::Done => {
                finish(request).await;
                return request.note_subrequest_end();
            }
            Verdict::Abort => {
                abort(request);
                return request.note_subrequest_end();
            }
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
        // A subrequest has closed the connection.
        if request.response.status == 444 {
            return request.count_error(444);
        }
        request.count_error(if error.kind() == ErrorKind::TimedOut { 408 } else { 499 });
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
    request.count_broken();
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
        let mut verdict = Verdict::Next;
        if request.has_handlers(Phase::Rewrite) {
            verdict = walk(request, Phase::Rewrite).await;
        }
        if request.has_handlers(Phase::PostRewrite)
            && let Some(refusal) = post_rewrite(request, verdict).await
        {
            return refusal;
        }
        match verdict {
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

/// Runs the handlers at the end of the rewrite phase, unless it has decided the request. Returns
/// their refusal, if there is one.
async fn post_rewrite(request: &mut Request, verdict: Verdict) -> Option<Verdict> {
    let goes_on = matches!(
        verdict,
        Verdict::Next | Verdict::Granted | Verdict::Restart(EntryPoint::FindLocation)
    );
    if !goes_on {
        return None;
    }
    match walk(request, Phase::PostRewrite).await {
        Verdict::Next | Verdict::Granted => None,
        refusal => Some(refusal),
    }
}

/// Runs the handlers of one phase in order.
async fn walk(request: &mut Request, phase: Phase) -> Verdict {
    let location = request.location.clone();
    request.note(Kind::Phase, |step, _| step.name = phase.name());
    for (place, handler) in location.handlers.phases[phase as usize].iter().enumerate() {
        match call(request, *handler).await {
            Verdict::Next => {}
            verdict => {
                request.note_decision(&location, phase, place, verdict);
                return verdict;
            }
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

/// Chooses the location for the URI, and checks the head against it
/// (ngx_http_core_find_config_phase).
fn find_location(request: &mut Request) -> Option<Verdict> {
    let (location, redirects) = Held::find(request.server.clone(), |server| {
        let found = server.find(&request.uri);
        if !found.captures.is_empty() {
            for matched in found.captures {
                matched.apply(request);
            }
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

/// The content phase: the location's own handler, or the content modules in turn.
pub(crate) async fn content(request: &mut Request) -> Verdict {
    request.note(Kind::Phase, |step, _| step.name = "content");
    let verdict = match request.content {
        // Inside of this future, not boxed: this is the main work of a proxy.
        Some(Handler::Pass(handler)) => pass::begin(request, handler).await,
        Some(handler) => match call(request, handler).await {
            // It declines: the content modules have their turn.
            Verdict::Next => {
                request.content = None;
                walk(request, Phase::Content).await
            }
            verdict => verdict,
        },
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

/// The log phase, which runs after the last byte, whatever the response.
pub(crate) async fn log(request: &mut Request) {
    if request.discard_log {
        return;
    }
    if request.location.usual.zones.any {
        request.count_end();
    }
    if request.has_handlers(Phase::Log) {
        request.logging = true;
        walk(request, Phase::Log).await;
    }
    if request.is_noted() || request.location.usual.records {
        recorder::end(request);
    }
}

/// Boxes a walk, for recursion through subrequests.
pub(crate) fn boxed(request: &mut Request, entry: EntryPoint) -> Pending<'_, ()> {
    Box::pin(run_from(request, entry))
}

impl Request {
    /// Whether a phase has handlers. Without any, no walk begins.
    fn has_handlers(&self, phase: Phase) -> bool {
        !self.location.handlers.phases[phase as usize].is_empty()
    }
}
