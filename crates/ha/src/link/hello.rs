//! The first message of each side of a link: who it is, and which versions it speaks.
//!
//! ```text
//!   "WEIR"  first and last version (u16)  Weir's version  name     ─ the same in every version
//!   number of the pair (16)  number of the process (8)  digest of the ha block (32)
//! ```
//!
//! Texts have a byte of length before them. The first line is what nodes of different versions need
//! to tell each other about it; whatever follows the second is for later versions.

use std::fmt;

use crate::identity::is_name;

/// The versions of the protocol that this Weir speaks.
pub const VERSIONS: Versions = Versions { first: 1, last: 1 };

const MAGIC: &[u8; 4] = b"WEIR";

/// A range of versions of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    /// The oldest.
    pub first: u16,
    /// The newest.
    pub last: u16,
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.first == self.last {
            true => write!(f, "version {}", self.first),
            false => write!(f, "versions {} to {}", self.first, self.last),
        }
    }
}

impl Versions {
    /// The newest version that both have.
    fn common(self, other: Self) -> Option<u16> {
        let newest = self.last.min(other.last);
        (newest >= self.first.max(other.first)).then_some(newest)
    }
}

/// The introduction of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The versions of the protocol.
    pub versions: Versions,
    /// Weir's version.
    pub weir: String,
    /// The node's name.
    pub name: String,
    /// The number of the pair.
    pub pair: [u8; 16],
    /// A number that the process drew at its start.
    pub instance: u64,
    /// The digest of its `ha` block.
    pub block: [u8; 32],
}

/// Why two nodes have no link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// It is no hello.
    Garbled,
    /// No version in common.
    Version {
        /// Weir's version of the partner.
        weir: String,
        /// The partner's name.
        name: String,
        /// The partner's versions.
        theirs: Versions,
        /// Weir's version here.
        here: String,
        /// The own versions.
        own: Versions,
    },
    /// The certificate is that of another node.
    Name {
        /// The name in the hello.
        said: String,
        /// The name under which the certificate is pinned.
        pinned: String,
    },
    /// The node belongs to another pair.
    Pair(String),
    /// The node has the own name.
    Self_,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Garbled => f.write_str("its first message is no hello"),
            Self::Version { weir, name, theirs, here, own } => write!(
                f,
                "node \"{name}\" runs Weir {weir}, whose links speak {theirs}; this node runs Weir \
                 {here}, whose links speak {own}: upgrade the older one"
            ),
            Self::Name { said, pinned } => write!(
                f,
                "the node calls itself \"{said}\", but its certificate is pinned as \"{pinned}\""
            ),
            Self::Pair(name) => write!(f, "node \"{name}\" belongs to another pair"),
            Self::Self_ => f.write_str("it has the name of this node"),
        }
    }
}

impl Hello {
    /// The bytes of the message.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&self.versions.first.to_be_bytes());
        out.extend_from_slice(&self.versions.last.to_be_bytes());
        for text in [&self.weir, &self.name] {
            let bytes = &text.as_bytes()[..text.len().min(255)];
            out.push(bytes.len() as u8);
            out.extend_from_slice(bytes);
        }
        out.extend_from_slice(&self.pair);
        out.extend_from_slice(&self.instance.to_be_bytes());
        out.extend_from_slice(&self.block);
        out
    }

    /// Reads a partner's hello, whose certificate is pinned as `pinned`. Returns it with the
    /// version to speak.
    ///
    /// # Errors
    /// There can be no link, for this reason.
    pub fn judge(&self, bytes: &[u8], pinned: &str) -> Result<(Self, u16), Mismatch> {
        let mut rest = bytes;
        let (versions, weir, name) = head(&mut rest).ok_or(Mismatch::Garbled)?;
        let Some(version) = self.versions.common(versions) else {
            let (here, own) = (self.weir.clone(), self.versions);
            return Err(Mismatch::Version { weir, name, theirs: versions, here, own });
        };
        let (pair, instance, block) = tail(&mut rest).ok_or(Mismatch::Garbled)?;
        if name == self.name {
            return Err(Mismatch::Self_);
        }
        if name != pinned {
            return Err(Mismatch::Name { said: name, pinned: pinned.to_owned() });
        }
        if pair != self.pair {
            return Err(Mismatch::Pair(name));
        }
        Ok((Self { versions, weir, name, pair, instance, block }, version))
    }
}

fn head(rest: &mut &[u8]) -> Option<(Versions, String, String)> {
    if rest.split_off(..4)? != MAGIC {
        return None;
    }
    let mut number = || Some(u16::from_be_bytes(rest.split_off(..2)?.try_into().ok()?));
    let versions = Versions { first: number()?, last: number()? };
    let mut text = || {
        let length = usize::from(*rest.split_off_first()?);
        let text = std::str::from_utf8(rest.split_off(..length)?).ok()?;
        // Both are written to the log.
        (!text.contains(char::is_control)).then(|| text.to_owned())
    };
    let (weir, name) = (text()?, text()?);
    is_name(&name).then_some((versions, weir, name))
}

fn tail(rest: &mut &[u8]) -> Option<([u8; 16], u64, [u8; 32])> {
    let pair = rest.split_off(..16)?.try_into().ok()?;
    let instance = u64::from_be_bytes(rest.split_off(..8)?.try_into().ok()?);
    let block = rest.split_off(..32)?.try_into().ok()?;
    Some((pair, instance, block))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(name: &str) -> Hello {
        Hello {
            versions: VERSIONS,
            weir: "0.1.0".to_owned(),
            name: name.to_owned(),
            pair: [1; 16],
            instance: 7,
            block: [2; 32],
        }
    }

    #[test]
    fn partners_agree_on_the_newest_common_version() {
        let old = Hello { versions: Versions { first: 1, last: 2 }, ..hello("a") };
        let new = Hello { versions: Versions { first: 2, last: 5 }, ..hello("b") };
        let (read, version) = old.judge(&new.encode(), "b").unwrap();
        assert_eq!((&read, version), (&new, 2));
        assert_eq!(new.judge(&old.encode(), "a").unwrap().1, 2);
        // A later version adds to the end.
        let longer = [new.encode(), b"more".to_vec()].concat();
        assert_eq!(old.judge(&longer, "b").unwrap().0, new);
    }

    #[test]
    fn mismatches_are_named() {
        let own = hello("a");
        let text = |other: &Hello, pinned: &str| {
            own.judge(&other.encode(), pinned).unwrap_err().to_string()
        };
        let newer = Hello {
            versions: Versions { first: 2, last: 3 },
            weir: "0.3.0".to_owned(),
            ..hello("b")
        };
        assert_eq!(
            text(&newer, "b"),
            "node \"b\" runs Weir 0.3.0, whose links speak versions 2 to 3; this node runs Weir \
             0.1.0, whose links speak version 1: upgrade the older one"
        );
        // The rest of another version's hello is not looked at.
        let start = &newer.encode()[..16];
        assert!(matches!(own.judge(start, "b"), Err(Mismatch::Version { .. })));
        let other = Hello { pair: [9; 16], ..hello("b") };
        assert_eq!(text(&other, "b"), "node \"b\" belongs to another pair");
        assert_eq!(
            text(&hello("c"), "b"),
            "the node calls itself \"c\", but its certificate is pinned as \"b\""
        );
        assert_eq!(text(&hello("a"), "b"), "it has the name of this node");
    }

    #[test]
    fn everything_else_is_garbled() {
        let own = hello("a");
        let whole = hello("b").encode();
        for length in 0..whole.len() {
            assert_eq!(own.judge(&whole[..length], "b"), Err(Mismatch::Garbled), "{length}");
        }
        for name in ["", "../x", "b\n"] {
            assert_eq!(own.judge(&hello(name).encode(), "b"), Err(Mismatch::Garbled));
        }
        let forged = Hello { weir: "1\n2026/01/01 [emerg]".to_owned(), ..hello("b") };
        assert_eq!(own.judge(&forged.encode(), "b"), Err(Mismatch::Garbled));
    }
}
