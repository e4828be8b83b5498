//! The SSI commands.

use std::rc::Rc;

use weir_script::Regex;
use weir_wire::uri;

use super::date::FORMAT;
use super::parse::{Command, PARAMS};
use super::shared::{SHARED, evaluate, variable};
use super::{Encoding, Failed, Page, Stage, complain};
use crate::client::Sink;
use crate::piece::Piece;
use crate::request::Request;
use crate::subrequest::include::Include;
use crate::subrequest::line::Done;

/// The control flow after a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// Continue.
    On,
    /// Wait for the end of the subrequest that the command has started.
    Wait,
}

/// A kind of command.
struct Kind {
    name: &'static str,
    /// The parameters, and whether each is mandatory.
    params: &'static [(&'static str, bool)],
    /// The latest stage of a condition that allows the command; None if it is allowed everywhere.
    stage: Option<Stage>,
    run: fn(Call<'_>) -> Result<Flow, Failed>,
}

/// A call of a command: its page, its parameters and its output.
struct Call<'a> {
    page: &'a mut Page,
    request: &'a mut Request,
    params: Params<'a>,
    out: &'a mut Vec<Piece>,
}

const KINDS: &[Kind] = &[
    Kind {
        name: "include",
        params: &[
            ("virtual", false),
            ("file", false),
            ("wait", false),
            ("set", false),
            ("stub", false),
        ],
        stage: None,
        run: include,
    },
    Kind {
        name: "echo",
        params: &[("var", true), ("default", false), ("encoding", false)],
        stage: None,
        run: echo,
    },
    Kind {
        name: "config",
        params: &[("errmsg", false), ("timefmt", false)],
        stage: None,
        run: config,
    },
    Kind { name: "set", params: &[("var", true), ("value", true)], stage: None, run: set },
    Kind { name: "if", params: &[("expr", true)], stage: None, run: begin_if },
    Kind { name: "elif", params: &[("expr", true)], stage: Some(Stage::If), run: elif },
    Kind { name: "else", params: &[], stage: Some(Stage::If), run: otherwise },
    Kind { name: "endif", params: &[], stage: Some(Stage::Else), run: endif },
    Kind { name: "block", params: &[("name", true)], stage: None, run: block },
    Kind { name: "endblock", params: &[], stage: None, run: endblock },
];

fn lossy(text: &[u8]) -> std::borrow::Cow<'_, str> {
    weir_wire::shown(text)
}

fn fail(request: &Request, message: &str) -> Failed {
    complain(request, message);
    Failed
}

/// The values of a command's parameters, in the order of [`Kind::params`].
struct Params<'c>([Option<&'c [u8]>; 5]);

impl<'c> Params<'c> {
    fn of(command: &'c Command, kind: &Kind, request: &Request) -> Result<Self, Failed> {
        let name = kind.name;
        if command.params.len() > PARAMS {
            let message = format!("too many SSI command parameters: \"{name}\"");
            return Err(fail(request, &message));
        }
        let mut values = [None; 5];
        for (key, value) in &command.params {
            let known = |(known, _): &(&str, bool)| known.as_bytes() == key.as_slice();
            let Some(at) = kind.params.iter().position(known) else {
                let key = lossy(key);
                let message =
                    format!("invalid parameter name: \"{key}\" in \"{name}\" SSI command");
                return Err(fail(request, &message));
            };
            if values[at].replace(value.as_slice()).is_some() {
                let key = lossy(key);
                let message = format!("duplicate \"{key}\" parameter in \"{name}\" SSI command");
                return Err(fail(request, &message));
            }
        }
        for ((key, mandatory), value) in kind.params.iter().zip(values) {
            if *mandatory && value.is_none() {
                let message =
                    format!("mandatory \"{key}\" parameter is absent in \"{name}\" SSI command");
                return Err(fail(request, &message));
            }
        }
        Ok(Self(values))
    }

    fn get(&self, at: usize) -> Option<&'c [u8]> {
        self.0[at]
    }

    /// A mandatory parameter.
    fn must(&self, at: usize) -> &'c [u8] {
        self.0[at].unwrap_or_default()
    }
}

/// Runs a command.
pub(super) fn run(
    page: &mut Page,
    request: &mut Request,
    command: &Command,
    out: &mut Vec<Piece>,
) -> Result<Flow, Failed> {
    let known = |kind: &&Kind| kind.name.as_bytes() == command.name;
    let Some(kind) = KINDS.iter().find(known) else {
        if !page.output {
            return Ok(Flow::On);
        }
        let message = format!("invalid SSI command: \"{}\"", lossy(&command.name));
        return Err(fail(request, &message));
    };
    if !page.output && kind.name != "endblock" {
        if page.in_block {
            request.state(&SHARED).borrow_mut().add_to_block(&written(command));
            return Ok(Flow::On);
        }
        if kind.stage.is_none() {
            return Ok(Flow::On);
        }
    }
    if let Some(latest) = kind.stage
        && page.stage.is_none_or(|stage| stage > latest)
    {
        let message = format!("invalid context of SSI command: \"{}\"", kind.name);
        return Err(fail(request, &message));
    }
    let params = Params::of(command, kind, request)?;
    (kind.run)(Call { page, request, params, out })
}

/// The text of a command, for a block that is parsed again when it is used.
fn written(command: &Command) -> Vec<u8> {
    let mut text = [b"<!--#", command.name.as_slice()].concat();
    for (key, value) in &command.params {
        for part in [b" ", key.as_slice(), b"=\"", value, b"\""] {
            text.extend_from_slice(part);
        }
    }
    text.extend_from_slice(b" -->");
    text
}

fn include(Call { request, params, out, .. }: Call<'_>) -> Result<Flow, Failed> {
    let [wanted, file, wait, set, stub] = params.0;
    let target = match (wanted, file) {
        (Some(wanted), Some(file)) => {
            let (wanted, file) = (lossy(wanted), lossy(file));
            let message =
                format!("inclusion may be either virtual=\"{wanted}\" or file=\"{file}\"");
            return Err(fail(request, &message));
        }
        (None, None) => {
            return Err(fail(request, "no parameter in \"include\" SSI command"));
        }
        (Some(target), None) | (None, Some(target)) => target,
    };
    if set.is_some() && stub.is_some() {
        let message = "\"set\" and \"stub\" cannot be used together in \"include\" SSI command";
        return Err(fail(request, message));
    }
    let wait = waits(request, wanted.is_some(), target, wait)?;
    let (uri, args) = target_of(request, target)?;
    let stub = match stub {
        None => None,
        Some(name) => {
            let found = request.state(&SHARED).borrow().block(name).map(<[u8]>::to_vec);
            let message = || format!("\"stub\"=\"{}\" for \"include\" not found", lossy(name));
            Some(found.ok_or_else(|| fail(request, &message()))?)
        }
    };
    let waited = wait || set.is_some();
    let capture = set.is_some();
    let done = set.map(|name| keep(request, name));
    let include = Include { uri, args, capture, waited, stub, done, ..Include::default() };
    let child = request.include(include);
    out.push(child.ok_or(Failed)?);
    Ok(if waited { Flow::Wait } else { Flow::On })
}

/// Whether the page waits for the included response. Files are always waited for.
fn waits(
    request: &Request,
    is_virtual: bool,
    target: &[u8],
    wait: Option<&[u8]>,
) -> Result<bool, Failed> {
    let Some(wait) = wait else { return Ok(!is_virtual) };
    if !is_virtual {
        let message = format!("\"wait\" cannot be used with file=\"{}\"", lossy(target));
        return Err(fail(request, &message));
    }
    if wait.eq_ignore_ascii_case(b"no") {
        return Ok(false);
    }
    if wait.eq_ignore_ascii_case(b"yes") {
        return Ok(true);
    }
    let message = format!("invalid value \"{}\" in the \"wait\" parameter", lossy(wait));
    Err(fail(request, &message))
}

/// The path and the arguments to include. A relative path is relative to the page.
fn target_of(request: &mut Request, target: &[u8]) -> Result<(Vec<u8>, Vec<u8>), Failed> {
    let mut value = evaluate(request, target)?;
    if value.first().is_some_and(|&byte| byte != b'/') {
        let folder = request.uri.iter().rposition(|&byte| byte == b'/').map_or(0, |at| at + 1);
        value.splice(..0, request.uri[..folder].iter().copied());
    }
    match uri::parse_redirect(&value) {
        Ok((path, args)) => Ok((path.into_owned(), args.unwrap_or_default().to_vec())),
        Err(_) => {
            let message = format!("unsafe URI \"{}\" was detected", lossy(&value));
            Err(fail(request, &message))
        }
    }
}

/// Stores the body of a subrequest in a variable.
fn keep(request: &mut Request, name: &[u8]) -> Done {
    let shared = Rc::clone(request.state(&SHARED));
    shared.borrow_mut().declare(name);
    let name = name.to_vec();
    Box::new(move |_, child| {
        if let Sink::Capture(body, _) = child.client.replace_sink(Sink::Discard)
            && child.response.status < 300
        {
            shared.borrow_mut().set(&name, &body);
        }
    })
}

fn echo(Call { page, request, params, out }: Call<'_>) -> Result<Flow, Failed> {
    let mut value = Vec::new();
    if !variable(request, params.must(0), &mut value) {
        value.extend_from_slice(params.get(1).unwrap_or(b"(none)"));
    }
    if value.is_empty() {
        return Ok(Flow::On);
    }
    match params.get(2) {
        None => {}
        Some(b"none") => page.encoding = Encoding::None,
        Some(b"url") => page.encoding = Encoding::Url,
        Some(b"entity") => page.encoding = Encoding::Entity,
        Some(other) => {
            let message = format!("unknown encoding \"{}\" in the \"echo\" command", lossy(other));
            complain(request, &message);
        }
    }
    let mut encoded = Vec::with_capacity(value.len());
    match page.encoding {
        Encoding::None => encoded = value,
        Encoding::Url => uri::escape(uri::Escape::Html, &value, &mut encoded),
        Encoding::Entity => uri::escape_html(&value, &mut encoded),
    }
    out.push(Piece::copy(&encoded));
    Ok(Flow::On)
}

fn config(Call { page, request, params, .. }: Call<'_>) -> Result<Flow, Failed> {
    if let Some(message) = params.get(0) {
        page.error_message = message.to_vec();
    }
    if let Some(format) = params.get(1) {
        *request.state(&FORMAT) = Some(format.to_vec());
    }
    Ok(Flow::On)
}

fn set(Call { request, params, .. }: Call<'_>) -> Result<Flow, Failed> {
    let value = evaluate(request, params.must(1))?;
    request.state(&SHARED).borrow_mut().set(params.must(0), &value);
    Ok(Flow::On)
}

fn begin_if(call: Call<'_>) -> Result<Flow, Failed> {
    if call.page.stage.is_some() {
        return Err(fail(call.request, "the \"if\" command inside the \"if\" command"));
    }
    elif(call)
}

fn elif(Call { page, request, params, .. }: Call<'_>) -> Result<Flow, Failed> {
    if page.chosen {
        page.output = false;
        return Ok(Flow::On);
    }
    let holds = condition(request, params.must(0))?;
    page.output = holds;
    page.chosen |= holds;
    page.stage = Some(Stage::If);
    Ok(Flow::On)
}

/// Evaluates `text`, which must not be empty, or `text = text`, `text != text` or `text = /regex/`.
fn condition(request: &mut Request, expr: &[u8]) -> Result<bool, Failed> {
    let invalid =
        |request: &Request| fail(request, &format!("invalid expression in \"{}\"", lossy(expr)));
    let is_operand = |byte: &u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'$' | b'{' | b'}' | b'_' | b'"' | b'\'')
    };
    let length = expr.iter().position(|byte| !is_operand(byte)).unwrap_or(expr.len());
    let left = evaluate(request, &expr[..length].to_ascii_lowercase())?;
    let (negative, right) = match skip_blanks(&expr[length..]) {
        [] => return Ok(!left.is_empty()),
        [b'=', rest @ ..] => (false, skip_blanks(rest)),
        [b'!', b'=', rest @ ..] => (true, skip_blanks(rest)),
        _ => return Err(invalid(request)),
    };
    let equal = match right {
        [b'/', pattern @ .., b'/'] => {
            let pattern = evaluate(request, pattern)?;
            matches(request, &pattern, &left)?
        }
        [b'/', _, ..] => return Err(invalid(request)),
        [b'\\', b'/', ..] => evaluate(request, &right[1..])? == left,
        text => evaluate(request, text)? == left,
    };
    Ok(equal != negative)
}

fn skip_blanks(text: &[u8]) -> &[u8] {
    &text[text.iter().take_while(|&&byte| byte == b' ').count()..]
}

/// Matches a regular expression, whose captures become variables.
fn matches(request: &mut Request, pattern: &[u8], text: &[u8]) -> Result<bool, Failed> {
    let regex = match Regex::compile_bytes(pattern, false) {
        Ok(regex) => regex,
        Err(fault) => return Err(fail(request, &fault.to_string())),
    };
    let Some(captures) = regex.captures(text) else { return Ok(false) };
    let mut shared = request.state(&SHARED).borrow_mut();
    for (name, group) in regex.names() {
        shared.set(name.as_bytes(), captures.get(*group).unwrap_or_default());
    }
    shared.captures = captures;
    Ok(true)
}

fn otherwise(Call { page, .. }: Call<'_>) -> Result<Flow, Failed> {
    page.output = !page.chosen;
    page.stage = Some(Stage::Else);
    Ok(Flow::On)
}

fn endif(Call { page, .. }: Call<'_>) -> Result<Flow, Failed> {
    page.output = true;
    page.chosen = false;
    page.stage = None;
    Ok(Flow::On)
}

fn block(Call { page, request, params, .. }: Call<'_>) -> Result<Flow, Failed> {
    request.state(&SHARED).borrow_mut().begin_block(params.must(0));
    page.output = false;
    page.in_block = true;
    Ok(Flow::On)
}

fn endblock(Call { page, .. }: Call<'_>) -> Result<Flow, Failed> {
    page.output = true;
    page.in_block = false;
    Ok(Flow::On)
}
