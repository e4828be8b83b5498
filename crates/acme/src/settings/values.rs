//! The arguments of the block's directives.

use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use weir_conf::{Arity, Cx, Fault, Node, Value};
use weir_engine::os_error::Failed;
use weir_engine::tls::{KeyKind, PrivateKey};

use crate::url::AcmeUrl;

/// The beginning of a key that stands in the configuration itself.
const DATA: &str = "data:";

/// `uri`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Uri(pub(crate) AcmeUrl);

impl Value for Uri {
    const SYNTAX: &'static str = "uri";
    const ARITY: Arity = Arity::ONE;

    fn parse(node: &Node, _: &mut Cx<'_>) -> Result<Self, Fault> {
        let word = &node.args[0];
        let url = AcmeUrl::parse(&word.text());
        url.map(Self).ok_or_else(|| {
            let message = format!("\"{}\" is no URL of HTTP with a host", word.shown());
            Fault::new(message).at(word)
        })
    }
}

/// `challenge`: how a name is proved. Names of challenges have versions; a name without one is the
/// newest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// A file over HTTP on port 80.
    Http,
    /// A certificate in a handshake on port 443.
    Tls,
    /// A record in DNS.
    Dns,
}

impl Challenge {
    /// The type in the protocol (RFC 8555 section 9.7.8).
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Http => "http-01",
            Self::Tls => "tls-alpn-01",
            Self::Dns => "dns-01",
        }
    }
}

impl Value for Challenge {
    const SYNTAX: &'static str = "http-01 | http | tls-alpn-01 | tls-alpn | dns-01 | dns";
    const ARITY: Arity = Arity::ONE;

    fn parse(node: &Node, _: &mut Cx<'_>) -> Result<Self, Fault> {
        let word = &node.args[0];
        match &*word.text() {
            "http-01" | "http" => Ok(Self::Http),
            "tls-alpn-01" | "tls-alpn" => Ok(Self::Tls),
            "dns-01" | "dns" => Ok(Self::Dns),
            _ => Err(Fault::new(format!("unsupported challenge: {}", word.shown())).at(word)),
        }
    }

    fn show(&self) -> Option<String> {
        Some(self.kind().to_owned())
    }
}

/// The kind of a key that is written so; `None` if it does not begin like one. `directive` is for
/// the message.
///
/// # Errors
/// There is no such curve, or no keys of that size: in the words of nginx's module.
pub fn key_kind(text: &str, directive: &str) -> Result<Option<KeyKind>, Fault> {
    let what = match text.split(':').next() {
        Some("ecdsa") => "unsupported curve",
        Some("rsa") => "unsupported key size",
        _ => return Ok(None),
    };
    let fault = || Fault::new(format!("{directive}: {what} in \"{text}\""));
    KeyKind::named(text).ok_or_else(fault).map(Some)
}

/// `account_key`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeySource {
    /// A key of this kind is made.
    Made(KeyKind),
    /// The content of a file.
    File(Arc<[u8]>),
}

impl Default for KeySource {
    fn default() -> Self {
        Self::Made(KeyKind::default())
    }
}

impl Value for KeySource {
    const SYNTAX: &'static str = "ecdsa[:256 | :384 | :521] | rsa[:2048 | :3072 | :4096] | file";
    const ARITY: Arity = Arity::ONE;

    fn parse(node: &Node, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        let word = &node.args[0];
        let text = word.text();
        if let Some(kind) = key_kind(&text, "account_key").map_err(|fault| fault.at(word))? {
            return Ok(Self::Made(kind));
        }
        let path = cx.conf_path(&text);
        let content = cx.env().read(&path).map_err(|error| {
            let call = format!("cannot load account key \"{}\": open() failed", path.display());
            Fault::new(Failed(&call, &error).to_string()).at(word)
        })?;
        PrivateKey::from_pem(&content).map_err(|why| {
            let message = format!("cannot load account key \"{}\": {why}", path.display());
            Fault::new(message).at(word)
        })?;
        Ok(Self::File(content))
    }

    fn show(&self) -> Option<String> {
        match self {
            Self::Made(kind) => Some(kind.name().to_owned()),
            Self::File(_) => None,
        }
    }
}

/// `contact`: a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Contact(pub(crate) String);

impl Value for Contact {
    const SYNTAX: &'static str = "URL | address";
    const ARITY: Arity = Arity::ONE;

    fn parse(node: &Node, _: &mut Cx<'_>) -> Result<Self, Fault> {
        let word = &node.args[0];
        let text = word.str().filter(|text| !text.is_empty());
        let text = text.ok_or_else(|| Fault::invalid(word))?;
        let is_scheme = |scheme: &str| {
            scheme.starts_with(|first: char| first.is_ascii_alphabetic())
                && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
        };
        Ok(match text.split_once(':') {
            Some((scheme, _)) if is_scheme(scheme) => Self(text.to_owned()),
            _ => Self(format!("mailto:{text}")),
        })
    }
}

/// `dns_hook`: the program and its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hook(pub(crate) Vec<String>);

impl Value for Hook {
    const SYNTAX: &'static str = "program [argument ...]";
    const ARITY: Arity = Arity::at_least(1);

    fn parse(node: &Node, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        let mut words = Vec::new();
        for word in &node.args {
            let text = word.str().ok_or_else(|| Fault::invalid(word))?;
            words.push(text.to_owned());
        }
        let program = cx.conf_path(&words[0]);
        words[0] = program.to_string_lossy().into_owned();
        Ok(Self(words))
    }
}

/// `external_account_key`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExternalAccount {
    pub(crate) id: String,
    pub(crate) secret: Vec<u8>,
}

impl Value for ExternalAccount {
    const SYNTAX: &'static str = "kid file | kid data:key";
    const ARITY: Arity = Arity::exactly(2);

    fn parse(node: &Node, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        let [id, key] = [&node.args[0], &node.args[1]];
        for word in [id, key] {
            if word.value.is_empty() {
                return Err(Fault::invalid(word));
            }
        }
        let id = id.str().ok_or_else(|| Fault::invalid(id))?.to_owned();
        let written = key.text();
        let encoded = match written.strip_prefix(DATA) {
            Some(encoded) => encoded.as_bytes().to_vec(),
            None => {
                let path = cx.conf_path(&written);
                let content = cx.env().read(&path).map_err(|error| {
                    let call = format!("open() \"{}\" failed", path.display());
                    Fault::new(Failed(&call, &error).to_string()).at(key)
                })?;
                content.to_vec()
            }
        };
        let bare = encoded.trim_ascii().without_padding();
        let secret = URL_SAFE_NO_PAD.decode(bare).ok().filter(|secret| !secret.is_empty());
        let secret = secret.ok_or_else(|| Fault::new("invalid base64url encoded value").at(key))?;
        Ok(Self { id, secret })
    }
}

/// Base64url is written with its padding or without.
trait Padded {
    fn without_padding(&self) -> &[u8];
}

impl Padded for [u8] {
    fn without_padding(&self) -> &[u8] {
        let end = self.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last + 1);
        &self[..end]
    }
}

/// `profile`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Profile {
    pub(crate) name: String,
    pub(crate) is_required: bool,
}

impl Value for Profile {
    const SYNTAX: &'static str = "name [require]";
    const ARITY: Arity = Arity::exactly(1).or(Arity::exactly(2));

    fn parse(node: &Node, _: &mut Cx<'_>) -> Result<Self, Fault> {
        let is_required = match node.args.get(1) {
            Some(word) if !word.is("require") => return Err(Fault::invalid(word)),
            word => word.is_some(),
        };
        let word = &node.args[0];
        let name = word.str().filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| Fault::invalid(word))?.to_owned();
        Ok(Self { name, is_required })
    }
}

/// `state_path`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum StatePath {
    #[default]
    Default,
    Off,
    At(PathBuf),
}

impl Value for StatePath {
    const SYNTAX: &'static str = "path | off";
    const ARITY: Arity = Arity::ONE;

    fn parse(node: &Node, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        let text = node.args[0].text();
        if text == "off" {
            return Ok(Self::Off);
        }
        let bare = text.strip_suffix('/').unwrap_or(&text);
        Ok(Self::At(cx.prefix_path(bare)))
    }

    fn show(&self) -> Option<String> {
        Some("acme_NAME".to_owned())
    }
}
