//! Bundles: what the master sends to the worker at every start and reload. A bundle names the
//! descriptors that only the master may open; for a reload it also holds every answer that the
//! configuration got from the outside world.
//!
//! A serving worker builds its settings from the answers alone, without file system, resolver or
//! user database: it may have no right to read a private key, and both processes must read the same
//! even if a file changes in between. A newly started worker has the settings from the master's
//! memory. The text travels in a sealed memory file.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use weir_sys::memory_file;

pub(crate) use answers::{Answers, Refusal};
use codec::Codec;

mod answers;
mod codec;

/// The maximum size of a bundle in bytes: ten thousand sites with their certificates take some 100
/// MiB.
const MAX_BYTES: u64 = 1 << 30;

/// A complete configuration for a process that cannot read files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Bundle {
    /// The number of the configuration, counted per master from 1.
    pub(crate) generation: u64,
    /// The main configuration file.
    pub(crate) conf: PathBuf,
    /// The `-p` option.
    pub(crate) prefix: PathBuf,
    /// The `-g` option.
    pub(crate) globals: Option<String>,
    /// The error log if the configuration names none; `None` is standard error.
    pub(crate) default_log: Option<PathBuf>,
    /// The recorded answers; empty for a newly started worker.
    pub(crate) answers: Answers,
    /// The paths of log files, in the order of their descriptors.
    pub(crate) logs: Vec<PathBuf>,
    /// The keys of listening sockets, in the order of their descriptors, which follow those of the
    /// logs.
    pub(crate) sockets: Vec<String>,
    /// The part of the links between nodes.
    pub(crate) links: LinkBundle,
}

/// What a worker must know of the links between nodes and cannot find out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LinkBundle {
    /// The keys of their sockets, which are among those of the bundle, with that of the status
    /// last; none without links.
    pub(crate) sockets: Vec<String>,
    /// The digest of all files of the configuration, in hexadecimal.
    pub(crate) configuration: String,
}

impl Bundle {
    /// Writes the bundle to a sealed memory file.
    ///
    /// # Errors
    /// An error of the memory file.
    pub(crate) fn seal(&self) -> std::io::Result<OwnedFd> {
        let mut bytes = Vec::new();
        self.put(&mut bytes);
        memory_file::sealed(&bytes)
    }

    /// Reads a bundle from a memory file.
    ///
    /// # Errors
    /// A read error; `InvalidData` if it is not a bundle of this version of Weir.
    pub(crate) fn unseal(fd: OwnedFd) -> std::io::Result<Self> {
        let bytes = memory_file::read(fd, MAX_BYTES)?;
        let mut rest = bytes.as_slice();
        Self::take(&mut rest)
            .filter(|_| rest.is_empty())
            .ok_or_else(|| std::io::ErrorKind::InvalidData.into())
    }
}

impl Codec for Bundle {
    fn put(&self, out: &mut Vec<u8>) {
        self.generation.put(out);
        self.conf.put(out);
        self.prefix.put(out);
        self.globals.put(out);
        self.default_log.put(out);
        self.answers.put(out);
        self.logs.put(out);
        self.sockets.put(out);
        self.links.sockets.put(out);
        self.links.configuration.put(out);
    }

    fn take(input: &mut &[u8]) -> Option<Self> {
        Some(Self {
            generation: Codec::take(input)?,
            conf: Codec::take(input)?,
            prefix: Codec::take(input)?,
            globals: Codec::take(input)?,
            default_log: Codec::take(input)?,
            answers: Codec::take(input)?,
            logs: Codec::take(input)?,
            sockets: Codec::take(input)?,
            links: LinkBundle { sockets: Codec::take(input)?, configuration: Codec::take(input)? },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[test]
    fn a_bundle_survives_the_transfer() {
        let mut bundle = Bundle {
            generation: 7,
            conf: "/p/x.conf".into(),
            prefix: "/p/".into(),
            globals: Some("daemon off;".into()),
            logs: vec!["/p/e.log".into()],
            sockets: vec!["tcp 127.0.0.1:80".into()],
            links: LinkBundle {
                sockets: vec!["tcp 127.0.0.1:7946".into()],
                configuration: "abc".into(),
            },
            ..Bundle::default()
        };
        let answers = &mut bundle.answers;
        answers.files.insert("/p/x.conf".into(), Ok(b"events {}"[..].into()));
        let refusal = Refusal::from(&io::Error::from_raw_os_error(13));
        answers.files.insert("/p/key".into(), Err(refusal));
        answers.globs.insert("*.conf".into(), Ok(vec!["a".into(), "b".into()]));
        let addresses = vec!["::1".parse().unwrap(), "127.0.0.1".parse().unwrap()];
        answers.lookups.insert("localhost".into(), Ok(addresses));
        answers.users.insert("www".into(), Some((33, 33)));
        answers.groups.insert("none".into(), None);
        assert_eq!(Bundle::unseal(bundle.seal().unwrap()).unwrap(), bundle);
    }

    #[test]
    fn a_garbled_bundle_is_read_or_refused() {
        let mut bundle = Bundle { globals: Some("daemon off;".into()), ..Bundle::default() };
        bundle.answers.files.insert("/p/x.conf".into(), Ok(b"events {}"[..].into()));
        bundle.answers.globs.insert("*.conf".into(), Ok(vec!["a".into()]));
        bundle.answers.lookups.insert("localhost".into(), Ok(vec!["::1".parse().unwrap()]));
        let mut whole = Vec::new();
        bundle.put(&mut whole);
        let mut rng = fastrand::Rng::with_seed(7);
        for _ in 0..20_000 {
            let mut bytes = whole.clone();
            for _ in 0..rng.usize(1..4) {
                let at = rng.usize(..bytes.len());
                bytes[at] = if rng.bool() { rng.u8(..) } else { 0xff };
            }
            bytes.truncate(rng.usize(1..=bytes.len()));
            let _ = Bundle::take(&mut bytes.as_slice());
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let fd = memory_file::sealed(b"nonsense").unwrap();
        assert_eq!(Bundle::unseal(fd).unwrap_err().kind(), io::ErrorKind::InvalidData);
        let mut bytes = Vec::new();
        Bundle::default().put(&mut bytes);
        bytes.push(0);
        assert!(Bundle::unseal(memory_file::sealed(&bytes).unwrap()).is_err());
    }
}
