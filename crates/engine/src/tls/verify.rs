//! Checking a peer's certificate, with OpenSSL's results.
//!
//! nginx lets the handshake succeed whatever the certificate is worth, and judges afterwards: a
//! client gets an answer that says why, and an upstream's fault goes to the log with its number.
//! So the verifiers that rustls asks accept every certificate whose key has signed the handshake,
//! and the path is checked here when the handshake is done. A resumed session is checked, too.

use std::fmt;

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use x509_parser::prelude::{
    BasicConstraints, CertificateRevocationList, FromDer, ParsedExtension, X509Certificate,
};
use x509_parser::x509::AlgorithmIdentifier;

mod name;
mod signature;

pub(super) use signature::{algorithms, tls12_signature, tls13_signature};

/// The longest path that is tried, whatever the configured depth: a limit on work.
const LONGEST_PATH: usize = 16;

/// How many signatures are checked at most for one peer: names that fit are cheap to make up.
const MOST_SIGNATURES: usize = 64;

/// Why a certificate was refused: OpenSSL's number and text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// `X509_V_ERR_…`.
    pub code: u32,
    /// OpenSSL's text for it.
    pub text: &'static str,
}

impl Fault {
    const SIGNATURE: Self = Self { code: 7, text: "certificate signature failure" };
    const NOT_YET: Self = Self { code: 9, text: "certificate is not yet valid" };
    const EXPIRED: Self = Self { code: 10, text: "certificate has expired" };
    const NO_CRL: Self = Self { code: 3, text: "unable to get certificate CRL" };
    const CRL_NOT_YET: Self = Self { code: 11, text: "CRL is not yet valid" };
    const CRL_EXPIRED: Self = Self { code: 12, text: "CRL has expired" };
    const SELF_SIGNED: Self = Self { code: 18, text: "self-signed certificate" };
    const SELF_SIGNED_IN_CHAIN: Self =
        Self { code: 19, text: "self-signed certificate in certificate chain" };
    const NO_ISSUER: Self = Self { code: 20, text: "unable to get local issuer certificate" };
    const LEAF: Self = Self { code: 21, text: "unable to verify the first certificate" };
    const TOO_LONG: Self = Self { code: 22, text: "certificate chain too long" };
    const REVOKED: Self = Self { code: 23, text: "certificate revoked" };
    const NOT_A_CA: Self = Self { code: 79, text: "invalid CA certificate" };
    const PATH_LENGTH: Self = Self { code: 25, text: "path length constraint exceeded" };
    const PURPOSE: Self = Self { code: 26, text: "unsuitable certificate purpose" };
    const NO_CERT_SIGN: Self =
        Self { code: 32, text: "key usage does not include certificate signing" };
    const CRITICAL: Self = Self { code: 34, text: "unhandled critical extension" };

    /// Whether `ssl_verify_client optional_no_ca` lets it pass.
    pub fn is_about_trust(self) -> bool {
        matches!(self.code, 18 | 19 | 20 | 21 | 27)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.code, self.text)
    }
}

/// What the check of the peer's certificate gave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    /// There was nothing to check, or nobody wanted it checked.
    #[default]
    Unchecked,
    /// The certificate is good.
    Valid,
    /// It is not.
    Invalid(Fault),
}

/// Whose certificates are believed.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// The certificates of authorities, as DER.
    pub anchors: Vec<CertificateDer<'static>>,
    /// If any, each certificate of a path must be covered by one of these lists.
    pub revocation: Revocation,
}

/// Certificate revocation lists as DER.
pub type Revocation = Vec<CertificateRevocationListDer<'static>>;

/// What a certificate is to be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Client,
    Server,
}

/// Checks the path from the peer's certificate to one that is believed. `depth` is how many
/// authorities may stand between the two; `now` is in seconds since 1970.
pub(super) fn verify(
    chain: &[CertificateDer<'_>],
    trust: &Trust,
    purpose: Purpose,
    depth: u32,
    now: i64,
) -> Verdict {
    let Some((leaf, offered)) = chain.split_first() else { return Verdict::Unchecked };
    match Check::new(offered, trust, now).leaf(leaf, purpose, depth) {
        Ok(()) => Verdict::Valid,
        Err(fault) => Verdict::Invalid(fault),
    }
}

/// Whether the certificate is for `name`, as OpenSSL's `X509_check_host` and `_check_ip` say.
pub(super) fn is_for(certificate: &CertificateDer<'_>, wanted: &str) -> bool {
    parse(certificate).is_some_and(|certificate| name::matches(&certificate, wanted))
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    X509Certificate::from_der(der).ok().map(|(_, certificate)| certificate)
}

struct Check<'a> {
    anchors: Vec<X509Certificate<'a>>,
    offered: Vec<X509Certificate<'a>>,
    lists: Vec<CertificateRevocationList<'a>>,
    now: i64,
    signatures_left: usize,
}

impl<'a> Check<'a> {
    fn new(offered: &'a [CertificateDer<'_>], trust: &'a Trust, now: i64) -> Self {
        let list = |der: &'a CertificateRevocationListDer<'static>| {
            CertificateRevocationList::from_der(der).ok().map(|(_, list)| list)
        };
        Self {
            anchors: trust.anchors.iter().filter_map(parse).collect(),
            offered: offered.iter().take(LONGEST_PATH).filter_map(parse).collect(),
            lists: trust.revocation.iter().filter_map(list).collect(),
            now,
            signatures_left: MOST_SIGNATURES,
        }
    }

    fn leaf(
        &mut self,
        der: &CertificateDer<'_>,
        purpose: Purpose,
        depth: u32,
    ) -> Result<(), Fault> {
        let leaf = parse(der).ok_or(Fault::SIGNATURE)?;
        let path = self.path(&leaf, depth)?;
        let issuers: Vec<&X509Certificate<'_>> = path.iter().collect();
        critical(&leaf)?;
        suits(&leaf, purpose)?;
        for (below, issuer) in issuers.iter().enumerate() {
            critical(issuer)?;
            may_issue(issuer, below)?;
            suits(issuer, purpose)?;
        }
        self.revoked(&leaf, &issuers)?;
        issuers.iter().rev().copied().chain([&leaf]).try_for_each(|one| self.in_time(one))
    }

    /// The issuers of a certificate, its own first, up to one that is believed. Empty if the
    /// certificate itself is.
    fn path(
        &mut self,
        leaf: &X509Certificate<'_>,
        depth: u32,
    ) -> Result<Vec<X509Certificate<'a>>, Fault> {
        let mut path: Vec<X509Certificate<'a>> = Vec::new();
        loop {
            let last = path.last().unwrap_or(leaf);
            let own = last.subject() == last.issuer();
            if self.anchors.iter().any(|anchor| own && anchor.as_raw() == last.as_raw()) {
                return Ok(path);
            }
            if own {
                return Err(if path.is_empty() {
                    Fault::SELF_SIGNED
                } else {
                    Fault::SELF_SIGNED_IN_CHAIN
                });
            }
            if path.len() > LONGEST_PATH.min(depth as usize) {
                return Err(Fault::TOO_LONG);
            }
            let last = last.clone();
            match self.issuer(&last) {
                Some(issuer) => path.push(issuer),
                None if path.is_empty() && self.offered.is_empty() => return Err(Fault::LEAF),
                None => return Err(Fault::NO_ISSUER),
            }
        }
    }

    /// Who has signed a certificate; those who are believed are asked first.
    fn issuer(&mut self, certificate: &X509Certificate<'_>) -> Option<X509Certificate<'a>> {
        for issuer in self.anchors.iter().chain(&self.offered) {
            if issuer.subject() != certificate.issuer() {
                continue;
            }
            self.signatures_left = self.signatures_left.checked_sub(1)?;
            let message = certificate.tbs_certificate.as_ref();
            let signed = signed_by(
                issuer,
                &certificate.signature_algorithm,
                message,
                &certificate.signature_value.data,
            );
            if signed {
                return Some(issuer.clone());
            }
        }
        None
    }

    fn in_time(&self, certificate: &X509Certificate<'_>) -> Result<(), Fault> {
        let validity = certificate.validity();
        if self.now < validity.not_before.timestamp() {
            return Err(Fault::NOT_YET);
        }
        if self.now > validity.not_after.timestamp() {
            return Err(Fault::EXPIRED);
        }
        Ok(())
    }

    /// Looks each certificate up in its issuer's list, when there are lists at all. The last fault
    /// counts, as with OpenSSL when it is told to go on.
    fn revoked(
        &self,
        leaf: &X509Certificate<'_>,
        issuers: &[&X509Certificate<'_>],
    ) -> Result<(), Fault> {
        if self.lists.is_empty() {
            return Ok(());
        }
        let all: Vec<&X509Certificate<'_>> =
            [leaf].into_iter().chain(issuers.iter().copied()).collect();
        let mut result = Ok(());
        for (at, certificate) in all.iter().enumerate() {
            // The last one has issued itself.
            let issuer = all.get(at + 1).unwrap_or(certificate);
            if let Err(fault) = self.listed(certificate, issuer) {
                result = Err(fault);
            }
        }
        result
    }

    fn listed(
        &self,
        certificate: &X509Certificate<'_>,
        issuer: &X509Certificate<'_>,
    ) -> Result<(), Fault> {
        let list = self.list_of(issuer)?;
        let serial = certificate.tbs_certificate.raw_serial();
        match list.iter_revoked_certificates().any(|revoked| revoked.raw_serial() == serial) {
            true => Err(Fault::REVOKED),
            false => Ok(()),
        }
    }

    /// The list of an issuer that holds now; what is wrong with the one that there is.
    fn list_of(
        &self,
        issuer: &X509Certificate<'_>,
    ) -> Result<&CertificateRevocationList<'a>, Fault> {
        let mut fault = Fault::NO_CRL;
        for list in self.lists.iter().filter(|list| list.issuer() == issuer.subject()) {
            let signed = signed_by(
                issuer,
                &list.signature_algorithm,
                list.tbs_cert_list.as_ref(),
                &list.signature_value.data,
            );
            if !signed {
                fault = Fault { code: 8, text: "CRL signature failure" };
            } else if self.now < list.last_update().timestamp() {
                fault = Fault::CRL_NOT_YET;
            } else if list.next_update().is_some_and(|next| self.now > next.timestamp()) {
                fault = Fault::CRL_EXPIRED;
            } else {
                return Ok(list);
            }
        }
        Err(fault)
    }
}

fn signed_by(
    issuer: &X509Certificate<'_>,
    algorithm: &AlgorithmIdentifier<'_>,
    message: &[u8],
    signature: &[u8],
) -> bool {
    let key = &issuer.tbs_certificate.subject_pki.subject_public_key.data;
    signature::check(algorithm.algorithm.as_bytes(), key, message, signature)
}

/// Whether a certificate has conditions that are not understood here. Name constraints belong to
/// them: refusing is the safe side.
fn critical(certificate: &X509Certificate<'_>) -> Result<(), Fault> {
    let understood = |extension: &ParsedExtension<'_>| {
        matches!(
            extension,
            ParsedExtension::BasicConstraints(_)
                | ParsedExtension::KeyUsage(_)
                | ParsedExtension::ExtendedKeyUsage(_)
                | ParsedExtension::SubjectAlternativeName(_)
                | ParsedExtension::SubjectKeyIdentifier(_)
                | ParsedExtension::AuthorityKeyIdentifier(_)
                | ParsedExtension::CertificatePolicies(_)
        )
    };
    let strange = |extension: &&x509_parser::prelude::X509Extension<'_>| {
        let constraint =
            matches!(extension.parsed_extension(), ParsedExtension::NameConstraints(_));
        constraint || extension.critical && !understood(extension.parsed_extension())
    };
    match certificate.extensions().iter().find(strange) {
        Some(_) => Err(Fault::CRITICAL),
        None => Ok(()),
    }
}

/// Whether the certificate is an authority's that may stand above `below` other authorities.
fn may_issue(certificate: &X509Certificate<'_>, below: usize) -> Result<(), Fault> {
    let constraints = certificate.basic_constraints().map_err(|_| Fault::NOT_A_CA)?;
    match constraints.map(|extension| extension.value) {
        Some(BasicConstraints { ca: false, .. }) => return Err(Fault::NOT_A_CA),
        Some(BasicConstraints { path_len_constraint: Some(most), .. })
            if below > *most as usize =>
        {
            return Err(Fault::PATH_LENGTH);
        }
        Some(_) => {}
        // Version 1 had no extensions; OpenSSL takes such a root.
        None if certificate.version.0 == 0 && certificate.subject() == certificate.issuer() => {}
        None => return Err(Fault::NOT_A_CA),
    }
    let usage = certificate.key_usage().map_err(|_| Fault::NOT_A_CA)?;
    if usage.is_some_and(|usage| !usage.value.key_cert_sign()) {
        return Err(Fault::NO_CERT_SIGN);
    }
    Ok(())
}

/// Whether the certificate's extended key usage, if any, has the purpose.
fn suits(certificate: &X509Certificate<'_>, purpose: Purpose) -> Result<(), Fault> {
    let usage = certificate.extended_key_usage().map_err(|_| Fault::PURPOSE)?;
    let Some(usage) = usage.map(|usage| usage.value) else { return Ok(()) };
    let fits = match purpose {
        Purpose::Client => usage.client_auth,
        Purpose::Server => usage.server_auth,
    };
    if fits { Ok(()) } else { Err(Fault::PURPOSE) }
}

fn provider_algorithms() -> WebPkiSupportedAlgorithms {
    default_provider().signature_verification_algorithms
}

#[cfg(test)]
mod tests;
