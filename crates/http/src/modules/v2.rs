//! HTTP/2 with clients (<https://nginx.org/en/docs/http/ngx_http_v2_module.html>): directives and
//! the variable. The settings are in [`crate::h2::settings`], because connections need them.

use weir_wire::h1::Version;

use crate::h2::settings::TABLE;
use crate::module::Module;
use crate::request::Request;
use crate::variables::VariableRow;

pub(crate) const MODULE: Module = Module {
    name: "v2",
    tables: &[TABLE],
    variables: &[VariableRow::new(
        "http2",
        "`h2` over TLS, `h2c` in cleartext, empty for other protocols than HTTP/2.",
        protocol,
    )],
    ..Module::NONE
};

/// `$http2`: how HTTP/2 was agreed on, `h2` by ALPN and `h2c` by prior knowledge.
fn protocol(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    let is_h2 = request.head.version == Version::HTTP_2;
    if is_h2 {
        out.extend_from_slice(if request.info.tls.is_some() { b"h2" } else { b"h2c" });
    }
    is_h2
}
