//! Server-side includes (<https://nginx.org/en/docs/http/ngx_http_ssi_module.html>).

use std::collections::VecDeque;
use std::io;

use weir_conf::value::Size;
use weir_conf::{Settings, Slot, directives};
use weir_engine::error_log::Level;

use crate::core::MediaTypes;
use crate::filter::BodyFilter;
use crate::module::Module;
use crate::piece::Piece;
use crate::rejection::Rejection;
use crate::request::Request;
use crate::variables::VariableRow;

mod commands;
mod date;
mod parse;
mod shared;

use commands::Flow;
use parse::{Command, Event, Parser};
use shared::SHARED;

pub(crate) const MODULE: Module = Module {
    name: "ssi",
    tables: &[&Ssi::table(&SSI)],
    variables: &[
        VariableRow::new(
            "date_local",
            "The time in the local time zone, in the format of SSI's `config timefmt`.",
            date::local,
        ),
        VariableRow::new(
            "date_gmt",
            "The time in GMT, in the format of SSI's `config timefmt`.",
            date::gmt,
        ),
    ],
    header_filter: Some((is_on, filter)),
    ..Module::NONE
};

static SSI: Slot<Ssi> = Slot::new();

directives! {
    /// Server-side includes.
    pub struct Ssi in [http, server, location] {
        /// Processes the commands in responses.
        "ssi" in [http, server, location, location_if] => ssi: bool = false,
        /// Suppresses the error message of failed commands.
        "ssi_silent_errors" => silent_errors: bool = false,
        /// Has no effect: buffers are freed as soon as they are sent.
        "ssi_ignore_recycled_buffers" => ignore_recycled_buffers: bool = false,
        /// Has no effect: a processed file is sent from memory.
        "ssi_min_file_chunk" => min_file_chunk: Size = Size::k(1),
        /// The longest value of a parameter, in bytes.
        "ssi_value_length" => value_length: Size = Size::bytes(255),
        /// The media types that are processed, besides `text/html`.
        "ssi_types" => types: MediaTypes,
        /// Keeps `Last-Modified` and a weak `ETag` of the response.
        "ssi_last_modified" => last_modified: bool = false,
    }
}

fn is_on(settings: &Settings) -> bool {
    settings.get(&SSI).ssi
}

fn filter(request: &mut Request) -> Result<(), Rejection> {
    let ssi = request.get(&SSI);
    if request.response.content_length == Some(0)
        || !ssi.types.contains(&request.response.content_type)
    {
        return Ok(());
    }
    let limit = usize::try_from(ssi.value_length.0).unwrap_or(usize::MAX);
    let page = Page::new(limit, ssi.silent_errors);
    let keeps = ssi.last_modified;
    if !request.is_subrequest() {
        request.response.expect_change(keeps);
        request.response.clear_ranges();
    }
    // Creates the variables here, so that subrequests share them.
    request.state(&SHARED);
    request.chain.add(Box::new(page));
    Ok(())
}

/// A failed command; the reason is in the log.
#[derive(Debug)]
struct Failed;

/// Logs a fault in a page.
fn complain(request: &Request, message: &str) {
    request.log(Level::Error, &format!("{message} while sending response to client"));
}

/// The encoding of an `echo`'s output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    None,
    Url,
    Entity,
}

/// The branch of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// `if` or `elif`.
    If,
    /// `else`.
    Else,
}

/// The processing of one body.
struct Page {
    parser: Parser,
    silent: bool,
    /// Whether text is sent, which it is not in a branch not taken or in a block.
    output: bool,
    /// Whether text is collected for a `stub`.
    in_block: bool,
    stage: Option<Stage>,
    /// Whether a branch of the condition has been taken.
    chosen: bool,
    encoding: Encoding,
    error_message: Vec<u8>,
    /// Whether the rest of the page waits for a subrequest to end.
    waiting: bool,
    /// Input that came while waiting.
    held: VecDeque<Piece>,
    ended: bool,
}

impl Page {
    fn new(value_limit: usize, silent: bool) -> Self {
        Self {
            parser: Parser::new(value_limit),
            silent,
            output: true,
            in_block: false,
            stage: None,
            chosen: false,
            encoding: Encoding::Entity,
            error_message: b"[an error occurred while processing the directive]".to_vec(),
            waiting: false,
            held: VecDeque::new(),
            ended: false,
        }
    }

    fn hold(&mut self, request: &mut Request, piece: Piece) {
        request.line.held += piece.len();
        self.held.push_back(piece);
    }

    /// Processes a piece up to its end, or up to a command that must be waited for.
    fn read(
        &mut self,
        request: &mut Request,
        input: Piece,
        out: &mut Vec<Piece>,
    ) -> io::Result<()> {
        let mut rest = Some(input);
        while let Some(piece) = rest.take() {
            let (piece, more) = piece.load()?;
            self.read_memory(request, piece, out);
            match more {
                Some(more) if self.waiting => self.hold(request, more),
                more => rest = more,
            }
        }
        Ok(())
    }

    fn read_memory(&mut self, request: &mut Request, mut piece: Piece, out: &mut Vec<Piece>) {
        let Some(text) = piece.bytes() else { return out.push(piece) };
        let mut at = 0;
        while let Some(event) = self.parser.next(text, &mut at) {
            for fault in std::mem::take(&mut self.parser.faults) {
                complain(request, &fault);
            }
            match event {
                Event::Text(range) if range == (0..text.len()) && self.output => {
                    return out.push(piece);
                }
                Event::Text(range) if self.output => {
                    out.push(piece.part(range.start as u64..range.end as u64));
                }
                Event::Text(range) => self.keep(request, &text[range]),
                Event::Held(text) if self.output => out.push(Piece::Static(text)),
                Event::Held(text) => self.keep(request, text),
                Event::Faulty => self.show_error(out),
                Event::Command(command) => self.run(request, &command, out),
            }
            if self.waiting {
                break;
            }
        }
        for fault in std::mem::take(&mut self.parser.faults) {
            complain(request, &fault);
        }
        if self.waiting && at < text.len() {
            piece.advance(at as u64);
            self.hold(request, piece);
        }
    }

    fn run(&mut self, request: &mut Request, command: &Command, out: &mut Vec<Piece>) {
        match commands::run(self, request, command, out) {
            Ok(flow) => self.waiting = flow == Flow::Wait,
            Err(Failed) => self.show_error(out),
        }
    }

    /// Collects unsent text if it belongs to a block.
    fn keep(&self, request: &mut Request, text: &[u8]) {
        if self.in_block {
            request.state(&SHARED).borrow_mut().add_to_block(text);
        }
    }

    fn show_error(&self, out: &mut Vec<Piece>) {
        if !self.silent {
            out.push(Piece::copy(&self.error_message));
        }
    }
}

impl BodyFilter for Page {
    fn push(
        &mut self,
        request: &mut Request,
        input: Piece,
        out: &mut Vec<Piece>,
    ) -> io::Result<()> {
        if self.waiting {
            self.hold(request, input);
            return Ok(());
        }
        self.read(request, input, out)
    }

    fn include(
        &mut self,
        request: &mut Request,
        child: Piece,
        out: &mut Vec<Piece>,
    ) -> io::Result<()> {
        match self.waiting {
            true => self.hold(request, child),
            false => out.push(child),
        }
        Ok(())
    }

    fn finish(&mut self, _: &mut Request, out: &mut Vec<Piece>) -> io::Result<()> {
        self.ended = true;
        if !self.waiting && self.output {
            out.push(Piece::Static(self.parser.rest()));
        }
        Ok(())
    }

    fn waits(&self) -> bool {
        self.waiting
    }

    fn resume(&mut self, request: &mut Request, out: &mut Vec<Piece>) -> io::Result<()> {
        self.waiting = false;
        for piece in std::mem::take(&mut self.held) {
            request.line.held -= piece.len();
            match piece {
                piece if self.waiting => self.hold(request, piece),
                Piece::Include(_) => out.push(piece),
                piece => self.read(request, piece, out)?,
            }
        }
        if self.ended { self.finish(request, out) } else { Ok(()) }
    }
}
