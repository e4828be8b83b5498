//! Entry points of fuzz targets: no input may cause a panic.

use crate::cidr::Cidr;
use crate::condition::Condition;
use crate::envsubst;
use crate::geo::GeoBuilder;
use crate::log_format::LogFormat;
use crate::map::Map;
use crate::rewrite::Rewrite;
use crate::split_clients::SplitClients;
use crate::{Captures, Host, Regex, Scope, Template, VarId, Variables};

/// A host in which each variable's value is its index.
#[derive(Debug, Default)]
struct Numbers(Captures);

impl Host for Numbers {
    fn variable(&mut self, id: VarId, out: &mut Vec<u8>) -> bool {
        out.extend_from_slice(id.index().to_string().as_bytes());
        true
    }

    fn capture(&mut self, n: usize, out: &mut Vec<u8>) -> bool {
        out.extend_from_slice(self.0.get(n).unwrap_or_default());
        self.0.get(n).is_some()
    }
}

impl Scope for Numbers {
    fn captures(&mut self) -> &mut Captures {
        &mut self.0
    }

    fn assign(&mut self, _id: VarId, _value: &[u8]) {}
}

/// Fills the bytes as a template of a configuration: names without a value leave it as it is, and
/// another spelling of the same names changes nothing more.
pub fn envsubst(data: &[u8]) {
    let mut same = Vec::new();
    envsubst::substitute(data, |_, _| false, &mut same);
    assert_eq!(same, data);
    let in_braces = |text: &[u8]| {
        let mut out = Vec::new();
        let value = |name: &[u8], out: &mut Vec<u8>| {
            out.extend([b"${", name, b"}"].concat());
            true
        };
        envsubst::substitute(text, value, &mut out);
        out
    };
    let once = in_braces(data);
    assert_eq!(in_braces(&once), once);
}

/// Compiles the bytes as a template and as a log format, and evaluates both.
pub fn template(data: &[u8]) {
    let mut vars = Variables::default();
    let mut out = Vec::new();
    if let Ok(template) = Template::compile(data, &mut vars) {
        template.eval(&mut Numbers::default(), &mut out);
    }
    if let Ok(format) = LogFormat::parse(&words(data), &mut vars) {
        format.eval(&mut Numbers::default(), &mut out);
    }
}

/// Compiles the first line as a pattern and matches it against the rest.
pub fn regex(data: &[u8]) {
    let end = memchr::memchr(b'\n', data).unwrap_or(data.len());
    let (pattern, subject) = data.split_at(end);
    for caseless in [false, true] {
        if let Ok(regex) = Regex::compile_bytes(pattern, caseless) {
            let matched = regex.is_match(subject);
            let captures = regex.captures(subject);
            debug_assert!(!regex.is_linear() || captures.is_some() == matched);
        }
    }
}

/// Compiles the words as a `rewrite` and as a condition, and applies them.
pub fn rewrite(data: &[u8]) {
    let mut vars = Variables::default();
    let words = words(data);
    let mut scratch = Vec::new();
    if let [pattern, replacement, rest @ ..] = &words[..] {
        let rewrite = Rewrite::compile(pattern, replacement, rest.first().copied(), &mut vars);
        if let Ok(rewrite) = rewrite {
            let mut host = Numbers::default();
            if rewrite.matches(data, &mut host) {
                rewrite.replace(&mut host, data, true, &mut scratch);
            }
        }
    }
    if let Ok(condition) = Condition::compile(&words, &mut vars) {
        condition.holds(&mut Numbers::default(), &mut scratch, |_, _| Default::default());
    }
}

/// Adds each line as a row to `map`, `geo` and `split_clients`, then looks the bytes up.
pub fn tables(data: &[u8]) {
    let mut vars = Variables::default();
    let mut map = Map::<Template>::default();
    let mut geo = GeoBuilder::default();
    let mut split = SplitClients::default();
    for line in data.split(|&byte| byte == b'\n') {
        let words = words(line);
        let _ = map.row(&words, &mut vars);
        let _ = geo.row(&words, &mut drop);
        if let [share, value] = words[..] {
            let _ = split.push(share, value);
        }
        let _ = Cidr::parse(line);
    }
    map.find(data, &mut Numbers::default());
    geo.build().find(weir_conf::value::parse_ip_port(data).map(|address| address.ip()));
    if let Ok(split) = split.finish() {
        split.find(data);
    }
}

fn words(line: &[u8]) -> Vec<&[u8]> {
    line.split(|&byte| byte == b' ').filter(|word| !word.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    /// A small fuzzer over meaningful bytes in random order.
    #[test]
    fn nothing_panics() {
        const ALPHABET: &[u8] = b"aZ09 \n$${}()[]?*+|\\^-.:/<>=!#,~&'PQEgkxpic\xc3\xa9\x00";
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        for round in 0..2_000 {
            let mut data = Vec::new();
            for _ in 0..round % 40 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                data.push(ALPHABET[usize::try_from(state >> 33).unwrap() % ALPHABET.len()]);
            }
            super::template(&data);
            super::regex(&data);
            super::rewrite(&data);
            super::tables(&data);
        }
    }
}
