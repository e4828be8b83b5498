//! The names that a certificate is for: hosts, and addresses (RFC 8738).

use std::fmt;
use std::net::IpAddr;

/// The most names of one certificate: the limit of the large public authorities.
pub const MOST_NAMES: usize = 100;

/// The longest name of a host (RFC 1035 section 2.3.4), without the final dot.
const LONGEST_NAME: usize = 253;

/// The names of one certificate, in the order of the configuration, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identifiers(Vec<String>);

/// Why a name cannot be in a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameError {
    /// There is an asterisk elsewhere than as the first label.
    Wildcard(String),
    /// It is no name of a host, nor an address.
    Invalid(String),
    /// There are more than [`MOST_NAMES`].
    TooMany,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wildcard(name) => write!(f, "invalid server name: wildcard in \"{name}\""),
            Self::Invalid(name) => write!(f, "invalid server name: \"{name}\""),
            Self::TooMany => write!(f, "a certificate has at most {MOST_NAMES} names"),
        }
    }
}

impl Identifiers {
    /// Adds a name as in `server_name`: a leading dot stands for the name with `www.` and without,
    /// as in nginx's module.
    ///
    /// # Errors
    /// It cannot be in a certificate.
    pub fn add(&mut self, written: &str) -> Result<(), NameError> {
        if let Ok(address) = written.parse::<IpAddr>() {
            return self.push(address.to_string());
        }
        let name = written.to_ascii_lowercase();
        let name = name.strip_suffix('.').unwrap_or(&name);
        if let Some(bare) = name.strip_prefix('.') {
            self.push(checked(&format!("www.{bare}"), written)?)?;
            return self.push(checked(bare, written)?);
        }
        match name.strip_prefix("*.") {
            Some(bare) => self.push(format!("*.{}", checked(bare, written)?)),
            None => self.push(checked(name, written)?),
        }
    }

    fn push(&mut self, name: String) -> Result<(), NameError> {
        if self.0.contains(&name) {
            return Ok(());
        }
        if self.0.len() >= MOST_NAMES {
            return Err(NameError::TooMany);
        }
        self.0.push(name);
        Ok(())
    }

    /// The names.
    pub fn names(&self) -> &[String] {
        &self.0
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a name begins with an asterisk, so that only DNS can prove it.
    pub fn has_wildcard(&self) -> bool {
        self.0.iter().any(|name| name.starts_with("*."))
    }

    /// The first host, or else the first address.
    pub fn first(&self) -> &str {
        let host = self.0.iter().find(|name| !is_address(name));
        host.or(self.0.first()).map_or("", String::as_str)
    }
}

impl fmt::Display for Identifiers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            0..=3 => f.write_str(&self.0.join(", ")),
            more => write!(f, "{} and {} more", self.0[..2].join(", "), more - 2),
        }
    }
}

/// Whether a name is an address.
pub(crate) fn is_address(name: &str) -> bool {
    name.parse::<IpAddr>().is_ok()
}

/// A host's name in lower case without a final dot, if it is one.
fn checked(name: &str, written: &str) -> Result<String, NameError> {
    if name.contains('*') {
        return Err(NameError::Wildcard(written.to_owned()));
    }
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let numeric = name
        .rsplit('.')
        .next()
        .is_some_and(|last| !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit()));
    if name.len() > LONGEST_NAME || numeric || !name.split('.').all(is_label) {
        return Err(NameError::Invalid(written.to_owned()));
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_certificates() {
        let mut own = Identifiers::default();
        for name in ["A.test.", ".b.test", "b.test", "*.C.test", "::1", "0:0::1", "192.0.2.1"] {
            own.add(name).unwrap();
        }
        let names = ["a.test", "www.b.test", "b.test", "*.c.test", "::1", "192.0.2.1"];
        assert_eq!(own.names(), names);
        assert!(own.has_wildcard());
        assert_eq!(own.first(), "a.test");
        assert_eq!(own.to_string(), "a.test, www.b.test and 4 more");
        for bad in ["", "*", "a.*", "*.*.a", "a..b", "-a.test", "a b", "a/b", "1.2.3", "~^x$", "_"]
        {
            let result = Identifiers::default().add(bad);
            assert_eq!(result.is_err(), bad != "_", "{bad}");
        }
    }

    #[test]
    fn names_have_a_limit() {
        let mut own = Identifiers::default();
        for number in 0..MOST_NAMES {
            own.add(&format!("n{number}.test")).unwrap();
        }
        own.add("n1.test").unwrap();
        assert_eq!(own.add("more.test"), Err(NameError::TooMany));
    }
}
