//! The configuration of `discover`.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    path::Path,
    sync::{Arc, LazyLock},
};

use weir_engine::{Addr, tls::ClientTls};

/// A source of servers.
#[derive(Clone, Debug)]
pub enum DiscoverConfig {
    /// `discover file`: a file, by its full path.
    File(Arc<Path>),
    /// `discover etcd`.
    Etcd(Arc<EtcdConfig>),
}

impl fmt::Display for DiscoverConfig {
    /// As in messages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file \"{}\"", path.display()),
            Self::Etcd(etcd) => {
                write!(f, "etcd prefix \"{}\"", weir_wire::shown(&etcd.prefix))
            }
        }
    }
}

impl DiscoverConfig {
    /// The file with the last known servers, for the next start.
    pub(crate) fn state(&self) -> Option<&Arc<Path>> {
        match self {
            Self::File(_) => None,
            Self::Etcd(etcd) => etcd.state.as_ref(),
        }
    }
}

/// `discover etcd`: the keys below a prefix.
#[derive(Debug)]
pub struct EtcdConfig {
    /// The members of the cluster, at least one.
    pub(crate) endpoints: Vec<Endpoint>,
    /// `prefix=`, not empty.
    pub(crate) prefix: Vec<u8>,
    /// `user=`, `password_file=`.
    pub(crate) login: Option<Login>,
    /// `ca=`, `certificate=`, `certificate_key=`; there is one if an endpoint needs it.
    pub(crate) tls: Option<Tls>,
    /// `state=`.
    pub(crate) state: Option<Arc<Path>>,
}

/// An address of etcd.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub(crate) address: Addr,
    /// The name in its certificate.
    pub(crate) host: String,
    /// The host with the port, as written.
    pub(crate) authority: String,
    /// Whether it is `https`.
    pub(crate) is_tls: bool,
}

/// A user with a password.
pub(crate) struct Login {
    pub(crate) user: String,
    pub(crate) password: String,
}

/// The settings of TLS.
pub(crate) struct Tls {
    pub(crate) client: ClientTls,
    /// The texts of the files.
    pub(crate) files: Vec<Arc<[u8]>>,
}

/// Equal secrets have equal marks in this process, which say nothing about them.
fn mark(secret: impl std::hash::Hash) -> u64 {
    static KEYS: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    KEYS.hash_one(secret)
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Login({:?}, {:x})", self.user, mark(&self.password))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tls({:x})", mark(&self.files))
    }
}
