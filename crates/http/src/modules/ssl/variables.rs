//! The `$ssl_` variables.

use weir_engine::clock;
use weir_engine::tls::{TlsInfo, x509};

use crate::request::Request;
use crate::variables::{Get, VariableRow as Row};

pub(super) const ROWS: &[Row] = &[
    ssl("ssl_protocol", "The version of TLS, for example `TLSv1.3`.", |r, _, out| {
        text(r, out, |tls| tls.protocol.into())
    }),
    ssl("ssl_cipher", "The name of the cipher suite in use.", |r, _, out| {
        text(r, out, |tls| tls.cipher())
    }),
    ssl(
        "ssl_ciphers",
        "The cipher suites that the client offered; unknown ones in hexadecimal.",
        |r, _, out| text(r, out, |tls| tls.ciphers()),
    ),
    ssl("ssl_curve", "The curve of the key exchange.", |r, _, out| text(r, out, |tls| tls.curve())),
    ssl(
        "ssl_curves",
        "The curves that the client offered; unknown ones in hexadecimal.",
        |r, _, out| text(r, out, |tls| tls.curves()),
    ),
    // With OpenSSL before 3.5, nginx does not have these either.
    ssl("ssl_sigalg", "Always empty, as in nginx with OpenSSL before 3.5.", |_, _, _| false),
    ssl("ssl_sigalgs", "Always empty, as in nginx with OpenSSL before 3.5.", |_, _, _| false),
    ssl("ssl_session_id", "The identifier of the TLS session.", |r, _, out| {
        text(r, out, |tls| tls.session_id())
    }),
    ssl("ssl_session_reused", "`r` if the session was resumed, otherwise `.`.", |r, _, out| {
        text(r, out, |tls| if tls.resumed { "r" } else { "." }.into())
    }),
    ssl(
        "ssl_early_data",
        "`1` while the request may be a replay, as it came as early data; otherwise empty.",
        |r, _, out| text(r, out, |tls| if tls.early.get() { "1" } else { "" }.into()),
    ),
    ssl("ssl_server_name", "The server name that the client asked for (SNI).", |r, _, out| {
        let name = r.info.tls.as_ref().and_then(|tls| tls.server_name.as_ref());
        name.is_some_and(|name| {
            out.extend_from_slice(name);
            !name.is_empty()
        })
    }),
    ssl("ssl_alpn_protocol", "The protocol that ALPN chose.", |r, _, out| {
        let alpn = r.info.tls.as_ref().and_then(|tls| tls.alpn.as_ref());
        alpn.is_some_and(|name| {
            out.extend_from_slice(name);
            !name.is_empty()
        })
    }),
    // There are no keys for encrypted hellos.
    ssl("ssl_ech_status", "Always empty: encrypted hellos are not supported.", |_, _, _| false),
    ssl(
        "ssl_ech_outer_server_name",
        "Always empty: encrypted hellos are not supported.",
        |_, _, _| false,
    ),
    ssl(
        "ssl_client_cert",
        "The client's certificate in PEM, each line but the first behind a tab.",
        |r, _, out| certificate(r, out, |der| Some(indented(der))),
    ),
    ssl("ssl_client_raw_cert", "The client's certificate in PEM.", |r, _, out| {
        certificate(r, out, |der| Some(x509::pem(der)))
    }),
    ssl("ssl_client_escaped_cert", "The client's certificate in PEM, URL-encoded.", |r, _, out| {
        certificate(r, out, |der| Some(escaped(&x509::pem(der))))
    }),
    ssl("ssl_client_s_dn", "The subject of the client's certificate (RFC 2253).", |r, _, out| {
        certificate(r, out, x509::subject)
    }),
    ssl("ssl_client_i_dn", "The issuer of the client's certificate (RFC 2253).", |r, _, out| {
        certificate(r, out, x509::issuer)
    }),
    ssl(
        "ssl_client_s_dn_legacy",
        "The subject of the client's certificate, with slashes.",
        |r, _, out| certificate(r, out, x509::subject_legacy),
    ),
    ssl(
        "ssl_client_i_dn_legacy",
        "The issuer of the client's certificate, with slashes.",
        |r, _, out| certificate(r, out, x509::issuer_legacy),
    ),
    ssl("ssl_client_serial", "The serial number of the client's certificate.", |r, _, out| {
        certificate(r, out, x509::serial)
    }),
    ssl(
        "ssl_client_fingerprint",
        "The SHA-1 fingerprint of the client's certificate.",
        |r, _, out| certificate(r, out, |der| Some(x509::fingerprint(der))),
    ),
    ssl(
        "ssl_client_verify",
        "`SUCCESS`, `FAILED:reason`, or `NONE` without a certificate.",
        |r, _, out| text(r, out, TlsInfo::client_verify),
    ),
    ssl("ssl_client_v_start", "The first day of the client's certificate.", |r, _, out| {
        certificate(r, out, x509::valid_from)
    }),
    ssl("ssl_client_v_end", "The last day of the client's certificate.", |r, _, out| {
        certificate(r, out, x509::valid_until)
    }),
    ssl("ssl_client_v_remain", "The days until the client's certificate expires.", |r, _, out| {
        certificate(r, out, |der| Some(x509::days_left(der, clock::wall_secs())?.to_string()))
    }),
    ssl("ssl_client_sigalg", "Always empty, as in nginx with OpenSSL before 3.5.", |_, _, _| false),
];

/// An `$ssl_` variable. A configuration may define or set each of them, as in nginx.
const fn ssl(name: &'static str, about: &'static str, get: Get) -> Row {
    Row::new(name, about, get).changeable()
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
