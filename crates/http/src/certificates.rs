//! The certificates that the servers of a configuration show.

pub mod in_force;

use weir_conf::Block;

use crate::core::server_name;
use crate::route::servers::servers;
use crate::tls::SSL;

/// A certificate of a server. Those whose names have variables are not known before a connection.
#[derive(Debug)]
pub struct ServerCertificate<'a> {
    /// `$server_name`.
    pub server: String,
    /// The path of its file.
    pub file: &'a str,
    /// The certificate itself, without its chain.
    pub der: &'a [u8],
}

/// The certificates of all servers, in the order of the file. `root` is the root of the assembled
/// tree.
pub(crate) fn certificates(root: &Block) -> Vec<ServerCertificate<'_>> {
    let mut found = Vec::new();
    for server in servers(root) {
        let Some(context) = &server.settings.get(&SSL).context else { continue };
        let name = String::from_utf8_lossy(&server_name::first(server)).into_owned();
        found.extend(context.certificates().map(|(file, der)| {
            let server = name.clone();
            ServerCertificate { server, file, der }
        }));
    }
    found
}
