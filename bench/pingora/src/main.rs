//! The smallest proxy that Pingora makes: `weir-bench-pingora PORT BACKEND THREADS [CERT KEY]`.
//! It proxies everything from one port of the loopback to another, over TLS if there is a
//! certificate.
#![forbid(unsafe_code)]

use std::env;
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};

use async_trait::async_trait;
use pingora::prelude::*;
use pingora::server::configuration::ServerConf;

/// Where everything goes.
struct Backend(SocketAddr);

#[async_trait]
impl ProxyHttp for Backend {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, _: &mut ()) -> pingora::Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.0, false, String::new())))
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [port, backend, threads, tls @ ..] = &arguments[..] else {
        return Err("usage: weir-bench-pingora PORT BACKEND THREADS [CERT KEY]".into());
    };
    let at = |port: &String| Ok::<_, Box<dyn Error>>((Ipv4Addr::LOCALHOST, port.parse()?).into());
    let listen: SocketAddr = at(port)?;
    let backend = Backend(at(backend)?);
    let conf = ServerConf {
        threads: threads.parse()?,
        upstream_keepalive_pool_size: 128,
        grace_period_seconds: Some(0),
        graceful_shutdown_timeout_seconds: Some(0),
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let mut service = http_proxy_service(&server.configuration, backend);
    match tls {
        [certificate, key] => service.add_tls(&listen.to_string(), certificate, key)?,
        _ => service.add_tcp(&listen.to_string()),
    }
    server.add_service(service);
    server.run_forever()
}
