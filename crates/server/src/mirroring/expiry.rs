//! Certificates out of their time in a configuration that is proposed to all nodes.
//!
//! One that the change brings is a reason to refuse it. One that is in force already is not: the
//! next change may be the one that helps, and each later one would be held up. It is warned of.

use std::collections::BTreeSet;
use std::fmt::Write;

use weir_engine::digest::sha256;
use weir_engine::tls::x509;
use weir_engine::{Level, clock};
use weir_ha::Refusal;
use weir_http::certificates::ServerCertificate;

use crate::console::Console;

/// The number of certificates that a message names.
const NAMED: usize = 3;

/// The certificates of a configuration's servers.
#[derive(Debug, Default)]
pub(crate) struct Certificates(Vec<Certificate>);

#[derive(Debug)]
struct Certificate {
    /// The file, and the name of the first server with it.
    place: (String, String),
    digest: [u8; 32],
    /// In seconds since 1970: the first second in which it is valid, and the first in which it is
    /// not any longer.
    valid: (i64, i64),
    /// The same as texts.
    shown: (String, String),
}

impl Certificates {
    pub(crate) fn of(found: &[ServerCertificate<'_>]) -> Self {
        let mut known = BTreeSet::new();
        let certificate = |found: &ServerCertificate<'_>| {
            let digest = sha256(&[found.der]);
            if !known.insert((found.file.to_owned(), digest)) {
                return None;
            }
            Some(Certificate {
                place: (found.file.to_owned(), found.server.clone()),
                digest,
                valid: x509::validity(found.der)?,
                shown: (x509::valid_from(found.der)?, x509::valid_until(found.der)?),
            })
        };
        Self(found.iter().filter_map(certificate).collect())
    }

    /// Judges a change of this node to these certificates, those in force, and logs what is wrong.
    pub(super) fn allow(&self, proposed: &Self, console: &Console) -> bool {
        let (refusal, warning) = self.judge(proposed, clock::wall_secs());
        if let Some(outdated) = warning {
            console.log(Level::Warn, format_args!("mirror: {outdated}"));
        }
        if let Some(outdated) = &refusal {
            let what = format_args!("mirror: the configuration is not in force: {outdated}");
            console.log(Level::Emerg, what);
        }
        refusal.is_none()
    }

    /// Judges a change of another node.
    ///
    /// # Errors
    /// It brings a certificate out of its time.
    pub(super) fn check(&self, proposed: &Self) -> Result<(), Refusal> {
        let (refusal, _) = self.judge(proposed, clock::wall_secs());
        refusal.map_or(Ok(()), |refusal| Err(Refusal::from(refusal)))
    }

    /// The reason to refuse a change, and what is to be warned of. `now` is in seconds since 1970.
    fn judge(&self, proposed: &Self, now: i64) -> (Option<String>, Option<String>) {
        let outdated = |certificate: &&Certificate| certificate.fault(now).is_some();
        let is_known = |certificate: &Certificate| {
            self.0.iter().any(|known| known.digest == certificate.digest)
        };
        let outdated = proposed.0.iter().filter(outdated);
        let (old, new): (Vec<_>, Vec<_>) = outdated.partition(|found| is_known(found));
        (in_words(&new, now), in_words(&old, now))
    }
}

impl Certificate {
    /// What is wrong with its time.
    fn fault(&self, now: i64) -> Option<String> {
        if now < self.valid.0 {
            return Some(format!("is not valid before {}", self.shown.0));
        }
        (now >= self.valid.1).then(|| format!("has expired on {}", self.shown.1))
    }
}

fn in_words(outdated: &[&Certificate], now: i64) -> Option<String> {
    if outdated.is_empty() {
        return None;
    }
    let mut text = String::new();
    for certificate in &outdated[..outdated.len().min(NAMED)] {
        let (file, server) = &certificate.place;
        let fault = certificate.fault(now).unwrap_or_default();
        let _ = write!(text, "the certificate \"{file}\" of server \"{server}\" {fault}; ");
    }
    if outdated.len() > NAMED {
        let _ = write!(text, "and {} more; ", outdated.len() - NAMED);
    }
    let here = String::from_utf8_lossy(&clock::http_date()).into_owned();
    Some(text + &format!("it is {here} here: put a valid certificate there and reload"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(file: &str, digest: u8, valid: (i64, i64)) -> Certificate {
        Certificate {
            place: (file.to_owned(), "a.test".to_owned()),
            digest: [digest; 32],
            valid,
            shown: (format!("day {}", valid.0), format!("day {}", valid.1)),
        }
    }

    #[test]
    fn what_a_change_brings_must_be_valid() {
        let old = || certificate("old.crt", 1, (10, 20));
        let in_force = Certificates(vec![old()]);
        let judge = |proposed: Vec<Certificate>, now| {
            let (refusal, warning) = in_force.judge(&Certificates(proposed), now);
            let head = |text: String| text.split("; it is ").next().unwrap().to_owned();
            (refusal.map(head), warning.map(head))
        };
        let about = |text: &str| Some(format!("the certificate {text}"));
        assert_eq!(judge(vec![old()], 19), (None, None));
        // What is in force has expired: changes go on, and the one that helps is welcome.
        let expired = about("\"old.crt\" of server \"a.test\" has expired on day 20");
        assert_eq!(judge(vec![old()], 20), (None, expired.clone()));
        assert_eq!(judge(vec![certificate("old.crt", 2, (10, 99))], 20), (None, None));
        // Another name for the same certificate brings nothing.
        assert!(judge(vec![certificate("moved.crt", 1, (10, 20))], 20).0.is_none());
        let new = || certificate("new.crt", 2, (10, 15));
        let refused = about("\"new.crt\" of server \"a.test\" has expired on day 15");
        assert_eq!(judge(vec![old(), new()], 20), (refused, expired));
        let early = about("\"new.crt\" of server \"a.test\" is not valid before day 10");
        assert_eq!(judge(vec![new()], 9), (early, None));
        let many = (2..7).map(|digest| certificate("new.crt", digest, (0, 1))).collect();
        assert!(judge(many, 9).0.unwrap().ends_with("and 2 more"));
    }
}
