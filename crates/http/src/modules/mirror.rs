//! `mirror` (<https://nginx.org/en/docs/http/ngx_http_mirror_module.html>).

use weir_conf::{Cx, Fault, Inherit, Node, Slot, directives};

use crate::client::Sink;
use crate::module::{Handler, Module, Pending, Phase, PhaseHandler, Verdict};
use crate::request::Request;

pub(crate) const MODULE: Module = Module {
    name: "mirror",
    tables: &[&Mirror::table(&MIRROR)],
    handlers: &[PhaseHandler {
        phase: Phase::PreContent,
        enabled: |settings| !settings.get(&MIRROR).uris.is_empty(),
        handler: Handler::Async(handle),
    }],
    ..Module::NONE
};

static MIRROR: Slot<Mirror> = Slot::new();

directives! {
    /// Mirroring of requests.
    pub(crate) struct Mirror as MirrorWritten in [http, server, location] {
        /// Sends a copy of each request to this URI and discards the response.
        "mirror" [1]: "uri | off" => add_uri,
        /// Mirrors the request body, too, which is then read before the request is processed.
        "mirror_request_body" => request_body: bool = true,
        // An empty list is `off`.
        field uris: Inherit<Vec<Vec<u8>>>,
    }
}

fn add_uri(own: &mut MirrorWritten, node: &Node, _: &mut Cx<'_>) -> Result<(), Fault> {
    let word = &node.args[0];
    match &mut own.uris {
        Some(uris) if word.is("off") || uris.is_empty() => return Err(Fault::duplicate()),
        Some(uris) => uris.push(word.value.clone()),
        None if word.is("off") => own.uris = Some(Vec::new()),
        None => own.uris = Some(vec![word.value.clone()]),
    }
    Ok(())
}

fn handle(request: &mut Request) -> Pending<'_, Verdict> {
    Box::pin(async move {
        if request.is_subrequest() {
            return Verdict::Next;
        }
        let location = request.location.clone();
        let own = location.settings.get(&MIRROR);
        if own.request_body
            && let Err(rejection) = request.read_body().await
        {
            return rejection.into();
        }
        for uri in &own.uris {
            let args = request.args.clone();
            let Some(mut child) = request.fork(uri.clone(), args, Sink::Discard) else {
                return Verdict::Status(500);
            };
            child.method = request.method;
            child.response.header_only = true;
            child.launch();
        }
        Verdict::Next
    })
}
