//! `echo`: texts, pauses and subrequests as responses, for tests and examples: the directives of
//! OpenResty's echo module (<https://github.com/openresty/echo-nginx-module>).
//!
//! The directives of a location are commands that run in the order of the text (`run.rs`).

use std::sync::Arc;

use weir_conf::{Cx, Fault, Inherit, Local, Node, Settings, Slot, directives};

use crate::core::value::StatusBetween;
use crate::module::{Handler, Module};
use crate::variables::VariableRow;

mod command;
mod filter;
mod run;
mod subrequest;
mod variables;

use command::{Command, Text};

pub(crate) const MODULE: Module = Module {
    name: "echo",
    tables: &[&Echo::table(&ECHO)],
    variables: &[
        VariableRow::new(
            "echo_timer_elapsed",
            "Seconds since the request began or `echo_reset_timer` ran.",
            variables::timer_elapsed,
        )
        .changeable(),
        VariableRow::new(
            "echo_request_method",
            "The method of the request at hand, which may be a subrequest.",
            variables::request_method,
        )
        .changeable(),
        VariableRow::new(
            "echo_cacheable_request_uri",
            "As `$echo_request_uri`, computed once.",
            variables::request_uri,
        ),
        VariableRow::new(
            "echo_request_uri",
            "The URI of the request at hand, which may be a subrequest.",
            variables::request_uri,
        )
        .changeable(),
        VariableRow::new(
            "echo_client_request_method",
            "The method of the client's request, in subrequests too.",
            variables::client_request_method,
        ),
        VariableRow::new(
            "echo_request_body",
            "The request body, also that given to a subrequest.",
            variables::request_body,
        )
        .changeable(),
        VariableRow::new(
            "echo_client_request_headers",
            "The head of the client's request as it was received.",
            variables::client_request_headers,
        ),
        VariableRow::new("echo_it", "The item of `echo_foreach_split` at hand.", variables::it)
            .changeable(),
        VariableRow::new(
            "echo_incr",
            "A counter of the client's request, which each use increases.",
            variables::incr,
        )
        .changeable(),
        VariableRow::new(
            "echo_response_status",
            "The status of the response, known once its head has been made.",
            variables::response_status,
        )
        .changeable(),
    ],
    content: Some(|settings: &Settings| {
        settings.get(&ECHO).serves.then_some(Handler::Async(run::handle))
    }),
    header_filter: Some((filter::is_on, filter::filter)),
    ..Module::NONE
};

static ECHO: Slot<Echo> = Slot::new();

directives! {
    /// Texts, pauses and subrequests as responses (not a module of nginx's own).
    pub(crate) struct Echo as EchoWritten in [location, location_if] {
        /// Sends the words with spaces between them and a line feed behind them, unless `-n` is
        /// given.
        "echo" [0+]: "[-n] [--] [text ...]" => add,
        /// Sends a text several times. The count may contain underscores.
        "echo_duplicate" [2+]: "[--] count text" => add,
        /// Sends what has been collected so far.
        "echo_flush" [0]: "" => add,
        /// Waits, for a time in seconds with up to three decimals.
        "echo_sleep" [1]: "seconds" => add,
        /// Makes `$echo_timer_elapsed` begin anew.
        "echo_reset_timer" [0]: "" => add,
        /// Reads the request body, for variables and commands that need it.
        "echo_read_request_body" [0]: "" => add,
        /// Sends the request body, if it has been read.
        "echo_request_body" [0]: "" => add,
        /// Sends the response of a subrequest, and waits for its end.
        "echo_location" [1, 2]: "uri [arguments]" => add,
        /// Sends the response of a subrequest, and goes on at once.
        "echo_location_async" [1, 2]: "uri [arguments]" => add,
        /// Sends the response of a subrequest with a method, arguments, and a body from a text or a
        /// file, and waits for its end.
        "echo_subrequest" [2+]: "method uri [-q arguments] [-b text] [-f file]" => add,
        /// Sends the response of such a subrequest, and goes on at once.
        "echo_subrequest_async" [2+]: "method uri [-q arguments] [-b text] [-f file]" => add,
        /// Serves another location in place of this one.
        "echo_exec" [1, 2]: "uri [arguments] | @name" => add,
        /// Repeats the commands up to `echo_end` for each part of a text, which is `$echo_it`.
        /// Empty parts are skipped.
        "echo_foreach_split" [2+]: "[--] delimiter text" => add,
        /// The end of a repetition.
        "echo_end" [0]: "" => add,
        /// The status of the response.
        "echo_status" => status: StatusBetween<200, 999> = StatusBetween(200),
        /// Sends the words before the response, as `echo` does.
        "echo_before_body" [0+]: "[-n] [--] [text ...]" => add_before,
        /// Sends the words behind the response, as `echo` does.
        "echo_after_body" [0+]: "[-n] [--] [text ...]" => add_after,
        field commands: Inherit<Vec<Arc<Command>>>,
        // A nested location does not inherit the handler.
        field serves: Local<bool>,
        field before: Inherit<Vec<Arc<Text>>>,
        field after: Inherit<Vec<Arc<Text>>>,
    }
}

fn add(own: &mut EchoWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    let command = Command::parse(node, cx)?;
    let commands = own.commands.get_or_insert_default();
    command.check_nesting(commands)?;
    commands.push(Arc::new(command));
    own.serves = Some(true);
    Ok(())
}

fn add_before(own: &mut EchoWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    let text = Text::parse(&node.args, cx)?;
    own.before.get_or_insert_default().push(Arc::new(text));
    Ok(())
}

fn add_after(own: &mut EchoWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    let text = Text::parse(&node.args, cx)?;
    own.after.get_or_insert_default().push(Arc::new(text));
    Ok(())
}
