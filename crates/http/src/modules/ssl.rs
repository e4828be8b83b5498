//! TLS with clients (<https://nginx.org/en/docs/http/ngx_http_ssl_module.html>): directives,
//! variables, and a check of the whole. The settings are in [`crate::tls`], because connections
//! need them.

use std::sync::Arc;

use weir_conf::{Block, Fault};
use weir_edge::listen::{Options, Protocols};
use weir_edge::tls::Ssl;
use weir_engine::duty::Duty;
use weir_upstream::Registry;

use crate::module::{Module, Prepare};
use crate::route::servers;
use crate::snapshot::{Configuration, Generation};
use crate::tls::SSL;
use crate::tls::status::resolving;

mod variables;

pub(crate) const MODULE: Module = Module {
    name: "ssl",
    tables: &[&Ssl::table(&SSL)],
    variables: variables::ROWS,
    duties: Some(duties),
    prepare: Some(prepare),
    ..Module::NONE
};

/// The duties to keep stapled responses fresh.
fn duties(configuration: &Arc<Configuration>, _: &Arc<Registry>, _: &Generation) -> Vec<Duty> {
    let servers = configuration.servers();
    let stapled = servers.flat_map(|server| {
        let context = server.settings.get(&SSL).context.as_deref();
        let stapled = context.map_or(&[][..], |context| context.stapled());
        stapled
            .iter()
            .map(|one| one.duty(resolving(server, |config| configuration.resolver(config))))
    });
    stapled.collect()
}

/// Checks that every TLS address has a certificate, or a server that rejects all handshakes
/// (ngx_http_ssl_init).
fn prepare(whole: &mut Prepare<'_>) -> Result<(), Fault> {
    let blocks: Vec<&Block> = servers::servers(whole.root).collect();
    let ports = servers::ports(&blocks);
    let is_secure =
        |options: &Options| options.protocols.has(Protocols::SSL) || options.is_datagram();
    for shared in ports.addresses().filter(|shared| is_secure(&shared.options)) {
        let kind = if shared.options.is_datagram() { "quic" } else { "ssl" };
        let missing = |server: &Block| {
            let message = format!(
                "no \"ssl_certificate\" is defined for the \"listen ... {kind}\" directive"
            );
            Fault::new(message).in_place(server.span)
        };
        let ssl = blocks[shared.default].settings.get(&SSL);
        if !ssl.certificates.is_empty() {
            continue;
        }
        if !ssl.reject_handshake {
            return Err(missing(blocks[shared.default]));
        }
        let without = shared.servers.iter().map(|&at| blocks[at]).find(|server| {
            let ssl = server.settings.get(&SSL);
            ssl.certificates.is_empty() && !ssl.reject_handshake
        });
        if let Some(server) = without {
            return Err(missing(server));
        }
    }
    Ok(())
}
