//! Whether a certificate has been taken back.

use x509_parser::oid_registry as oid;
use x509_parser::prelude::{
    CertificateRevocationList, DistributionPointName, GeneralName, IssuingDistributionPoint,
    ParsedExtension, X509Certificate, X509Extension,
};

use super::path::Path;
use super::{Check, Fault, dn, extensions, signature};

/// How good a list is, the most important first: OpenSSL's order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Worth {
    understood: bool,
    in_scope: bool,
    in_time: bool,
    since: i64,
}

impl<'a> Check<'a> {
    /// Looks each certificate of a path up in its issuer's list.
    pub(super) fn revocation(&mut self, path: &Path<'a>) {
        for (at, certificate) in path.certificates.iter().enumerate() {
            // The last one is its own issuer, or there is none.
            let issuer = path.certificates.get(at + 1).unwrap_or(certificate);
            match self.list(certificate, issuer) {
                None => self.note(Err(Fault::NO_CRL)),
                Some((list, worth)) => self.listed(certificate, issuer, &list, worth),
            }
        }
    }

    /// The best list for a certificate.
    fn list(
        &self,
        certificate: &X509Certificate<'_>,
        issuer: &X509Certificate<'_>,
    ) -> Option<(CertificateRevocationList<'a>, Worth)> {
        if !dn::are_same(issuer.subject(), certificate.issuer()) {
            return None;
        }
        let ours = self
            .lists
            .iter()
            .filter(|list| dn::are_same(list.issuer(), certificate.issuer()) && is_complete(list));
        let worth = |list: &CertificateRevocationList<'_>| Worth {
            understood: is_understood(list),
            in_scope: is_in_scope(list, certificate),
            in_time: self.is_early(list).or(self.is_late(list)).is_none(),
            since: list.last_update().timestamp(),
        };
        let list = ours.max_by_key(|list| worth(list))?;
        Some((list.clone(), worth(list)))
    }

    fn listed(
        &mut self,
        certificate: &X509Certificate<'_>,
        issuer: &X509Certificate<'_>,
        list: &CertificateRevocationList<'_>,
        worth: Worth,
    ) {
        self.note(extensions::may_revoke(issuer));
        for fault in [self.is_early(list), self.is_late(list)].into_iter().flatten() {
            self.note(Err(fault));
        }
        if !signature::is_of_list(list, issuer) {
            self.note(Err(Fault::CRL_SIGNATURE));
        }
        if !worth.understood {
            self.note(Err(Fault::CRL_CRITICAL));
        }
        let serial = certificate.tbs_certificate.raw_serial();
        if list.iter_revoked_certificates().any(|revoked| revoked.raw_serial() == serial) {
            self.note(Err(Fault::REVOKED));
        }
        if !worth.in_scope {
            self.note(Err(Fault::NO_CRL));
        }
    }

    fn is_early(&self, list: &CertificateRevocationList<'_>) -> Option<Fault> {
        (self.now < list.last_update().timestamp()).then_some(Fault::CRL_NOT_YET)
    }

    fn is_late(&self, list: &CertificateRevocationList<'_>) -> Option<Fault> {
        let late = list.next_update().is_some_and(|next| self.now > next.timestamp());
        late.then_some(Fault::CRL_EXPIRED)
    }
}

/// Whether a list is more than a supplement or a part: those are not used.
fn is_complete(list: &CertificateRevocationList<'_>) -> bool {
    let delta =
        list.extensions().iter().any(|one| one.oid == oid::OID_X509_EXT_DELTA_CRL_INDICATOR);
    let part = scope(list).is_some_and(|scope| match scope {
        ParsedExtension::IssuingDistributionPoint(scope) => {
            scope.indirect_crl || scope.only_some_reasons.is_some()
        }
        _ => true,
    });
    !delta && !part
}

/// Whether nothing critical is said that is not understood here, of the list or of an entry.
fn is_understood(list: &CertificateRevocationList<'_>) -> bool {
    let known = |extension: &X509Extension<'_>| {
        !extension.critical
            || extension.oid == oid::OID_X509_EXT_ISSUER_DISTRIBUTION_POINT
            || extension.oid == oid::OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER
    };
    list.extensions().iter().all(known)
        && list.iter_revoked_certificates().all(|revoked| revoked.extensions().iter().all(known))
}

/// Whether a list speaks of certificates like this one (RFC 5280 section 6.3.3).
fn is_in_scope(list: &CertificateRevocationList<'_>, certificate: &X509Certificate<'_>) -> bool {
    let Some(scope) = scope(list) else { return true };
    let ParsedExtension::IssuingDistributionPoint(scope) = scope else { return false };
    let other_kind = match extensions::is_authority(certificate) {
        true => scope.only_contains_user_certs,
        false => scope.only_contains_ca_certs,
    };
    if other_kind || scope.only_contains_attribute_certs {
        return false;
    }
    scope.distribution_point.is_none() || is_named(scope, list, certificate)
}

/// Whether the certificate names the place that the list is for.
fn is_named(
    scope: &IssuingDistributionPoint<'_>,
    list: &CertificateRevocationList<'_>,
    certificate: &X509Certificate<'_>,
) -> bool {
    let places =
        certificate.extensions().iter().find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::CRLDistributionPoints(places) => Some(&places.points),
            _ => None,
        });
    let by_issuer = |names: &Vec<GeneralName<'_>>| {
        names.iter().any(|name| match name {
            GeneralName::DirectoryName(name) => dn::are_same(name, list.issuer()),
            _ => false,
        })
    };
    places.into_iter().flatten().any(|place| {
        place.crl_issuer.as_ref().is_none_or(by_issuer)
            && place.distribution_point.as_ref().is_none_or(|place| {
                scope.distribution_point.as_ref().is_some_and(|own| are_alike(own, place))
            })
    })
}

fn are_alike(one: &DistributionPointName<'_>, other: &DistributionPointName<'_>) -> bool {
    match (one, other) {
        (DistributionPointName::FullName(one), DistributionPointName::FullName(other)) => {
            one.iter().any(|name| other.contains(name))
        }
        _ => one == other,
    }
}

/// What the list is for, if it says so.
fn scope<'a>(list: &'a CertificateRevocationList<'_>) -> Option<&'a ParsedExtension<'a>> {
    let mut all = list.extensions().iter();
    let scope = all.find(|one| one.oid == oid::OID_X509_EXT_ISSUER_DISTRIBUTION_POINT)?;
    Some(scope.parsed_extension())
}
