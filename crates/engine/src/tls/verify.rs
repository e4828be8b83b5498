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
use x509_parser::der_parser::asn1_rs::{Any, Class, Tag};
use x509_parser::prelude::{CertificateRevocationList, FromDer, X509Certificate};

mod constraints;
mod dn;
mod extensions;
mod name;
mod path;
mod revocation;
mod signature;

use path::Path;
pub(super) use signature::{algorithms, tls12_signature, tls13_signature};

/// The longest path that is tried, whatever the configured depth: a limit on work.
const LONGEST_PATH: usize = 16;

/// How many signatures are checked at most for one peer: names that fit are cheap to make up.
const MOST_SIGNATURES: usize = 64;

/// How many pairs of a name and a name constraint are compared at most for one peer, who may send
/// thousands of both.
const MOST_PAIRS: usize = 1 << 16;

/// Why a certificate was refused: OpenSSL's number and text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// `X509_V_ERR_…`.
    pub code: u32,
    /// OpenSSL's text for it.
    pub text: &'static str,
}

impl Fault {
    const NO_ISSUER_OF_TRUSTED: Self = Self { code: 2, text: "unable to get issuer certificate" };
    const NO_CRL: Self = Self { code: 3, text: "unable to get certificate CRL" };
    const SIGNATURE: Self = Self { code: 7, text: "certificate signature failure" };
    const CRL_SIGNATURE: Self = Self { code: 8, text: "CRL signature failure" };
    const NOT_YET: Self = Self { code: 9, text: "certificate is not yet valid" };
    const EXPIRED: Self = Self { code: 10, text: "certificate has expired" };
    const CRL_NOT_YET: Self = Self { code: 11, text: "CRL is not yet valid" };
    const CRL_EXPIRED: Self = Self { code: 12, text: "CRL has expired" };
    const SELF_SIGNED: Self = Self { code: 18, text: "self-signed certificate" };
    const SELF_SIGNED_IN_CHAIN: Self =
        Self { code: 19, text: "self-signed certificate in certificate chain" };
    const NO_ISSUER: Self = Self { code: 20, text: "unable to get local issuer certificate" };
    const LEAF: Self = Self { code: 21, text: "unable to verify the first certificate" };
    const REVOKED: Self = Self { code: 23, text: "certificate revoked" };
    const PATH_LENGTH: Self = Self { code: 25, text: "path length constraint exceeded" };
    const PURPOSE: Self = Self { code: 26, text: "unsuitable certificate purpose" };
    const NO_CERT_SIGN: Self =
        Self { code: 32, text: "key usage does not include certificate signing" };
    const CRITICAL: Self = Self { code: 34, text: "unhandled critical extension" };
    const NO_CRL_SIGN: Self = Self { code: 35, text: "key usage does not include CRL signing" };
    const CRL_CRITICAL: Self = Self { code: 36, text: "unhandled critical CRL extension" };
    const NOT_PERMITTED: Self = Self { code: 47, text: "permitted subtree violation" };
    const EXCLUDED: Self = Self { code: 48, text: "excluded subtree violation" };
    const CONSTRAINT_KIND: Self = Self { code: 51, text: "unsupported name constraint type" };
    const NAME_SYNTAX: Self = Self { code: 53, text: "unsupported or invalid name syntax" };
    const SMALL_KEY: Self = Self { code: 67, text: "CA certificate key too weak" };
    const WEAK_DIGEST: Self = Self { code: 68, text: "CA signature digest algorithm too weak" };
    const NOT_A_CA: Self = Self { code: 79, text: "invalid CA certificate" };

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
    let Some(leaf) = parse(leaf) else { return Verdict::Invalid(Fault::SIGNATURE) };
    let mut check = Check::new(offered, trust, now);
    check.all(leaf, purpose, depth);
    check.fault.map_or(Verdict::Valid, Verdict::Invalid)
}

/// Whether the certificate is for `name`, as OpenSSL's `X509_check_host` and `_check_ip` say.
pub(super) fn is_for(certificate: &CertificateDer<'_>, wanted: &str) -> bool {
    parse(certificate).is_some_and(|certificate| name::matches(&certificate, wanted))
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    let (rest, certificate) = X509Certificate::from_der(der).ok()?;
    (rest.is_empty() && is_strict(der)).then_some(certificate)
}

/// Whether what is around the signed part is what it must be: nobody has signed that, and the
/// parser is lenient there. Otherwise a peer could change his certificate's fingerprint.
fn is_strict(der: &[u8]) -> bool {
    let is = |part: &Any<'_>, tag: Tag| part.tag() == tag && part.class() == Class::Universal;
    let parts = || -> Option<bool> {
        let (_, outer) = Any::from_der(der).ok()?;
        let (rest, _) = Any::from_der(outer.data).ok()?;
        let (rest, algorithm) = Any::from_der(rest).ok()?;
        let (_, id) = Any::from_der(algorithm.data).ok()?;
        let (rest, signature) = Any::from_der(rest).ok()?;
        let sequences = is(&outer, Tag::Sequence) && is(&algorithm, Tag::Sequence);
        // Signatures are whole bytes: none of the bits is unused.
        let ends = rest.is_empty() && signature.data.first() == Some(&0);
        Some(sequences && is(&id, Tag::Oid) && is(&signature, Tag::BitString) && ends)
    };
    parts().unwrap_or(false)
}

struct Check<'a> {
    anchors: Vec<X509Certificate<'a>>,
    offered: Vec<X509Certificate<'a>>,
    lists: Vec<CertificateRevocationList<'a>>,
    /// Whether revocation counts. Lists that cannot be read make it fail, not go away.
    revocable: bool,
    now: i64,
    signatures_left: usize,
    pairs_left: usize,
    fault: Option<Fault>,
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
            revocable: !trust.revocation.is_empty(),
            now,
            signatures_left: MOST_SIGNATURES,
            pairs_left: MOST_PAIRS,
            fault: None,
        }
    }

    /// Makes all checks in OpenSSL's order, whatever the earlier ones have found. The last fault
    /// is the answer, because nginx tells OpenSSL to go on: an expired certificate of an unknown
    /// authority is expired, which `optional_no_ca` does not forgive.
    fn all(&mut self, leaf: X509Certificate<'a>, purpose: Purpose, depth: u32) {
        let path = self.path(leaf, depth);
        self.extensions(&path, purpose);
        self.strength(&path);
        if self.revocable {
            self.revocation(&path);
        }
        self.signatures_and_times(&path);
        self.names(&path);
    }

    fn note(&mut self, result: Result<(), Fault>) {
        self.fault = result.err().or(self.fault);
    }

    fn extensions(&mut self, path: &Path<'a>, purpose: Purpose) {
        let mut below = 0;
        for (at, certificate) in path.certificates.iter().enumerate() {
            let last = at + 1 == path.certificates.len();
            self.note(extensions::critical(certificate));
            if at > 0 {
                self.note(extensions::may_issue(certificate, last));
            }
            self.note(extensions::suits(certificate, purpose, at > 0));
            if at > 0 {
                self.note(extensions::may_be_above(certificate, below));
                below += usize::from(!dn::is_self_issued(certificate));
            }
        }
    }

    /// What OpenSSL's security level 2 asks for: Debian's default, and that of OpenSSL 3.2.
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
        if dn::is_self_signed(last) {
            self.in_time(last);
        } else if below.is_empty() {
            self.note(Err(Fault::LEAF));
            self.in_time(last);
        }
        for (at, certificate) in below.iter().enumerate().rev() {
            let issuer = &path.certificates[at + 1];
            self.note(extensions::may_sign(issuer));
            // Some cannot even be checked here; that has been said already.
            let hopeless = signature::is_weak(certificate) || signature::is_small(issuer);
            if !path.signed[at] && !hopeless {
                self.note(Err(Fault::SIGNATURE));
            }
            self.in_time(certificate);
        }
    }

    fn in_time(&mut self, certificate: &X509Certificate<'_>) {
        let validity = certificate.validity();
        if self.now < validity.not_before.timestamp() {
            self.note(Err(Fault::NOT_YET));
        }
        if self.now > validity.not_after.timestamp() {
            self.note(Err(Fault::EXPIRED));
        }
    }

    fn names(&mut self, path: &Path<'a>) {
        for (at, certificate) in path.certificates.iter().enumerate().rev() {
            if at > 0 && dn::is_self_issued(certificate) {
                continue;
            }
            for above in path.certificates[at + 1..].iter().rev() {
                let obeyed = constraints::obeyed(certificate, above, at == 0, &mut self.pairs_left);
                self.note(obeyed);
            }
        }
    }
}

fn provider_algorithms() -> WebPkiSupportedAlgorithms {
    default_provider().signature_verification_algorithms
}

#[cfg(test)]
mod tests;
