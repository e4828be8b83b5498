//! Revocation of certificates.

use super::certificate::Certificate;
use super::list::List;
use super::path::Path;
use super::points::ALL_REASONS;
use super::{Check, Fault, extensions};

/// The quality of a list, most important first: OpenSSL's order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct ListRank {
    understood: bool,
    in_scope: bool,
    in_time: bool,
    /// The next certificate of the path issued the list, not one further up.
    near: bool,
    since: Option<i64>,
}

/// A list for a certificate and the issuer that must have signed it.
struct Found<'a> {
    list: &'a List,
    issuer: &'a Certificate,
    worth: ListRank,
    /// The revocation reasons that it covers.
    reasons: u16,
}

impl<'a> Check<'a> {
    /// Looks up each certificate of a path in its issuer's lists.
    pub(super) fn revocation(&mut self, path: &Path<'a>) {
        for at in 0..path.certificates.len() {
            // Lists may cover different revocation reasons.
            let mut reasons = 0;
            while reasons != ALL_REASONS {
                let found = self.list(path, at, reasons);
                if let Some(found) = &found {
                    self.listed(path.certificates[at], found);
                }
                let Some(found) = found.filter(|found| found.reasons & !reasons != 0) else {
                    self.note(Err(Fault::NO_CRL));
                    break;
                };
                reasons |= found.reasons;
            }
        }
    }

    /// The best list for a certificate of the path that covers reasons not in `known`.
    fn list(&self, path: &Path<'a>, at: usize, known: u16) -> Option<Found<'a>> {
        let certificate = path.certificates[at];
        // The last certificate is its own issuer, or has none in the path.
        let next = (at + 1).min(path.certificates.len() - 1);
        let mut best: Option<Found<'a>> = None;
        for list in self.trust.lists() {
            if list.issuer != certificate.issuer || !list.complete {
                continue;
            }
            let fits = |issuer: &Certificate| list.key.as_ref().is_none_or(|key| key.fits(issuer));
            let near = fits(path.certificates[next]);
            let issuer = if near {
                path.certificates[next]
            } else {
                let mut above = path.certificates[next + 1..].iter().copied();
                match above.find(|issuer| issuer.subject == list.issuer && fits(issuer)) {
                    Some(issuer) => issuer,
                    None => continue,
                }
            };
            let reasons = reasons(list, certificate);
            if reasons.is_some_and(|reasons| reasons & !known == 0) {
                continue;
            }
            let worth = ListRank {
                understood: list.understood,
                in_scope: reasons.is_some(),
                in_time: self.list_times(list).is_empty(),
                near,
                since: list.since,
            };
            if best.as_ref().is_none_or(|other| worth > other.worth) {
                best = Some(Found { list, issuer, worth, reasons: reasons.unwrap_or(0) });
            }
        }
        best
    }

    fn listed(&mut self, certificate: &Certificate, found: &Found<'a>) {
        let Found { list, issuer, worth, .. } = found;
        self.note(extensions::may_revoke(issuer));
        if !worth.in_scope {
            self.note(Err(Fault::CRL_SCOPE));
        }
        for fault in self.list_times(list) {
            self.note(Err(fault));
        }
        if !list.is_of(issuer) {
            self.note(Err(Fault::CRL_SIGNATURE));
        }
        if !worth.understood || !list.sound {
            self.note(Err(Fault::CRL_CRITICAL));
        }
        if list.names(certificate.serial()) {
            self.note(Err(Fault::REVOKED));
        }
    }

    /// The faults of a list's times.
    fn list_times(&self, list: &List) -> Vec<Fault> {
        let mut faults = Vec::new();
        match list.since {
            None => faults.push(Fault::CRL_START),
            Some(since) if self.now < since => faults.push(Fault::CRL_NOT_YET),
            Some(_) => {}
        }
        match list.until {
            Some(None) => faults.push(Fault::CRL_END),
            Some(Some(until)) if self.now >= until => faults.push(Fault::CRL_EXPIRED),
            _ => {}
        }
        faults
    }
}

/// The revocation reasons that a list covers for this certificate (RFC 5280 section 6.3.3); `None`
/// if the certificate is out of its scope.
fn reasons(list: &List, certificate: &Certificate) -> Option<u16> {
    let scope = &list.scope;
    let other_kind = match extensions::is_authority(certificate) {
        true => scope.users,
        false => scope.authorities,
    };
    if other_kind || scope.attributes {
        return None;
    }
    let mut points = certificate.extensions.points.iter().flatten();
    match points.find(|point| point.is_of(&list.issuer, scope.place.as_ref())) {
        Some(point) => Some(scope.reasons() & point.reasons),
        None if scope.place.is_none() => Some(scope.reasons()),
        None => None,
    }
}
