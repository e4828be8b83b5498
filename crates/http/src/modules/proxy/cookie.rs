//! Parsing and rewriting of `Set-Cookie`.

use weir_conf::{Cx, Fault, Word};
use weir_script::{Template, Variables};

use super::rewrite::{Pattern, Rule};
use crate::request::Request;

/// One `proxy_cookie_flags`.
#[derive(Clone, Debug)]
pub(crate) struct FlagsRule {
    cookie: Pattern,
    flags: Vec<Template>,
}

/// A change to the flags of a cookie.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Secure(bool),
    HttpOnly(bool),
    /// Sets `SameSite` to this value, or removes it.
    SameSite(Option<&'static str>),
}

const CHANGES: [(&str, Change); 8] = [
    ("secure", Change::Secure(true)),
    ("nosecure", Change::Secure(false)),
    ("httponly", Change::HttpOnly(true)),
    ("nohttponly", Change::HttpOnly(false)),
    ("samesite=strict", Change::SameSite(Some("Strict"))),
    ("samesite=lax", Change::SameSite(Some("Lax"))),
    ("samesite=none", Change::SameSite(Some("None"))),
    ("nosamesite", Change::SameSite(None)),
];

/// An attribute: `name` or `name=value`.
struct Attribute {
    name: Vec<u8>,
    value: Option<Vec<u8>>,
}

/// The cookie itself, followed by its attributes.
struct Cookie(Vec<Attribute>);

/// Applies the rules; None if they change nothing.
pub(super) fn rewrite(
    request: &mut Request,
    value: &[u8],
    domains: &[Rule],
    paths: &[Rule],
    flags: &[FlagsRule],
) -> Option<Vec<u8>> {
    if domains.is_empty() && paths.is_empty() && flags.is_empty() {
        return None;
    }
    let mut cookie = Cookie::parse(value)?;
    let mut changed = false;
    for attribute in &mut cookie.0[1..] {
        let Some(old) = &attribute.value else { continue };
        let new = if attribute.name.eq_ignore_ascii_case(b"domain") {
            domains.iter().find_map(|rule| rule.rewrite_domain(request, old))
        } else if attribute.name.eq_ignore_ascii_case(b"path") {
            paths.iter().find_map(|rule| rule.rewrite_start(request, old))
        } else {
            None
        };
        if new.is_some() {
            attribute.value = new;
            changed = true;
        }
    }
    let name = &cookie.0[0].name;
    let rule = flags.iter().find(|rule| rule.applies_to(request, name));
    let changes = rule.map(|rule| rule.changes(request)).unwrap_or_default();
    if !changes.is_empty() {
        cookie.change(&changes);
        changed = true;
    }
    changed.then(|| cookie.text())
}

impl FlagsRule {
    pub(super) fn compile(words: &[Word], cx: &mut Cx<'_>) -> Result<Self, Fault> {
        let cookie = Pattern::compile(&words[0].value, false, cx)?;
        let vars = cx.registry::<Variables>();
        let flags = words[1..].iter().map(|word| Template::compile(&word.value, vars));
        Ok(Self { cookie, flags: flags.collect::<Result<_, _>>()? })
    }

    fn applies_to(&self, request: &mut Request, name: &[u8]) -> bool {
        match &self.cookie {
            Pattern::Text(text) => request.eval(text).eq_ignore_ascii_case(name),
            Pattern::Regex(regex) => regex.matches(name, request),
        }
    }

    /// The changes that a rule asks for. If several concern the same flag, nginx applies the first
    /// in the order of [`CHANGES`].
    fn changes(&self, request: &mut Request) -> Vec<Change> {
        let words: Vec<_> = self.flags.iter().map(|flag| request.eval(flag)).collect();
        let asked = |&(name, change): &(&str, Change)| {
            words.iter().any(|word| word.eq_ignore_ascii_case(name.as_bytes())).then_some(change)
        };
        CHANGES.iter().filter_map(asked).collect()
    }
}

impl Cookie {
    /// Parses a value; None if the cookie itself has no `=`.
    fn parse(value: &[u8]) -> Option<Self> {
        let attribute = |part: &[u8]| {
            let part = trim(part);
            match part.iter().position(|&b| b == b'=') {
                Some(equals) => Attribute {
                    name: trim(&part[..equals]).to_vec(),
                    value: Some(trim(&part[equals + 1..]).to_vec()),
                },
                None => Attribute { name: part.to_vec(), value: None },
            }
        };
        let parts: Vec<_> = value.split(|&b| b == b';').map(attribute).collect();
        parts.first()?.value.is_some().then_some(Self(parts))
    }

    fn change(&mut self, changes: &[Change]) {
        for change in [
            first(changes, |change| matches!(change, Change::Secure(_))),
            first(changes, |change| matches!(change, Change::HttpOnly(_))),
            first(changes, |change| matches!(change, Change::SameSite(_))),
        ] {
            match change {
                None => {}
                Some(Change::Secure(on)) => self.flag("Secure", on),
                Some(Change::HttpOnly(on)) => self.flag("HttpOnly", on),
                Some(Change::SameSite(value)) => self.same_site(value),
            }
        }
    }

    fn flag(&mut self, name: &str, on: bool) {
        let is = |attribute: &Attribute| attribute.name.eq_ignore_ascii_case(name.as_bytes());
        match on {
            false => self.remove(name),
            true if self.0[1..].iter().any(is) => {}
            true => self.0.push(Attribute { name: name.into(), value: None }),
        }
    }

    fn same_site(&mut self, value: Option<&str>) {
        const NAME: &str = "SameSite";
        let Some(value) = value else { return self.remove(NAME) };
        let is = |attribute: &&mut Attribute| attribute.name.eq_ignore_ascii_case(NAME.as_bytes());
        match self.0[1..].iter_mut().find(is) {
            Some(there) => {
                let old = there.value.as_deref().unwrap_or_default();
                if !old.eq_ignore_ascii_case(value.as_bytes()) {
                    *there = Attribute { name: NAME.into(), value: Some(value.into()) };
                }
            }
            None => self.0.push(Attribute { name: NAME.into(), value: Some(value.into()) }),
        }
    }

    fn remove(&mut self, name: &str) {
        let mut first = true;
        self.0.retain(|attribute| {
            std::mem::take(&mut first) || !attribute.name.eq_ignore_ascii_case(name.as_bytes())
        });
    }

    fn text(&self) -> Vec<u8> {
        let mut text = Vec::new();
        for (at, attribute) in self.0.iter().enumerate() {
            if at > 0 {
                text.extend_from_slice(b"; ");
            }
            text.extend_from_slice(&attribute.name);
            if let Some(value) = &attribute.value {
                text.push(b'=');
                text.extend_from_slice(value);
            }
        }
        text
    }
}

fn first(changes: &[Change], of: impl Fn(&Change) -> bool) -> Option<Change> {
    changes.iter().copied().find(of)
}

/// Trims spaces, but not tabs, as nginx does here.
fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ', rest @ ..] = text {
        text = rest;
    }
    while let [rest @ .., b' '] = text {
        text = rest;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(cookie: &str, changes: &[Change]) -> String {
        let mut cookie = Cookie::parse(cookie.as_bytes()).unwrap();
        cookie.change(changes);
        String::from_utf8(cookie.text()).unwrap()
    }

    #[test]
    fn flags_are_added_once_and_removed_everywhere() {
        let on = [Change::Secure(true), Change::HttpOnly(true)];
        assert_eq!(changed("a=b", &on), "a=b; Secure; HttpOnly");
        assert_eq!(changed("a=b;secure ; path=/", &on), "a=b; secure; path=/; HttpOnly");
        assert_eq!(changed("secure=1; Secure; SECURE", &[Change::Secure(false)]), "secure=1");
    }

    #[test]
    fn same_site_replaces_another() {
        let lax = [Change::SameSite(Some("Lax"))];
        assert_eq!(changed("a=b; samesite=lax", &lax), "a=b; samesite=lax");
        assert_eq!(changed("a=b; samesite=strict; x", &lax), "a=b; SameSite=Lax; x");
        assert_eq!(changed("a=b; SameSite=Lax", &[Change::SameSite(None)]), "a=b");
        assert_eq!(changed("a=", &lax), "a=; SameSite=Lax");
    }

    #[test]
    fn a_cookie_without_a_value_is_unchanged() {
        assert!(Cookie::parse(b"a; b=c").is_none());
    }
}
