//! `ssl_ocsp`: the status of a client's certificates, asked after its handshake.

use std::sync::Arc;

use weir_engine::clock;
use weir_engine::digest::sha256;
use weir_engine::error_log::Level;
use weir_engine::tls::ocsp::{Belief, CertStatus, OcspJudge, Question, responder_url};
use weir_engine::tls::{CertificateDer, OcspStatus};

use super::cache::OcspZone;
use super::fetch::Asking;
use super::{Log, OcspResponder, Resolving};

/// The settings of a server that asks about its clients.
#[derive(Clone, Debug)]
pub struct ClientStatus {
    /// Only the client's own certificate is asked about, and not those of its authorities.
    pub leaf: bool,
    /// `ssl_ocsp_responder`, instead of those that the certificates name.
    pub responder: Option<OcspResponder>,
    /// `ssl_ocsp_cache`.
    pub cache: Option<Arc<OcspZone>>,
    /// The trusted authorities.
    pub judge: OcspJudge,
}

/// What the check of a client needs besides the settings.
pub struct Circumstances<'a> {
    /// `resolver`.
    pub resolver: Option<Resolving>,
    /// Logs what concerns the connection, in its context.
    pub log: Log<'a>,
    /// Logs what has a context of its own.
    pub bare: Log<'a>,
}

impl ClientStatus {
    /// A number that is equal for equal rules, and never zero.
    pub fn identity(&self) -> u64 {
        let Self { leaf, responder, cache: _, judge } = self;
        let rules = format!("{leaf} {responder:?} {}", judge.identity());
        let digest = sha256(&[rules.as_bytes()]);
        digest.first_chunk().map_or(1, |first| u64::from_be_bytes(*first).max(1))
    }

    /// Asks about the certificates of a valid path, the client's own first. All but the last one,
    /// which is trusted anyway, have an issuer above.
    pub async fn ask(&self, path: &[CertificateDer], around: &Circumstances<'_>) -> OcspStatus {
        let depth = if self.leaf { 1 } else { usize::MAX };
        for pair in path.windows(2).take(depth) {
            match self.ask_one(path, (&pair[0], &pair[1]), around).await {
                Some(CertStatus::Good) => {}
                Some(CertStatus::Revoked) => return OcspStatus::Revoked,
                Some(CertStatus::Unknown) => return OcspStatus::Unknown,
                None => return OcspStatus::Failed,
            }
        }
        OcspStatus::Fine
    }

    /// The status of one certificate; `None` if it cannot be found out, which has been logged.
    async fn ask_one(
        &self,
        path: &[CertificateDer],
        (certificate, issuer): (&CertificateDer, &CertificateDer),
        around: &Circumstances<'_>,
    ) -> Option<CertStatus> {
        let named;
        let responder = match &self.responder {
            Some(responder) => responder,
            None => {
                named = named_responder(certificate, around.log)?;
                &named
            }
        };
        let question = Question::new(certificate, issuer)?;
        // A number that is too long to be a key names no certificate of a sound authority.
        let key = question.key()?;
        let now = clock::wall_secs();
        if let Some(known) = self.cache.as_ref().and_then(|cache| cache.find(&key, now)) {
            return Some(known);
        }
        let asking = Asking {
            responder,
            resolver: around.resolver.as_ref(),
            // The handshake's own limit ends it.
            timeout: None,
            certificate: None,
            log: around.bare,
        };
        let response = asking.ask(&question.request()).await.ok()?;
        let now = clock::wall_secs();
        match self.judge.judge(&response, &question, (path, Belief::Delegates), now) {
            Ok(answer) => {
                if let Some(cache) = &self.cache {
                    cache.keep(&key, answer, now);
                }
                Some(answer.status)
            }
            Err(error) => {
                asking.tell(Level::Error, &error.to_string(), None);
                None
            }
        }
    }
}

/// The responder that a certificate names.
fn named_responder(certificate: &CertificateDer, log: Log<'_>) -> Option<OcspResponder> {
    let Some(url) = responder_url(certificate) else {
        log(Level::Error, "no OCSP responder URL in certificate");
        return None;
    };
    OcspResponder::parse(&url, None)
        .map_err(|fault| log(Level::Error, &format!("{fault} in certificate")))
        .ok()
}
