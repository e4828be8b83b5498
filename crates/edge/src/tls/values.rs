//! Arguments of the `ssl_` directives, for clients and for upstreams.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use weir_conf::value::{parse_number, parse_sec, parse_size};
use weir_conf::{Arity, Cx, Fault, Node, Value, Word};
use weir_engine::os_error::Failed;
use weir_engine::tls::Protocols;

use super::cache::{CacheLimits, FileCache};

/// `ssl_protocols`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProtocolSet(pub Protocols);

impl Default for ProtocolSet {
    fn default() -> Self {
        Self(Protocols::DEFAULT)
    }
}

impl Value for ProtocolSet {
    const SYNTAX: &'static str = "[SSLv2] [SSLv3] [TLSv1] [TLSv1.1] [TLSv1.2] [TLSv1.3]";
    const ARITY: Arity = Arity::at_least(1);

    fn parse(node: &Node, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        let mut set = Self(Protocols::default());
        set.again(node, cx)?;
        Ok(set)
    }

    fn again(&mut self, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
        for word in &node.args {
            let text = word.text();
            let known = NAMES.iter().find(|name| name.eq_ignore_ascii_case(&text));
            let Some(name) = known else { return Err(Fault::invalid(word)) };
            let before = self.0;
            self.0.add(name);
            // Old protocols share a flag, so a second one is not a duplicate.
            if before == self.0 && name.len() > "TLSv1.".len() && !name.ends_with('1') {
                cx.warn(format!("duplicate value \"{text}\""));
            }
        }
        Ok(())
    }

    fn show(&self) -> Option<String> {
        (self.0 == Protocols::DEFAULT).then(|| "TLSv1.2 TLSv1.3".to_owned())
    }
}

const NAMES: [&str; 6] = ["SSLv2", "SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"];

/// `ssl_password_file`, read with the directive: it may be a pipe, which can be read only once.
#[derive(Clone, Default)]
pub struct Passwords(pub Vec<Vec<u8>>);

impl Passwords {
    /// The passwords as slices, for decryption.
    pub fn slices(&self) -> Vec<&[u8]> {
        self.0.iter().map(Vec::as_slice).collect()
    }
}

/// The path of the file that a directive names, relative to the configuration, and its content.
///
/// # Errors
/// It cannot be read.
pub fn read_file(node: &Node, cx: &Cx<'_>) -> Result<(PathBuf, Arc<[u8]>), Fault> {
    let path = cx.conf_path(&node.args[0].text());
    let content = cx.env().read(&path).map_err(|error| {
        let call = format!("open() \"{}\" failed", path.display());
        Fault::new(Failed(&call, &error).to_string())
    })?;
    Ok((path, content))
}

impl Value for Passwords {
    const SYNTAX: &'static str = "file";
    const ARITY: Arity = Arity::ONE;

    fn parse(node: &Node, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        let (_, text) = read_file(node, cx)?;
        let lines = text.split(|&byte| byte == b'\n');
        let bare = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        Ok(Self(bare.filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect()))
    }
}

/// `ssl_certificate_cache`: the cache of certificates named by variables.
#[derive(Clone, Debug, Default)]
pub struct CertificateCache(pub Option<Arc<FileCache>>);

impl CertificateCache {
    /// Whether both are the same cache.
    pub fn is_like(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(one), Some(two)) => Arc::ptr_eq(one, two),
            (None, None) => true,
            _ => false,
        }
    }
}

impl Value for CertificateCache {
    const SYNTAX: &'static str = "off | max=N [inactive=time] [valid=time]";
    const ARITY: Arity = Arity::exactly(1).or(Arity::exactly(2)).or(Arity::exactly(3));

    fn parse(node: &Node, _: &mut Cx<'_>) -> Result<Self, Fault> {
        let mut limits = CacheLimits {
            max: 0,
            inactive: Duration::from_secs(10),
            valid: Duration::from_secs(60),
        };
        let mut off = false;
        for word in &node.args {
            off |= parameter(&mut limits, word).ok_or_else(|| Fault::parameter(word))?;
        }
        if off {
            return Ok(Self(None));
        }
        if limits.max == 0 {
            let name = node.text();
            return Err(Fault::new(format!("\"{name}\" must have the \"max\" parameter")));
        }
        Ok(Self(Some(Arc::new(FileCache::new(limits)))))
    }

    fn show(&self) -> Option<String> {
        self.0.is_none().then(|| "off".to_owned())
    }
}

/// Parses a parameter. Returns whether it is `off`.
fn parameter(limits: &mut CacheLimits, word: &Word) -> Option<bool> {
    let text = word.text();
    let seconds = |text: &str| parse_sec(text.as_bytes());
    if let Some(max) = text.strip_prefix("max=") {
        let max = parse_number(max.as_bytes()).filter(|&max| max > 0)?;
        limits.max = usize::try_from(max).unwrap_or(usize::MAX);
    } else if let Some(time) = text.strip_prefix("inactive=") {
        limits.inactive = seconds(time)?;
    } else if let Some(time) = text.strip_prefix("valid=") {
        limits.valid = seconds(time)?;
    } else {
        return (text == "off").then_some(true);
    }
    Some(false)
}

/// The minimum size of a zone: eight pages.
pub(crate) const SMALLEST_ZONE: u64 = 8 * 4096;

/// Parses `shared:NAME:SIZE`.
pub(crate) fn shared_zone(text: &str) -> Option<(&str, u64)> {
    let (name, size) = text.strip_prefix("shared:")?.split_once(':')?;
    let size = parse_size(size.as_bytes())?;
    (!name.is_empty()).then_some((name, size))
}
