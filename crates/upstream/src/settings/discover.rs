//! `discover SOURCE PARAMETERS` in an `upstream` block.

use std::{path::Path, sync::Arc};

use weir_conf::{Cx, Fault, Node, Word};
use weir_engine::{
    os_error::Failed,
    tls::{CertifiedKey, ClientSettings, ClientTls, Revocation, Trust, certificates_from_pem},
    url::{UrlOptions, parse_url},
};

use crate::discovery::config::{DiscoverConfig, Endpoint, EtcdConfig, Login, Tls};

/// The port of etcd.
const PORT: u16 = 2379;

/// The limit of intermediate certificates: there is one trust, and no reason to be narrow.
const DEPTH: u32 = 5;

/// Reads the arguments of the directive.
///
/// # Errors
/// What is wrong with them.
pub(super) fn source(node: &Node, cx: &Cx<'_>) -> Result<DiscoverConfig, Fault> {
    let (word, rest) = node.args.split_first().ok_or_else(|| Fault::bad_count(&node.name))?;
    match word.value.as_slice() {
        b"file" => file(rest, cx),
        b"etcd" => Ok(DiscoverConfig::Etcd(Arc::new(etcd(rest, cx)?))),
        _ => Err(Fault::parameter(word)),
    }
}

fn file(words: &[Word], cx: &Cx<'_>) -> Result<DiscoverConfig, Fault> {
    match words {
        [path] if !path.value.is_empty() => {
            Ok(DiscoverConfig::File(cx.prefix_path(&path.text()).into()))
        }
        [path] => Err(Fault::parameter(path)),
        [_, word, ..] => Err(Fault::parameter(word)),
        [] => Err(Fault::new("discover file has no path")),
    }
}

/// The parameters of `discover etcd`, as written.
#[derive(Default)]
struct Written<'a> {
    endpoints: Vec<Endpoint>,
    prefix: Option<&'a [u8]>,
    user: Option<&'a Word>,
    password_file: Option<&'a Word>,
    ca: Option<&'a Word>,
    certificate: Option<&'a Word>,
    certificate_key: Option<&'a Word>,
    state: Option<&'a Word>,
}

fn etcd(words: &[Word], cx: &Cx<'_>) -> Result<EtcdConfig, Fault> {
    let mut written = Written::default();
    for word in words {
        written.take(word, cx)?;
    }
    let missing = |what: &str| Fault::new(format!("discover etcd has no {what}"));
    let prefix = written.prefix.ok_or_else(|| missing("\"prefix=\""))?.to_vec();
    if written.endpoints.is_empty() {
        return Err(missing("endpoint, such as \"http://127.0.0.1:2379\""));
    }
    let login = match (written.user, written.password_file) {
        (Some(user), Some(file)) => {
            let user = String::from_utf8_lossy(value(user)).into_owned();
            Some(Login { user, password: password(file, cx)? })
        }
        (None, None) => None,
        _ => return Err(Fault::new("\"user=\" and \"password_file=\" belong together")),
    };
    let tls = written.tls(cx)?;
    let state = written.state.map(|word| cx.prefix_path(&text(word)).into());
    Ok(EtcdConfig { endpoints: written.endpoints, prefix, login, tls, state })
}

/// What follows the first `=`.
fn value(word: &Word) -> &[u8] {
    let start = word.value.iter().position(|&byte| byte == b'=').map_or(0, |at| at + 1);
    &word.value[start..]
}

fn text(word: &Word) -> String {
    String::from_utf8_lossy(value(word)).into_owned()
}

impl<'a> Written<'a> {
    fn take(&mut self, word: &'a Word, cx: &Cx<'_>) -> Result<(), Fault> {
        for (scheme, is_tls) in [("http://", false), ("https://", true)] {
            if let Some(rest) = word.after(scheme) {
                return self.add_endpoint(word, rest, is_tls, cx);
            }
        }
        let name = word.value.split(|&byte| byte == b'=').next().unwrap_or_default();
        if value(word).is_empty() || name.len() == word.value.len() {
            return Err(Fault::parameter(word));
        }
        let slot = match name {
            b"prefix" => {
                self.prefix = Some(value(word));
                return Ok(());
            }
            b"user" => &mut self.user,
            b"password_file" => &mut self.password_file,
            b"ca" => &mut self.ca,
            b"certificate" => &mut self.certificate,
            b"certificate_key" => &mut self.certificate_key,
            b"state" => &mut self.state,
            _ => return Err(Fault::parameter(word)),
        };
        *slot = Some(word);
        Ok(())
    }

    /// Adds the addresses of an endpoint.
    fn add_endpoint(
        &mut self,
        word: &Word,
        rest: &[u8],
        is_tls: bool,
        cx: &Cx<'_>,
    ) -> Result<(), Fault> {
        let rest = String::from_utf8_lossy(rest);
        let rest = rest.trim_end_matches('/');
        let options = UrlOptions { default_port: PORT, uri_part: false, lookup: Some(cx.env()) };
        let invalid = |fault: &str| Fault::new(format!("{fault} in \"{}\"", word.text())).at(word);
        let url = parse_url(rest, options).map_err(invalid)?;
        if url.is_unix() {
            return Err(invalid("invalid host"));
        }
        let authority = format!("{}:{}", url.host, url.port);
        self.endpoints.extend(url.addresses.iter().map(|address| Endpoint {
            address: address.clone(),
            host: url.host.trim_matches(['[', ']']).to_owned(),
            authority: authority.clone(),
            is_tls,
        }));
        Ok(())
    }

    fn tls(&self, cx: &Cx<'_>) -> Result<Option<Tls>, Fault> {
        let secure = self.endpoints.iter().any(|endpoint| endpoint.is_tls);
        let Some(ca) = self.ca.filter(|_| secure) else {
            return match (secure, self.ca.or(self.certificate).or(self.certificate_key)) {
                (true, _) => Err(Fault::new("\"https://\" requires \"ca=\"")),
                (false, Some(word)) => {
                    let message = format!("\"{}\" requires \"https://\"", word.text());
                    Err(Fault::new(message).at(word))
                }
                (false, None) => Ok(None),
            };
        };
        let mut files = vec![read(ca, cx)?];
        let anchors = certificates_from_pem(&files[0]).map_err(|why| {
            Fault::new(format!("cannot load certificate \"{}\": {why}", text(ca)))
        })?;
        let mut settings = ClientSettings {
            verify: true,
            verify_depth: DEPTH,
            server_name: true,
            trust: Trust { anchors, revocation: Revocation::default() },
            ..ClientSettings::default()
        };
        match (self.certificate, self.certificate_key) {
            (Some(certificate), Some(key)) => {
                files.push(read(certificate, cx)?);
                files.push(read(key, cx)?);
                let pair = CertifiedKey::from_pem(&files[1], &files[2], &[]);
                settings.key =
                    Some(pair.map_err(|error| {
                        Fault::new(error.message(&text(certificate), &text(key)))
                    })?);
            }
            (None, None) => {}
            _ => {
                return Err(Fault::new(
                    "\"certificate=\" and \"certificate_key=\" belong together",
                ));
            }
        }
        let client = ClientTls::new(settings, &mut Vec::new()).map_err(Fault::new)?;
        Ok(Some(Tls { client, files }))
    }
}

/// Reads the file that a parameter names.
fn read(word: &Word, cx: &Cx<'_>) -> Result<Arc<[u8]>, Fault> {
    let path = cx.conf_path(&text(word));
    cx.env().read(&path).map_err(|error| {
        let call = format!("open() \"{}\" failed", Path::new(&path).display());
        Fault::new(Failed(&call, &error).to_string()).at(word)
    })
}

/// The first line of a file.
fn password(word: &Word, cx: &Cx<'_>) -> Result<String, Fault> {
    let content = read(word, cx)?;
    let content = String::from_utf8_lossy(&content);
    let password = content.lines().next().unwrap_or_default();
    match password.is_empty() {
        true => Err(Fault::new(format!("\"{}\" has no password", word.text())).at(word)),
        false => Ok(password.to_owned()),
    }
}
