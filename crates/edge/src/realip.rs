//! The proxies that are trusted to send their client's address: `set_real_ip_from`.
//! <https://nginx.org/en/docs/http/ngx_http_realip_module.html>

use std::net::SocketAddr;

use weir_conf::{Cx, Fault, Word};
use weir_engine::Addr;
use weir_script::cidr::Cidr;
use weir_script::forwarded::{forwarded_address, is_trusted};
use weir_wire::proxy_protocol::ProxyHeader;

use crate::network;

/// The trusted proxies.
#[derive(Clone, Debug, Default)]
pub struct Trusted {
    networks: Vec<Cidr>,
    unix: bool,
}

impl Trusted {
    /// Adds the argument of a `set_real_ip_from`: an address, a network, `unix:`, or a name to
    /// resolve.
    ///
    /// # Errors
    /// nginx's message, for an unknown name.
    pub fn add(&mut self, word: &Word, cx: &mut Cx<'_>) -> Result<(), Fault> {
        if word.is("unix:") {
            self.unix = true;
            return Ok(());
        }
        if let Some(net) = network::read(word, cx) {
            self.networks.push(net);
            return Ok(());
        }
        let found = cx.env().lookup(&word.text()).ok().filter(|found| !found.is_empty());
        let unknown = || {
            let message = format!("host not found in set_real_ip_from \"{}\"", word.shown());
            Fault::new(message).at(word)
        };
        self.networks.extend(found.ok_or_else(unknown)?.into_iter().map(Cidr::single));
        Ok(())
    }

    /// Whether a peer is trusted.
    pub fn has(&self, peer: &Addr) -> bool {
        match peer.ip() {
            Some(address) => is_trusted(address, &self.networks),
            None => self.unix,
        }
    }

    /// The client's address in the values of a field, the last line first, if the peer is trusted.
    /// `recursive` searches backwards for the first address that is not trusted.
    pub fn forwarded<'v>(
        &self,
        peer: &Addr,
        lines_from_last: impl IntoIterator<Item = &'v [u8]>,
        recursive: bool,
    ) -> Option<SocketAddr> {
        forwarded_address(self.has(peer), lines_from_last, &self.networks, recursive)
    }

    /// The client's address in a header of the PROXY protocol, if the peer is trusted.
    pub fn proxied(
        &self,
        peer: &Addr,
        header: &ProxyHeader,
        recursive: bool,
    ) -> Option<SocketAddr> {
        let source = std::iter::once(header.source.as_bytes());
        let mut address = self.forwarded(peer, source, recursive)?;
        address.set_port(header.source_port);
        Some(address)
    }
}
