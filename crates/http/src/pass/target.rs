//! The destination of one request.

use std::sync::Arc;

use weir_edge::shared::Upstream;
use weir_upstream::{Group, KeepaliveConfig};

use super::destination::{Scheme, UrlParts};
use crate::snapshot::Held;

/// The destination of one request.
pub struct Target {
    /// The scheme.
    pub scheme: Scheme,
    /// The peers.
    pub(super) peers: Peers,
    /// Host, port and URI part.
    pub place: Arc<UrlParts>,
}

/// The peers of a destination.
pub(super) enum Peers {
    /// The peers of an upstream in the configuration.
    Configured(Held<Upstream>),
    /// The peers that a name resolves to at the moment.
    Transient(Arc<Group>),
}

impl Target {
    /// The group of peers.
    pub fn group(&self) -> &Arc<Group> {
        match &self.peers {
            Peers::Configured(upstream) => &upstream.group,
            Peers::Transient(group) => group,
        }
    }

    /// The upstream in the configuration, if it is one.
    pub fn upstream(&self) -> Option<&Upstream> {
        match &self.peers {
            Peers::Configured(upstream) => Some(upstream),
            Peers::Transient(_) => None,
        }
    }

    /// The settings for kept connections.
    pub fn keepalive(&self) -> &KeepaliveConfig {
        self.upstream().map_or(&KeepaliveConfig::IMPLICIT, |upstream| &upstream.plan.keepalive)
    }
}
