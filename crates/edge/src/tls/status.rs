//! What a server does with OCSP, prepared from its settings.

use std::sync::Arc;

use weir_conf::{Cx, Fault, Severity};
use weir_engine::clock;
use weir_engine::tls::ocsp::{OcspJudge, responder_url};
use weir_engine::tls::{CertifiedKey, ServerSettings, Trust};

use super::files::FileSource;
use super::{Ocsp, Ssl, late};
use crate::ocsp::OcspResponder;
use crate::ocsp::clients::ClientStatus;
use crate::ocsp::stapling::{Settings, Stapled};

/// The prepared settings.
#[derive(Default)]
pub(super) struct OcspSettings {
    pub(super) stapled: Vec<Arc<Stapled>>,
    pub(super) clients: Option<ClientStatus>,
}

impl OcspSettings {
    /// Prepares the settings, and attaches what is stapled to the keys (ngx_ssl_stapling,
    /// ngx_ssl_ocsp).
    pub(super) fn prepare(
        ssl: &Ssl,
        settings: &mut ServerSettings,
        cx: &mut Cx<'_>,
    ) -> Result<Self, Fault> {
        let mut own = Self::default();
        let asks = ssl.stapling && ssl.stapling_file.is_none();
        if ssl.ocsp == Ocsp::Off && !asks {
            return Ok(own);
        }
        let judge = OcspJudge::new(&trust(settings));
        if ssl.ocsp != Ocsp::Off {
            let parse = |url: &String| OcspResponder::parse(url, Some(cx.env()));
            let responder = ssl.ocsp_responder.as_ref().map(parse).transpose();
            let responder =
                responder.map_err(|fault| late(format!("{fault} in \"ssl_ocsp_responder\"")))?;
            let (leaf, cache) = (ssl.ocsp == Ocsp::Leaf, ssl.ocsp_cache.0.clone());
            own.clients = Some(ClientStatus { leaf, responder, cache, judge: judge.clone() });
        }
        if asks {
            let names = ssl.certificates.iter();
            let files: Vec<_> =
                FileSource::of(cx, |files| names.map(|name| files.shown(name)).collect());
            for (key, file) in settings.keys.iter_mut().zip(&files) {
                match stapled(ssl, key, file, &judge, cx) {
                    Ok(stapled) => {
                        *key = key.with_staple(Arc::clone(stapled.staple()));
                        own.stapled.push(stapled);
                    }
                    Err(why) => {
                        let message = format!("\"ssl_stapling\" ignored, {why}");
                        cx.error(late(message).severity(Severity::Warn));
                    }
                }
            }
        }
        Ok(own)
    }
}

/// The authorities that the server trusts, and its revocation lists.
fn trust(settings: &ServerSettings) -> Trust {
    let mut trust = settings.trust.clone();
    trust.anchors.extend(settings.client_authorities.iter().cloned());
    trust
}

/// Prepares the stapling to one certificate.
fn stapled(
    ssl: &Ssl,
    key: &CertifiedKey,
    file: &str,
    judge: &OcspJudge,
    cx: &Cx<'_>,
) -> Result<Arc<Stapled>, StaplingIgnored> {
    let [certificate, chain @ ..] = key.chain() else { return Err(StaplingIgnored::issuer(file)) };
    let issuer = judge.issuer(certificate, chain, clock::wall_secs());
    let issuer = issuer.ok_or_else(|| StaplingIgnored::issuer(file))?;
    let url = match &ssl.stapling_responder {
        Some(url) if !url.is_empty() => url.clone(),
        _ => responder_url(certificate).ok_or_else(|| {
            StaplingIgnored(format!("no OCSP responder URL in the certificate \"{file}\""))
        })?,
    };
    let responder = OcspResponder::parse(&url, Some(cx.env()))
        .map_err(|fault| StaplingIgnored(format!("{fault} in the certificate \"{file}\"")))?;
    let settings = Settings { verify: ssl.stapling_verify, judge };
    Stapled::new(key, file, responder, &issuer, &settings)
        .ok_or_else(|| StaplingIgnored::issuer(file))
}

/// Why nothing is stapled to a certificate, in nginx's words.
struct StaplingIgnored(String);

impl StaplingIgnored {
    fn issuer(file: &str) -> Self {
        Self(format!("issuer certificate not found for certificate \"{file}\""))
    }
}

impl std::fmt::Display for StaplingIgnored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
