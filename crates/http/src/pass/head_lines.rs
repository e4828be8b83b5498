//! What response heads that consist of lines have in common, whatever the protocol.

use weir_engine::error_log::Level;
use weir_wire::header::{Entry, Headers};

use super::body::Note;

/// Notes about duplicate fields in `input`. The first one counts.
#[cold]
pub(crate) fn duplicates(entries: &[Entry], headers: &Headers, input: &[u8]) -> Vec<Note> {
    let line = |name: &[u8], value: &[u8]| {
        format!("{}: {}", weir_wire::shown(name), weir_wire::shown(value))
    };
    let told = entries.iter().map(|entry| {
        let first = headers.iter().find(|(_, _, known)| *known == entry.known);
        let previous = first.map_or_else(String::new, |(name, value, _)| line(name, value));
        let line = line(entry.name.of(input), entry.value.of(input));
        let text = format!(
            "upstream sent duplicate header line: \"{line}\", previous value: \"{previous}\", \
             ignored"
        );
        Note { level: Level::Warn, text: text.into() }
    });
    told.collect()
}

/// The upstream's status line, unless it equals Weir's own. A 204 always keeps it, and with it its
/// `Content-Type`.
pub(crate) fn unusual(status: u16, line: &[u8]) -> Option<Vec<u8>> {
    (status == 204 || crate::client::reason(status) != Some(line)).then(|| line.to_vec())
}
