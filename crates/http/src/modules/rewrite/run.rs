//! Execution of the steps of a block.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use weir_conf::Span;
use weir_engine::error_log::Level;
use weir_script::condition::{Condition, FileKind};
use weir_script::escape::escape_args;
use weir_script::rewrite::{After, Args, Rewrite, Rewritten};
use weir_script::{CaptureRegex, Captures, Host, Scope, Template, VarId};

use super::{REWRITE, Return, Step};
use crate::errors::Cause;
use crate::module::{EntryPoint, Verdict};
use crate::open_file::FoundFile;
use crate::piece::Piece;
use crate::recorder::notes;
use crate::request::Request;
use crate::route::{Kind, Location};
use crate::snapshot::Held;

/// Runs the steps of the server level. A location is chosen afterwards in any case.
pub(super) fn server(request: &mut Request) -> Verdict {
    let base = Held::map(&request.server, |server| &server.location);
    match Run::new(request, &base).all(&base) {
        Some(verdict) => verdict,
        None => Verdict::Next,
    }
}

/// Runs the steps of a location. A changed URI may lead to another location.
pub(super) fn location(request: &mut Request) -> Verdict {
    let base = request.location.clone();
    // The server level has run in its own phase.
    if base.kind == Kind::Server {
        return Verdict::Next;
    }
    let mut run = Run::new(request, &base);
    match run.all(&base) {
        Some(verdict) => verdict,
        None if run.uri_changed => Verdict::Restart(EntryPoint::FindLocation),
        None => Verdict::Next,
    }
}

/// Warns about a variable that is used before `set` assigns it.
pub(super) fn warn_unset(request: &Request, name: &str) {
    if request.get(&REWRITE).uninitialized_variable_warn {
        request.log(Level::Warn, &format!("using uninitialized \"{name}\" variable"));
    }
}

/// One run through the steps of a block.
struct Run<'r> {
    request: &'r mut Request,
    /// Whether a location must be found for the new URI.
    uri_changed: bool,
    /// Whether captures are escaped in values. nginx does so until the first `rewrite` of the run
    /// has matched.
    quotes: bool,
    /// Whether the client's URI had escapes or a plus.
    quoted: bool,
    /// `rewrite_log`.
    log: bool,
}

/// The control flow after a step.
enum Flow {
    /// Continue with the next step.
    Next,
    /// Stop.
    End,
    /// Stop with a verdict.
    Decided(Verdict),
}

impl<'r> Run<'r> {
    fn new(request: &'r mut Request, base: &Location) -> Self {
        let quoted = is_quoted(request);
        let log = base.settings.get(&REWRITE).rewrite_log;
        Self { request, uri_changed: false, quotes: true, quoted, log }
    }

    /// Runs the steps of a block.
    fn all(&mut self, base: &Held<Location>) -> Option<Verdict> {
        match self.steps(base) {
            Flow::Decided(verdict) => Some(verdict),
            Flow::Next | Flow::End => None,
        }
    }

    fn steps(&mut self, base: &Held<Location>) -> Flow {
        for step in &base.settings.get(&REWRITE).steps {
            let flow = match step {
                Step::Rewrite(rewrite, span) => self.rewrite(rewrite, *span),
                Step::Return(answer, span) => {
                    self.note("return", *span, answer.status);
                    Flow::Decided(answer.send(self.request))
                }
                Step::Set(id, value) => {
                    let value = self.eval(value);
                    self.request.values.store(*id, Some(&value));
                    Flow::Next
                }
                Step::Act(row, value) => {
                    let value = self.eval(value);
                    if let Some(set) = row.set {
                        set(self.request, &value);
                    }
                    Flow::Next
                }
                Step::Break => {
                    if self.uri_changed {
                        self.request.location_valid = false;
                    }
                    self.uri_changed = false;
                    Flow::End
                }
                Step::If(condition, block, span) => {
                    match Held::try_map(base, |base| base.inner(*block)) {
                        Some(inner) if self.holds(condition) => {
                            self.note("if", *span, 0);
                            self.enter(&inner)
                        }
                        _ => Flow::Next,
                    }
                }
            };
            match flow {
                Flow::Next => {}
                flow => return flow,
            }
        }
        Flow::Next
    }

    /// Enters the block of an `if`, whose settings apply from now on in a location.
    fn enter(&mut self, inner: &Held<Location>) -> Flow {
        if self.request.location.kind != Kind::Server {
            self.request.enter(inner.clone());
        }
        self.steps(inner)
    }

    fn eval(&mut self, value: &Template) -> Vec<u8> {
        let mut out = Vec::new();
        let escapes = self.quotes && self.quoted;
        value.eval(&mut Escaping { request: self.request, escapes }, &mut out);
        out
    }

    fn holds(&mut self, condition: &Condition) -> bool {
        let mut scratch = Vec::new();
        let escapes = self.quotes && self.quoted;
        let mut scope = Escaping { request: self.request, escapes };
        let holds =
            condition.holds(&mut scope, &mut scratch, |scope, path| file_kind(scope.request, path));
        if let Condition::Matches { regex, negated, .. } = condition {
            self.log_match(regex, holds != *negated, &scratch);
        }
        holds
    }

    /// Notes a directive that took effect, for a record.
    fn note(&self, name: &'static str, span: Span, status: u16) {
        self.request.note(notes::Kind::Rewrite, |step, _| {
            (step.name, step.span, step.status) = (name, Some(span), status);
        });
    }

    fn log_match(&self, regex: &CaptureRegex, matched: bool, subject: &[u8]) {
        if self.log {
            let verb = if matched { "matches" } else { "does not match" };
            let pattern = String::from_utf8_lossy(regex.pattern());
            let subject = weir_wire::shown(subject);
            self.request.log(Level::Notice, &format!("\"{pattern}\" {verb} \"{subject}\""));
        }
    }

    fn rewrite(&mut self, rewrite: &Rewrite, span: Span) -> Flow {
        let before = self.request.is_noted().then(|| self.request.uri.clone());
        let flow = self.apply(rewrite);
        if let (Some(before), Some(flow)) = (before, &flow) {
            self.note_rewrite(span, &before, flow);
        }
        flow.unwrap_or(Flow::Next)
    }

    /// Notes a rewrite that matched.
    fn note_rewrite(&self, span: Span, before: &[u8], flow: &Flow) {
        let request = &*self.request;
        request.note(notes::Kind::Rewrite, |step, texts| {
            (step.name, step.span) = ("rewrite", Some(span));
            step.from = texts.add(before);
            step.to = match (flow, &request.response.location) {
                (Flow::Decided(Verdict::Status(status)), Some(location)) => {
                    step.status = *status;
                    texts.add(location)
                }
                _ => texts.add(&request.uri),
            };
        });
    }

    /// Applies a `rewrite`; None if it does not match.
    fn apply(&mut self, rewrite: &Rewrite) -> Option<Flow> {
        let uri = std::mem::take(&mut self.request.uri);
        let matched = rewrite.matches(&uri, self.request);
        self.request.uri = uri;
        self.log_match(rewrite.regex(), matched, &self.request.uri);
        if !matched {
            return None;
        }
        self.request.internal = true;
        self.request.uri_intact = false;
        self.uri_changed = rewrite.after() != After::Break;
        if !self.uri_changed {
            self.request.location_valid = false;
        }
        self.quotes = false;
        let args = std::mem::take(&mut self.request.args);
        self.request.args.clone_from(&args);
        let mut out = Vec::new();
        Some(match rewrite.replace(self.request, &args, self.quoted, &mut out) {
            Rewritten::Redirect(status) => {
                if self.log {
                    let text = weir_wire::shown(&out);
                    self.request.log(Level::Notice, &format!("rewritten redirect: \"{text}\""));
                }
                self.request.response.location = Some(out);
                Flow::Decided(Verdict::Status(status))
            }
            Rewritten::Uri { uri, args } => self.replace_uri(out, uri, args, rewrite.is_last()),
        })
    }

    /// Sets the rewritten URI, which is the first `length` bytes of `text`.
    fn replace_uri(&mut self, mut text: Vec<u8>, length: usize, args: Args, last: bool) -> Flow {
        match args {
            Args::Keep => {}
            Args::Drop => self.request.args.clear(),
            Args::Replace => self.request.args = text.split_off(length),
        }
        if self.log {
            let uri = weir_wire::shown(&text);
            let args = weir_wire::shown(&self.request.args);
            let line = format!("rewritten data: \"{uri}\", args: \"{args}\"");
            self.request.log(Level::Notice, &line);
        }
        let empty = text.is_empty();
        self.request.uri = text;
        if empty {
            self.request.log(Level::Error, "the rewritten URI has a zero length");
            return Flow::Decided(Verdict::Status(500));
        }
        if last { Flow::End } else { Flow::Next }
    }
}

impl Return {
    /// Sends the response. An error without a text is left to the error pages.
    fn send(&self, request: &mut Request) -> Verdict {
        if self.status >= 400 {
            request.blame(if self.status == 444 { Cause::Closed } else { Cause::Configured });
        }
        if self.status >= 400 && self.text.is_empty() {
            return Verdict::Status(self.status);
        }
        if let Err(rejection) = request.discard_body() {
            return rejection.into();
        }
        request.response.status = self.status;
        let text = request.eval(&self.text);
        if matches!(self.status, 301 | 302 | 303 | 307 | 308) {
            request.response.location = Some(text);
            return Verdict::Status(self.status);
        }
        request.response.status = self.status;
        request.set_content_type();
        request.response.content_length = Some(text.len() as u64);
        if self.status >= 400 {
            request.count_error(self.status);
        }
        if let Err(rejection) = request.send_head() {
            return rejection.into();
        }
        match request.push_last(Some(Piece::copy(&text))) {
            Ok(()) => Verdict::Done,
            Err(_) => Verdict::Abort,
        }
    }
}

/// Whether the client's URI had escapes or a plus. Captures are then escaped again in arguments.
fn is_quoted(request: &Request) -> bool {
    if request.is_subrequest() {
        return false;
    }
    let path = request.head.target().split(|&byte| byte == b'?').next().unwrap_or_default();
    memchr::memchr2(b'%', b'+', path).is_some()
}

/// The kind of file at a path.
fn file_kind(request: &mut Request, path: &[u8]) -> FileKind {
    let path = Path::new(std::ffi::OsStr::from_bytes(path));
    match request.look_at(path) {
        Some(FoundFile { is_file, is_dir, is_exec, .. }) => {
            FileKind { is_file, is_dir, is_link: false, is_exec }
        }
        None => FileKind::default(),
    }
}

/// A host that escapes captures in values.
struct Escaping<'r> {
    request: &'r mut Request,
    escapes: bool,
}

impl Host for Escaping<'_> {
    fn variable(&mut self, id: VarId, out: &mut Vec<u8>) -> bool {
        self.request.variable(id, out)
    }

    fn capture(&mut self, n: usize, out: &mut Vec<u8>) -> bool {
        let start = out.len();
        let found = self.request.capture(n, out);
        if self.escapes {
            escape_args(out, start);
        }
        found
    }
}

impl Scope for Escaping<'_> {
    fn captures(&mut self) -> &mut Captures {
        &mut self.request.captures
    }

    fn assign(&mut self, id: VarId, value: &[u8]) {
        self.request.assign(id, value);
    }
}
