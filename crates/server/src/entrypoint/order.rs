//! The order of scripts: that of versions, as `sort -V` has it (GNU coreutils, "Version sort
//! ordering"), so that `9-a.sh` comes before `10-b.sh`.

use std::cmp::Ordering;

/// Compares two names.
pub(super) fn compare(a: &[u8], b: &[u8]) -> Ordering {
    by_parts(stem(a), stem(b)).then_with(|| by_parts(a, b)).then_with(|| a.cmp(b))
}

/// A name without its endings, such as `.sh` and `.tar.gz`: a dot, a letter, letters and digits.
fn stem(name: &[u8]) -> &[u8] {
    let mut stem = name;
    while let Some(dot) = stem.iter().rposition(|&byte| byte == b'.') {
        let ending = &stem[dot + 1..];
        let begins = ending.first().is_some_and(|&byte| byte.is_ascii_alphabetic() || byte == b'~');
        if !begins || !ending.iter().all(|&byte| byte.is_ascii_alphanumeric() || byte == b'~') {
            break;
        }
        stem = &stem[..dot];
    }
    stem
}

/// Compares texts, by their characters, and numbers, by their values, in turn.
fn by_parts(mut a: &[u8], mut b: &[u8]) -> Ordering {
    while !(a.is_empty() && b.is_empty()) {
        let order = text(&mut a, &mut b).then_with(|| number(&mut a).cmp(&number(&mut b)));
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

/// Compares what precedes the next numbers, and removes it.
fn text(a: &mut &[u8], b: &mut &[u8]) -> Ordering {
    loop {
        let order = rank(a.first()).cmp(&rank(b.first()));
        if order.is_ne() || rank(a.first()) == 0 {
            return order;
        }
        (*a, *b) = (&a[1..], &b[1..]);
    }
}

/// A tilde is before the end, which is before letters, which are before everything else.
fn rank(byte: Option<&u8>) -> i32 {
    match byte {
        None => 0,
        Some(b'~') => -1,
        Some(byte) if byte.is_ascii_digit() => 0,
        Some(&byte) if byte.is_ascii_alphabetic() => byte.into(),
        Some(&byte) => i32::from(byte) + 256,
    }
}

/// Removes a number, and returns its count of digits and its digits without leading zeros.
fn number<'a>(from: &mut &'a [u8]) -> (usize, &'a [u8]) {
    let end = from.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(from.len());
    let (digits, rest) = from.split_at(end);
    *from = rest;
    let zeros = digits.iter().position(|&byte| byte != b'0').unwrap_or(digits.len());
    (digits.len() - zeros, &digits[zeros..])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The order of `sort -V`.
    #[test]
    fn names_are_sorted_as_versions() {
        let sorted = [
            "/d/1~-x.sh",
            "/d/1.envsh",
            "/d/1.sh",
            "/d/1-x.sh",
            "/d/02-a.sh",
            "/d/2-a.sh",
            "/d/2-b.sh",
            "/d/10-a.sh",
            "/d/10-a/1.sh",
            "/d/a.sh",
            "/d/a1.sh",
            "/d/a2.sh",
            "/d/a10.sh",
        ];
        let mut mixed = sorted;
        mixed.reverse();
        mixed.sort_by(|a, b| compare(a.as_bytes(), b.as_bytes()));
        assert_eq!(mixed, sorted);
    }
}
