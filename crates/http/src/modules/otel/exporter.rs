//! `otel_exporter { … }`: where spans go.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use weir_conf::value::{parse_msec, parse_number};
use weir_conf::{Cx, Fault, Node, Word};
use weir_engine::os_error::Failed;
use weir_engine::tls::{ClientSettings, ClientTls, Revocation, Trust, certificates_from_pem};
use weir_wire::otlp::Envelope;

use super::endpoint::{Endpoint, Protocol, Written};
use super::exchange::ALPN;

/// The service if no name is set: nginx's, which dashboards know.
const UNKNOWN_SERVICE: &[u8] = b"unknown_service:nginx";

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
    endpoint: Option<Word>,
    protocol: Option<Written>,
    /// The text of the file.
    trust: Option<Vec<u8>>,
    headers: Vec<(String, String)>,
    interval: Option<Duration>,
    batch_size: Option<usize>,
    batch_count: Option<usize>,
    /// What follows from these.
    target: Option<(Endpoint, Option<ClientTls>)>,
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
        let word = block.endpoint.as_ref().filter(|word| !word.value.is_empty());
        let Some(word) = word else {
            return Err(Fault::new("\"otel_exporter\" requires \"endpoint\""));
        };
        let endpoint = Endpoint::parse(word, block.protocol, cx)?;
        let tls = match endpoint.is_tls {
            true => Some(tls(&endpoint, block.trust.as_deref(), cx)?),
            false => None,
        };
        block.target = Some((endpoint, tls));
        self.block = Some(block);
        Ok(())
    }

    /// The exporter, if there is one.
    ///
    /// # Errors
    /// It cannot work.
    pub(super) fn exporter(&self) -> Result<Option<Exporter>, Fault> {
        let Some(block) = &self.block else { return Ok(None) };
        let Some((endpoint, tls)) = &block.target else { return Ok(None) };
        let mut attributes = self.attributes.clone();
        match &self.service {
            Some(name) => drop(attributes.insert(b"service.name".to_vec(), name.clone())),
            None => {
                let service = attributes.entry(b"service.name".to_vec());
                service.or_insert_with(|| UNKNOWN_SERVICE.to_vec());
            }
        }
        let attributes: Vec<_> = attributes.into_iter().collect();
        let is_grpc = endpoint.protocol == Protocol::Grpc;
        let headers = block.headers.iter().map(|(name, value)| {
            let is_binary = is_grpc && name.ends_with("-bin");
            let value = if is_binary { BASE64.encode(value) } else { value.clone() };
            (name.clone(), value)
        });
        Ok(Some(Exporter {
            endpoint: endpoint.clone(),
            tls: tls.clone(),
            headers: headers.collect(),
            envelope: Envelope::new(&attributes, "weir", env!("CARGO_PKG_VERSION")),
            interval: block.interval.unwrap_or(Duration::from_secs(5)),
            batch_size: block.batch_size.unwrap_or(512),
            batch_count: block.batch_count.unwrap_or(4),
        }))
    }
}

impl Exporter {
    /// The fields of each request beside those of the protocol. One that calls the exporter by
    /// another name replaces its own.
    pub(super) fn fields<'a>(&'a self, agent: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        const AGENT: &str = "user-agent";
        let is_named = self.headers.iter().any(|(name, _)| name == AGENT);
        let own = (!is_named).then_some((AGENT, agent));
        own.into_iter().chain(self.headers.iter().map(|(name, value)| (&**name, &**value)))
    }
}

impl Block {
    fn take(&mut self, row: &Node, cx: &Cx<'_>) -> Result<(), Fault> {
        let name = row.text().into_owned();
        let expected = match &*name {
            "endpoint"
            | "protocol"
            | "trusted_certificate"
            | "interval"
            | "batch_size"
            | "batch_count" => 1,
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
            "endpoint" => self.endpoint.replace(word.clone()).is_none(),
            "protocol" => {
                let written = Written::from_keyword(&word.value).ok_or_else(invalid)?;
                self.protocol.replace(written).is_none()
            }
            "trusted_certificate" => {
                let path = cx.conf_path(&word.text());
                let read = cx.env().read(&path).map_err(|error| {
                    let call = format!("open() \"{}\" failed", path.display());
                    Fault::new(Failed(&call, &error).to_string()).at(word)
                });
                self.trust = Some(read?.to_vec());
                // The last one counts, as in nginx's module.
                true
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

/// Settings of TLS that trust these authorities, or those of the operating system.
fn tls(endpoint: &Endpoint, trust: Option<&[u8]>, cx: &Cx<'_>) -> Result<ClientTls, Fault> {
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
        alpn: match endpoint.protocol {
            Protocol::Grpc => vec![ALPN.to_vec()],
            Protocol::Http { .. } => Vec::new(),
        },
        ..ClientSettings::default()
    };
    ClientTls::new(settings, &mut Vec::new()).map_err(Fault::new)
}
