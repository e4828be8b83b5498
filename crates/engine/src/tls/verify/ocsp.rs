//! The status of certificates by OCSP (RFC 6960): questions for responders, and the judgement of
//! their responses with OpenSSL's results.

use rustls::pki_types::CertificateDer;

use super::certificate::Certificate;
use super::{Judge, LONGEST_PATH, Purpose, Trust, extensions, signature};

mod error;
mod question;
mod response;

pub use error::OcspError;
pub use question::{OcspKey, Question};
use response::{Basic, Response};

/// The tolerance for the clocks of responders, in seconds.
const SKEW: i64 = 300;

/// What a responder says of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertStatus {
    /// It is not revoked.
    Good,
    /// It is revoked.
    Revoked,
    /// The responder does not know it.
    Unknown,
}

impl CertStatus {
    /// OpenSSL's name of the status.
    pub fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Revoked => "revoked",
            Self::Unknown => "unknown",
        }
    }
}

/// An answer that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusAnswer {
    /// The status of the certificate.
    pub status: CertStatus,
    /// The time of the next answer, in seconds since 1970, if the responder names one.
    pub until: Option<i64>,
}

/// Whose answers are believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Belief {
    /// Anyone's whose certificate is at hand: the signature alone counts.
    Anyone,
    /// The authority's, its delegates', and those of the certificates at hand, whatever they are
    /// (OpenSSL's `OCSP_TRUSTOTHER`).
    Known,
    /// The authority's and its delegates'.
    Delegates,
}

/// The judge of responses: the trust of one server.
#[derive(Clone, Debug)]
pub struct OcspJudge(Judge);

/// The URL of the responder that a certificate names (its authority information access).
pub fn responder_url(certificate: &[u8]) -> Option<String> {
    Certificate::read(certificate)?.extensions.responder.map(String::from)
}

impl OcspJudge {
    /// The judge with this trust.
    pub fn new(trust: &Trust) -> Self {
        Self(Judge::new(trust, Purpose::Responder, LONGEST_PATH as u32))
    }

    /// A number that is equal for judges of equal trust.
    pub fn identity(&self) -> u64 {
        self.0.identity().0
    }

    /// The issuer of a certificate, from a chain or else among the trusted authorities.
    pub fn issuer(
        &self,
        certificate: &[u8],
        chain: &[CertificateDer<'static>],
        now: i64,
    ) -> Option<CertificateDer<'static>> {
        let issued = Certificate::read(certificate)?;
        let fits = |issuer: &Certificate| {
            issued.can_be_from(issuer) && extensions::may_sign(issuer).is_ok()
        };
        let in_chain =
            chain.iter().find(|der| Certificate::read(der).is_some_and(|one| fits(&one)));
        let trusted = || {
            let mut all = self.0.trust.named(&issued.issuer).filter(|anchor| fits(anchor));
            let first = all.next()?;
            let best = if first.is_in_time(now) {
                first
            } else {
                all.find(|anchor| anchor.is_in_time(now)).unwrap_or(first)
            };
            Some(CertificateDer::from(best.der().to_vec()))
        };
        in_chain.cloned().or_else(trusted)
    }

    /// Judges a response in DER to a question. `known` are the certificates at hand, besides those
    /// of the response; `now` is in seconds since 1970.
    ///
    /// # Errors
    /// The response does not answer the question, or is not to be believed.
    pub fn judge(
        &self,
        response: &[u8],
        question: &Question,
        (known, belief): (&[CertificateDer<'_>], Belief),
        now: i64,
    ) -> Result<StatusAnswer, OcspError> {
        let response = Response::read(response).ok_or(OcspError::Unreadable)?;
        if response.status != 0 {
            return Err(OcspError::Unsuccessful(response.status));
        }
        let basic = response.basic?;
        self.believe(&basic, known, belief, now)?;
        let found = basic.answers().flatten().find(|one| question.is_of(&one.id));
        let found = found.ok_or(OcspError::NotFound)?;
        let since = found.since.ok_or(OcspError::BadThisUpdate)?;
        if since > now + SKEW {
            return Err(OcspError::NotYetValid);
        }
        if let Some(until) = found.until {
            let until = until.ok_or(OcspError::BadNextUpdate)?;
            if until < now - SKEW {
                return Err(OcspError::Expired);
            }
            if until < since {
                return Err(OcspError::Reversed);
            }
        }
        Ok(StatusAnswer { status: found.status, until: found.until.flatten() })
    }

    /// Whether the response is signed by someone who may answer.
    fn believe(
        &self,
        basic: &Basic<'_>,
        known: &[CertificateDer<'_>],
        belief: Belief,
        now: i64,
    ) -> Result<(), OcspError> {
        let read = |der: &CertificateDer<'_>| Certificate::read(der);
        let known: Vec<_> = known.iter().take(1 + LONGEST_PATH).filter_map(read).collect();
        let own = basic.certificates().ok_or(OcspError::Unreadable)?;
        let is_signer = |one: &&Certificate| basic.responder.is(one);
        let at_hand = known.iter().find(is_signer);
        let signer = at_hand.or_else(|| own.iter().find(is_signer));
        let signer = signer.ok_or(OcspError::NoSigner)?;
        if !signature::has_made(signer, basic.algorithm, basic.signed, basic.signature) {
            return Err(OcspError::Signature);
        }
        match belief {
            Belief::Anyone => return Ok(()),
            Belief::Known if at_hand.is_some() => return Ok(()),
            Belief::Known | Belief::Delegates => {}
        }
        let offered: Vec<&Certificate> = own.iter().chain(&known).collect();
        let path = self.0.path_of(signer, &offered, now).map_err(OcspError::Path)?;
        match path.get(1) {
            Some(above) if basic.is_about(above) => match signer.extensions.signs_ocsp() {
                true => Ok(()),
                false => Err(OcspError::NoDelegate),
            },
            _ if basic.is_about(signer) => Ok(()),
            _ => Err(OcspError::NotTrusted),
        }
    }
}

impl Basic<'_> {
    /// Whether every answer is about a certificate that `issuer` has issued.
    fn is_about(&self, issuer: &Certificate) -> bool {
        let mut some = false;
        self.answers().all(|one| {
            some = true;
            one.is_some_and(|one| one.id.names_issuer(issuer))
        }) && some
    }
}
