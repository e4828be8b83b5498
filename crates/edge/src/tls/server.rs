//! A server's `ssl_` settings, prepared for handshakes.

use std::path::PathBuf;
use std::sync::Arc;

use weir_conf::{Cx, Fault};
use weir_engine::tls::{CertifiedKey, Issued, ServerSettings, ServerTls, SettingsError, Tickets};
use weir_script::variables::variables;
use weir_script::{Host, Template};

use super::cache::FileCache;
use super::commands::Commands;
use super::files::FileSource;
use super::issued::{self, IssuedKey, Unready};
use super::sessions::Sessions;
use super::status::OcspSettings;
use super::{Ocsp, Ssl, Verify, late, warn_of, warn_of_missing};
use crate::ocsp::clients::ClientStatus;
use crate::ocsp::stapling::Stapled;

/// Prepared settings.
pub struct ServerContext {
    tls: Arc<ServerTls>,
    /// The certificates with the paths of their files, unless they are computed.
    certificates: Vec<(String, CertifiedKey)>,
    /// The names of certificates and keys, if any has variables.
    computed: Vec<Names>,
    /// The certificate that is ordered for the server.
    issued: IssuedKey,
    passwords: Vec<Vec<u8>>,
    prefix: PathBuf,
    cache: Option<Arc<FileCache>>,
    /// The certificates whose status is stapled to them.
    stapled: Vec<Arc<Stapled>>,
    wants_stapling: bool,
    /// How the status of clients' certificates is found out.
    client_status: Option<ClientStatus>,
    /// Held so that the next configuration finds the same sessions.
    _sessions: Sessions,
}

impl ServerContext {
    /// Prepares the settings; None without a certificate.
    pub(super) fn build(ssl: &Ssl, cx: &mut Cx<'_>) -> Result<Option<Self>, Fault> {
        if ssl.keys.len() < ssl.certificates.len() {
            let last = ssl.certificates.last().map_or("", String::as_str);
            return Err(late(format!(
                "no \"ssl_certificate_key\" is defined for certificate \"{last}\""
            )));
        }
        if ssl.certificates.is_empty() && !ssl.reject_handshake {
            return Ok(None);
        }
        let computed = compile(ssl, cx)?;
        let commands = Commands::read(&ssl.conf_commands).map_err(late)?;
        let mut settings = ssl.plain();
        settings.offer = commands.offer(ssl.protocols.0, &ssl.ciphers, &ssl.ecdh_curve);
        if let Some(own) = commands.server_preference {
            settings.prefer_server_ciphers = own;
        }
        let loaded = FileSource::of(cx, |files| {
            load(ssl, &mut settings, files, computed.is_empty())?;
            override_key(ssl, &commands, &mut settings, files)
        });
        loaded.map_err(late)?;
        let status = OcspSettings::prepare(ssl, &mut settings, cx)?;
        let certificates = FileSource::of(cx, |files| {
            let own = commands.certificate.as_ref().or(ssl.certificates.last());
            let names = ssl.certificates.iter().filter(|_| computed.is_empty()).chain(own);
            let paths = names.map(|name| files.shown(name));
            paths.zip(settings.keys.iter().cloned()).collect()
        });
        warn_of_what_is_missing(ssl, cx);
        for message in &commands.ignored {
            warn_of(cx, "conf_commands", message);
        }
        let lifetime = settings.session_timeout;
        let sessions = ssl.session_cache.open(lifetime);
        settings.cache = sessions.cache();
        settings.tickets = match commands.tickets.unwrap_or(ssl.session_tickets) {
            false => None,
            true if ssl.session_ticket_keys.is_empty() => sessions.tickets(lifetime),
            true => Some(ticket_keys(ssl, lifetime, cx)?),
        };
        let mut warnings = Vec::new();
        let tls = ServerTls::new(settings, &mut warnings).map_err(late)?;
        warn_of_missing(cx, &warnings);
        Ok(Some(Self {
            tls: Arc::new(tls),
            certificates,
            computed,
            issued: IssuedKey::default(),
            passwords: ssl.passwords.0.clone(),
            prefix: cx.conf_path(""),
            cache: ssl.certificate_cache.0.clone(),
            stapled: status.stapled,
            wants_stapling: ssl.stapling,
            client_status: status.clients,
            _sessions: sessions,
        }))
    }

    /// The certificates, each with the path of its file, unless they are computed.
    pub fn certificates(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.certificates.iter().filter_map(|(path, key)| Some((&**path, &**key.chain().first()?)))
    }

    /// The certificates whose status is stapled to them.
    pub fn stapled(&self) -> &[Arc<Stapled>] {
        &self.stapled
    }

    /// How the status of clients' certificates is found out, if it has to be.
    pub fn client_status(&self) -> Option<&ClientStatus> {
        self.client_status.as_ref()
    }

    /// Whether the certificates depend on the connection.
    pub fn is_computed(&self) -> bool {
        !self.computed.is_empty()
    }

    /// The settings for connections, unless they have to be computed.
    pub fn tls(&self) -> &Arc<ServerTls> {
        &self.tls
    }

    /// Whether the certificate that is ordered for the server is one of its certificates.
    pub fn is_issued(&self) -> bool {
        self.computed.iter().any(|names| matches!(names, Names::Issued))
    }

    /// Whether `ssl_stapling` asks for the status of certificates, or has it from a file.
    pub fn wants_stapling(&self) -> bool {
        self.wants_stapling
    }

    /// Says which certificate is ordered for the server.
    pub fn bind(&self, issued: Arc<Issued>) {
        self.issued.bind(issued);
    }

    /// The settings for one connection, whose variables `host` computes.
    ///
    /// # Errors
    /// There is no certificate yet, or a file that the variables name has a fault.
    pub fn compute<H: Host>(&self, host: &mut H) -> Result<Arc<ServerTls>, Unready> {
        if let [Names::Issued] = self.computed[..] {
            return self.issued.settings(&self.tls).ok_or(Unready::NotIssued);
        }
        let mut keys: Vec<CertifiedKey> = Vec::new();
        for names in &self.computed {
            let (certificate, key) = match names {
                Names::Issued => {
                    keys.extend(self.issued.key());
                    continue;
                }
                Names::Computed(both) => &**both,
            };
            let (mut certificate_name, mut key_name) = (Vec::new(), Vec::new());
            certificate.eval(host, &mut certificate_name);
            key.eval(host, &mut key_name);
            let names = (&*certificate_name, &*key_name);
            let cache = self.cache.as_deref();
            let found = FileSource::named(&self.prefix, cache, names, &self.passwords);
            keys.push(found.map_err(Unready::Fault)?);
        }
        match keys.is_empty() {
            true => Err(Unready::NotIssued),
            false => Ok(Arc::new(self.tls.with_keys(keys))),
        }
    }
}

/// The names of a certificate and its key, of which one has variables at least.
enum Names {
    /// The certificate that is ordered for the server.
    Issued,
    Computed(Box<(Template, Template)>),
}

/// The names of all certificates and keys as templates, if any has variables.
fn compile(ssl: &Ssl, cx: &mut Cx<'_>) -> Result<Vec<Names>, Fault> {
    let pairs = || ssl.certificates.iter().zip(&ssl.keys);
    if !pairs().any(|(certificate, key)| certificate.contains('$') || key.contains('$')) {
        return Ok(Vec::new());
    }
    let vars = variables(cx);
    pairs()
        .map(|(certificate, key)| {
            if issued::is_issued(certificate, key) {
                return Ok(Names::Issued);
            }
            let certificate = Template::compile(certificate.as_bytes(), vars)?;
            let key = Template::compile(key.as_bytes(), vars)?;
            Ok(Names::Computed(Box::new((certificate, key))))
        })
        .collect::<Result<_, Fault>>()
        .map_err(Fault::nowhere)
}

/// Loads all files, in nginx's order.
fn load(
    ssl: &Ssl,
    settings: &mut ServerSettings,
    files: &FileSource<'_>,
    certificates: bool,
) -> Result<(), SettingsError> {
    let passwords = ssl.passwords.slices();
    if certificates {
        for (certificate, key) in ssl.certificates.iter().zip(&ssl.keys) {
            settings.keys.push(files.pair(certificate, key, &passwords)?);
        }
    }
    if ssl.verify_client != Verify::Off {
        if ssl.verify_client != Verify::OptionalNoCa
            && ssl.client_certificate.is_empty()
            && ssl.trusted_certificate.is_empty()
        {
            return Err("no ssl_client_certificate or ssl_trusted_certificate for \
                        ssl_verify_client"
                .into());
        }
        settings.client_authorities = files.authorities(&ssl.client_certificate)?;
    }
    settings.trust = files.trust(&ssl.trusted_certificate, &ssl.crl)?;
    if ssl.ocsp != Ocsp::Off && ssl.verify_client == Verify::OptionalNoCa {
        return Err("\"ssl_ocsp\" is incompatible with \"ssl_verify_client optional_no_ca\"".into());
    }
    if let Some(name) = &ssl.dhparam {
        let (shown, text) = files.plain(name, "r")?;
        let heads = [&b"-----BEGIN DH PARAMETERS-----"[..], b"-----BEGIN X9.42 DH PARAMETERS-----"];
        if !heads.iter().any(|head| contains(&text, head)) {
            return Err(format!(
                "PEM_read_bio_DHparams(\"{shown}\") failed (SSL: error:0480006C:PEM \
                 routines::no start line:Expecting: DH PARAMETERS)"
            )
            .into());
        }
    }
    if ssl.stapling && ssl.certificate_compression {
        return Err("\"ssl_stapling\" is incompatible with \"ssl_certificate_compression\"".into());
    }
    if ssl.stapling
        && let Some(name) = &ssl.stapling_file
    {
        let (shown, answer) = files.plain(name, "rb")?;
        if answer.first() != Some(&0x30) {
            return Err(format!(
                "d2i_OCSP_RESPONSE_bio(\"{shown}\") failed (SSL: error:0680008E:asn1 encoding \
                 routines::not enough data)"
            )
            .into());
        }
        for key in &mut settings.keys {
            *key = key.with_ocsp(answer.to_vec());
        }
    }
    Ok(())
}

/// Applies `ssl_conf_command Certificate` and `PrivateKey`, and authorities named by commands.
fn override_key(
    ssl: &Ssl,
    commands: &Commands,
    settings: &mut ServerSettings,
    files: &FileSource<'_>,
) -> Result<(), SettingsError> {
    if commands.certificate.is_some() || commands.key.is_some() {
        let certificate = commands.certificate.as_ref().or(ssl.certificates.last());
        let key = commands.key.as_ref().or(ssl.keys.last());
        if let (Some(certificate), Some(key)) = (certificate, key) {
            settings.keys.push(files.pair(certificate, key, &ssl.passwords.slices())?);
        }
    }
    if let Some(name) = &commands.authorities {
        settings.trust.anchors.extend(files.authorities(name)?);
    }
    Ok(())
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// The keys of `ssl_session_ticket_key`. nginx reports their faults at the closing brace.
fn ticket_keys(ssl: &Ssl, lifetime: u32, cx: &mut Cx<'_>) -> Result<Tickets, Fault> {
    let read: Result<Vec<_>, SettingsError> = FileSource::of(cx, |files| {
        ssl.session_ticket_keys.iter().map(|name| files.raw(name)).collect()
    });
    let read = read.map_err(String::from)?;
    for (shown, bytes) in &read {
        if !matches!(bytes.len(), 48 | 80) {
            return Err(Fault::new(format!("\"{shown}\" must be 48 or 80 bytes")));
        }
    }
    let bytes: Vec<&[u8]> = read.iter().map(|(_, bytes)| &**bytes).collect();
    Ok(Tickets::from_files(&bytes, lifetime).map_err(String::from)?)
}

/// Warns about settings that are accepted but not supported.
fn warn_of_what_is_missing(ssl: &Ssl, cx: &mut Cx<'_>) {
    let missing = [
        (ssl.certificate_compression, "certificate_compression"),
        (!ssl.ech_files.is_empty(), "ech_files"),
    ];
    for (_, field) in missing.iter().filter(|(set, _)| *set) {
        let name = if *field == "ech_files" { "ech_file" } else { field };
        let message = format!("\"ssl_{name}\" is not supported on this platform, ignored");
        warn_of(cx, field, &message);
    }
    if ssl.early_data && !ssl.session_ticket_keys.is_empty() {
        let message = "\"ssl_session_ticket_key\" ignored, \"ssl_early_data\" keeps sessions in \
                       the cache to use each of them once";
        warn_of(cx, "session_ticket_keys", message);
    }
    if ssl.dhparam.is_some() {
        let message = "\"ssl_dhparam\" ignored, there are no ciphers with DHE key exchange";
        warn_of(cx, "dhparam", message);
    }
}
