//! Counts of handshakes, in the categories of NGINX Plus's API
//! (<https://nginx.org/en/docs/http/ngx_http_api_module.html#def_nginx_ssl_object>) and finer ones.

use std::array::from_fn;
use std::io;
use std::sync::LazyLock;

use rustls::{AlertDescription as Alert, CipherSuite, Error};

use super::handshake::HandshakeError;
use super::info::TlsInfo;
use super::verify::{Fault, Verdict};
use super::{ciphers, wording};
use crate::stats::{Family, Key};

/// Why a handshake failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum FailedFor {
    /// The peers have no protocol version in common.
    Protocol,
    /// They have no cipher in common, or no certificate suits the client.
    Cipher,
    /// It took too long.
    Timeout,
    /// The peer did not like the certificate, and said so by an alert.
    CertificateRejected,
    /// The peer sent another alert.
    Alert,
    /// The peer does not speak TLS.
    NotTls,
    /// The peer or the network closed the connection.
    Closed,
    /// `ssl_reject_handshake`, or a server without a certificate.
    Refused,
    /// The certificate of the upstream is not valid, or for another name.
    Unverified,
    /// An own certificate, whose name has variables, could not be read.
    OwnCertificate,
    /// A message broke the rules.
    Other,
}

impl FailedFor {
    /// All reasons, in the order of their numbers, with their names in figures.
    pub const ALL: [(Self, &'static str); 11] = [
        (Self::Protocol, "no_common_protocol"),
        (Self::Cipher, "no_common_cipher"),
        (Self::Timeout, "timeout"),
        (Self::CertificateRejected, "peer_rejected_cert"),
        (Self::Alert, "alert"),
        (Self::NotTls, "not_tls"),
        (Self::Closed, "closed"),
        (Self::Refused, "refused"),
        (Self::Unverified, "unverified"),
        (Self::OwnCertificate, "own_certificate"),
        (Self::Other, "other"),
    ];

    /// The reason behind an error.
    pub fn of(error: &HandshakeError) -> Self {
        match error {
            HandshakeError::TimedOut => Self::Timeout,
            HandshakeError::Io(error) if error.kind() == io::ErrorKind::TimedOut => Self::Timeout,
            HandshakeError::Io(_) => Self::Closed,
            HandshakeError::Rejected => Self::Refused,
            HandshakeError::Certificate(_) | HandshakeError::Name(_) => Self::Unverified,
            HandshakeError::Tls(error) => Self::of_tls(error),
        }
    }

    fn of_tls(error: &Error) -> Self {
        match error {
            Error::AlertReceived(
                Alert::BadCertificate
                | Alert::UnsupportedCertificate
                | Alert::CertificateRevoked
                | Alert::CertificateExpired
                | Alert::CertificateUnknown
                | Alert::UnknownCA,
            ) => Self::CertificateRejected,
            Error::AlertReceived(Alert::ProtocolVersion) => Self::Protocol,
            Error::AlertReceived(_) => Self::Alert,
            _ => match wording::text(error) {
                Some("no shared cipher") => Self::Cipher,
                Some("unsupported protocol") => Self::Protocol,
                Some("wrong version number") => Self::NotTls,
                _ => Self::Other,
            },
        }
    }
}

/// What is wrong with a peer's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Unverified {
    /// There is none.
    Missing,
    /// It has expired, or is not valid yet.
    Expired,
    /// It is revoked.
    Revoked,
    /// It is for another name.
    Name,
    /// Anything else.
    Other,
}

impl Unverified {
    /// All kinds, in the order of their numbers, with their names in NGINX Plus's API.
    pub const ALL: [(Self, &'static str); 5] = [
        (Self::Missing, "no_cert"),
        (Self::Expired, "expired_cert"),
        (Self::Revoked, "revoked_cert"),
        (Self::Name, "hostname_mismatch"),
        (Self::Other, "other"),
    ];

    /// The kind of a fault.
    pub fn of(fault: Fault) -> Self {
        match fault.code {
            9 | 10 => Self::Expired,
            23 => Self::Revoked,
            _ => Self::Other,
        }
    }
}

/// The versions of the protocol, by OpenSSL's names.
pub const VERSIONS: [&str; 2] = ["TLSv1.2", "TLSv1.3"];

/// The numbers of the counters.
const FAILED: usize = 0;
const UNVERIFIED: usize = FAILED + FailedFor::ALL.len();
const VERSION: usize = UNVERIFIED + Unverified::ALL.len();
const REUSED: usize = VERSION + VERSIONS.len();
const EARLY: usize = REUSED + 1;
const EARLY_REFUSED: usize = EARLY + 1;
const CIPHER: usize = EARLY_REFUSED + 1;
const COUNTERS: usize = CIPHER + CIPHERS;

/// The number of ciphers that there are; one is chosen for each handshake.
const CIPHERS: usize = ciphers::ALL_SUITES.len();

static PROCESS: Family = Family::new(COUNTERS);
static ZONES: Family = Family::new(COUNTERS);
static PEERS: Family = Family::new(COUNTERS);

/// The handshakes with clients.
pub static CLIENTS: LazyLock<Counters> = LazyLock::new(|| Counters(PROCESS.key("clients")));

/// The handshakes with upstreams.
pub static UPSTREAMS: LazyLock<Counters> = LazyLock::new(|| Counters(PROCESS.key("upstreams")));

/// Counters of handshakes. Clones share them. A thread adds to a block of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Counters(Key);

/// What is known of a handshake that has ended, for counting.
#[derive(Clone, Copy, Debug)]
pub enum Ended<'a> {
    /// It is done. The flag tells that early data was offered.
    Done(&'a TlsInfo, bool),
    /// It failed.
    Failed(FailedFor),
    /// What is wrong with the certificate of the peer, whether the handshake failed for it or not.
    Unverified(Unverified),
}

impl<'a> Ended<'a> {
    /// The events of a client's handshake: it is done, and the certificate may be missing
    /// (`is_required`) or wrong.
    pub fn with_client(info: &'a TlsInfo, is_required: bool) -> [Option<Self>; 2] {
        let unverified = match info.verdict() {
            Verdict::Invalid(fault) => Some(Unverified::of(fault)),
            _ if is_required && info.certificates.is_empty() => Some(Unverified::Missing),
            _ => None,
        };
        [Some(Self::Done(info, info.offered_early)), unverified.map(Self::Unverified)]
    }

    /// The events of a failed handshake.
    pub fn failed(error: &HandshakeError) -> [Option<Self>; 2] {
        let unverified = match error {
            HandshakeError::Certificate(fault) => Some(Unverified::of(*fault)),
            HandshakeError::Name(_) => Some(Unverified::Name),
            _ => None,
        };
        [Some(Self::Failed(FailedFor::of(error))), unverified.map(Self::Unverified)]
    }
}

impl Counters {
    /// The counters of the server zone of this name.
    pub fn of_zone(name: &str) -> Self {
        Self(ZONES.key(name))
    }

    /// The counters of the server zone of this name, if there is one.
    pub fn find_zone(name: &str) -> Option<Self> {
        ZONES.find(name).map(Self)
    }

    /// The counters of a peer.
    pub fn of_peer() -> Self {
        Self(PEERS.own())
    }

    /// Counts.
    pub fn count(&self, ended: Ended<'_>) {
        match ended {
            Ended::Failed(why) => self.0.add([(FAILED + why as usize, 1)]),
            Ended::Unverified(why) => self.0.add([(UNVERIFIED + why as usize, 1)]),
            Ended::Done(info, early) => {
                let version = VERSIONS.iter().position(|known| *known == info.protocol);
                let cipher = info.suite.and_then(number_of);
                // A counter without a number is none.
                let none = COUNTERS;
                let early = match (early, info.early.get()) {
                    (_, true) => EARLY,
                    (true, false) => EARLY_REFUSED,
                    (false, false) => none,
                };
                self.0.add([
                    (version.map_or(none, |version| VERSION + version), 1),
                    (cipher.map_or(none, |cipher| CIPHER + cipher), 1),
                    (REUSED, u64::from(info.resumed)),
                    (early, 1),
                ]);
            }
        }
    }

    /// The counts.
    pub fn read(&self) -> Counts {
        let counts = self.0.read();
        Counts {
            failed: from_fn(|at| counts[FAILED + at]),
            unverified: from_fn(|at| counts[UNVERIFIED + at]),
            versions: from_fn(|at| counts[VERSION + at]),
            reused: counts[REUSED],
            early_data: counts[EARLY],
            early_data_refused: counts[EARLY_REFUSED],
            ciphers: from_fn(|at| counts[CIPHER + at]),
        }
    }

    /// Starts the counts over.
    pub fn reset(&self) {
        self.0.reset(0..COUNTERS);
    }
}

fn number_of(suite: CipherSuite) -> Option<usize> {
    ciphers::ALL_SUITES.iter().position(|known| *known == suite)
}

/// Counts of handshakes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Failed handshakes, in the order of [`FailedFor::ALL`].
    pub failed: [u64; FailedFor::ALL.len()],
    /// Peers with wrong certificates, in the order of [`Unverified::ALL`].
    pub unverified: [u64; Unverified::ALL.len()],
    /// Handshakes that are done, in the order of [`VERSIONS`].
    pub versions: [u64; VERSIONS.len()],
    /// Those that resumed a session.
    pub reused: u64,
    /// Those with early data that was accepted.
    pub early_data: u64,
    /// Those with early data that was refused, so that the client has sent it again.
    pub early_data_refused: u64,
    ciphers: [u64; CIPHERS],
}

impl Counts {
    /// The handshakes that are done.
    pub fn done(&self) -> u64 {
        self.versions.iter().sum()
    }

    /// The failed handshakes.
    pub fn all_failed(&self) -> u64 {
        self.failed.iter().sum()
    }

    /// Those that failed for a reason.
    pub fn failed_for(&self, why: FailedFor) -> u64 {
        self.failed[why as usize]
    }

    /// Handshakes by cipher, by OpenSSL's names; ciphers without any are left out.
    pub fn ciphers(&self) -> impl Iterator<Item = (String, u64)> {
        let all = ciphers::ALL_SUITES.iter().zip(self.ciphers);
        all.filter(|(_, count)| *count > 0).map(|(suite, count)| (ciphers::name(*suite), count))
    }

    /// The sums of both.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            failed: from_fn(|at| self.failed[at] + other.failed[at]),
            unverified: from_fn(|at| self.unverified[at] + other.unverified[at]),
            versions: from_fn(|at| self.versions[at] + other.versions[at]),
            reused: self.reused + other.reused,
            early_data: self.early_data + other.early_data,
            early_data_refused: self.early_data_refused + other.early_data_refused,
            ciphers: from_fn(|at| self.ciphers[at] + other.ciphers[at]),
        }
    }
}

#[cfg(test)]
mod tests {
    use rustls::{InvalidMessage, PeerIncompatible};

    use super::*;

    #[test]
    fn errors_have_reasons() {
        let tls = |error| FailedFor::of(&HandshakeError::Tls(error));
        let cipher = Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon);
        assert_eq!(tls(cipher), FailedFor::Cipher);
        let version = Error::PeerIncompatible(PeerIncompatible::Tls12NotOffered);
        assert_eq!(tls(version), FailedFor::Protocol);
        assert_eq!(tls(Error::AlertReceived(Alert::UnknownCA)), FailedFor::CertificateRejected);
        assert_eq!(tls(Error::AlertReceived(Alert::InternalError)), FailedFor::Alert);
        let other = Error::InvalidMessage(InvalidMessage::InvalidContentType);
        assert_eq!(tls(other), FailedFor::NotTls);
        assert_eq!(tls(Error::EncryptError), FailedFor::Other);
    }

    #[test]
    fn numbers_follow_the_order_of_the_lists() {
        assert!(FailedFor::ALL.iter().enumerate().all(|(at, (why, _))| *why as usize == at));
        assert!(Unverified::ALL.iter().enumerate().all(|(at, (why, _))| *why as usize == at));
    }

    #[test]
    fn each_handshake_counts_once() {
        let counters = Counters::of_peer();
        let suite = Some(CipherSuite::TLS13_AES_128_GCM_SHA256);
        let info = TlsInfo { protocol: "TLSv1.3", suite, resumed: true, ..TlsInfo::default() };
        counters.count(Ended::Done(&info, true));
        info.early.set(true);
        counters.count(Ended::Done(&info, true));
        counters.count(Ended::Done(&TlsInfo { protocol: "TLSv1.2", ..TlsInfo::default() }, false));
        for event in Ended::failed(&HandshakeError::Name("a".into())).into_iter().flatten() {
            counters.count(event);
        }
        let counts = counters.read();
        assert_eq!((counts.done(), counts.versions, counts.reused), (3, [1, 2], 2));
        assert_eq!((counts.early_data, counts.early_data_refused), (1, 1));
        assert_eq!(counts.ciphers().collect::<Vec<_>>(), [("TLS_AES_128_GCM_SHA256".into(), 2)]);
        assert_eq!((counts.all_failed(), counts.failed_for(FailedFor::Unverified)), (1, 1));
        assert_eq!(counts.unverified, [0, 0, 0, 1, 0]);
        assert_eq!(counts.plus(&counts).done(), 6);
        counters.reset();
        assert_eq!(counters.read(), Counts::default());
    }
}
