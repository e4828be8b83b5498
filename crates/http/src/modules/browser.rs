//! `$modern_browser` and `$ancient_browser`
//! (<https://nginx.org/en/docs/http/ngx_http_browser_module.html>).

use std::sync::Arc;

use memchr::memmem;
use weir_conf::{Arity, Cx, Fault, Inherit, Local, Node, Slot, Value, directives};
use weir_wire::header::Known;

use crate::module::Module;
use crate::request::Request;
use crate::variables::VariableRow;

pub(crate) const MODULE: Module = Module {
    name: "browser",
    tables: &[&Browser::table(&BROWSER)],
    variables: &[
        VariableRow::new(
            "msie",
            "`1` if the browser is an Internet Explorer, otherwise empty.",
            msie,
        )
        .changeable(),
        VariableRow::new(
            "modern_browser",
            "The value of `modern_browser_value` if the browser is modern by `modern_browser`, \
             otherwise empty.",
            modern,
        )
        .changeable(),
        VariableRow::new(
            "ancient_browser",
            "The value of `ancient_browser_value` if the browser is ancient by `ancient_browser`, \
             otherwise empty.",
            ancient,
        )
        .changeable(),
    ],
    ..Module::NONE
};

static BROWSER: Slot<Browser> = Slot::new();

/// A string whose last occurrence counts.
#[derive(Clone, Debug)]
pub(crate) struct LastString(String);

impl Value for LastString {
    const SYNTAX: &'static str = "string";
    const ARITY: Arity = Arity::ONE;

    fn parse(node: &Node, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        String::parse(node, cx).map(Self)
    }

    fn again(&mut self, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
        *self = Self::parse(node, cx)?;
        Ok(())
    }

    fn show(&self) -> Option<String> {
        self.0.show()
    }
}

directives! {
    /// Classification of browsers as modern or ancient.
    pub struct Browser as BrowserWritten in [http, server, location] {
        /// The first modern version of a browser, or `unlisted` to treat all other browsers as
        /// modern.
        "modern_browser" [1, 2]: "browser version | unlisted" => add_modern,
        /// Substrings of `User-Agent` that mark ancient browsers; `netscape4` stands for all of
        /// Netscape 1 to 4.
        "ancient_browser" [1+]: "string ..." => add_ancient,
        /// The value of `$modern_browser` for modern browsers.
        "modern_browser_value" as "string" => modern_value: LastString = LastString("1".to_owned()),
        /// The value of `$ancient_browser` for ancient browsers.
        "ancient_browser_value" as "string" => ancient_value: LastString = LastString("1".to_owned()),
        field modern: Local<Modern>,
        field ancient: Inherit<Arc<Ancient>>,
    }
    finish = Browser::finish;
}

/// The modern browsers of a level.
#[derive(Clone, Debug, Default)]
pub(crate) struct Modern {
    /// Indices into [`KINDS`], with the first modern version.
    listed: Vec<(usize, u64)>,
    unlisted: bool,
}

/// The ancient browsers of a level.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ancient {
    texts: Vec<Vec<u8>>,
    netscape4: bool,
}

/// The `User-Agent` pattern of a browser.
struct Kind {
    name: &'static str,
    /// The length of the prefix that is skipped in the search for `mark`.
    skip: usize,
    mark: &'static str,
    /// Bytes from the start of the mark to the version.
    version_at: usize,
}

const fn kind(name: &'static str, skip: usize, mark: &'static str, version_at: usize) -> Kind {
    Kind { name, skip, mark, version_at }
}

/// The browsers, in matching order. Opera comes first because it also names the others.
const KINDS: [Kind; 5] = [
    kind("opera", 0, "Opera", "Opera ".len()),
    kind("msie", "Mozilla/4.0 (compatible; ".len(), "MSIE ", "MSIE ".len()),
    kind("gecko", "Mozilla/5.0 (".len(), "rv:", "rv:".len()),
    kind("safari", "Mozilla/5.0 (".len(), "Safari/", "Safari/".len()),
    kind("konqueror", "Mozilla/5.0 (compatible; ".len(), "Konqueror/", "Konqueror/".len()),
];

const OPERA: usize = 0;

/// A version above that of any browser.
const NEVER: u64 = 4_001_000_000;

fn add_modern(own: &mut BrowserWritten, node: &Node, _: &mut Cx<'_>) -> Result<(), Fault> {
    let modern = own.modern.get_or_insert_default();
    let [browser, version] = &node.args[..] else {
        if node.args[0].is("unlisted") {
            modern.unlisted = true;
            return Ok(());
        }
        return Err(Fault::parameter(&node.args[0]));
    };
    let known = |kind: &Kind| kind.name.as_bytes().eq_ignore_ascii_case(&browser.value);
    let Some(kind) = KINDS.iter().position(known) else {
        return Err(Fault::new(format!("unknown browser name \"{}\"", browser.text())).at(browser));
    };
    if !version.value.iter().all(|b| b.is_ascii_digit() || *b == b'.') {
        let text = format!("invalid browser version \"{}\"", version.text());
        return Err(Fault::new(text).at(version));
    }
    modern.listed.push((kind, parse_version(&version.value)));
    Ok(())
}

fn add_ancient(own: &mut BrowserWritten, node: &Node, _: &mut Cx<'_>) -> Result<(), Fault> {
    let ancient = Arc::make_mut(own.ancient.get_or_insert_default());
    for word in &node.args {
        if word.is("netscape4") {
            ancient.netscape4 = true;
        } else {
            ancient.texts.push(word.value.clone());
        }
    }
    Ok(())
}

impl Browser {
    fn finish(&mut self, parent: Option<&Self>, _: &mut Cx<'_>) -> Result<(), Fault> {
        if self.modern.listed.is_empty() {
            if let Some(parent) = parent
                && !self.modern.unlisted
            {
                self.modern = parent.modern.clone();
            }
            return Ok(());
        }
        // Opera can name another browser as well, so it is always looked for.
        if !self.modern.listed.iter().any(|&(kind, _)| kind == OPERA) {
            self.modern.listed.push((OPERA, NEVER));
        }
        self.modern.listed.sort_by_key(|&(kind, _)| kind);
        Ok(())
    }

    /// Whether a browser is modern rather than ancient.
    fn is_modern(&self, agent: Option<&[u8]>) -> bool {
        let Some(agent) = agent else { return self.modern.unlisted };
        for &(kind, least) in &self.modern.listed {
            if let Some(version) = KINDS[kind].version(agent) {
                return version >= least;
            }
        }
        if !self.modern.listed.is_empty() && !self.modern.unlisted {
            return false;
        }
        let ancient = self.ancient.netscape4 && is_netscape4(agent)
            || self.ancient.texts.iter().any(|text| memmem::find(agent, text).is_some());
        !ancient && self.modern.unlisted
    }
}

impl Kind {
    /// The browser's version, if it is of this kind.
    fn version<'a>(&self, agent: &'a [u8]) -> Option<u64> {
        let rest: &'a [u8] = agent.get(self.skip..)?;
        let at = memmem::find(rest, self.mark.as_bytes())? + self.version_at;
        let text = rest.get(at..).filter(|text| !text.is_empty())?;
        let end = text.iter().position(|b| !b.is_ascii_digit() && *b != b'.');
        Some(parse_version(&text[..end.unwrap_or(text.len())]))
    }
}

/// Parses `8.5.1` as 8,050,100: a part has weight 1,000,000, 10,000, 100 and 1. Overflow wraps.
fn parse_version(text: &[u8]) -> u64 {
    let mut scale = 1_000_000;
    let mut version = 0_u64;
    for part in text.split(|&b| b == b'.') {
        let number = part.iter().fold(0_u64, |number, digit| {
            number.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'))
        });
        version = version.wrapping_add(number.wrapping_mul(scale));
        scale /= 100;
    }
    version
}

fn is_netscape4(agent: &[u8]) -> bool {
    agent.len() > "Mozilla/4.72 ".len()
        && agent.starts_with(b"Mozilla/")
        && matches!(agent[8], b'1'..=b'4')
}

/// `$modern_browser`.
fn modern(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    let settings = request.get(&BROWSER);
    if settings.is_modern(request.head.get(Known::UserAgent)) {
        out.extend_from_slice(settings.modern_value.0.as_bytes());
    }
    true
}

/// `$ancient_browser`.
fn ancient(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    let settings = request.get(&BROWSER);
    if !settings.is_modern(request.head.get(Known::UserAgent)) {
        out.extend_from_slice(settings.ancient_value.0.as_bytes());
    }
    true
}

/// `$msie`: `1` for Internet Explorer.
fn msie(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    let agent = request.head.get(Known::UserAgent).unwrap_or_default();
    let found = memmem::find(agent, b"MSIE ").is_some_and(|at| at + 7 < agent.len());
    if found && memmem::find(agent, b"Opera").is_none() {
        out.push(b'1');
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn browser(listed: &[(usize, &str)], unlisted: bool) -> Browser {
        let listed = listed.iter().map(|&(k, v)| (k, parse_version(v.as_bytes()))).collect();
        Browser { modern: Modern { listed, unlisted }, ..Browser::default() }
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        let settings = browser(&[(1, "5.5"), (2, "1.0.0")], false);
        let msie = |version| format!("Mozilla/4.0 (compatible; MSIE {version}; Windows NT 5.1)");
        assert!(settings.is_modern(Some(msie("6.0").as_bytes())));
        assert!(settings.is_modern(Some(msie("5.5").as_bytes())));
        assert!(!settings.is_modern(Some(msie("5.01").as_bytes())));
        assert!(settings.is_modern(Some(b"Mozilla/5.0 (X11; U; rv:1.8.0.5) Gecko/20060729")));
        assert!(!settings.is_modern(Some(b"curl/7")));
        assert!(!settings.is_modern(None));
    }

    #[test]
    fn unknown_browsers_follow_unlisted() {
        let mut settings = browser(&[], true);
        assert!(settings.is_modern(Some(b"anything")));
        let ancient = Ancient { texts: vec![b"Lynx".to_vec()], netscape4: true };
        settings.ancient = Arc::new(ancient);
        assert!(!settings.is_modern(Some(b"Lynx/2.8")));
        assert!(!settings.is_modern(Some(b"Mozilla/4.72 [en]")));
        assert!(settings.is_modern(Some(b"Mozilla/5.0 (something)")));
    }
}
