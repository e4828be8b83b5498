//! Resolution of names at run time, with the `resolver` in force.

use std::net::SocketAddr;
use std::rc::Rc;

use weir_engine::addr::Addr;
use weir_engine::error_log::Level;

use crate::core::RESOLVER;
use crate::errors::Cause;
use crate::rejection::Rejection;
use crate::request::Request;

/// The addresses of `host`.
///
/// # Errors
/// A rejection with 502; the reason has been logged.
pub(crate) async fn addresses(
    request: &mut Request,
    host: &str,
    port: u16,
) -> Result<Vec<Addr>, Rejection> {
    let location = request.location.clone();
    let settings = location.settings.get(&RESOLVER);
    let snapshot = Rc::clone(&request.snapshot);
    let resolver = settings.resolver.as_ref().and_then(|config| snapshot.resolver(config));
    let Some(resolver) = resolver else {
        request.log(Level::Error, &format!("no resolver defined to resolve {host}"));
        request.blame(Cause::Resolver);
        return Err(Rejection::BAD_GATEWAY);
    };
    match resolver.resolve(host, settings.timeout.0).await {
        Ok(found) => {
            let address = |ip| Addr::Inet(SocketAddr::new(ip, port));
            Ok(found.addresses.into_iter().map(address).collect())
        }
        Err(error) => {
            request.log(Level::Error, &error.to_string());
            request.blame(Cause::Resolver);
            Err(Rejection::BAD_GATEWAY)
        }
    }
}
