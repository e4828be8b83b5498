//! Names that are known only when a request comes: looked up with the `resolver` in force.

use weir_engine::addr::Addr;
use weir_engine::error_log::Level;

use crate::request::Request;

/// The addresses of `host`.
///
/// # Errors
/// The status to answer with: 502.
pub async fn addresses(request: &mut Request, host: &str, port: u16) -> Result<Vec<Addr>, u16> {
    let _ = port;
    request.log(Level::Error, &format!("no resolver defined to resolve {host}"));
    Err(502)
}
