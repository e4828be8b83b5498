//! The substitution of environment variables in templates of configurations, with the rules of
//! GNU gettext's envsubst: `$NAME` and `${NAME}`.

/// Appends `text` to `out` with the values of variables in place of their names.
///
/// `value` appends the value of a variable, or returns false for one that is left as written, such
/// as nginx's `$host`. Values are not substituted again.
pub fn substitute(
    text: &[u8],
    mut value: impl FnMut(&[u8], &mut Vec<u8>) -> bool,
    out: &mut Vec<u8>,
) {
    let mut rest = text;
    while let Some(at) = rest.iter().position(|&byte| byte == b'$') {
        let (before, from) = rest.split_at(at);
        out.extend_from_slice(before);
        let length = match reference(from) {
            Some((name, length)) if value(name, out) => length,
            _ => {
                out.push(b'$');
                1
            }
        };
        rest = &from[length..];
    }
    out.extend_from_slice(rest);
}

/// The name at the start of `text`, which begins with a dollar sign, and the length of the whole.
fn reference(text: &[u8]) -> Option<(&[u8], usize)> {
    let braced = text.get(1) == Some(&b'{');
    let from = if braced { 2 } else { 1 };
    let after = text.get(from..)?;
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let length = after.iter().position(|byte| !is_part(byte)).unwrap_or(after.len());
    let name = &after[..length];
    if name.first().is_none_or(u8::is_ascii_digit) || (braced && after.get(length) != Some(&b'}')) {
        return None;
    }
    Some((name, from + length + usize::from(braced)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str) -> String {
        let mut out = Vec::new();
        let value = |name: &[u8], out: &mut Vec<u8>| match name {
            b"HOST" => {
                out.extend_from_slice(b"a.test");
                true
            }
            b"EMPTY" => true,
            b"DOLLAR" => {
                out.extend_from_slice(b"$HOST");
                true
            }
            _ => false,
        };
        substitute(text.as_bytes(), value, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn known_names_are_replaced_and_others_stay() {
        for (text, expected) in [
            ("server_name $HOST;", "server_name a.test;"),
            ("${HOST}x$HOST-$HOST", "a.testxa.test-a.test"),
            ("$HOSTx ${HOSTx} $host", "$HOSTx ${HOSTx} $host"),
            ("[$EMPTY]${EMPTY}", "[]"),
            ("$DOLLAR", "$HOST"),
            ("$$HOST ${$HOST}", "$a.test ${a.test}"),
            ("${HOST ${HOST:-x} $1 $ ${} $", "${HOST ${HOST:-x} $1 $ ${} $"),
        ] {
            assert_eq!(filled(text), expected);
        }
    }
}
