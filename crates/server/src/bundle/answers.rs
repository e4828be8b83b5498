//! Answers of the outside world during the assembly of a configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use super::codec::Codec;

/// All questions with their answers. A question is answered once: a file is read once, even if it
/// changes or, like a pipe, cannot be read again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Answers {
    /// The bytes of files.
    pub(crate) files: BTreeMap<PathBuf, Result<Arc<[u8]>, Refusal>>,
    /// The paths that match a pattern.
    pub(crate) globs: BTreeMap<String, Result<Vec<PathBuf>, Refusal>>,
    /// The addresses of host names.
    pub(crate) lookups: BTreeMap<String, Result<Vec<IpAddr>, Refusal>>,
    /// User names, with user and group IDs.
    pub(crate) users: BTreeMap<String, Option<(u32, u32)>>,
    /// Group names, with IDs.
    pub(crate) groups: BTreeMap<String, Option<u32>>,
}

impl Answers {
    /// Those that say what the configuration is, without these files.
    pub(crate) fn without(&self, states: &BTreeSet<PathBuf>) -> Self {
        let mut rest = self.clone();
        rest.files.retain(|path, _| !states.contains(path));
        rest
    }
}

/// A system error that can be stored and sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    errno: Option<i32>,
    /// The message if there is no error number.
    text: String,
}

impl From<&io::Error> for Refusal {
    fn from(error: &io::Error) -> Self {
        Self { errno: error.raw_os_error(), text: error.to_string() }
    }
}

impl From<&Refusal> for io::Error {
    fn from(refusal: &Refusal) -> Self {
        match refusal.errno {
            Some(number) => Self::from_raw_os_error(number),
            None => Self::other(refusal.text.clone()),
        }
    }
}

impl Codec for Refusal {
    fn put(&self, out: &mut Vec<u8>) {
        self.errno.map(i32::cast_unsigned).put(out);
        self.text.put(out);
    }

    fn take(input: &mut &[u8]) -> Option<Self> {
        let errno: Option<u32> = Codec::take(input)?;
        Some(Self { errno: errno.map(u32::cast_signed), text: Codec::take(input)? })
    }
}

impl Codec for Answers {
    fn put(&self, out: &mut Vec<u8>) {
        self.files.put(out);
        self.globs.put(out);
        self.lookups.put(out);
        self.users.put(out);
        self.groups.put(out);
    }

    fn take(input: &mut &[u8]) -> Option<Self> {
        Some(Self {
            files: Codec::take(input)?,
            globs: Codec::take(input)?,
            lookups: Codec::take(input)?,
            users: Codec::take(input)?,
            groups: Codec::take(input)?,
        })
    }
}
