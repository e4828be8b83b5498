//! `auth_request` (<https://nginx.org/en/docs/http/ngx_http_auth_request_module.html>).

use weir_conf::{Arity, Cx, Fault, Inherit, Node, Slot, Value, directives};
use weir_engine::error_log::Level;
use weir_script::{Template, VarId, Variables};
use weir_wire::header::Known;

use crate::body::Body;
use crate::client::Sink;
use crate::errors::Cause;
use crate::module::{Handler, Module, Pending, Phase, PhaseHandler, Verdict};
use crate::request::Request;
use crate::variables::VariableRow;
use crate::variables::definitions::Definitions;

pub(crate) const MODULE: Module = Module {
    name: "auth_request",
    tables: &[&AuthRequest::table(&AUTH_REQUEST)],
    handlers: &[PhaseHandler {
        phase: Phase::Access,
        enabled: |settings| settings.get(&AUTH_REQUEST).uri.0.is_some(),
        handler: Handler::Async(handle),
    }],
    ..Module::NONE
};

static AUTH_REQUEST: Slot<AuthRequest> = Slot::new();

directives! {
    /// Authorization by a subrequest.
    pub(crate) struct AuthRequest as AuthRequestWritten in [http, server, location] {
        /// Allows a request if a subrequest to this URI returns a 2xx status.
        "auth_request" => uri: Asked,
        /// Sets a variable when the subrequest has ended; the value may use its response.
        "auth_request_set" [2]: "$variable value" => add_variable,
        field variables: Inherit<Vec<Set>>,
    }
}

/// The URI of the subrequest; None for `off`.
#[derive(Clone, Debug, Default)]
struct Asked(Option<Vec<u8>>);

impl Value for Asked {
    const SYNTAX: &'static str = "uri | off";
    const ARITY: Arity = Arity::ONE;

    fn parse(node: &Node, _: &mut Cx<'_>) -> Result<Self, Fault> {
        let word = &node.args[0];
        let none = word.is("off") || word.value.is_empty();
        Ok(Self((!none).then(|| word.value.clone())))
    }
}

/// A variable that is set when the subrequest has ended.
#[derive(Clone)]
struct Set {
    variable: VarId,
    value: Template,
    /// The built-in variable of that name, when it has a setter.
    row: Option<&'static VariableRow>,
}

fn add_variable(own: &mut AuthRequestWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    let variables = cx.registry::<Variables>();
    let variable = variables.define_word(&node.args[0].value)?;
    let name = variables.name(variable).to_owned();
    let value = Template::compile(&node.args[1].value, variables)?;
    let row = cx.registry::<Definitions>().settable(&name);
    if row.is_none() {
        cx.registry::<Definitions>().stored(&name)?;
    }
    let set = Set { variable, value, row };
    own.variables.get_or_insert_default().push(set);
    Ok(())
}

fn handle(request: &mut Request) -> Pending<'_, Verdict> {
    Box::pin(async move {
        let location = request.location.clone();
        let own = location.settings.get(&AUTH_REQUEST);
        let Some(uri) = &own.uri.0 else { return Verdict::Next };
        let Some(mut child) = request.fork(uri.clone(), Vec::new(), Sink::Discard) else {
            return Verdict::Status(500);
        };
        // The main request keeps its body, and only the head of the response counts. A body that
        // is announced as empty stays so.
        child.body = Body::default();
        child.body.content_length = request.body.content_length.filter(|&length| length == 0);
        child.body.refused = request.body.is_announced();
        child.response.header_only = true;
        let mut child = request.follow(child).await;
        if child.response.status == 499 && child.client.is_deserted() {
            request.client.broken = true;
            return Verdict::Abort;
        }
        // No answer to the question is none to the client.
        if child.response.status == 444 {
            return Verdict::Status(444);
        }
        set_variables(request, &mut child, &own.variables);
        judge(request, &child)
    })
}

/// Sets the variables of `auth_request_set` in the main request, so that they survive internal
/// redirects.
fn set_variables(request: &mut Request, child: &mut Request, variables: &[Set]) {
    for Set { variable, value, row } in variables {
        std::mem::swap(&mut child.values, &mut request.values);
        let text = child.eval(value);
        std::mem::swap(&mut child.values, &mut request.values);
        match row.and_then(|row| row.set) {
            Some(set) => set(request, &text),
            None => request.values.store(*variable, Some(&text)),
        }
    }
}

/// Turns the subrequest's status into a verdict for the main request.
fn judge(request: &mut Request, child: &Request) -> Verdict {
    match child.response.status {
        200..300 => Verdict::Granted,
        403 => Verdict::Status(403),
        401 => {
            for challenge in child.response.headers.get_all(Known::WwwAuthenticate) {
                request.response.headers.push(b"WWW-Authenticate", challenge);
            }
            Verdict::Status(401)
        }
        status => {
            request.blame(Cause::AuthRequest);
            request.log(Level::Error, &format!("auth request unexpected status: {status}"));
            Verdict::Status(500)
        }
    }
}
