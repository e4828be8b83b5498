//! `api`: status and run-time changes as JSON, in the shape of NGINX Plus's API
//! (<https://nginx.org/en/docs/http/ngx_http_api_module.html>). `docs/openapi.json` describes it.
//!
//! A request becomes a [`Call`], which is answered beside the loop: large groups take long to
//! print, and changes wait for disks.
//!
//! ```text
//!  request ── path, args, body ──▶ Call ── on a thread ──▶ endpoint ──▶ Answer | Failure ──▶ JSON
//! ```

use std::future::poll_fn;

use serde_json::Value;
use weir_conf::{Contexts, Cx, Fault, Local, Node, Settings, Slot, directives};
use weir_engine::event_loop::{self, on_a_thread};
use weir_wire::header::Known;

use crate::body::BodyStep;
use crate::core::LIMITS;
use crate::module::{Handler, Module, Pending, Verdict};
use crate::rejection::Rejection;
use crate::request::Request;
use crate::status_tree::{Question, Tree};

use call::{Answer, Call};
use failure::Failure;

mod caches;
mod call;
mod endpoint;
mod endpoints;
mod errors;
mod failure;
mod fields;
mod general;
mod keyvals;
mod latency;
mod origin;
mod pages;
mod records;
mod resolvers;
mod servers;
mod tls;
mod upstreams;
mod vitals;
mod zones;

pub(crate) const MODULE: Module = Module {
    name: "api",
    tables: &[&Api::table(&API)],
    content: Some(content),
    status: Some(Tree { read, is_writable }),
    ..Module::NONE
};

static API: Slot<Api> = Slot::new();

directives! {
    /// Status and run-time changes over HTTP.
    pub(crate) struct Api as ApiWritten in [location] {
        /// Serves the API: counters and states, and with `write=on` changes of upstream groups.
        /// Access to the location should be limited.
        "api" [0, 1]: "[write=on | off]" => set,
        field access: Local<Option<Access>>,
    }
    finish = Api::finish;
}

/// The permitted methods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    /// Those that change nothing.
    Read,
    /// All.
    Write,
}

fn set(own: &mut ApiWritten, node: &Node, _: &mut Cx<'_>) -> Result<(), Fault> {
    let access = match node.args.first() {
        None => Access::Read,
        Some(word) if word.is("write=off") => Access::Read,
        Some(word) if word.is("write=on") => Access::Write,
        Some(word) => return Err(Fault::parameter(word)),
    };
    match own.access.replace(Some(access)) {
        None => Ok(()),
        Some(_) => Err(Fault::duplicate()),
    }
}

impl Api {
    fn finish(&mut self, parent: Option<&Self>, cx: &mut Cx<'_>) -> Result<(), Fault> {
        let inner = cx.context().intersects(Contexts::LOCATION_IF.union(Contexts::LIMIT_EXCEPT));
        if let (true, None, Some(parent)) = (inner, self.access, parent) {
            self.access = parent.access;
        }
        Ok(())
    }
}

fn content(settings: &Settings) -> Option<Handler> {
    settings.get(&API).access.map(|_| {
        event_loop::measure_turns();
        Handler::Async(handle)
    })
}

fn handle(request: &mut Request) -> Pending<'_, Verdict> {
    Box::pin(async move {
        let writable = request.get(&API).access == Some(Access::Write);
        let mut call = Call::of(request, endpoints::find);
        let checked = call.check(writable).and_then(|()| origin::check(request));
        let answer = match checked {
            Ok(()) => match body(request, &call).await {
                Ok(Ok(body)) => {
                    call.body = body;
                    ask(call.clone()).await
                }
                Ok(Err(failure)) => Err(failure),
                Err(rejection) => return rejection.into(),
            },
            Err(failure) => Err(failure),
        };
        match answer {
            Ok(told) => send(request, told).await,
            Err(failure) => refuse(request, &call, failure).await,
        }
    })
}

/// Answers a question of another module.
fn read(question: &Question) -> (u16, Value) {
    let call = Call::within(question, endpoints::find);
    match call.answer() {
        Ok(Answer::Found(value)) => (200, value),
        Ok(Answer::Created(..) | Answer::Done) => (204, Value::Null),
        Err(failure) => (failure.status, failure.json("", call.version)),
    }
}

fn is_writable(settings: &Settings) -> bool {
    settings.get(&API).access == Some(Access::Write)
}

/// A successful answer as text.
struct Told {
    status: u16,
    location: Option<String>,
    text: Option<Vec<u8>>,
}

/// Answers a call on another thread, or here if none can be started. The text is made there, too:
/// that of a large group takes longer than to collect it.
async fn ask(call: Call) -> Result<Told, Failure> {
    let again = call.clone();
    let found = on_a_thread(move || told(&call)).await;
    found.unwrap_or_else(|_| told(&again))
}

fn told(call: &Call) -> Result<Told, Failure> {
    let (status, location, value) = match call.answer()? {
        Answer::Found(value) => (200, None, Some(value)),
        Answer::Created(at, value) => (201, Some(call.location(&at)), value),
        Answer::Done => (204, None, None),
    };
    let text = value.map(|value| value.to_string().into_bytes());
    Ok(Told { status, location, text })
}

/// The body of a call that takes one. It must fit into `client_body_buffer_size`. The outer error
/// is for a client that cannot be answered in JSON.
async fn body(request: &mut Request, call: &Call) -> Result<Result<Vec<u8>, Failure>, Rejection> {
    if !call.takes_body() {
        return Ok(Ok(Vec::new()));
    }
    let most = request.get(&LIMITS).client_body_buffer_size.0;
    if let Some(content) = &request.body.content {
        let fits = content.file.is_none() && content.len <= most;
        return Ok(fits.then(|| content.memory.to_vec()).ok_or_else(Failure::too_large));
    }
    if request.body.content_length.is_some_and(|length| length > most) {
        return Ok(Err(Failure::too_large()));
    }
    request.ask_for_body().await?;
    let mut body = Vec::new();
    loop {
        match poll_fn(|cx| request.poll_body(cx)).await {
            Ok(BodyStep::Data(data)) if (body.len() + data.len()) as u64 > most => {
                return Ok(Err(Failure::too_large()));
            }
            Ok(BodyStep::Data(data)) => body.extend_from_slice(&data),
            Ok(BodyStep::End) => return Ok(Ok(body)),
            Err(error) => match request.body_failed(error) {
                Rejection::BAD_REQUEST if !request.client.broken => {
                    return Ok(Err(Failure::unread()));
                }
                rejection => return Err(rejection),
            },
        }
    }
}

async fn send(request: &mut Request, told: Told) -> Verdict {
    request.response.location = told.location.map(String::into_bytes);
    reply(request, told.status, told.text).await
}

async fn refuse(request: &mut Request, call: &Call, failure: Failure) -> Verdict {
    let mut id = Vec::new();
    request.variable_named(b"request_id", &mut id);
    let text = failure.json(&String::from_utf8_lossy(&id), call.version).to_string();
    if failure.status == 405 {
        let allowed = call.allowed().join(", ");
        request.response.headers.push(b"Allow", allowed.as_bytes());
    }
    reply(request, failure.status, Some(text.into_bytes())).await
}

async fn reply(request: &mut Request, status: u16, body: Option<Vec<u8>>) -> Verdict {
    request.response.headers.set(Known::CacheControl, b"no-cache");
    match body {
        Some(body) => request.send_all(status, b"application/json", body).await,
        None => {
            request.response.status = status;
            if let Err(rejection) = request.send_head() {
                return rejection.into();
            }
            match request.send_last(None).await {
                Ok(()) => Verdict::Done,
                Err(_) => Verdict::Abort,
            }
        }
    }
}

/// Parses bytes as the body of every call that has one.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(body: &[u8]) {
    servers::fuzz(body);
    keyvals::fuzz(body);
}
