//! A call of the API, independent of its request: it goes to another thread.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::Value;
use weir_upstream::{Group, Side};
use weir_wire::h1::Method;
use weir_wire::uri::{Escape, Unescape, escape, split_args, unescape};

use super::endpoint::{Endpoint, Find, VERSIONS};
use super::failure::Failure;
use super::fields;
use crate::core::location::Kind;
use crate::request::Request;
use crate::status_tree::Question;

/// A call.
#[derive(Clone)]
pub(super) struct Call {
    pub(super) method: Method,
    /// The version asked for; 0 if the path ends before it.
    pub(super) version: u8,
    /// The segments behind the version.
    pub(super) path: Vec<String>,
    /// The query string.
    pub(super) args: Vec<u8>,
    pub(super) body: Vec<u8>,
    /// The groups of the configuration, for calls about upstreams.
    pub(super) groups: Vec<Arc<Group>>,
    /// The address of the server that accepted the call.
    pub(super) address: String,
    /// Whether it comes from within, where groups without a zone are shown, too.
    pub(super) within: bool,
    /// The numbers of its connection and of the request on it; 0 for a question from within.
    pub(super) place: (u64, u64),
    /// The path up to the version, as requested.
    base: String,
    /// What the path names, or why it names nothing.
    endpoint: Result<Option<&'static Endpoint>, Failure>,
}

/// A successful answer.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// 200 with this value.
    Found(Value),
    /// 201, at a path behind the version, with the new object if it is shown.
    Created(String, Option<Value>),
    /// 204.
    Done,
}

/// A segment of a path, decoded: names may have any characters.
fn segment(text: &[u8]) -> String {
    let mut decoded = Vec::with_capacity(text.len());
    unescape(Unescape::All, text, &mut decoded);
    String::from_utf8_lossy(&decoded).into_owned()
}

/// A name as a segment of a path.
pub(super) fn escaped(name: &str) -> String {
    let mut text = Vec::with_capacity(name.len());
    escape(Escape::UriComponent, name.as_bytes(), &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// The segments of `rest`, the end of a URI. Those of `target`, which the client has sent, have
/// slashes within names as `%2F`; they are taken where they say the same.
fn segments(rest: &str, target: &[u8]) -> Vec<String> {
    let path = split_args(target).0;
    let is_text = |text: &&str| !text.is_empty();
    let wanted: Vec<&str> = rest.split('/').filter(is_text).collect();
    let mut found: VecDeque<String> = VecDeque::new();
    let mut left = wanted.as_slice();
    for raw in path.rsplit(|&byte| byte == b'/').filter(|raw| !raw.is_empty()) {
        if left.is_empty() {
            break;
        }
        let decoded = segment(raw);
        let before = left.len().saturating_sub(decoded.split('/').filter(is_text).count());
        if !left[before..].iter().copied().eq(decoded.split('/').filter(is_text)) {
            break;
        }
        left = &left[..before];
        found.push_front(decoded);
    }
    if left.is_empty() {
        return found.into();
    }
    let mut plain: Vec<String> = rest.split('/').map(str::to_owned).collect();
    // Lists and objects are the same with a final slash.
    plain.pop_if(|last| last.is_empty());
    plain
}

impl Call {
    /// The call of a request, without its body.
    pub(super) fn of(request: &mut Request, find: Find) -> Self {
        let rest = rest(request);
        let uri = String::from_utf8_lossy(&request.uri);
        let base = uri.strip_suffix(&rest).unwrap_or(&uri).trim_end_matches('/').to_owned();
        let mut segments = segments(&rest, request.head.target()).into_iter();
        let version = segments.next().map(|text| text.parse().ok().filter(is_version));
        let path: Vec<String> = segments.collect();
        let endpoint = match version {
            None => Ok(None),
            Some(None) => Err(Failure::unknown_version()),
            Some(Some(version)) => find(version, &path).map(Some),
        };
        let about_groups = path.starts_with(&["http".to_owned(), "upstreams".to_owned()]);
        let address = request.info.local.ip_text();
        Self {
            method: request.method,
            version: version.flatten().unwrap_or(0),
            path,
            args: request.args.clone(),
            body: Vec::new(),
            groups: match about_groups {
                true => request.snapshot.declared_groups(Side::Http),
                false => Vec::new(),
            },
            address,
            place: (request.info.id, request.number),
            within: false,
            base,
            endpoint,
        }
    }

    /// A question from within, as a call of the latest version.
    pub(super) fn within(question: &Question, find: Find) -> Self {
        let path: Vec<String> =
            question.path.split('/').map(|text| segment(text.as_bytes())).collect();
        let version = *VERSIONS.end();
        Self {
            method: Method::Get,
            version,
            endpoint: find(version, &path).map(Some),
            path,
            args: question.args.clone(),
            body: Vec::new(),
            groups: question.groups.clone(),
            address: question.address.clone(),
            place: (0, 0),
            within: true,
            base: String::new(),
        }
    }

    /// Checks path and method. Without `writable`, only reading is permitted.
    ///
    /// # Errors
    /// The refusal.
    pub(super) fn check(&self, writable: bool) -> Result<(), Failure> {
        let endpoint = self.endpoint.as_ref().map_err(Clone::clone)?;
        let reads = matches!(self.method, Method::Get | Method::Head);
        match reads || (writable && endpoint.is_some_and(|it| it.action(self.method).is_some())) {
            true => Ok(()),
            false => Err(Failure::method_disabled()),
        }
    }

    /// The methods of the path, for `Allow`.
    pub(super) fn allowed(&self) -> Vec<&'static str> {
        match &self.endpoint {
            Ok(Some(endpoint)) => endpoint.methods(),
            _ => vec!["GET", "HEAD"],
        }
    }

    /// Whether the call has a body.
    pub(super) fn takes_body(&self) -> bool {
        matches!(self.method, Method::Post | Method::Patch)
    }

    /// Carries the call out.
    ///
    /// # Errors
    /// The refusal.
    pub(super) fn answer(&self) -> Result<Answer, Failure> {
        let Some(endpoint) = self.endpoint.as_ref().map_err(Clone::clone)? else {
            return Ok(Answer::Found(VERSIONS.collect()));
        };
        let method = if self.method == Method::Head { Method::Get } else { self.method };
        let action = endpoint.action(method).ok_or_else(Failure::method_disabled)?;
        let answer = action(self)?;
        Ok(match (answer, self.arg("fields")) {
            (Answer::Found(value), Some(wanted)) if method == Method::Get => {
                Answer::Found(fields::trim(value, &wanted, endpoint.shape))
            }
            (answer, _) => answer,
        })
    }

    /// The URI of an object, by its path behind the version.
    pub(super) fn location(&self, at: &str) -> String {
        format!("{}/{}/{at}", self.base, self.version)
    }

    /// The value of an argument, decoded.
    pub(super) fn arg(&self, name: &str) -> Option<String> {
        let raw = weir_wire::uri::arg(&self.args, name.as_bytes())?;
        let mut value = Vec::new();
        unescape(Unescape::All, raw, &mut value);
        Some(String::from_utf8_lossy(&value).into_owned())
    }

    /// Whether there is an argument of this name, with a value or without.
    pub(super) fn has_arg(&self, name: &str) -> bool {
        let mut args = self.args.split(|&byte| byte == b'&');
        args.any(|arg| arg.split(|&byte| byte == b'=').next() == Some(name.as_bytes()))
    }

    /// A segment of the path.
    pub(super) fn segment(&self, place: usize) -> &str {
        self.path.get(place).map_or("", String::as_str)
    }
}

fn is_version(version: &u8) -> bool {
    VERSIONS.contains(version)
}

/// The part of the URI behind the location. A regular expression or a named location has no prefix
/// to remove: there, the first segment that is a number begins the rest.
fn rest(request: &Request) -> String {
    let location = &request.location;
    let uri = String::from_utf8_lossy(&request.uri);
    let name = String::from_utf8_lossy(&location.name);
    match location.kind {
        Kind::Regex { .. } | Kind::Named => {}
        _ => {
            if let Some(rest) = uri.strip_prefix(&*name) {
                return rest.trim_start_matches('/').to_owned();
            }
        }
    }
    let mut rest = uri.as_ref();
    while let Some((segment, next)) = rest.split_once('/') {
        if !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit()) {
            return rest.to_owned();
        }
        rest = next;
    }
    match rest.parse::<u64>() {
        Ok(_) => rest.to_owned(),
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_have_slashes() {
        for (rest, target, expected) in [
            ("9/http/upstreams/u", "/api/9/http/upstreams/u", "9|http|upstreams|u"),
            ("9/http/upstreams/", "/api/9/http/upstreams/?fields=a/b", "9|http|upstreams"),
            (
                "9/http/upstreams/a/b/servers",
                "/api/9/http/upstreams/a%2Fb/servers",
                "9|http|upstreams|a/b|servers",
            ),
            ("9/http/upstreams/a/", "/api/9/http/upstreams/a%2f", "9|http|upstreams|a/"),
            ("9/http/upstreams/a/b", "/api/9/http/upstreams/a%2F%2Fb", "9|http|upstreams|a//b"),
            ("9/a %/?", "/api/9/a%20%25%2F%3F?x", "9|a %/?"),
            ("9/http", "/api/9//http", "9|http"),
            // The version is not within a name.
            ("9/http", "/api%2F9/http", "9|http"),
            // Another URI than the client's, by a rewrite.
            ("9/http/caches", "/status", "9|http|caches"),
            ("9/a/b", "/x%2Fy", "9|a|b"),
            ("", "/api", ""),
        ] {
            assert_eq!(segments(rest, target.as_bytes()).join("|"), expected, "{target}");
        }
        assert_eq!(escaped("a/b %\u{e9}"), "a%2Fb%20%25%C3%A9");
    }
}
