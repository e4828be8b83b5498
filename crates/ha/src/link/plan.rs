//! What the links need of the server: settings, sockets, and ways to ask the master.

use std::fmt;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::{Arc, LazyLock};

use tokio::sync::watch;
use weir_engine::tls::CertificateDer;

use super::status::Status;
use crate::identity::Identity;

/// The part of the `ha` block that concerns links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Every node with its addresses, in the order of the block.
    pub nodes: Vec<(String, Vec<IpAddr>)>,
    /// The port of links.
    pub port: u16,
    /// The block as text, for a node that joins.
    pub text: String,
}

impl Block {
    /// The addresses of a node.
    pub fn addresses(&self, name: &str) -> Option<&[IpAddr]> {
        let mut nodes = self.nodes.iter();
        nodes.find(|(known, _)| known == name).map(|(_, addresses)| addresses.as_slice())
    }

    /// The digest of the block.
    pub fn digest(&self) -> [u8; 32] {
        weir_engine::digest::sha256(&[self.text.as_bytes()])
    }

    /// The names of all nodes, for messages.
    pub fn names(&self) -> String {
        let names: Vec<_> = self.nodes.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        names.join(", ")
    }
}

/// A request to the master, which alone may write the identity's files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// A node joins. The master judges the secret itself, so a worker that a stranger has taken
    /// over pins nobody without one.
    Pin {
        /// The node's name.
        name: String,
        /// The one-time secret.
        secret: [u8; 16],
        /// The node's certificate.
        certificate: CertificateDer,
    },
    /// A pinned node leaves.
    Unpin {
        /// The node's name.
        name: String,
    },
}

/// The plan of the duty that keeps the links.
#[derive(Clone)]
pub struct LinkPlan {
    /// The `ha` block.
    pub block: Block,
    /// The groups of shared addresses with the lengths of their networks, in the order of the
    /// block.
    pub groups: Vec<Vec<String>>,
    /// The sockets on this node's own addresses.
    pub listeners: Vec<Arc<OwnedFd>>,
    /// The socket for `weir ha status`.
    pub status_socket: Option<Arc<OwnedFd>>,
    /// The status of this node now.
    pub status: Arc<dyn Fn() -> Status + Send + Sync>,
    /// Passes a request to the master.
    pub master: Arc<dyn Fn(Request) + Send + Sync>,
}

impl fmt::Debug for LinkPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkPlan").field("block", &self.block).finish_non_exhaustive()
    }
}

static IDENTITY: LazyLock<watch::Sender<Option<Arc<Identity>>>> =
    LazyLock::new(|| watch::Sender::new(None));

/// Takes over the identity that the master has sent. It changes without a reload, which would put
/// a half-edited configuration in force.
pub fn set_identity(identity: Option<Identity>) {
    IDENTITY.send_replace(identity.map(Arc::new));
}

/// The identity with its changes.
pub(crate) fn identities() -> watch::Receiver<Option<Arc<Identity>>> {
    IDENTITY.subscribe()
}
