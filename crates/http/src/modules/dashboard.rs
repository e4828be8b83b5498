//! `dashboard`: a page that shows what the instance does, and what is wrong with it.
//!
//! Everything is at the address of the page, told apart by the query, so that it works at any path:
//!
//! ```text
//!  …/dash/                the page, with its style and script (page.rs)
//!  …/dash/?state          what it asks for again and again (state.rs)
//!  …/dash/?history        the last ten minutes, once at the beginning (history.rs)
//!  …/dash/?here           where the API of this server takes changes, and whether the viewer has
//!                         signed in
//!  …/dash/?api=PATH&…     details: what the API has at this path
//! ```
//!
//! All viewers share each answer for a second ([`shared`]), which is made on a thread beside the
//! loop.

use std::sync::Arc;

use serde_json::{Value, json};
use weir_conf::{Contexts, Cx, Fault, Local, Node, Settings, Slot, directives};
use weir_engine::duty::Duty;
use weir_engine::event_loop::{self, on_a_thread};
use weir_upstream::{Registry, Side};
use weir_wire::h1::Method;
use weir_wire::header::Known;
use weir_wire::uri::{Unescape, arg, split_args, unescape};

use crate::core::location::Kind;
use crate::module::{Handler, Module, Pending, Verdict};
use crate::request::Request;
use crate::snapshot::{Configuration, Generation};
use crate::status_tree::{Question, Tree};

mod history;
mod page;
mod shared;
mod state;

use shared::Answer;

pub(crate) const MODULE: Module = Module {
    name: "dashboard",
    tables: &[&Dashboard::table(&DASHBOARD)],
    content: Some(content),
    passes: Some(is_on),
    duties: Some(duties),
    ..Module::NONE
};

static DASHBOARD: Slot<Dashboard> = Slot::new();

directives! {
    /// A page that shows the state of the instance.
    pub(crate) struct Dashboard as DashboardWritten in [location] {
        /// Serves a page with traffic, upstreams and what is wrong. Where the same server has an
        /// `api write=on` for the viewer, the page changes servers of upstreams by it. Access to
        /// the location should be limited.
        "dashboard" [0]: "" => set,
        field on: Local<bool>,
    }
    finish = Dashboard::finish;
}

fn set(own: &mut DashboardWritten, _: &Node, _: &mut Cx<'_>) -> Result<(), Fault> {
    match own.on.replace(true) {
        None => Ok(()),
        Some(_) => Err(Fault::duplicate()),
    }
}

impl Dashboard {
    fn finish(&mut self, parent: Option<&Self>, cx: &mut Cx<'_>) -> Result<(), Fault> {
        let inner = cx.context().intersects(Contexts::LOCATION_IF.union(Contexts::LIMIT_EXCEPT));
        self.on |= inner && parent.is_some_and(|parent| parent.on);
        Ok(())
    }
}

fn is_on(settings: &Settings) -> bool {
    settings.get(&DASHBOARD).on
}

fn content(settings: &Settings) -> Option<Handler> {
    is_on(settings).then(|| {
        event_loop::measure_turns();
        Handler::Async(handle)
    })
}

/// The duty that notes the history, where there is a dashboard.
fn duties(configuration: &Arc<Configuration>, _: &Arc<Registry>, _: &Generation) -> Vec<Duty> {
    let mut locations = configuration.locations();
    let shown = locations.any(|(_, location)| is_on(&location.settings));
    shown.then(|| history::duty(configuration.declared_groups(Side::Http))).into_iter().collect()
}

fn handle(request: &mut Request) -> Pending<'_, Verdict> {
    Box::pin(async move {
        if !matches!(request.method, Method::Get | Method::Head) {
            request.response.headers.push(b"Allow", b"GET, HEAD");
            return Verdict::Status(405);
        }
        if !is_here(request) {
            return Verdict::Status(404);
        }
        request.hide_notes();
        let query = request.args.split(|&byte| byte == b'&').next().unwrap_or_default();
        match query {
            b"icon" => page::send_icon(request).await,
            b"here" => {
                let text = here(request).to_string();
                request.response.headers.set(Known::CacheControl, b"no-store");
                request.send_all(200, JSON, text.into_bytes()).await
            }
            b"state" => {
                answer(request, "state".to_owned(), |source| (200, state::make(source))).await
            }
            b"history" => answer(request, "history".to_owned(), |_| (200, history::shown())).await,
            _ if query.starts_with(b"api=") => detail(request).await,
            _ => page::send(request).await,
        }
    })
}

/// The module that has the API's tree.
fn tree(request: &Request) -> Option<Tree> {
    request.snapshot.modules().iter().find_map(|module| module.status)
}

/// The type of answers.
const JSON: &[u8] = b"application/json";

/// Whether the URI is that of the location, and not below it.
fn is_here(request: &Request) -> bool {
    match request.location.kind {
        Kind::Regex { .. } | Kind::Named => true,
        _ => match request.uri.strip_prefix(&*request.location.name) {
            Some(rest) => matches!(rest, b"" | b"/"),
            None => true,
        },
    }
}

/// The shortest path of a location of this server that takes changes by the API, if there is one,
/// and the path of the page as it came here: a proxy in front may have stripped a prefix.
fn here(request: &Request) -> Value {
    let tree = tree(request);
    let locations = request.server.locations.iter().flat_map(crate::route::Location::with_nested);
    let writable = locations.filter(|location| {
        let has_path = matches!(location.kind, Kind::Prefix { .. });
        let takes = tree.is_some_and(|tree| (tree.is_writable)(&location.settings));
        has_path && takes && !location.is_internal()
    });
    let shortest = writable.min_by_key(|location| location.escaped_name.len());
    let path = shortest.map(|location| String::from_utf8_lossy(&location.escaped_name));
    let signed_in = request.head.get(Known::Authorization).is_some();
    let (own, _) = split_args(request.head.target());
    json!({ "write": path, "signed_in": signed_in, "path": String::from_utf8_lossy(own) })
}

/// Answers with what the API has at a path.
async fn detail(request: &mut Request) -> Verdict {
    let mut path = Vec::new();
    unescape(Unescape::All, arg(&request.args, b"api").unwrap_or_default(), &mut path);
    let path = String::from_utf8_lossy(&path).into_owned();
    let key = String::from_utf8_lossy(&request.args).into_owned();
    answer(request, key, move |source| {
        let Some(tree) = source.tree else { return (404, Value::Null) };
        (tree.read)(&Question { path: path.clone(), ..source.question.clone() })
    })
    .await
}

/// What answers are made from.
#[derive(Clone)]
struct Source {
    tree: Option<Tree>,
    /// A question without a path.
    question: Question,
    hostname: String,
}

/// Sends the answer with a key: what another viewer got within the last second, or a new one.
async fn answer(
    request: &mut Request,
    key: String,
    make: impl Fn(&Source) -> (u16, Value) + Clone + Send + 'static,
) -> Verdict {
    let found = match shared::recent(&key) {
        Some(found) => found,
        None => {
            let snapshot = &request.snapshot;
            let source = Source {
                tree: tree(request),
                question: Question {
                    path: String::new(),
                    args: request.args.clone(),
                    groups: snapshot.declared_groups(Side::Http),
                    address: request.info.local.ip_text(),
                },
                hostname: snapshot.hostname().to_owned(),
            };
            let work = move || shared::find_or_make(&key, || make(&source));
            let again = work.clone();
            // Without another thread, the loop does it.
            on_a_thread(work).await.unwrap_or_else(|_| again())
        }
    };
    send(request, &found, JSON).await
}

/// Sends an answer, compressed if the client takes that.
async fn send(request: &mut Request, answer: &Answer, media_type: &[u8]) -> Verdict {
    let zipped = request.takes_gzip();
    let headers = &mut request.response.headers;
    headers.set(Known::CacheControl, b"no-cache");
    headers.push(b"Vary", b"Accept-Encoding");
    headers.push(b"X-Content-Type-Options", b"nosniff");
    let body = match zipped {
        true => {
            headers.push_known(Known::ContentEncoding, b"Content-Encoding", b"gzip");
            &answer.gzip
        }
        false => &answer.plain,
    };
    request.send_all(answer.status, media_type, body.clone()).await
}

#[cfg(test)]
mod tests;
