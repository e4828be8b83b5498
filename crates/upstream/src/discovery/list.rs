//! Lists of servers as text: a server on each line, or JSON.

use std::{collections::HashSet, fmt::Display};

use serde_json::Value;

use super::{
    Listing, MAX_LISTED,
    entry::{Entry, Reader},
};
use crate::discovery::SourceError;

/// The length of a message about an entry, in characters.
const MAX_FAULT: usize = 300;

/// Collects the entries of a list.
#[derive(Debug, Default)]
pub(super) struct Collector {
    listing: Listing,
    places: HashSet<String>,
}

impl Collector {
    /// Adds an entry. `at` is its place in the list, for messages.
    pub(super) fn add(&mut self, at: &dyn Display, entry: Result<Entry, SourceError>) {
        let fault = match entry {
            Ok(None) => {
                self.listing.may_be_empty = true;
                return;
            }
            Ok(Some(server)) if self.places.insert(server.place()) => {
                self.listing.servers.push(server);
                return;
            }
            Ok(Some(server)) => format!("server \"{}\" is listed already", server.text),
            Err(fault) => fault.to_string(),
        };
        // More are refused as a whole.
        if self.listing.faults.len() <= MAX_LISTED {
            let fault = format!("{at}: {fault}");
            self.listing.faults.push(match fault.char_indices().nth(MAX_FAULT) {
                Some((end, _)) => format!("{}...", &fault[..end]),
                None => fault,
            });
        }
    }

    /// The list.
    ///
    /// # Errors
    /// It is too long.
    pub(super) fn finish(self) -> Result<Listing, SourceError> {
        if self.listing.servers.len() > MAX_LISTED {
            return Err(format!("lists more than {MAX_LISTED} servers").into());
        }
        if self.listing.faults.len() > MAX_LISTED {
            return Err(format!("has more than {MAX_LISTED} entries that are no servers").into());
        }
        Ok(self.listing)
    }
}

/// What some editors put before UTF-8.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads a list.
///
/// # Errors
/// It is unreadable as a whole.
pub(crate) fn read(text: &[u8], reader: Reader) -> Result<Listing, SourceError> {
    let text = text.strip_prefix(MARK).unwrap_or(text);
    let mut collector = Collector::default();
    if matches!(text.trim_ascii_start().first(), Some(b'[' | b'{')) {
        let value = serde_json::from_slice(text).map_err(|error| format!("is no list: {error}"))?;
        let Value::Array(items) = value else {
            return Err("is no list, but one object".into());
        };
        for (number, item) in items.iter().enumerate() {
            collector.add(&format_args!("item {}", number + 1), reader.value(item));
        }
        return collector.finish();
    }
    for (number, line) in text.split(|&byte| byte == b'\n').enumerate() {
        let at = format_args!("line {}", number + 1);
        match std::str::from_utf8(line).map(without_comment) {
            Ok(line) if line.trim().is_empty() => {}
            Ok(line) => collector.add(&at, reader.line(line)),
            Err(_) => collector.add(&at, Err("it is not UTF-8".into())),
        }
    }
    collector.finish()
}

/// A line up to a `#` that begins a word.
fn without_comment(line: &str) -> &str {
    let begins =
        |&(at, _): &(usize, &str)| line[..at].chars().next_back().is_none_or(char::is_whitespace);
    line.match_indices('#').find(begins).map_or(line, |(at, _)| &line[..at])
}

/// Reads bytes as a list.
pub(crate) fn fuzz(bytes: &[u8]) {
    let config = crate::config::GroupConfig::implicit("http u".into(), "u", Vec::new());
    let _ = read(bytes, Reader::of(&config));
}

#[cfg(test)]
mod tests;
