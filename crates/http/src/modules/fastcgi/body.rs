//! The body of a FastCGI response: the content of STDOUT records.

use weir_engine::error_log::Level;
use weir_wire::fastcgi::{Part, Records};

use crate::pass::body::{Framed, Input, Note, Taken};

/// A body being received.
pub(super) struct Body {
    records: Records,
    /// The number of bytes left by `Content-Length`; None without it.
    left: Option<u64>,
    /// The length that counts only if there is any content.
    left_if_any: Option<u64>,
    /// Whether the content has ended. The end of the request follows, which applications must be
    /// able to send.
    closed: bool,
    /// Whether the connection is kept, so that all records have to come.
    keeps: bool,
}

impl Body {
    /// A body of `length` bytes, if that is known, whose first bytes are the next of `records`.
    pub(super) fn new(records: Records, length: Option<u64>, keeps: bool) -> Self {
        Self { records, left: length, left_if_any: None, closed: false, keeps }
    }

    /// Makes an empty body complete whatever its length, as in answer to HEAD.
    pub(super) fn may_be_missing(&mut self) {
        self.left_if_any = self.left.take();
    }
}

/// The message about text on standard error. nginx logs one for each read.
pub(super) fn stderr(text: &[u8]) -> Note {
    let text = weir_wire::shown(trim(text));
    Note { level: Level::Error, text: format!("FastCGI sent in stderr: \"{text}\"").into() }
}

/// The text without what applications like to end with; its first byte always stays.
pub(super) fn trim(text: &[u8]) -> &[u8] {
    let ends = |byte: &u8| !matches!(byte, b'\n' | b'\r' | b'.' | b' ');
    let end = text.iter().rposition(ends).unwrap_or(0);
    &text[..text.len().min(end + 1)]
}

impl Framed for Body {
    fn take(&mut self, input: &mut Input) -> Result<Taken, Note> {
        let mut taken = Taken::default();
        let (mut data, mut used) = (0..0, 0);
        let bytes = input.bytes_mut();
        while !taken.ended && !taken.broken {
            let part = self
                .records
                .next(bytes, &mut used)
                .map_err(|error| Note { level: Level::Error, text: error.message().into() })?;
            match part {
                None => break,
                Some(Part::Stdout(mut range)) => {
                    self.left = self.left_if_any.take().or(self.left);
                    if let Some(left) = &mut self.left {
                        let most = usize::try_from(*left).unwrap_or(usize::MAX);
                        if range.len() > most {
                            range.end = range.start + most;
                            taken.notes.push(Note::new(Level::Warn, BEYOND_LENGTH));
                            // The connection cannot be kept.
                            (taken.ended, self.keeps) = (true, false);
                        }
                        *left -= range.len() as u64;
                    }
                    match data.is_empty() {
                        true => data = range,
                        false => {
                            let end = data.end + range.len();
                            bytes.copy_within(range, data.end);
                            data.end = end;
                        }
                    }
                }
                Some(Part::Stderr(range)) => taken.notes.push(stderr(&bytes[range])),
                Some(end @ (Part::Closed | Part::EndRequest)) if self.left.unwrap_or(0) > 0 => {
                    let message = if end == Part::Closed { CLOSED } else { ENDED };
                    taken.notes.push(Note::new(Level::Error, message));
                    taken.broken = true;
                }
                Some(Part::Closed | Part::EndRequest) => self.closed = true,
                Some(Part::Done) => taken.ended = true,
            }
        }
        taken.piece = input.take_part(data, used);
        Ok(taken)
    }

    fn left(&self) -> Option<u64> {
        self.left
    }

    fn is_done(&self) -> bool {
        self.keeps && self.records.is_done()
    }

    fn may_close(&self) -> bool {
        let whole = self.closed || !self.records.is_amid_record();
        !self.keeps && self.left.unwrap_or(0) == 0 && whole
    }
}

const BEYOND_LENGTH: &str = "upstream sent more data than specified in \"Content-Length\" header";
const CLOSED: &str = "upstream prematurely closed FastCGI stdout";
const ENDED: &str = "upstream prematurely closed FastCGI request";

#[cfg(test)]
mod tests {
    use super::*;

    const STDOUT: u8 = 6;
    const STDERR: u8 = 7;

    fn record(kind: u8, content: &[u8]) -> Vec<u8> {
        [&[1, kind, 0, 1, 0, content.len() as u8, 0, 0], content].concat()
    }

    /// Takes a body out of reads, and returns its text, its last result and its messages.
    fn taken(body: &mut Body, reads: &[&[u8]]) -> (String, bool, bool, Vec<String>) {
        let (mut text, mut notes, mut last) = (Vec::new(), Vec::new(), Taken::default());
        for read in reads {
            let mut input = Input::default();
            input.buf.extend_from_slice(read);
            last = body.take(&mut input).unwrap();
            let bytes = last.piece.as_ref().and_then(|piece| piece.bytes());
            text.extend_from_slice(bytes.unwrap_or_default());
            notes.extend(last.notes.drain(..).map(|note| note.text.into_owned()));
        }
        (String::from_utf8(text).unwrap(), last.ended, last.broken, notes)
    }

    #[test]
    fn contents_are_joined_without_what_lies_between() {
        let records = [
            record(STDOUT, b"one"),
            record(STDERR, b"told. \n"),
            record(STDOUT, b"two"),
            record(STDOUT, b""),
            record(3, &[0; 8]),
        ];
        let all = records.concat();
        let told = vec!["FastCGI sent in stderr: \"told\"".to_owned()];
        let whole = taken(&mut Body::new(Records::new(), None, true), &[&all]);
        assert_eq!(whole, ("onetwo".into(), true, false, told));
        for cut in 1..all.len() {
            let mut body = Body::new(Records::new(), Some(6), true);
            let (text, ended, broken, _) = taken(&mut body, &[&all[..cut], &all[cut..]]);
            assert_eq!((text.as_str(), ended, broken), ("onetwo", true, false), "{cut}");
            assert!(body.is_done() && body.left() == Some(0));
        }
    }

    #[test]
    fn a_body_may_be_missing_but_not_cut() {
        let (content, closed) = (record(STDOUT, b"body"), record(STDOUT, b""));
        let all = [content, closed.clone(), record(3, &[0; 8])].concat();
        for (length, bytes, expected) in [
            (Some(4), &closed, ("", false)),
            (Some(4), &all, ("body", false)),
            (Some(2), &all, ("bo", false)),
            (Some(9), &all, ("body", true)),
            (None, &all, ("body", false)),
        ] {
            let mut body = Body::new(Records::new(), length, false);
            body.may_be_missing();
            assert_eq!(body.left(), None);
            let (text, _, broken, _) = taken(&mut body, &[bytes]);
            assert_eq!((text.as_str(), broken), expected, "{length:?}");
        }
    }

    #[test]
    fn a_body_has_its_length_or_breaks_off() {
        let record = record(STDOUT, b"body");
        let mut body = Body::new(Records::new(), Some(2), true);
        let (text, ended, _, notes) = taken(&mut body, &[&record]);
        assert_eq!((text.as_str(), ended, notes.len()), ("bo", true, 1));
        assert!(!body.is_done(), "the connection cannot be kept");
        let mut body = Body::new(Records::new(), Some(9), false);
        let closed = [record.clone(), self::record(STDOUT, b"")].concat();
        let (text, ended, broken, notes) = taken(&mut body, &[&closed]);
        assert_eq!((text.as_str(), ended, broken), ("body", false, true));
        assert_eq!(notes, [CLOSED]);
        for (length, cut, may) in [(None, 12, true), (None, 11, false), (Some(9), 12, false)] {
            let mut body = Body::new(Records::new(), length, false);
            taken(&mut body, &[&record[..cut]]);
            assert_eq!(body.may_close(), may, "{length:?} {cut}");
        }
        let mut body = Body::new(Records::new(), None, true);
        taken(&mut body, &[&record]);
        assert!(!body.may_close(), "a kept connection has to end the request");
    }
}
