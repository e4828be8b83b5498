//! From a certificate to one that is believed.

use x509_parser::prelude::X509Certificate;

use super::{Check, Fault, LONGEST_PATH, dn, extensions, signature};

/// Certificates, the peer's first, each issued by the next.
pub(super) struct Path<'a> {
    pub(super) certificates: Vec<X509Certificate<'a>>,
    /// Whether the next one has signed it; one less than there are certificates.
    pub(super) signed: Vec<bool>,
}

/// A candidate, the better the greater.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Worth {
    signed: bool,
    in_time: bool,
}

impl<'a> Check<'a> {
    /// Goes up until there is somebody who has issued himself, who must be believed. `depth` is
    /// how many may stand between.
    pub(super) fn path(&mut self, leaf: X509Certificate<'a>, depth: u32) -> Path<'a> {
        let most = LONGEST_PATH.min(depth as usize);
        let mut path = Path { certificates: vec![leaf], signed: Vec::new() };
        let mut among_trusted = false;
        loop {
            let between = path.signed.len();
            let last = &path.certificates[between];
            if dn::is_self_signed(last) {
                if !self.anchors.iter().any(|anchor| anchor.as_raw() == last.as_raw()) {
                    let alone = between == 0;
                    let fault =
                        if alone { Fault::SELF_SIGNED } else { Fault::SELF_SIGNED_IN_CHAIN };
                    self.note(Err(fault));
                }
                return path;
            }
            let issuer = if between > most { None } else { self.issuer(&path, among_trusted) };
            let Some((issuer, signed, trusted)) = issuer else {
                let fault =
                    if among_trusted { Fault::NO_ISSUER_OF_TRUSTED } else { Fault::NO_ISSUER };
                self.note(Err(fault));
                return path;
            };
            among_trusted |= trusted;
            path.certificates.push(issuer);
            path.signed.push(signed);
        }
    }

    /// Who has issued the last certificate of a path, whether he has signed it and whether he is
    /// among those who are believed; they are asked first, and alone once the path is there.
    ///
    /// Somebody with the right name who has not signed it is better than nobody: OpenSSL looks at
    /// signatures later, and says then what is wrong.
    fn issuer(
        &mut self,
        path: &Path<'a>,
        among_trusted: bool,
    ) -> Option<(X509Certificate<'a>, bool, bool)> {
        let issued = path.certificates.last()?;
        let anchors = self.anchors.iter().map(|anchor| (anchor, true));
        let offered = self.offered.iter().map(|other| (other, false));
        let mut best: Option<(Worth, &X509Certificate<'a>, bool)> = None;
        for (candidate, trusted) in anchors.chain(offered.filter(|_| !among_trusted)) {
            let known = path.certificates.iter().any(|one| one.as_raw() == candidate.as_raw());
            if known || !is_issuer(candidate, issued) {
                continue;
            }
            let affordable = self.signatures_left > 0;
            self.signatures_left = self.signatures_left.saturating_sub(1);
            let worth = Worth {
                signed: affordable && signature::is_of(issued, candidate),
                in_time: candidate.validity().not_before.timestamp() <= self.now
                    && self.now <= candidate.validity().not_after.timestamp(),
            };
            if best.as_ref().is_none_or(|(other, ..)| worth > *other) {
                best = Some((worth, candidate, trusted));
            }
            if worth.signed && worth.in_time {
                break;
            }
        }
        best.map(|(worth, issuer, trusted)| (issuer.clone(), worth.signed, trusted))
    }
}

/// Whether one certificate names the other as its issuer. One whose extensions cannot be read
/// has none and is none's.
fn is_issuer(issuer: &X509Certificate<'_>, issued: &X509Certificate<'_>) -> bool {
    dn::are_same(issuer.subject(), issued.issuer())
        && extensions::are_sound(issuer)
        && extensions::are_sound(issued)
        && dn::has_key_of(issued, issuer)
}
