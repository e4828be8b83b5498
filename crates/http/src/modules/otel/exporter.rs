//! `otel_exporter { … }`: where spans go.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use weir_conf::value::{parse_msec, parse_number};
use weir_conf::{Cx, Fault, Node, Word};
use weir_engine::os_error::Failed;
use weir_engine::tls::{ClientSettings, ClientTls, Revocation, Trust, certificates_from_pem};
use weir_engine::url::{UrlOptions, parse_url};
use weir_wire::otlp::Envelope;

/// The service if no name is set: nginx's, which dashboards know.
const UNKNOWN_SERVICE: &[u8] = b"unknown_service:nginx";

/// The path of traces by OTLP.
const PATH: &str = "/v1/traces";

/// What nginx's module takes for gRPC: an address alone, and the port of OTLP/gRPC.
const NO_GRPC: &str = "OTLP/gRPC is not supported, write the address of OTLP over HTTP, such as \
                       \"http://127.0.0.1:4318\", instead of";

/// The port that OpenTelemetry reserves for OTLP/gRPC.
const GRPC_PORT: u16 = 4317;

/// The bundle of authorities of the operating system, in the places of Debian, Fedora and Alpine.
const BUNDLES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// The limit of intermediate certificates.
const DEPTH: u32 = 5;

/// Fields that the exporter sets itself.
const OWN_FIELDS: [&str; 6] =
    ["host", "content-type", "content-length", "connection", "transfer-encoding", "te"];

/// The directives of http that make up an exporter, as written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lines {
    block: Option<Block>,
    service: Option<Vec<u8>>,
    /// `otel_resource_attr`; a later one of the same name counts.
    pub(super) attributes: BTreeMap<Vec<u8>, Vec<u8>>,
}

#[derive(Clone, Debug, Default)]
struct Block {
    endpoint: Option<Endpoint>,
    /// The text of the file.
    trust: Option<Vec<u8>>,
    headers: Vec<(String, String)>,
    interval: Option<Duration>,
    batch_size: Option<usize>,
    batch_count: Option<usize>,
    tls: Option<ClientTls>,
}

/// The place of a collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) is_tls: bool,
    /// The name or address, without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// Host and port as in `Host`.
    pub(super) authority: String,
    /// The path and the query string.
    pub(super) path: String,
}

/// The settings of an exporter.
#[derive(Debug)]
pub(crate) struct Exporter {
    pub(super) endpoint: Endpoint,
    pub(super) tls: Option<ClientTls>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) envelope: Envelope,
    pub(super) interval: Duration,
    pub(super) batch_size: usize,
    pub(super) batch_count: usize,
}

impl Lines {
    pub(super) fn set_service(&mut self, name: &Word) -> Result<(), Fault> {
        match self.service.replace(name.value.clone()) {
            Some(_) => Err(Fault::duplicate()),
            None => Ok(()),
        }
    }

    pub(super) fn set_exporter(&mut self, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
        if self.block.is_some() {
            return Err(Fault::duplicate());
        }
        let mut block = Block::default();
        for row in node.block.iter().flatten() {
            cx.row(row);
            block.take(row, cx)?;
        }
        cx.rows_done(node);
        let Some(endpoint) = &block.endpoint else {
            return Err(Fault::new("\"otel_exporter\" requires \"endpoint\""));
        };
        if endpoint.is_tls {
            block.tls = Some(tls(block.trust.as_deref(), cx)?);
        }
        self.block = Some(block);
        Ok(())
    }

    /// The exporter, if there is one.
    ///
    /// # Errors
    /// It cannot work.
    pub(super) fn exporter(&self) -> Result<Option<Exporter>, Fault> {
        let Some(block) = &self.block else { return Ok(None) };
        let Some(endpoint) = &block.endpoint else { return Ok(None) };
        let mut attributes = self.attributes.clone();
        match &self.service {
            Some(name) => drop(attributes.insert(b"service.name".to_vec(), name.clone())),
            None => {
                let service = attributes.entry(b"service.name".to_vec());
                service.or_insert_with(|| UNKNOWN_SERVICE.to_vec());
            }
        }
        let attributes: Vec<_> = attributes.into_iter().collect();
        let endpoint = endpoint.clone();
        Ok(Some(Exporter {
            endpoint,
            tls: block.tls.clone(),
            headers: block.headers.clone(),
            envelope: Envelope::new(&attributes, "weir", env!("CARGO_PKG_VERSION")),
            interval: block.interval.unwrap_or(Duration::from_secs(5)),
            batch_size: block.batch_size.unwrap_or(512),
            batch_count: block.batch_count.unwrap_or(4),
        }))
    }
}

impl Block {
    fn take(&mut self, row: &Node, cx: &Cx<'_>) -> Result<(), Fault> {
        let name = row.text().into_owned();
        let expected = match &*name {
            "endpoint" | "trusted_certificate" | "interval" | "batch_size" | "batch_count" => 1,
            "header" => 2,
            _ => {
                let what = format!("unknown directive \"{name}\" in \"otel_exporter\"");
                return Err(Fault::new(what).at(&row.name));
            }
        };
        if row.args.len() != expected || row.block.is_some() {
            let what = "invalid number of arguments in";
            return Err(Fault::new(format!("{what} \"{name}\" directive of \"otel_exporter\"")));
        }
        let word = &row.args[0];
        let twice =
            || Fault::new(format!("\"{name}\" directive of \"otel_exporter\" is duplicate"));
        let invalid = || {
            Fault::new(format!("\"{name}\" directive of \"otel_exporter\" invalid value")).at(word)
        };
        let is_new = match &*name {
            "endpoint" => self.endpoint.replace(endpoint(word)?).is_none(),
            "trusted_certificate" => {
                let path = cx.conf_path(&word.text());
                let read = cx.env().read(&path).map_err(|error| {
                    let call = format!("open() \"{}\" failed", path.display());
                    Fault::new(Failed(&call, &error).to_string()).at(word)
                });
                self.trust.replace(read?.to_vec()).is_none()
            }
            "interval" => {
                let time = parse_msec(&word.value).filter(|time| !time.is_zero());
                self.interval.replace(time.ok_or_else(invalid)?).is_none()
            }
            "batch_size" => self.batch_size.replace(count(word).ok_or_else(invalid)?).is_none(),
            "batch_count" => self.batch_count.replace(count(word).ok_or_else(invalid)?).is_none(),
            _ => {
                self.headers.push(header(word, &row.args[1])?);
                true
            }
        };
        if is_new { Ok(()) } else { Err(twice()) }
    }
}

/// A positive number.
fn count(word: &Word) -> Option<usize> {
    let number = parse_number(&word.value).and_then(|number| usize::try_from(number).ok());
    number.filter(|&number| number > 0)
}

/// A field of every request.
fn header(name: &Word, value: &Word) -> Result<(String, String), Fault> {
    // HTTP/2 has lower case only.
    let text = name.text().to_ascii_lowercase();
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let what = "\"header\" directive of \"otel_exporter\" has invalid header";
    if text.is_empty() || !name.value.iter().all(is_token) {
        return Err(Fault::new(format!("{what} name")).at(name));
    }
    if OWN_FIELDS.contains(&&*text) || text.starts_with("grpc-") {
        return Err(Fault::new(format!("{what} name, which the exporter sets itself")).at(name));
    }
    if !value.value.iter().all(|byte| (b' '..=b'~').contains(byte)) {
        return Err(Fault::new(format!("{what} value")).at(value));
    }
    Ok((text, value.text().trim().to_owned()))
}

fn endpoint(word: &Word) -> Result<Endpoint, Fault> {
    let text = word.text();
    let fault = |what: &str| Fault::new(format!("{what} in otel endpoint \"{text}\"")).at(word);
    let strip = |scheme: &str| {
        let (start, rest) = text.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    };
    let (is_tls, rest) = match (strip("https://"), strip("http://")) {
        (Some(rest), _) => (true, rest),
        (None, Some(rest)) => (false, rest),
        (None, None) => return Err(Fault::new(format!("{NO_GRPC} \"{text}\"")).at(word)),
    };
    let options = UrlOptions { default_port: 0, uri_part: true, lookup: None };
    let url = parse_url(rest, options).map_err(fault)?;
    if url.is_unix() {
        return Err(fault("unix sockets are not supported"));
    }
    if !url.has_port {
        return Err(fault("no port, usually 4318,"));
    }
    if url.host.is_empty() || !url.uri.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(fault("invalid host or path"));
    }
    if url.port == GRPC_PORT && url.uri.is_empty() {
        return Err(Fault::new(format!("{NO_GRPC} \"{text}\"")).at(word));
    }
    let path = if matches!(&*url.uri, "" | "/") { PATH.to_owned() } else { url.uri };
    let host = url.host.trim_matches(['[', ']']).to_owned();
    let authority = format!("{}:{}", url.host, url.port);
    Ok(Endpoint { is_tls, host, port: url.port, authority, path })
}

/// Settings of TLS that trust these authorities, or those of the operating system.
fn tls(trust: Option<&[u8]>, cx: &Cx<'_>) -> Result<ClientTls, Fault> {
    let system = || BUNDLES.iter().find_map(|path| cx.env().read(Path::new(path)).ok());
    let (pem, of_system);
    let text = match trust {
        Some(text) => text,
        None => {
            of_system = system().ok_or_else(|| {
                Fault::new(
                    "\"otel_exporter\" finds no authorities of the system, so that \
                     \"https://\" requires \"trusted_certificate\"",
                )
            })?;
            pem = of_system;
            &pem
        }
    };
    let anchors = certificates_from_pem(text)
        .map_err(|why| Fault::new(format!("cannot load \"trusted_certificate\": {why}")))?;
    let settings = ClientSettings {
        verify: true,
        verify_depth: DEPTH,
        server_name: true,
        trust: Trust { anchors, revocation: Revocation::default() },
        ..ClientSettings::default()
    };
    ClientTls::new(settings, &mut Vec::new()).map_err(Fault::new)
}
