//! Versions of the configuration, and their order.

use std::cmp::Ordering;
use std::fmt;

use super::codec::{Malformed, Reader, Writer};
use super::limits;
use super::name::Name;

/// The SHA-256 of a set.
pub type Digest = [u8; 32];

/// A version of the configuration. The order of its fields is the fixed order of versions that do
/// not know of each other: the larger counter wins, then the later name, then the larger digest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// One more than the largest counter that the proposer knew.
    pub counter: u64,
    /// The node that proposed it.
    pub proposer: Name,
    /// The digest of its set.
    pub digest: Digest,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.counter, self.proposer)
    }
}

/// A version with its history: where a node stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The version.
    pub version: Version,
    /// The versions that it was made from, newest first, [`limits::LINE`] at most.
    pub(super) line: Vec<Version>,
    /// The newest version of this history that every node is known to have had.
    pub(super) sealed: Option<Version>,
}

/// How another standing relates to one's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    Same,
    /// It was made from one's own.
    Newer,
    /// One's own was made from it.
    Older,
    /// Neither knows of the other, and the other wins.
    Wins,
    /// Neither knows of the other, and one's own wins.
    Loses,
}

impl Relation {
    /// Whether the other standing replaces one's own.
    pub(super) fn replaces(self) -> bool {
        matches!(self, Self::Newer | Self::Wins)
    }
}

impl Standing {
    /// The standing of a new version that is made from `base`.
    pub(super) fn after(base: Option<&Self>, version: Version) -> Self {
        let Some(base) = base else { return Self { version, line: Vec::new(), sealed: None } };
        let before = std::iter::once(&base.version).chain(&base.line);
        let line = before.take(limits::LINE).cloned().collect();
        Self { version, line, sealed: base.sealed.clone() }
    }

    /// Whether this is the version, or was made from it.
    pub(super) fn has(&self, version: &Version) -> bool {
        self.version == *version || self.line.contains(version)
    }

    /// Whether every node is known to have had the version, or one made from it.
    pub(super) fn has_sealed(&self, version: &Version) -> bool {
        let sealed = self.sealed.as_ref();
        self.has(version) && sealed.is_some_and(|sealed| sealed.counter >= version.counter)
    }

    /// Takes over that every node has had a version, if it belongs to this history.
    pub(super) fn learn(&mut self, sealed: Option<&Version>) {
        let is_news = |sealed: &&Version| self.has(sealed) && self.sealed.as_ref() < Some(*sealed);
        if let Some(sealed) = sealed.filter(is_news) {
            self.sealed = Some(sealed.clone());
        }
    }

    /// How `other` relates to this one. Of two that do not know of each other, one that was made
    /// from a sealed version wins over one that was not: an acknowledged change must not be lost
    /// to a node that was restored from a backup and has made changes of its own. Otherwise,
    /// versions are ordered.
    pub(super) fn relate(&self, other: &Self) -> Relation {
        if self.version == other.version {
            return Relation::Same;
        }
        if other.line.contains(&self.version) {
            return Relation::Newer;
        }
        if self.line.contains(&other.version) {
            return Relation::Older;
        }
        let theirs = other.sealed.as_ref().filter(|sealed| !self.has(sealed));
        let own = self.sealed.as_ref().filter(|sealed| !other.has(sealed));
        let order = theirs.cmp(&own).then(other.version.cmp(&self.version));
        if order == Ordering::Greater { Relation::Wins } else { Relation::Loses }
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        write_version(writer, &self.version);
        writer.u32(self.line.len() as u32);
        self.line.iter().for_each(|version| write_version(writer, version));
        writer.option(self.sealed.as_ref(), write_version);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let version = read_version(reader)?;
        let line = reader.list(limits::LINE, read_version)?;
        let sealed = reader.option(read_version)?;
        let standing = Self { version, line, sealed };
        let is_sound = |older: &Version| older.counter < standing.version.counter;
        let sealed = standing
            .sealed
            .as_ref()
            .is_none_or(|sealed| sealed.counter <= standing.version.counter);
        let is_line = standing.line.iter().all(is_sound) && sealed;
        if is_line { Ok(standing) } else { Err(Malformed("line of versions")) }
    }
}

/// How `other` relates to one's own, either of which may be nothing.
pub(super) fn relate(own: Option<&Standing>, other: Option<&Standing>) -> Relation {
    match (own, other) {
        (None, None) => Relation::Same,
        (None, Some(_)) => Relation::Newer,
        (Some(_), None) => Relation::Older,
        (Some(own), Some(other)) => own.relate(other),
    }
}

pub(crate) fn write_version(writer: &mut Writer, version: &Version) {
    writer.u64(version.counter).name(&version.proposer).raw(&version.digest);
}

pub(crate) fn read_version(reader: &mut Reader<'_>) -> Result<Version, Malformed> {
    let (counter, proposer) = (reader.u64()?, reader.name()?);
    Ok(Version { counter, proposer, digest: reader.array()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(counter: u64, proposer: &str) -> Version {
        Version { counter, proposer: Name::new(proposer).unwrap(), digest: [counter as u8; 32] }
    }

    fn standing(base: Option<&Standing>, counter: u64, proposer: &str) -> Standing {
        Standing::after(base, version(counter, proposer))
    }

    #[test]
    fn history_decides_before_numbers() {
        let one = standing(None, 1, "b");
        let two = standing(Some(&one), 2, "a");
        let three = standing(Some(&two), 3, "a");
        assert_eq!(one.relate(&three), Relation::Newer);
        assert_eq!(three.relate(&one), Relation::Older);
        assert_eq!(three.relate(&three), Relation::Same);
    }

    #[test]
    fn of_two_changes_apart_the_fixed_order_decides() {
        let one = standing(None, 1, "b");
        let (a, b) = (standing(Some(&one), 2, "a"), standing(Some(&one), 2, "b"));
        assert_eq!((a.relate(&b), b.relate(&a)), (Relation::Wins, Relation::Loses));
        let later = standing(Some(&a), 3, "a");
        assert_eq!((later.relate(&b), b.relate(&later)), (Relation::Loses, Relation::Wins));
    }

    #[test]
    fn a_sealed_version_wins_over_larger_numbers() {
        let old = standing(None, 3, "a");
        let mut sealed = standing(Some(&old), 5, "b");
        sealed.sealed = Some(sealed.version.clone());
        let four = standing(Some(&old), 4, "a");
        let restored = standing(Some(&four), 9, "a");
        assert_eq!(restored.relate(&sealed), Relation::Wins);
        assert_eq!(sealed.relate(&restored), Relation::Loses);
    }

    #[test]
    fn a_line_has_a_limit_and_survives_its_bytes() {
        let mut last = standing(None, 1, "a");
        for counter in 2..100 {
            last = standing(Some(&last), counter, "a");
        }
        assert_eq!(last.line.len(), limits::LINE);
        let mut writer = Writer::default();
        last.write(&mut writer);
        assert_eq!(Standing::read(&mut Reader(&writer.0)).unwrap(), last);
    }
}
