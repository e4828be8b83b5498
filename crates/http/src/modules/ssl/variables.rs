//! The `$ssl_` variables.

use weir_engine::clock;
use weir_engine::tls::{TlsInfo, x509};

use crate::request::Request;
use crate::variables::{Get, VariableRow as Row};

pub(super) const ROWS: &[Row] = &[
    ssl("ssl_protocol", |r, _, out| text(r, out, |tls| tls.protocol.into())),
    ssl("ssl_cipher", |r, _, out| text(r, out, |tls| tls.cipher())),
    ssl("ssl_ciphers", |r, _, out| text(r, out, |tls| tls.ciphers())),
    ssl("ssl_curve", |r, _, out| text(r, out, |tls| tls.curve())),
    ssl("ssl_curves", |r, _, out| text(r, out, |tls| tls.curves())),
    // With OpenSSL before 3.5, nginx does not have these either.
    ssl("ssl_sigalg", |_, _, _| false),
    ssl("ssl_sigalgs", |_, _, _| false),
    ssl("ssl_session_id", |r, _, out| text(r, out, |tls| tls.session_id())),
    ssl("ssl_session_reused", |r, _, out| {
        text(r, out, |tls| if tls.resumed { "r" } else { "." }.into())
    }),
    ssl("ssl_early_data", |r, _, out| {
        text(r, out, |tls| if tls.early.get() { "1" } else { "" }.into())
    }),
    ssl("ssl_server_name", |r, _, out| {
        let name = r.info.tls.as_ref().and_then(|tls| tls.server_name.as_ref());
        name.is_some_and(|name| {
            out.extend_from_slice(name);
            !name.is_empty()
        })
    }),
    ssl("ssl_alpn_protocol", |r, _, out| {
        let alpn = r.info.tls.as_ref().and_then(|tls| tls.alpn.as_ref());
        alpn.is_some_and(|name| {
            out.extend_from_slice(name);
            !name.is_empty()
        })
    }),
    // There are no keys for encrypted hellos.
    ssl("ssl_ech_status", |_, _, _| false),
    ssl("ssl_ech_outer_server_name", |_, _, _| false),
    ssl("ssl_client_cert", |r, _, out| certificate(r, out, |der| Some(indented(der)))),
    ssl("ssl_client_raw_cert", |r, _, out| certificate(r, out, |der| Some(x509::pem(der)))),
    ssl("ssl_client_escaped_cert", |r, _, out| {
        certificate(r, out, |der| Some(escaped(&x509::pem(der))))
    }),
    ssl("ssl_client_s_dn", |r, _, out| certificate(r, out, x509::subject)),
    ssl("ssl_client_i_dn", |r, _, out| certificate(r, out, x509::issuer)),
    ssl("ssl_client_s_dn_legacy", |r, _, out| certificate(r, out, x509::subject_legacy)),
    ssl("ssl_client_i_dn_legacy", |r, _, out| certificate(r, out, x509::issuer_legacy)),
    ssl("ssl_client_serial", |r, _, out| certificate(r, out, x509::serial)),
    ssl("ssl_client_fingerprint", |r, _, out| {
        certificate(r, out, |der| Some(x509::fingerprint(der)))
    }),
    ssl("ssl_client_verify", |r, _, out| text(r, out, TlsInfo::client_verify)),
    ssl("ssl_client_v_start", |r, _, out| certificate(r, out, x509::valid_from)),
    ssl("ssl_client_v_end", |r, _, out| certificate(r, out, x509::valid_until)),
    ssl("ssl_client_v_remain", |r, _, out| {
        certificate(r, out, |der| Some(x509::days_left(der, clock::wall_secs())?.to_string()))
    }),
    ssl("ssl_client_sigalg", |_, _, _| false),
];

/// An `$ssl_` variable. A configuration may define or set each of them, as in nginx.
const fn ssl(name: &'static str, get: Get) -> Row {
    Row::new(name, get).changeable()
}

/// A value from the TLS connection. An empty one is "not found".
fn text(request: &Request, out: &mut Vec<u8>, part: impl Fn(&TlsInfo) -> String) -> bool {
    let Some(tls) = &request.info.tls else { return false };
    let value = part(tls);
    out.extend_from_slice(value.as_bytes());
    !value.is_empty()
}

/// A value from the client's certificate.
fn certificate(
    request: &Request,
    out: &mut Vec<u8>,
    part: impl Fn(&[u8]) -> Option<String>,
) -> bool {
    text(request, out, |tls| tls.certificate().and_then(&part).unwrap_or_default())
}

/// PEM text without the last line break and with a tab before every line but the first, so that it
/// fits into a request field.
fn indented(der: &[u8]) -> String {
    x509::pem(der).trim_end_matches('\n').replace('\n', "\n\t")
}

/// PEM text, escaped for a URI.
fn escaped(pem: &str) -> String {
    use std::fmt::Write;
    pem.bytes().fold(String::new(), |mut text, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                text.push(char::from(byte));
            }
            _ => drop(write!(text, "%{byte:02X}")),
        }
        text
    })
}
