//! What a certificate's extensions allow it to be.

use x509_parser::oid_registry as oid;
use x509_parser::prelude::{
    BasicConstraints, FromDer, KeyUsage, NSCertType, ParsedExtension, X509Certificate,
};

use super::{Fault, Purpose};

/// Whether each extension that means something here stands there once and can be read.
pub(super) fn are_sound(certificate: &X509Certificate<'_>) -> bool {
    let known = [
        oid::OID_X509_EXT_BASIC_CONSTRAINTS,
        oid::OID_X509_EXT_KEY_USAGE,
        oid::OID_X509_EXT_EXTENDED_KEY_USAGE,
        oid::OID_X509_EXT_CERT_TYPE,
        oid::OID_X509_EXT_SUBJECT_ALT_NAME,
        oid::OID_X509_EXT_SUBJECT_KEY_IDENTIFIER,
        oid::OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER,
        oid::OID_X509_EXT_NAME_CONSTRAINTS,
        oid::OID_X509_EXT_CRL_DISTRIBUTION_POINTS,
    ];
    known.iter().all(|id| match certificate.get_extension_unique(id) {
        Ok(Some(extension)) => {
            !matches!(extension.parsed_extension(), ParsedExtension::ParseError { .. })
        }
        Ok(None) => true,
        Err(_) => false,
    })
}

/// Whether there are conditions that are not understood here. What is said of policies needs no
/// understanding as long as nobody asks for a policy.
pub(super) fn critical(certificate: &X509Certificate<'_>) -> Result<(), Fault> {
    let understood = |extension: &ParsedExtension<'_>| {
        matches!(
            extension,
            ParsedExtension::BasicConstraints(_)
                | ParsedExtension::KeyUsage(_)
                | ParsedExtension::ExtendedKeyUsage(_)
                | ParsedExtension::NSCertType(_)
                | ParsedExtension::SubjectAlternativeName(_)
                | ParsedExtension::NameConstraints(_)
                | ParsedExtension::CRLDistributionPoints(_)
                | ParsedExtension::CertificatePolicies(_)
                | ParsedExtension::PolicyConstraints(_)
                | ParsedExtension::PolicyMappings(_)
                | ParsedExtension::InhibitAnyPolicy(_)
        )
    };
    let mut all = certificate.extensions().iter();
    let strange = all.any(|one| one.critical && !understood(one.parsed_extension()));
    if strange { Err(Fault::CRITICAL) } else { Ok(()) }
}

/// How a certificate says that it is an authority's.
#[derive(PartialEq, Eq)]
enum Authority {
    No,
    Yes,
    /// Not in so many words. That is taken from those who are believed.
    Old,
}

fn authority(certificate: &X509Certificate<'_>) -> Authority {
    let usage = usage(certificate);
    if usage.is_some_and(|usage| !usage.key_cert_sign()) {
        return Authority::No;
    }
    // Version 1 had no extensions.
    let first = certificate.version().0 == 0 && super::dn::is_self_signed(certificate);
    match constraints(certificate) {
        Some(BasicConstraints { ca: true, .. }) => Authority::Yes,
        Some(_) => Authority::No,
        None if first || usage.is_some() => Authority::Old,
        None => Authority::No,
    }
}

/// Whether the certificate is an authority's. `last` is whether it ends the path.
pub(super) fn may_issue(certificate: &X509Certificate<'_>, last: bool) -> Result<(), Fault> {
    match authority(certificate) {
        Authority::Yes => Ok(()),
        Authority::Old if last => Ok(()),
        _ => Err(Fault::NOT_A_CA),
    }
}

/// Whether it may stand above `below` other authorities.
pub(super) fn may_be_above(certificate: &X509Certificate<'_>, below: usize) -> Result<(), Fault> {
    let most = constraints(certificate).and_then(|constraints| constraints.path_len_constraint);
    match most {
        Some(most) if below > most as usize => Err(Fault::PATH_LENGTH),
        _ => Ok(()),
    }
}

/// Whether its key may sign certificates.
pub(super) fn may_sign(certificate: &X509Certificate<'_>) -> Result<(), Fault> {
    match usage(certificate) {
        Some(usage) if !usage.key_cert_sign() => Err(Fault::NO_CERT_SIGN),
        _ => Ok(()),
    }
}

/// Whether its key may sign revocation lists.
pub(super) fn may_revoke(certificate: &X509Certificate<'_>) -> Result<(), Fault> {
    match usage(certificate) {
        Some(usage) if !usage.crl_sign() => Err(Fault::NO_CRL_SIGN),
        _ => Ok(()),
    }
}

/// Whether it says that it is an authority's.
pub(super) fn is_authority(certificate: &X509Certificate<'_>) -> bool {
    constraints(certificate).is_some_and(|constraints| constraints.ca)
}

/// Whether the certificate can be used for the purpose, by its peer or, `above`, by an authority.
/// "Any purpose" is not enough.
pub(super) fn suits(
    certificate: &X509Certificate<'_>,
    purpose: Purpose,
    above: bool,
) -> Result<(), Fault> {
    let purposes = certificate.extended_key_usage().ok().flatten();
    let named = purposes.is_none_or(|purposes| match purpose {
        Purpose::Client => purposes.value.client_auth,
        Purpose::Server => purposes.value.server_auth,
    });
    let fits = if above {
        authority(certificate) != Authority::No
    } else {
        usage(certificate).is_none_or(|usage| match purpose {
            Purpose::Client => usage.digital_signature() || usage.key_agreement(),
            Purpose::Server => {
                usage.digital_signature() || usage.key_encipherment() || usage.key_agreement()
            }
        }) && kind(certificate).is_none_or(|kind| match purpose {
            Purpose::Client => kind.ssl_client(),
            Purpose::Server => kind.ssl_server(),
        })
    };
    // OpenSSL has no opinion on what it cannot read, and finds no issuer for it.
    if named && fits || !are_sound(certificate) { Ok(()) } else { Err(Fault::PURPOSE) }
}

fn usage<'a>(certificate: &'a X509Certificate<'_>) -> Option<&'a KeyUsage> {
    certificate.key_usage().ok().flatten().map(|extension| extension.value)
}

fn constraints<'a>(certificate: &'a X509Certificate<'_>) -> Option<&'a BasicConstraints> {
    certificate.basic_constraints().ok().flatten().map(|extension| extension.value)
}

/// Netscape's own kind of purposes.
fn kind(certificate: &X509Certificate<'_>) -> Option<NSCertType> {
    let extension = certificate.get_extension_unique(&oid::OID_X509_EXT_CERT_TYPE).ok()??;
    NSCertType::from_der(extension.value).ok().map(|(_, kind)| kind)
}
