//! Path building: from a peer's certificate to a trust anchor.

use super::certificate::Certificate;
use super::{Check, Fault, LONGEST_PATH, signature};

/// A path: the peer's certificate first, each issued by the next.
pub(super) struct Path<'a> {
    pub(super) certificates: Vec<&'a Certificate>,
    /// Whether each certificate but the last is signed by the next.
    pub(super) signed: Vec<bool>,
}

/// The quality of a candidate issuer; greater is better.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct IssuerRank {
    signed: bool,
    in_time: bool,
}

/// A candidate issuer.
struct Issuer<'a> {
    certificate: &'a Certificate,
    worth: IssuerRank,
    /// It is a trust anchor.
    trusted: bool,
}

impl<'a> Check<'a> {
    /// Extends the path up to a self-signed certificate, which must be a trust anchor. `depth` is
    /// the maximum number of intermediate certificates.
    pub(super) fn path(&mut self, leaf: &'a Certificate, depth: u32) -> Path<'a> {
        let most = LONGEST_PATH.min(depth as usize);
        let mut path = Path { certificates: vec![leaf], signed: Vec::new() };
        let mut among_trusted = false;
        loop {
            let between = path.signed.len();
            let last = path.certificates[between];
            if last.is_self_signed && last.extensions.sound {
                if !self.trust.named(&last.subject).any(|anchor| anchor.der() == last.der()) {
                    let alone = between == 0;
                    let fault =
                        if alone { Fault::SELF_SIGNED } else { Fault::SELF_SIGNED_IN_CHAIN };
                    self.note(Err(fault));
                }
                return path;
            }
            let too_long = between > most;
            let issuer = if too_long { None } else { self.issuer(&path, among_trusted) };
            let Some(issuer) = issuer else {
                if too_long {
                    self.note(Err(Fault::TOO_LONG));
                }
                let fault =
                    if among_trusted { Fault::NO_ISSUER_OF_TRUSTED } else { Fault::NO_ISSUER };
                self.note(Err(fault));
                return path;
            };
            among_trusted |= issuer.trusted;
            path.certificates.push(issuer.certificate);
            path.signed.push(issuer.worth.signed);
        }
    }

    /// The best issuer of the path's last certificate. Trust anchors are tried first, and are the
    /// only candidates once the path has reached one.
    ///
    /// An issuer of the right name without a valid signature is better than none: OpenSSL checks
    /// signatures later and reports the fault then.
    fn issuer(&mut self, path: &Path<'a>, among_trusted: bool) -> Option<Issuer<'a>> {
        let issued = *path.certificates.last()?;
        let anchors = self.trust.named(&issued.issuer).map(|anchor| (anchor, true));
        let offered = self.offered.iter().map(|other| (*other, false));
        let mut best: Option<Issuer<'a>> = None;
        for (certificate, trusted) in anchors.chain(offered.filter(|_| !among_trusted)) {
            let known = path.certificates.iter().any(|one| one.der() == certificate.der());
            if known || !issued.can_be_from(certificate) {
                continue;
            }
            let affordable = self.signatures_left > 0;
            self.signatures_left = self.signatures_left.saturating_sub(1);
            let worth = IssuerRank {
                signed: affordable && signature::is_of(issued, certificate),
                in_time: certificate.is_in_time(self.now),
            };
            if best.as_ref().is_none_or(|other| worth > other.worth) {
                best = Some(Issuer { certificate, worth, trusted });
            }
            if worth.signed && worth.in_time {
                break;
            }
        }
        best
    }
}
