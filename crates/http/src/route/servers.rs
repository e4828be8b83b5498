//! The `server` blocks of an assembled tree, and the addresses that they listen at.

use weir_conf::{Block, Contexts};
use weir_edge::listen::{ListenSpec, Ports};
use weir_engine::listen::Transport;

use crate::core::LISTEN;
use crate::core::listen::Listen;

/// The listening sockets of `http {}`; QUIC has none yet. `root` is the root of the assembled tree.
pub(crate) fn listeners(root: &Block) -> Vec<ListenSpec> {
    let servers: Vec<&Block> = servers(root).collect();
    ports(&servers).bound(Transport::Stream).into_iter().map(|bound| bound.spec).collect()
}

/// The `server` blocks of `http {}`, in the order of the file.
pub(crate) fn servers(root: &Block) -> impl Iterator<Item = &Block> {
    let http = root.blocks.iter().filter(|block| block.context == Contexts::HTTP);
    http.flat_map(|http| &http.blocks).filter(|block| block.context == Contexts::SERVER)
}

/// The addresses of servers, which are identified by their index in the list.
pub(crate) fn ports(servers: &[&Block]) -> Ports<usize> {
    let mut ports = Ports::default();
    for (at, server) in servers.iter().enumerate() {
        let own = &server.settings.get(&LISTEN).listens;
        let implicit = [Listen::implicit()];
        let listens = if own.is_empty() { &implicit[..] } else { own.as_slice() };
        for listen in listens {
            for address in &listen.addresses {
                // Faults were reported when the directive was parsed.
                let _ = ports.add(at, address, &listen.options);
            }
        }
    }
    ports
}
