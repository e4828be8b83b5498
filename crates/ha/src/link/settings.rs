//! The settings of links in force, from the plan and the identity.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use weir_engine::digest::sha256;
use weir_engine::tls::{CertificateDer, CertifiedKey, ClientTls, Pins, ServerTls};

use super::hello::{Hello, VERSIONS};
use super::plan::{Block, LinkPlan};
use super::{JOIN, LINK};
use crate::identity::{Identity, Invitation};

/// A partner that is a node of the block and pinned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Partner {
    pub(super) name: String,
    /// Where it listens.
    pub(super) address: SocketAddr,
    /// The own address to dial from.
    pub(super) from: SocketAddr,
    pub(super) certificate: CertificateDer,
    /// The digest of the own certificate: a link belongs to both.
    own: [u8; 32],
}

/// The settings of all links.
pub(super) struct Settings {
    pub(super) block: Block,
    pub(super) hello: Hello,
    pub(super) partners: BTreeMap<String, Partner>,
    pub(super) invitation: Option<Invitation>,
    key: CertifiedKey,
    /// For pinned partners.
    pub(super) pinned: Arc<ServerTls>,
    /// For a node that joins; the invitation judges it.
    pub(super) joining: Arc<ServerTls>,
}

impl Settings {
    /// The settings; `None` if there can be no links. `instance` is the number of this process.
    pub(super) fn of(plan: &LinkPlan, identity: &Identity, instance: u64) -> Option<Self> {
        let block = plan.block.clone();
        let own = block.addresses(&identity.name)?.to_vec();
        let key = identity.certified_key().ok()?;
        let fingerprint = identity.fingerprint()?;
        let mut partners = BTreeMap::new();
        let mut certificates = Vec::new();
        for peer in &identity.peers {
            let Some(certificate) = peer.der() else { continue };
            certificates.push(certificate.clone());
            let Some(theirs) = block.addresses(&peer.name) else { continue };
            let Some((from, to)) = way(&own, theirs) else { continue };
            let partner = Partner {
                name: peer.name.clone(),
                address: SocketAddr::new(to, block.port),
                from: SocketAddr::new(from, 0),
                certificate,
                own: fingerprint,
            };
            partners.insert(peer.name.clone(), partner);
        }
        let hello = Hello {
            versions: VERSIONS,
            weir: env!("CARGO_PKG_VERSION").to_owned(),
            name: identity.name.clone(),
            pair: identity.pair,
            instance,
            block: block.digest(),
        };
        let pinned = ServerTls::pinned(key.clone(), Pins::These(certificates)).ok()?;
        let joining = ServerTls::pinned(key.clone(), Pins::Any).ok()?;
        Some(Self {
            block,
            hello,
            partners,
            invitation: identity.invitation.clone(),
            key,
            pinned: Arc::new(pinned),
            joining: Arc::new(joining),
        })
    }

    /// The pinned partner with this certificate.
    pub(super) fn partner(&self, certificate: &CertificateDer) -> Option<&Partner> {
        self.partners.values().find(|partner| partner.certificate == *certificate)
    }

    /// The connecting side of TLS for a partner; `None` if the settings are refused.
    pub(super) fn client(&self, partner: &Partner) -> Option<ClientTls> {
        let digest = sha256(&[&partner.certificate]);
        ClientTls::pinned(self.key.clone(), Pins::Digest(digest), LINK).ok()
    }

    /// The settings of the accepting side for a client that offers these protocols: strangers get
    /// to prove a secret, while an invitation is open, and nothing else.
    pub(super) fn server(&self, offered: &[&[u8]], now: u64) -> Option<Arc<ServerTls>> {
        if !offered.contains(&JOIN) {
            return Some(Arc::clone(&self.pinned));
        }
        // Until a while after its end, so that a late node is told the reason.
        self.invitation.as_ref().filter(|known| known.is_told(now))?;
        Some(Arc::clone(&self.joining))
    }
}

/// The addresses of the same family to link from and to, the own first family first.
fn way(own: &[IpAddr], theirs: &[IpAddr]) -> Option<(IpAddr, IpAddr)> {
    own.iter().find_map(|from| {
        let to = theirs.iter().find(|to| to.is_ipv6() == from.is_ipv6())?;
        Some((*from, *to))
    })
}
