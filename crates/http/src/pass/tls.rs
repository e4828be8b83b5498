//! TLS towards an upstream (`proxy_ssl_…`).

use weir_engine::connection::Conn;
use weir_engine::error_log::Level;
use weir_upstream::Causes;

use super::Pass;
use crate::request::Request;

/// Shakes hands on a new connection.
///
/// # Errors
/// Why it failed; it has been logged.
pub async fn handshake(
    request: &mut Request,
    pass: &Pass,
    conn: Conn,
    label: &super::state::Label,
) -> Result<Conn, Causes> {
    let _ = (pass, conn);
    request.log_upstream(Level::Error, "TLS to upstreams is not configured", label);
    Err(Causes::ERROR)
}
