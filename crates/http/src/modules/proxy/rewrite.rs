//! `proxy_redirect`, `proxy_cookie_domain`, `proxy_cookie_path`, `proxy_cookie_flags`: rewriting of
//! response fields that name the upstream.

use weir_conf::{Cx, Fault, Node, Word};
use weir_script::{CaptureRegex, Template, Variables};

use super::cookie::{self, FlagsRule};
use super::{PROXY, ProxyWritten};
use crate::pass::destination::Destination;
use crate::request::Request;
use crate::route::Location;

/// The pattern of a rule.
#[derive(Clone, Debug)]
pub(super) enum Pattern {
    /// Text, which may have variables.
    Text(Template),
    /// A regular expression.
    Regex(CaptureRegex),
}

/// One `proxy_redirect`, `proxy_cookie_domain` or `proxy_cookie_path`.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pattern: Pattern,
    replacement: Template,
}

/// The rules of one kind in a block. An empty list is `off`.
type Written<T> = Option<Option<Vec<T>>>;

impl Rule {
    fn compile(words: &[Word], caseful: bool, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        let pattern = Pattern::compile(&words[0].value, caseful, cx)?;
        let replacement = Template::compile(&words[1].value, cx.registry::<Variables>())?;
        Ok(Self { pattern, replacement })
    }

    /// The rule of `proxy_redirect default`, which maps the URL of `proxy_pass` to the location.
    pub(super) fn default(destination: &Destination) -> Option<Self> {
        let Destination::Fixed { url, place, location, .. } = destination else { return None };
        let (from, to) = match place.uri {
            Some(_) => (url.clone(), location.as_slice()),
            None => ([url.as_slice(), b"/"].concat(), &b"/"[..]),
        };
        Some(Self {
            pattern: Pattern::Text(Template::from_literal(&from)),
            replacement: Template::from_literal(to),
        })
    }

    /// Replaces the pattern at the start of `value`. A regular expression replaces the whole value.
    pub(super) fn rewrite_start(&self, request: &mut Request, value: &[u8]) -> Option<Vec<u8>> {
        let rest = match &self.pattern {
            Pattern::Text(text) => value.strip_prefix(request.eval(text).as_slice())?,
            Pattern::Regex(regex) => regex.matches(value, request).then_some(&b""[..])?,
        };
        let mut new = request.eval(&self.replacement);
        new.extend_from_slice(rest);
        Some(new)
    }

    /// Replaces a whole domain, except a leading dot.
    pub(super) fn rewrite_domain(&self, request: &mut Request, value: &[u8]) -> Option<Vec<u8>> {
        let Pattern::Text(text) = &self.pattern else { return self.rewrite_start(request, value) };
        let domain = value.strip_prefix(b".").unwrap_or(value);
        if !request.eval(text).eq_ignore_ascii_case(domain) {
            return None;
        }
        let mut new = value[..value.len() - domain.len()].to_vec();
        self.replacement.eval(request, &mut new);
        Some(new)
    }
}

impl Pattern {
    /// A regular expression after `~`, or after `~*` to ignore case; otherwise a text.
    pub(super) fn compile(text: &[u8], caseful: bool, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        let vars = cx.registry::<Variables>();
        let Some(pattern) = text.strip_prefix(b"~") else {
            return Ok(Self::Text(Template::compile(text, vars)?));
        };
        let (pattern, caseless) = match pattern.strip_prefix(b"*") {
            Some(pattern) if caseful => (pattern, true),
            _ => (pattern, !caseful),
        };
        Ok(Self::Regex(CaptureRegex::compile(pattern, caseless, vars)?))
    }
}

/// Handles `off`; otherwise returns the rules of the block, to be extended.
pub(super) fn rules<'w, T>(
    written: &'w mut Written<T>,
    node: &Node,
    alone: &[&str],
) -> Result<Option<&'w mut Vec<T>>, Fault> {
    let is_off = matches!(written, Some(Some(rules)) if rules.is_empty());
    if is_off {
        return Err(Fault::duplicate());
    }
    if let [word] = &node.args[..] {
        if word.is("off") {
            if written.is_some() {
                return Err(Fault::duplicate());
            }
            *written = Some(Some(Vec::new()));
            return Ok(None);
        }
        if !alone.iter().any(|known| word.is(known)) {
            return Err(Fault::parameter(word));
        }
    }
    Ok(Some(written.get_or_insert_default().get_or_insert_default()))
}

pub(super) fn set_redirect(
    own: &mut ProxyWritten,
    node: &Node,
    cx: &mut Cx<'_>,
) -> Result<(), Fault> {
    let Some(rules) = rules(&mut own.redirects, node, &["default"])? else { return Ok(()) };
    if node.args.len() == 2 {
        rules.push(Rule::compile(&node.args, true, cx)?);
        return Ok(());
    }
    let Some(Some(destination)) = &own.pass else {
        return Err(Fault::new(
            "\"proxy_redirect default\" should be placed after the \"proxy_pass\" directive",
        ));
    };
    rules.push(Rule::default(destination).ok_or_else(|| {
        Fault::new(
            "\"proxy_redirect default\" cannot be used with \"proxy_pass\" directive with \
             variables",
        )
    })?);
    Ok(())
}

pub(super) fn set_cookie_domain(
    own: &mut ProxyWritten,
    node: &Node,
    cx: &mut Cx<'_>,
) -> Result<(), Fault> {
    let Some(rules) = rules(&mut own.cookie_domains, node, &[])? else { return Ok(()) };
    let mut words = node.args.clone();
    if words[0].value.first() != Some(&b'~') {
        for word in &mut words {
            if word.value.first() == Some(&b'.') {
                word.value.remove(0);
            }
        }
    }
    rules.push(Rule::compile(&words, false, cx)?);
    Ok(())
}

pub(super) fn set_cookie_path(
    own: &mut ProxyWritten,
    node: &Node,
    cx: &mut Cx<'_>,
) -> Result<(), Fault> {
    if let Some(rules) = rules(&mut own.cookie_paths, node, &[])? {
        rules.push(Rule::compile(&node.args, true, cx)?);
    }
    Ok(())
}

pub(super) fn set_cookie_flags(
    own: &mut ProxyWritten,
    node: &Node,
    cx: &mut Cx<'_>,
) -> Result<(), Fault> {
    if let Some(rules) = rules(&mut own.cookie_flags, node, &[])? {
        rules.push(FlagsRule::compile(&node.args, cx)?);
    }
    Ok(())
}

/// The rewritten value of `Location`; None leaves it unchanged.
pub(super) fn redirect(
    location: &Location,
    request: &mut Request,
    value: &[u8],
) -> Option<Vec<u8>> {
    let rules = location.settings.get(&PROXY).redirects.as_ref()?;
    rules.iter().find_map(|rule| rule.rewrite_start(request, value))
}

/// The rewritten value of `Set-Cookie`; None leaves it unchanged.
pub(super) fn cookie(location: &Location, request: &mut Request, value: &[u8]) -> Option<Vec<u8>> {
    let proxy = location.settings.get(&PROXY);
    cookie::rewrite(
        request,
        value,
        proxy.cookie_domains.as_deref().unwrap_or_default(),
        proxy.cookie_paths.as_deref().unwrap_or_default(),
        proxy.cookie_flags.as_deref().unwrap_or_default(),
    )
}
