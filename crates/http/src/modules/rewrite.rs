//! `rewrite`, `return`, `set`, `if`, `break`
//! (<https://nginx.org/en/docs/http/ngx_http_rewrite_module.html>).
//!
//! The directives of a block become a list of steps, in the order of the text. The steps of an `if`
//! are those of the block that it opens, whose settings then apply.

use std::sync::Arc;

use weir_conf::{BlockId, Cx, Fault, Local, Node, Settings, Slot, Span, directives};
use weir_script::condition::Condition;
use weir_script::rewrite::{Rewrite, is_address};
use weir_script::{Template, VarId, Variables, words};

use crate::module::{Handler, Module, Phase, PhaseHandler};
use crate::request::Request;
use crate::variables::VariableRow;
use crate::variables::definitions::Definitions;

mod run;

pub(crate) const MODULE: Module = Module {
    name: "rewrite",
    tables: &[&Rewriting::table(&REWRITE)],
    handlers: &[
        PhaseHandler {
            phase: Phase::ServerRewrite,
            enabled: has_steps,
            handler: Handler::Sync(run::server),
        },
        PhaseHandler {
            phase: Phase::Rewrite,
            enabled: has_steps,
            handler: Handler::Sync(run::location),
        },
    ],
    ..Module::NONE
};

static REWRITE: Slot<Rewriting> = Slot::new();

directives! {
    /// Rewriting of URIs, immediate responses, variables and conditional settings.
    pub(crate) struct Rewriting as RewriteWritten in [server, server_if, location, location_if] {
        /// Replaces the URI if it matches a regular expression, or redirects.
        "rewrite" [2, 3]: "regex replacement [last | break | redirect | permanent]" => add_rewrite,
        /// Answers at once with a status, a text or a redirect.
        "return" [1, 2]: "code [text] | code URL | URL" => add_return,
        /// Sets a variable.
        "set" [2]: "$variable value" => add_set,
        /// Stops the processing of these directives. In a location, the request stays there.
        "break" [0]: "" => add_break,
        /// Directives and settings for requests that meet a condition.
        "if" in [server] opens server_if [1+]: "(condition) { … }" => add_if,
        /// Directives and settings for requests that meet a condition.
        "if" in [location] opens location_if [1+]: "(condition) { … }" => add_if,
        /// Logs the effects of these directives at level `notice`.
        "rewrite_log" in [http, server, server_if, location, location_if]
            => rewrite_log: bool = false,
        /// Logs a warning when a variable is used before it is set.
        "uninitialized_variable_warn" in [http, server, server_if, location, location_if]
            => uninitialized_variable_warn: bool = true,
        field steps: Local<Vec<Step>>,
    }
}

/// The step of one directive.
#[derive(Clone)]
pub(super) enum Step {
    /// `rewrite`.
    Rewrite(Arc<Rewrite>, Span),
    /// `return`.
    Return(Return, Span),
    /// `set` of a variable defined by the configuration.
    Set(VarId, Template),
    /// `set` of a built-in variable with a setter.
    Act(&'static VariableRow, Template),
    /// `break`.
    Break,
    /// `if`, with the block that holds its steps.
    If(Arc<Condition>, BlockId, Span),
}

/// `return`.
#[derive(Clone)]
pub(super) struct Return {
    /// The response status.
    status: u16,
    /// The text or the redirect's URL; empty if none is given.
    text: Template,
}

fn has_steps(settings: &Settings) -> bool {
    !settings.get(&REWRITE).steps.is_empty()
}

fn push(own: &mut RewriteWritten, step: Step) {
    own.steps.get_or_insert_default().push(step);
}

fn add_rewrite(own: &mut RewriteWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    let words = words(&node.args);
    let flag = words.get(2).copied();
    let rewrite = Rewrite::compile(words[0], words[1], flag, cx.registry::<Variables>())?;
    push(own, Step::Rewrite(Arc::new(rewrite), cx.span()));
    Ok(())
}

fn add_return(own: &mut RewriteWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    let first = &node.args[0];
    let invalid = || Fault::new(format!("invalid return code \"{}\"", first.text())).at(first);
    let (status, text) = match (weir_conf::value::parse_number(&first.value), node.args.get(1)) {
        (Some(status @ 0..=MAX_STATUS), text) => (status as u16, text),
        (None, None) if is_address(&first.value) => (302, Some(first)),
        _ => return Err(invalid()),
    };
    let text = match text {
        Some(text) => Template::compile(&text.value, cx.registry::<Variables>())?,
        None => Template::default(),
    };
    push(own, Step::Return(Return { status, text }, cx.span()));
    Ok(())
}

/// The highest status of `return`.
const MAX_STATUS: u64 = 999;

fn add_set(own: &mut RewriteWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    let id = cx.registry::<Variables>().define_word(&node.args[0].value)?;
    let name = cx.registry::<Variables>().name(id).to_owned();
    let shown = name.clone();
    let unset = Arc::new(move |request: &mut Request, _: &mut Vec<u8>| {
        run::warn_unset(request, &shown);
        true
    });
    cx.registry::<Definitions>().unset(&name, unset)?;
    let value = Template::compile(&node.args[1].value, cx.registry::<Variables>())?;
    push(
        own,
        match cx.registry::<Definitions>().settable(&name) {
            Some(row) => Step::Act(row, value),
            None => Step::Set(id, value),
        },
    );
    Ok(())
}

fn add_break(own: &mut RewriteWritten, _: &Node, _: &mut Cx<'_>) -> Result<(), Fault> {
    push(own, Step::Break);
    Ok(())
}

fn bad_condition(fault: Fault, node: &Node) -> Fault {
    let Some(word) = node.args.iter().find(|word| word.is("==") || word.is("===")) else {
        return fault;
    };
    fault.at(word).hint("values are compared with \"=\"")
}

fn add_if(own: &mut RewriteWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    let condition = Condition::compile(&words(&node.args), cx.registry::<Variables>())
        .map_err(|fault| bad_condition(fault, node))?;
    let block = cx.child_id();
    push(own, Step::If(Arc::new(condition), block, cx.span()));
    Ok(())
}
