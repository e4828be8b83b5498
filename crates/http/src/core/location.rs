//! `location`: its argument and its nesting.
//! <https://nginx.org/en/docs/http/ngx_http_core_module.html#location>

use weir_conf::{Fault, Word};

/// How a location matches a URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `= uri`.
    Exact,
    /// `uri` or `^~ uri`.
    Prefix {
        /// Whether it is `^~`, which skips regular expressions.
        noregex: bool,
    },
    /// `~ pattern` or `~* pattern`.
    Regex {
        /// Whether it is `~*`, which ignores case.
        caseless: bool,
    },
    /// `@name`.
    Named,
    /// An `if` in a server or a location.
    If,
    /// `limit_except`.
    LimitExcept,
    /// The level of a server.
    Server,
}

impl Kind {
    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Prefix { .. } => "prefix",
            Self::Regex { .. } => "regex",
            Self::Named => "named",
            Self::If => "if",
            Self::LimitExcept => "limit_except",
            Self::Server => "server",
        }
    }
}

/// The argument of a `location`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    /// How the name is matched.
    pub kind: Kind,
    /// The prefix, the exact URI, the regular expression, or the name with its `@`.
    pub name: Vec<u8>,
}

impl Pattern {
    /// Parses one or two arguments. The modifier may be attached to the URI.
    pub(crate) fn parse(args: &[Word]) -> Result<Self, Fault> {
        let prefix = |noregex| Kind::Prefix { noregex };
        let regex = |caseless| Kind::Regex { caseless };
        let (kind, name) = match args {
            [modifier, name] => {
                let kind = match modifier.value.as_slice() {
                    b"=" => Kind::Exact,
                    b"^~" => prefix(true),
                    b"~" => regex(false),
                    b"~*" => regex(true),
                    _ => {
                        let modifier = modifier.text();
                        let message = format!("invalid location modifier \"{modifier}\"");
                        return Err(Fault::new(message));
                    }
                };
                (kind, name.value.as_slice())
            }
            [word, ..] => match word.value.as_slice() {
                [b'=', name @ ..] => (Kind::Exact, name),
                [b'^', b'~', name @ ..] => (prefix(true), name),
                [b'~', b'*', name @ ..] => (regex(true), name),
                [b'~', name @ ..] => (regex(false), name),
                name if name.first() == Some(&b'@') => (Kind::Named, name),
                name => (prefix(false), name),
            },
            [] => (prefix(false), &b""[..]),
        };
        Ok(Self { kind, name: name.to_vec() })
    }

    /// Checks that the location may be inside `outer`. The error has nginx's words.
    pub(crate) fn check_inside(&self, outer: &Self) -> Result<(), Fault> {
        let (name, outside) = (text(&self.name), text(&outer.name));
        match outer.kind {
            Kind::Exact => {
                return Err(Fault::new(format!(
                    "location \"{name}\" cannot be inside the exact location \"{outside}\""
                )));
            }
            Kind::Named => {
                return Err(Fault::new(format!(
                    "location \"{name}\" cannot be inside the named location \"{outside}\""
                )));
            }
            _ => {}
        }
        if self.kind == Kind::Named {
            return Err(Fault::new(format!(
                "named location \"{name}\" can be on the server level only"
            )));
        }
        let regex = matches!(self.kind, Kind::Regex { .. });
        if !regex && !self.name.starts_with(&outer.name) {
            return Err(Fault::new(format!(
                "location \"{name}\" is outside location \"{outside}\""
            )));
        }
        Ok(())
    }
}

fn text(name: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<(Kind, String), Fault> {
        let word = |text: &&str| Word { value: text.as_bytes().to_vec(), ..Word::default() };
        let args: Vec<Word> = args.iter().map(word).collect();
        Pattern::parse(&args).map(|p| (p.kind, text(&p.name).into_owned()))
    }

    #[test]
    fn modifiers() {
        let exact = Ok((Kind::Exact, "/a".into()));
        assert_eq!(parse(&["=", "/a"]), exact);
        assert_eq!(parse(&["=/a"]), exact);
        assert_eq!(parse(&["^~/a"]), Ok((Kind::Prefix { noregex: true }, "/a".into())));
        assert_eq!(parse(&["~*a$"]), Ok((Kind::Regex { caseless: true }, "a$".into())));
        assert_eq!(parse(&["~a$"]), Ok((Kind::Regex { caseless: false }, "a$".into())));
        assert_eq!(parse(&["@a"]), Ok((Kind::Named, "@a".into())));
        assert_eq!(parse(&[""]), Ok((Kind::Prefix { noregex: false }, "".into())));
        assert_eq!(parse(&["!", "/"]), Err("invalid location modifier \"!\"".into()));
    }

    #[test]
    fn nesting() {
        let pattern = |kind, name: &str| Pattern { kind, name: name.into() };
        let prefix = |name| pattern(Kind::Prefix { noregex: false }, name);
        let inside = |inner: Pattern, outer: Pattern| inner.check_inside(&outer);
        assert_eq!(inside(prefix("/a/b"), prefix("/a")), Ok(()));
        let regex = pattern(Kind::Regex { caseless: false }, "x$");
        assert_eq!(inside(regex, prefix("/a")), Ok(()));
        let why = |inner, outer| inside(inner, outer).unwrap_err().to_string();
        assert_eq!(why(prefix("/b"), prefix("/a")), "location \"/b\" is outside location \"/a\"");
        assert_eq!(
            why(prefix("/a/b"), pattern(Kind::Exact, "/a")),
            "location \"/a/b\" cannot be inside the exact location \"/a\""
        );
        assert_eq!(
            why(pattern(Kind::Named, "@x"), prefix("/")),
            "named location \"@x\" can be on the server level only"
        );
    }
}
