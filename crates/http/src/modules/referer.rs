//! `valid_referers` (<https://nginx.org/en/docs/http/ngx_http_referer_module.html>).

use std::sync::Arc;

use weir_conf::{Cx, Fault, Inherit, Node, Slot, directives};
use weir_script::Regex;
use weir_script::names::{Names, Refused};
use weir_wire::header::Known;

use crate::core::SERVER_NAMES;
use crate::core::server_name::ServerName;
use crate::module::Module;
use crate::request::Request;
use crate::variables::VariableRow;

pub(crate) const MODULE: Module = Module {
    name: "referer",
    tables: &[&Referer::table(&REFERER)],
    variables: &[VariableRow::new(
        "invalid_referer",
        "`1` if `valid_referers` does not allow the request's `Referer`, otherwise empty.",
        invalid_referer,
    )
    .changeable()],
    ..Module::NONE
};

static REFERER: Slot<Referer> = Slot::new();

directives! {
    /// Checks of the `Referer` field.
    pub struct Referer as RefererWritten in [server, location] {
        /// The accepted referers: hosts, each with an optional path prefix, or regular expressions.
        "valid_referers" [1+]: "none | blocked | server_names | string ..." => add,
        /// The size of nginx's hash table. Has no effect: tables grow as needed.
        "referer_hash_max_size" => hash_max_size: u32 = 2048,
        /// The bucket size of nginx's hash table. Has no effect: tables have no such limit.
        "referer_hash_bucket_size" => hash_bucket_size: u32 = 64,
        field valid: Inherit<Option<Arc<Valid>>>,
    }
    finish = Referer::finish;
}

/// The accepted referers of a level.
#[derive(Clone, Default)]
pub(crate) struct Valid {
    /// Whether requests without the field are accepted.
    none: bool,
    /// Whether values without a URL are accepted, which some proxies produce.
    blocked: bool,
    server_names: bool,
    /// Hosts, each with an optional path prefix.
    names: Names<Option<Vec<u8>>>,
    regexes: Vec<Regex>,
}

fn add(own: &mut RefererWritten, node: &Node, _: &mut Cx<'_>) -> Result<(), Fault> {
    let valid = Arc::make_mut(own.valid.get_or_insert_default().get_or_insert_default());
    for word in &node.args {
        match &*word.value {
            b"" => return Err(Fault::new("invalid referer \"\"").at(word)),
            b"none" => valid.none = true,
            b"blocked" => valid.blocked = true,
            b"server_names" => valid.server_names = true,
            b"~" => return Err(Fault::new("empty regex in \"~\"").at(word)),
            [b'~', pattern @ ..] => valid.regexes.push(Regex::shared(pattern, true)?),
            text => {
                let slash = memchr::memchr(b'/', text);
                let host = &text[..slash.unwrap_or(text.len())];
                let path = slash.map(|slash| text[slash..].to_vec());
                let shown = String::from_utf8_lossy(host);
                valid.names.add(host, path).map_err(|refused| match refused {
                    Refused::Invalid => {
                        Fault::new(format!("invalid hostname or wildcard \"{shown}\"")).at(word)
                    }
                    Refused::Conflict => {
                        Fault::new(format!("conflicting parameter \"{shown}\"")).at(word)
                    }
                })?;
            }
        }
    }
    Ok(())
}

impl Referer {
    fn finish(&mut self, parent: Option<&Self>, _: &mut Cx<'_>) -> Result<(), Fault> {
        let Some(valid) = &mut self.valid else { return Ok(()) };
        let above = parent.and_then(|parent| parent.valid.as_ref());
        if above.is_some_and(|above| Arc::ptr_eq(above, valid)) {
            return Ok(());
        }
        if (valid.none || valid.blocked) && valid.names.is_empty() && !valid.server_names {
            let text = "the \"none\" or \"blocked\" referers are specified in the \
                        \"valid_referers\" directive without any valid referer";
            return Err(Fault::new(text).nowhere());
        }
        // A level without regular expressions inherits its parent's, even if it has names of its
        // own.
        if let Some(above) = above
            && valid.regexes.is_empty()
        {
            Arc::make_mut(valid).regexes.clone_from(&above.regexes);
        }
        Ok(())
    }
}

/// `$invalid_referer`: `1` if the request's referer is not accepted.
fn invalid_referer(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    let Some(valid) = request.get(&REFERER).valid.clone() else { return true };
    let server = request.server.clone();
    let own_names = match valid.server_names {
        true => &server.settings.get(&SERVER_NAMES).names[..],
        false => &[],
    };
    let allowed = match request.head.get(Known::Referer) {
        None => valid.none,
        Some(referer) => match address(referer) {
            None => valid.blocked,
            Some(address) => valid.allows(address, own_names),
        },
    };
    if !allowed {
        out.push(b'1');
    }
    true
}

/// The length of the shortest URL, `http://i.ru`.
const SHORTEST: usize = 11;

/// The longest host that is compared.
const LONGEST_HOST: usize = 256;

/// The URL without its scheme; None for a value that is no URL.
fn address(referer: &[u8]) -> Option<&[u8]> {
    if referer.len() < SHORTEST {
        return None;
    }
    [&b"http://"[..], b"https://"].into_iter().find_map(|scheme| {
        let (head, rest) = referer.split_at_checked(scheme.len())?;
        head.eq_ignore_ascii_case(scheme).then_some(rest)
    })
}

impl Valid {
    /// Whether a URL without its scheme is accepted. `own` are the server's names.
    fn allows(&self, address: &[u8], own: &[ServerName]) -> bool {
        let end = address.iter().position(|&b| matches!(b, b'/' | b':')).unwrap_or(address.len());
        if end > LONGEST_HOST {
            return false;
        }
        let host = address[..end].to_ascii_lowercase();
        if let Some(path) = self.names.find_lower(&host) {
            let slash = memchr::memchr(b'/', address).unwrap_or(address.len());
            return path.as_ref().is_none_or(|path| address[slash..].starts_with(path));
        }
        own.iter().any(|name| is_named(name, &host))
            || self.regexes.iter().any(|regex| regex.is_match(address))
    }
}

/// Whether a host, in lower case, matches a server name.
fn is_named(name: &ServerName, host: &[u8]) -> bool {
    match name {
        ServerName::Regex(regex) => regex.regex().is_match(host),
        ServerName::Plain(name) => match &name[..] {
            [b'*', suffix @ ..] => host.len() >= suffix.len() && host.ends_with(suffix),
            [b'.', suffix @ ..] if host == suffix => true,
            [b'.', ..] => host.ends_with(name),
            [prefix @ .., b'*'] => host.starts_with(prefix),
            name => host == name,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn valid(names: &[&str]) -> Valid {
        let mut valid = Valid::default();
        for name in names {
            let (host, path) = match name.find('/') {
                Some(slash) => (&name[..slash], Some(name.as_bytes()[slash..].to_vec())),
                None => (*name, None),
            };
            valid.names.add(host.as_bytes(), path).unwrap();
        }
        valid
    }

    #[test]
    fn hosts_and_paths() {
        let valid = valid(&["www.example.org/uri", "*.example.com", "example.*"]);
        for (address, expected) in [
            ("www.example.org/uri2", true),
            ("WWW.example.org:80/uri", true),
            ("www.example.org/ur", false),
            ("www.example.org", false),
            ("a.example.com", true),
            ("example.com", true),
            ("aexample.com", false),
        ] {
            assert_eq!(valid.allows(address.as_bytes(), &[]), expected, "{address}");
        }
    }

    #[test]
    fn names_of_the_server() {
        let plain = |name: &str| ServerName::Plain(name.as_bytes().to_vec());
        assert!(is_named(&plain("*.a.b"), b"x.a.b"));
        assert!(!is_named(&plain("*.a.b"), b"a.b"));
        assert!(is_named(&plain(".a.b"), b"a.b"));
        assert!(is_named(&plain("a.*"), b"a.b"));
        assert!(!is_named(&plain("a.*"), b"ab"));
        assert!(is_named(&plain("a"), b"a"));
    }

    #[test]
    fn invalid_addresses() {
        assert_eq!(address(b"http://su"), None);
        assert_eq!(address(b"www.example.org"), None);
        assert_eq!(address(b"HTTPS://example.org"), Some(&b"example.org"[..]));
    }
}
