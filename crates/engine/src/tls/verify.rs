//! Verification of peer certificates with OpenSSL's results.
//!
//! nginx accepts any certificate in the handshake and judges it afterwards: the client gets an
//! error page with the reason, and an upstream's fault is logged with its number. So the verifiers
//! given to rustls accept every certificate whose key signed the handshake, and the path is
//! verified here after the handshake. Resumed sessions are verified as well.

use std::fmt;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;

pub(super) mod certificate;
mod constraints;
pub(super) mod dn;
mod extensions;
mod general_name;
pub(super) mod list;
mod name;
pub mod ocsp;
mod path;
mod points;
mod revocation;
mod signature;
mod trust;

use certificate::Certificate;
use constraints::Budget;
use path::Path;
pub(super) use signature::{algorithms, has_signed, tls12_signature, tls13_signature};
use trust::Facts;
pub use trust::{Revocation, Trust};

/// The longest path, whatever depth is configured, and the maximum number of peer certificates used
/// besides the leaf: a limit on work.
const LONGEST_PATH: usize = 16;

/// The maximum number of signature checks per peer: matching names are cheap to forge.
const MOST_SIGNATURES: usize = 24;

/// The reason for rejecting a certificate: OpenSSL's number and text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// `X509_V_ERR_…`.
    pub code: u32,
    /// OpenSSL's text for the number.
    pub text: &'static str,
}

impl Fault {
    const UNSPECIFIED: Self = Self { code: 1, text: "unspecified certificate verification error" };
    const NO_ISSUER_OF_TRUSTED: Self = Self { code: 2, text: "unable to get issuer certificate" };
    const NO_CRL: Self = Self { code: 3, text: "unable to get certificate CRL" };
    const SIGNATURE: Self = Self { code: 7, text: "certificate signature failure" };
    const CRL_SIGNATURE: Self = Self { code: 8, text: "CRL signature failure" };
    const NOT_YET: Self = Self { code: 9, text: "certificate is not yet valid" };
    const EXPIRED: Self = Self { code: 10, text: "certificate has expired" };
    const CRL_NOT_YET: Self = Self { code: 11, text: "CRL is not yet valid" };
    const CRL_EXPIRED: Self = Self { code: 12, text: "CRL has expired" };
    const START: Self = Self { code: 13, text: "format error in certificate's notBefore field" };
    const END: Self = Self { code: 14, text: "format error in certificate's notAfter field" };
    const CRL_START: Self = Self { code: 15, text: "format error in CRL's lastUpdate field" };
    const CRL_END: Self = Self { code: 16, text: "format error in CRL's nextUpdate field" };
    const SELF_SIGNED: Self = Self { code: 18, text: "self-signed certificate" };
    const SELF_SIGNED_IN_CHAIN: Self =
        Self { code: 19, text: "self-signed certificate in certificate chain" };
    const NO_ISSUER: Self = Self { code: 20, text: "unable to get local issuer certificate" };
    const LEAF: Self = Self { code: 21, text: "unable to verify the first certificate" };
    const TOO_LONG: Self = Self { code: 22, text: "certificate chain too long" };
    const REVOKED: Self = Self { code: 23, text: "certificate revoked" };
    const PATH_LENGTH: Self = Self { code: 25, text: "path length constraint exceeded" };
    const PURPOSE: Self = Self { code: 26, text: "unsuitable certificate purpose" };
    const NO_CERT_SIGN: Self =
        Self { code: 32, text: "key usage does not include certificate signing" };
    const CRITICAL: Self = Self { code: 34, text: "unhandled critical extension" };
    const NO_CRL_SIGN: Self = Self { code: 35, text: "key usage does not include CRL signing" };
    const CRL_CRITICAL: Self = Self { code: 36, text: "unhandled critical CRL extension" };
    const PROXY: Self =
        Self { code: 40, text: "proxy certificates not allowed, please set the appropriate flag" };
    const CRL_SCOPE: Self = Self { code: 44, text: "different CRL scope" };
    const RESOURCES: Self =
        Self { code: 46, text: "RFC 3779 resource not subset of parent's resources" };
    const NOT_PERMITTED: Self = Self { code: 47, text: "permitted subtree violation" };
    const EXCLUDED: Self = Self { code: 48, text: "excluded subtree violation" };
    const BOUNDED: Self =
        Self { code: 49, text: "name constraints minimum and maximum not supported" };
    const CONSTRAINT_KIND: Self = Self { code: 51, text: "unsupported name constraint type" };
    const NAME_SYNTAX: Self = Self { code: 53, text: "unsupported or invalid name syntax" };
    const SMALL_LEAF_KEY: Self = Self { code: 66, text: "EE certificate key too weak" };
    const SMALL_KEY: Self = Self { code: 67, text: "CA certificate key too weak" };
    const WEAK_DIGEST: Self = Self { code: 68, text: "CA signature digest algorithm too weak" };
    const NOT_A_CA: Self = Self { code: 79, text: "invalid CA certificate" };

    /// Whether `ssl_verify_client optional_no_ca` ignores the fault.
    pub fn is_about_trust(self) -> bool {
        matches!(self.code, 18 | 19 | 20 | 21 | 27)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.code, self.text)
    }
}

/// The result of verifying a peer's certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    /// There is no certificate, or verification is off.
    #[default]
    Unchecked,
    /// The certificate is valid.
    Valid,
    /// The certificate is rejected.
    Invalid(Fault),
}

/// The role that a certificate is verified for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Client,
    Server,
    /// It signs answers about certificates (OCSP).
    Responder,
}

/// The verifier of one location's or server's peers.
#[derive(Clone, Debug)]
pub(super) struct Judge {
    trust: Arc<Facts>,
    purpose: Purpose,
    /// The maximum number of intermediate certificates.
    depth: u32,
}

/// Judges with equal identities hold equal facts, so a verdict of one holds for the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Identity(u64, u32);

impl Judge {
    pub(super) fn new(trust: &Trust, purpose: Purpose, depth: u32) -> Self {
        Self { trust: Facts::of(trust), purpose, depth }
    }

    pub(super) fn identity(&self) -> Identity {
        Identity(self.trust.identity(), self.depth)
    }

    /// Verifies the path from the peer's certificate to a trust anchor; `now` is in seconds since
    /// 1970.
    pub(super) fn judge(&self, chain: &[CertificateDer<'_>], now: i64) -> Verdict {
        let faults = self.faults(chain, now);
        faults.last().map_or(Verdict::Valid, |fault| Verdict::Invalid(*fault))
    }

    /// All faults in the order in which OpenSSL reports them.
    fn faults(&self, chain: &[CertificateDer<'_>], now: i64) -> Vec<Fault> {
        // Unreadable certificates are rejected even if unused, since their content is unknown.
        let read = |der: &CertificateDer<'_>| Certificate::read(der);
        let some: Option<Vec<_>> = chain.iter().take(1 + LONGEST_PATH).map(read).collect();
        let Some(certificates) = some else { return vec![Fault::SIGNATURE] };
        let Some((leaf, offered)) = certificates.split_first() else { return Vec::new() };
        let offered: Vec<_> = offered.iter().collect();
        let mut check = Check::new(&self.trust, &offered, now);
        check.all(leaf, self.purpose, self.depth);
        check.faults
    }

    /// The valid path from a certificate to a trust anchor, the certificate first.
    fn path_of<'a>(
        &'a self,
        leaf: &'a Certificate,
        offered: &'a [&'a Certificate],
        now: i64,
    ) -> Result<Vec<&'a Certificate>, Fault> {
        let mut check = Check::new(&self.trust, offered, now);
        let path = check.all(leaf, self.purpose, self.depth);
        check.faults.last().map_or(Ok(path.certificates), |fault| Err(*fault))
    }

    /// The valid path of a peer to a trust anchor, its certificate first; `None` if there is none.
    pub(super) fn path(
        &self,
        chain: &[CertificateDer<'_>],
        now: i64,
    ) -> Option<Vec<CertificateDer<'static>>> {
        let read = |der: &CertificateDer<'_>| Certificate::read(der);
        let all: Option<Vec<_>> = chain.iter().take(1 + LONGEST_PATH).map(read).collect();
        let all = all?;
        let (leaf, offered) = all.split_first()?;
        let offered: Vec<_> = offered.iter().collect();
        let path = self.path_of(leaf, &offered, now).ok()?;
        Some(path.iter().map(|one| CertificateDer::from(one.der().to_vec())).collect())
    }
}

/// Whether the certificate covers `wanted`, by the rules of OpenSSL's `X509_check_host` and
/// `X509_check_ip`.
pub(super) fn is_for(certificate: &CertificateDer<'_>, wanted: &str) -> bool {
    Certificate::read(certificate).is_some_and(|certificate| name::matches(&certificate, wanted))
}

struct Check<'a> {
    trust: &'a Facts,
    offered: &'a [&'a Certificate],
    now: i64,
    signatures_left: usize,
    budget: Budget,
    faults: Vec<Fault>,
}

impl<'a> Check<'a> {
    fn new(trust: &'a Facts, offered: &'a [&'a Certificate], now: i64) -> Self {
        let (signatures_left, budget) = (MOST_SIGNATURES, Budget::MOST);
        Self { trust, offered, now, signatures_left, budget, faults: Vec::new() }
    }

    /// Runs all checks in OpenSSL's order, whatever the results of earlier ones. The last fault is
    /// the verdict, because nginx tells OpenSSL to continue: an expired certificate of an unknown
    /// authority is reported as expired, which `optional_no_ca` does not ignore.
    fn all(&mut self, leaf: &'a Certificate, purpose: Purpose, depth: u32) -> Path<'a> {
        if signature::is_small(leaf) {
            self.note(Err(Fault::SMALL_LEAF_KEY));
        }
        let path = self.path(leaf, depth);
        self.extensions(&path, purpose);
        self.strength(&path);
        if self.trust.is_revocable() {
            self.revocation(&path);
        }
        self.signatures_and_times(&path);
        self.names(&path);
        // No trust anchor of TLS grants address blocks, so no certificate may claim any.
        if path.certificates.iter().any(|certificate| certificate.extensions.resources) {
            self.note(Err(Fault::RESOURCES));
        }
        path
    }

    fn note(&mut self, result: Result<(), Fault>) {
        self.faults.extend(result.err());
    }

    fn extensions(&mut self, path: &Path<'a>, purpose: Purpose) {
        let mut below = 0;
        for (at, certificate) in path.certificates.iter().enumerate() {
            let last = at + 1 == path.certificates.len();
            self.note(extensions::understood(certificate));
            if at > 0 {
                self.note(extensions::may_issue(certificate, last));
            }
            self.note(extensions::suits(certificate, purpose, at > 0));
            if at > 0 {
                self.note(extensions::may_be_above(certificate, below));
                below += usize::from(!certificate.is_self_issued);
            }
        }
    }

    /// The requirements of OpenSSL's security level 2, the default of Debian and of OpenSSL 3.2.
    fn strength(&mut self, path: &Path<'a>) {
        for (at, certificate) in path.certificates.iter().enumerate() {
            if at > 0 && signature::is_small(certificate) {
                self.note(Err(Fault::SMALL_KEY));
            }
            if at + 1 < path.certificates.len() && signature::is_weak(certificate) {
                self.note(Err(Fault::WEAK_DIGEST));
            }
        }
    }

    fn signatures_and_times(&mut self, path: &Path<'a>) {
        let [below @ .., last] = path.certificates.as_slice() else { return };
        if last.is_self_signed {
            self.in_time(last);
        } else if below.is_empty() {
            self.note(Err(Fault::LEAF));
            self.in_time(last);
        }
        for (at, certificate) in below.iter().enumerate().rev() {
            let issuer = path.certificates[at + 1];
            self.note(extensions::may_sign(issuer));
            // Signatures that cannot be checked here have their fault already.
            let hopeless = signature::is_weak(certificate) || signature::is_small(issuer);
            if !path.signed[at] && !hopeless {
                self.note(Err(Fault::SIGNATURE));
            }
            self.in_time(certificate);
        }
    }

    fn in_time(&mut self, certificate: &Certificate) {
        match certificate.not_before {
            None => self.note(Err(Fault::START)),
            Some(start) if self.now < start => self.note(Err(Fault::NOT_YET)),
            Some(_) => {}
        }
        match certificate.not_after {
            None => self.note(Err(Fault::END)),
            Some(end) if self.now >= end => self.note(Err(Fault::EXPIRED)),
            Some(_) => {}
        }
    }

    fn names(&mut self, path: &Path<'a>) {
        for (at, certificate) in path.certificates.iter().enumerate().rev() {
            if at > 0 && certificate.is_self_issued {
                continue;
            }
            for above in path.certificates[at + 1..].iter().rev() {
                let Some(constraints) = &above.extensions.constraints else { continue };
                let obeyed = constraints.obeyed(certificate, at == 0, &mut self.budget);
                self.note(obeyed);
            }
        }
    }
}

#[cfg(test)]
mod tests;
