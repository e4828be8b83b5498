//! Texts before and behind a response: `echo_before_body`, `echo_after_body`.

use std::io;

use weir_conf::Settings;

use super::ECHO;
use super::run::evaluate;
use crate::filter::BodyFilter;
use crate::piece::Piece;
use crate::rejection::Rejection;
use crate::request::Request;

pub(super) fn is_on(settings: &Settings) -> bool {
    let own = settings.get(&ECHO);
    !own.before.is_empty() || !own.after.is_empty()
}

pub(super) fn filter(request: &mut Request) -> Result<(), Rejection> {
    request.response.clear_length();
    request.response.clear_ranges();
    request.chain.add(Box::new(Around { begun: false }));
    Ok(())
}

/// Adds the texts to one response.
struct Around {
    begun: bool,
}

impl Around {
    fn begin(&mut self, request: &mut Request, out: &mut Vec<Piece>) {
        if !std::mem::replace(&mut self.begun, true) {
            add(request, true, out);
        }
    }
}

/// Appends the texts before the body, or those behind it.
fn add(request: &mut Request, before: bool, out: &mut Vec<Piece>) {
    let location = request.location.clone();
    let own = location.settings.get(&ECHO);
    for text in if before { &own.before } else { &own.after } {
        let bytes = evaluate(request, text);
        if !bytes.is_empty() {
            out.push(Piece::copy(&bytes));
        }
    }
}

impl BodyFilter for Around {
    fn push(
        &mut self,
        request: &mut Request,
        input: Piece,
        out: &mut Vec<Piece>,
    ) -> io::Result<()> {
        self.begin(request, out);
        out.push(input);
        Ok(())
    }

    fn flush(&mut self, request: &mut Request, out: &mut Vec<Piece>) -> io::Result<()> {
        self.begin(request, out);
        Ok(())
    }

    fn finish(&mut self, request: &mut Request, out: &mut Vec<Piece>) -> io::Result<()> {
        self.begin(request, out);
        add(request, false, out);
        Ok(())
    }

    fn only_cuts(&self) -> bool {
        true
    }
}
