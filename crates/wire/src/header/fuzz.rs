//! Entry point for fuzzing, which tests call too.

use super::is_clean_value;
use super::list::{has_item, param};
use crate::date;
use crate::request::parse_length;

/// Arbitrary bytes as the value of a field: a date, a list, a length.
///
/// # Panics
/// If a date is another one when it is written and read again.
pub fn fuzz_value(data: &[u8]) {
    // Two months of the year 0 are read, and not written.
    if let Some(seconds) = date::parse(data).filter(|&seconds| seconds >= date::EARLIEST) {
        let mut text = Vec::new();
        date::http(seconds, &mut text);
        assert_eq!(date::parse(&text), Some(seconds), "{}", data.escape_ascii());
    }
    for separator in *b",;" {
        if let Some(value) = param(data, b"a", separator) {
            assert!(!value.contains(&separator) && !value.starts_with(b" "));
        }
        let _ = has_item(data, b"a", separator);
    }
    if parse_length(data).is_some() {
        assert!(is_clean_value(data));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_lists_and_lengths() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "Thu, 01 Jan 0000 00:00:00 GMT",
            "Fri, 31 Dec 9999 23:59:60 GMT",
            "a=1; b",
            "b , a = 2",
            "18446744073709551615",
            "+1",
            "",
        ] {
            fuzz_value(text.as_bytes());
        }
    }
}
