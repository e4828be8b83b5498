//! Entry point of a fuzz target and tests. It panics if a result depends on how the input was
//! split, or points outside it.

use super::{Answer, Value, read_answer};

/// Reads a response to a request for a key, which is the first line of `data`.
pub fn fuzz_answer(data: &[u8]) {
    let end = data.iter().position(|&byte| byte == b'\n').unwrap_or(data.len());
    let (key, answer) = data.split_at(end);
    let answer = answer.get(1..).unwrap_or_default();
    for wants_flags in [false, true] {
        let whole = read_answer(answer, key, wants_flags);
        for end in 0..answer.len() {
            match read_answer(&answer[..end], key, wants_flags) {
                Ok(None) => {}
                found => assert_eq!(found, whole, "after {end} bytes"),
            }
        }
        match whole {
            Err(error) => drop(error.message(key)),
            Ok(Some((Answer::Value { length, .. }, head))) => check_value(length, &answer[head..]),
            Ok(_) => {}
        }
    }
}

/// Takes a value at once and in two parts.
fn check_value(length: u64, bytes: &[u8]) {
    let mut whole = Value::new(length);
    let taken = whole.take(bytes);
    assert!(taken as u64 <= length && taken as u64 + whole.left() == length);
    assert!(!(whole.is_done() && whole.is_broken()));
    for split in 0..bytes.len() {
        let mut value = Value::new(length);
        let first = value.take(&bytes[..split]);
        if value.is_broken() {
            assert!(whole.is_broken());
            continue;
        }
        let second = value.take(&bytes[split..]);
        assert_eq!(first + second, taken);
        assert_eq!((value.is_done(), value.is_broken()), (whole.is_done(), whole.is_broken()));
    }
}
