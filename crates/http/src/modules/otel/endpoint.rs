//! `endpoint` of `otel_exporter`: where a collector is, and the protocol that it speaks.
//!
//! What nginx's module accepts means OTLP over gRPC, as there. Weir adds OTLP over HTTP, for what
//! nginx's module has no meaning: an URL with a path, or `protocol http/protobuf`.

use std::sync::Arc;

use weir_conf::{Cx, Fault, Word, keywords};
use weir_engine::Addr;
use weir_engine::url::{UrlOptions, parse_url};

/// The path of traces by OTLP over HTTP.
const PATH: &str = "/v1/traces";

/// The port without one in OTLP over gRPC, with TLS or without: gRPC's.
const GRPC_PORT: u16 = 443;

/// The port that OpenTelemetry reserves for OTLP over HTTP.
const OTLP_HTTP_PORT: u16 = 4318;

/// The name of a collector on a unix socket.
const LOCAL: &str = "localhost";

keywords! {
    /// The protocol to a collector, by the names of `OTEL_EXPORTER_OTLP_PROTOCOL`.
    pub(super) enum Written {
        /// OTLP over gRPC.
        "grpc" => Grpc,
        /// OTLP over HTTP with messages of Protocol Buffers.
        "http/protobuf" => Http,
    }
}

/// How spans are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// OTLP over gRPC.
    Grpc,
    /// OTLP over HTTP.
    Http {
        /// The path and the query string.
        path: String,
    },
}

/// Where a collector listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A name or an address, without brackets, and a port.
    Host(Arc<str>, u16),
    /// A unix socket.
    Unix(Addr),
}

/// A collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) is_tls: bool,
    pub(super) place: Place,
    /// Host and port as in `Host` and `:authority`.
    pub(super) authority: String,
    pub(super) protocol: Protocol,
}

impl Endpoint {
    /// The endpoint in `word`, with the protocol that is written beside it.
    pub(super) fn parse(
        word: &Word,
        protocol: Option<Written>,
        cx: &mut Cx<'_>,
    ) -> Result<Self, Fault> {
        let text = word.text();
        let fault = |what: &str| Fault::new(format!("{what} in otel endpoint \"{text}\"")).at(word);
        let (is_tls, rest) = scheme(&text);
        let has_scheme = is_tls.is_some();
        let is_tls = is_tls == Some(true);
        let is_grpc = |path: &str| match protocol {
            Some(written) => written == Written::Grpc,
            None => path.is_empty(),
        };
        // A name of gRPC's own for what is looked up.
        let rest = rest.strip_prefix("dns:").map_or(rest, |rest| rest.trim_start_matches('/'));
        let options = UrlOptions { default_port: 0, uri_part: true, lookup: None };
        let url = parse_url(rest, options).map_err(fault)?;
        let (is_grpc, path) = (is_grpc(&url.uri), &*url.uri);
        if is_grpc && !path.is_empty() {
            return Err(fault("a path, which OTLP over gRPC does not have,"));
        }
        if !is_grpc && !has_scheme && protocol.is_none() {
            return Err(fault("a path without \"http://\" or \"https://\""));
        }
        if !path.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(fault("invalid path"));
        }
        let default = match (is_grpc, is_tls) {
            (true, _) | (_, true) => GRPC_PORT,
            (false, false) => 80,
        };
        let port = if url.has_port { url.port } else { default };
        let (place, authority) = match url.addresses.first() {
            Some(address @ Addr::Unix(_)) => (Place::Unix(address.clone()), LOCAL.to_owned()),
            _ => {
                let host = url.host.trim_matches(['[', ']']);
                (Place::Host(host.into(), port), format!("{}:{port}", url.host))
            }
        };
        // They become parts of heads.
        if authority.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
            return Err(fault("invalid host"));
        }
        if is_grpc && port == OTLP_HTTP_PORT && protocol.is_none() {
            cx.warn(format!(
                "otel endpoint \"{text}\" means OTLP over gRPC, as in nginx, but collectors \
                 usually have OTLP over HTTP on this port, which is written \
                 \"http://{authority}{PATH}\""
            ));
        }
        let protocol = match (is_grpc, path) {
            (true, _) => Protocol::Grpc,
            (false, "" | "/") => Protocol::Http { path: PATH.to_owned() },
            (false, path) if path.starts_with('/') => Protocol::Http { path: path.to_owned() },
            (false, path) => Protocol::Http { path: format!("/{path}") },
        };
        Ok(Self { is_tls, place, authority, protocol })
    }

    /// The name that a certificate has to be for.
    pub(super) fn name(&self) -> &str {
        match &self.place {
            Place::Host(host, _) => host,
            Place::Unix(_) => LOCAL,
        }
    }
}

/// Whether an endpoint is one of TLS, if it has a scheme, and what follows that.
fn scheme(text: &str) -> (Option<bool>, &str) {
    for (scheme, is_tls) in [("https://", true), ("http://", false)] {
        if let Some((start, rest)) = text.split_at_checked(scheme.len())
            && start.eq_ignore_ascii_case(scheme)
        {
            return (Some(is_tls), rest);
        }
    }
    (None, text)
}
