//! The credentials of Basic authentication (RFC 7617), for `auth_basic` and `$remote_user`.

use base64::Engine;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use weir_wire::h1::Method;
use weir_wire::header::Known;

use crate::request::Request;

/// Base64 with padding cut off by the caller, as it is optional in nginx (`ngx_decode_base64`).
pub(crate) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(base64::engine::DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true),
);

/// The user name and the password of a request. The name is not empty.
pub(crate) fn credentials(request: &Request) -> Option<(Vec<u8>, Vec<u8>)> {
    let value = match request.method {
        // A proxy has a field of its own (RFC 9110 section 11.7).
        Method::Connect => request.head.get(Known::ProxyAuthorization)?,
        _ => request.head.get(Known::Authorization)?,
    };
    let (scheme, rest) = value.split_at_checked("Basic ".len())?;
    if !scheme.eq_ignore_ascii_case(b"Basic ") {
        return None;
    }
    // Padding and anything after it are ignored.
    let encoded = rest.trim_ascii_start().split(|&byte| byte == b'=').next()?;
    let decoded = BASE64.decode(encoded).ok()?;
    let colon = decoded.iter().position(|&b| b == b':')?;
    if colon == 0 {
        return None;
    }
    Some((decoded[..colon].to_vec(), decoded[colon + 1..].to_vec()))
}
