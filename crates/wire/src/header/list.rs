//! Lists in values: cookies, `Cache-Control` and the like.

/// The value of `name=value` in a list with this separator, by the rules of `$cookie_name` (`;`)
/// and cache directives (`,`): names ignore case, spaces around `=` are allowed, quotes are not
/// parsed.
pub fn param<'a>(list: &'a [u8], name: &[u8], separator: u8) -> Option<&'a [u8]> {
    items(list, separator).find_map(|item| {
        let rest = skip_spaces(after_name(item, name)?).strip_prefix(b"=")?;
        Some(skip_spaces(rest))
    })
}

/// Whether a list has the bare item `name`, ignoring case.
pub fn has_item(list: &[u8], name: &[u8], separator: u8) -> bool {
    items(list, separator)
        .any(|item| after_name(item, name).is_some_and(|rest| skip_spaces(rest).is_empty()))
}

fn items(list: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    list.split(move |&byte| byte == separator).map(skip_spaces)
}

fn after_name<'a>(item: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (head, rest) = item.split_at_checked(name.len())?;
    head.eq_ignore_ascii_case(name).then_some(rest)
}

fn skip_spaces(text: &[u8]) -> &[u8] {
    &text[text.iter().take_while(|&&byte| byte == b' ').count()..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies() {
        let list = b"a=1; AB = 2;abc;b=x=y ";
        assert_eq!(param(list, b"ab", b';'), Some(&b"2"[..]));
        assert_eq!(param(list, b"b", b';'), Some(&b"x=y "[..]));
        assert_eq!(param(list, b"abc", b';'), None);
        assert_eq!(param(b"", b"a", b';'), None);
    }

    #[test]
    fn directives() {
        let list = b"max-age=5, No-Cache ,private=x";
        assert!(has_item(list, b"no-cache", b','));
        assert!(!has_item(list, b"private", b','));
        assert_eq!(param(list, b"max-age", b','), Some(&b"5"[..]));
    }
}
