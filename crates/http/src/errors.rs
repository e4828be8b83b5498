//! Errors by cause: why Weir itself answered with an error, or broke a response off.
//!
//! A cause is noted where it is found (`Request::blame`), and counted when it becomes the answer
//! (`Request::count_error`), so that a failure which another server makes up for is no error. The
//! first of a request counts. Without a note, the status says what it was. Responses of upstreams
//! are not errors of Weir, whatever their status.
//!
//! ```text
//!  blame(Cause) ──▶ Request::blamed ──▶ error page, abort ──▶ count_error ──▶ Family by zone
//! ```
//!
//! A request without an error pays nothing but the reset of a byte. To add a cause, add a row to
//! [`causes!`] and blame it.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use weir_engine::clock;
use weir_engine::stats::{Family, Key};

/// Whose side a cause is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The client's.
    Client,
    /// Weir's or its configuration's.
    Proxy,
    /// That of upstreams, or of the resolver that finds them.
    Upstream,
}

impl Side {
    /// Its name in the API and in metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Proxy => "proxy",
            Self::Upstream => "upstream",
        }
    }
}

macro_rules! causes {
    ($($(#[$about:meta])* $cause:ident, $side:ident, $name:literal;)+) => {
        /// Why a request has failed. Its rows are all there are: a bound for metrics.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub(crate) enum Cause {
            $($(#[$about])* $cause,)+
        }

        impl Cause {
            /// All causes, in the order of their counters.
            pub(crate) const ALL: &[Self] = &[$(Self::$cause,)+];

            /// Its name in the API and in metrics.
            pub(crate) fn name(self) -> &'static str {
                match self {
                    $(Self::$cause => $name,)+
                }
            }

            /// Whose side it is on.
            pub(crate) fn side(self) -> Side {
                match self {
                    $(Self::$cause => Side::$side,)+
                }
            }
        }
    };
}

causes! {
    /// A head that is not a request, or one that cannot be passed on (400, 421, 501, …).
    BadRequest, Client, "bad_request";
    /// A head beyond `large_client_header_buffers` (414, 494).
    HeadTooLarge, Client, "head_too_large";
    /// A body beyond `client_max_body_size` (413).
    BodyTooLarge, Client, "body_too_large";
    /// A body whose framing is broken (400).
    BadBody, Client, "bad_body";
    /// The client sent or took nothing for too long (408, or a response broken off).
    ClientTimeout, Client, "client_timeout";
    /// The client left before the end of its response (499, or a response broken off).
    ClientClosed, Client, "client_closed";
    /// A client's certificate that is missing or wrong (495, 496).
    ClientCertificate, Client, "client_certificate";
    /// A request without TLS at a port with it (497).
    PlainHttp, Client, "plain_http";
    /// No or wrong credentials (401, 407).
    Unauthorized, Client, "unauthorized";
    /// Forbidden by access rules, or by the permissions of a file (403).
    Forbidden, Client, "forbidden";
    /// There is no such file or page (404).
    NotFound, Client, "not_found";
    /// A method that the location does not have (405).
    MethodNotAllowed, Client, "method_not_allowed";
    /// A condition of the request that does not hold (412, 416).
    ConditionFailed, Client, "condition_failed";
    /// The client wants only what is in the cache (504).
    OnlyIfCached, Client, "only_if_cached";
    /// `limit_req`.
    LimitReq, Proxy, "limit_req";
    /// `limit_conn`.
    LimitConn, Proxy, "limit_conn";
    /// `return` and other directives that name the status.
    Configured, Proxy, "configured";
    /// The connection was closed without a response (444).
    Closed, Proxy, "closed";
    /// The subrequest of `auth_request` had an unexpected status.
    AuthRequest, Proxy, "auth_request";
    /// A fault of Weir, its files or its configuration (500).
    Internal, Proxy, "internal";
    /// No local port was left for a connection to an upstream.
    NoLocalPort, Proxy, "no_local_port";
    /// No server of the group could take the request.
    NoLive, Upstream, "no_live_upstream";
    /// The queue of the group was full.
    QueueFull, Upstream, "queue_full";
    /// The request waited too long in the queue of the group.
    QueueTimeout, Upstream, "queue_timeout";
    /// A name could not be resolved.
    Resolver, Upstream, "resolver";
    /// A connection was refused.
    UpstreamRefused, Upstream, "upstream_refused";
    /// A connection failed otherwise.
    UpstreamUnreachable, Upstream, "upstream_unreachable";
    /// A connection was not there in time.
    UpstreamConnectTimeout, Upstream, "upstream_connect_timeout";
    /// A TLS handshake failed, or took too long.
    UpstreamTls, Upstream, "upstream_tls";
    /// The server did not take the request in time.
    UpstreamSendTimeout, Upstream, "upstream_send_timeout";
    /// The response did not come in time.
    UpstreamReadTimeout, Upstream, "upstream_read_timeout";
    /// The connection ended before the response.
    UpstreamClosed, Upstream, "upstream_closed";
    /// The head of the response is larger than `proxy_buffer_size`.
    UpstreamHeadTooLarge, Upstream, "upstream_head_too_large";
    /// The response is not one of its protocol.
    UpstreamBadResponse, Upstream, "upstream_bad_response";
    /// An upstream failed in another way (502, 504).
    UpstreamOther, Upstream, "upstream_other";
}

/// The number of causes.
const CAUSES: usize = Cause::ALL.len();

impl Cause {
    /// The cause behind a status for which none was noted.
    pub(crate) fn of_status(status: u16) -> Self {
        match status {
            401 | 407 => Self::Unauthorized,
            403 => Self::Forbidden,
            404 => Self::NotFound,
            405 => Self::MethodNotAllowed,
            408 => Self::ClientTimeout,
            412 | 416 => Self::ConditionFailed,
            413 => Self::BodyTooLarge,
            414 | 431 | 494 => Self::HeadTooLarge,
            444 => Self::Closed,
            495 | 496 => Self::ClientCertificate,
            497 => Self::PlainHttp,
            499 => Self::ClientClosed,
            400 | 411 | 415 | 417 | 421 | 426 | 501 | 505 => Self::BadRequest,
            500 => Self::Internal,
            502 | 504 => Self::UpstreamOther,
            _ => Self::Configured,
        }
    }
}

/// What a request knows about its failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Blamed {
    /// Nothing.
    #[default]
    Nobody,
    /// The cause of a failure that may become the answer.
    On(Cause),
    /// What is answered is counted, or no error of Weir.
    Settled,
}

/// The counters of server zones, by name.
static ZONES: Family = Family::new(CAUSES);

/// The counters of requests outside server zones.
static OUTSIDE: LazyLock<Key> = LazyLock::new(|| ZONES.own());

/// When each cause was last counted, in milliseconds since 1970; 0 if it never was.
static LAST: [AtomicU64; CAUSES] = [const { AtomicU64::new(0) }; CAUSES];

/// The counters of a server zone.
pub(crate) fn zone(name: &str) -> Key {
    ZONES.key(name)
}

/// The counts by cause, in the order of [`Cause::ALL`].
pub(crate) type Counts = Vec<u64>;

/// All counts.
pub(crate) struct Errors {
    /// Those of requests outside server zones.
    pub(crate) outside: Counts,
    /// Those of server zones, by name.
    pub(crate) zones: Vec<(String, Counts)>,
    /// When each cause was last counted, in milliseconds since 1970; 0 if it never was.
    pub(crate) last: [u64; CAUSES],
}

/// The counts of the process.
pub(crate) fn read() -> Errors {
    Errors { outside: OUTSIDE.read(), zones: ZONES.read(), last: LAST.each_ref().map(get) }
}

fn get(time: &AtomicU64) -> u64 {
    time.load(Relaxed)
}

/// Starts all counts over.
pub(crate) fn reset() {
    OUTSIDE.reset(0..CAUSES);
    ZONES.keys().iter().for_each(|(_, key)| key.reset(0..CAUSES));
    LAST.iter().for_each(|time| time.store(0, Relaxed));
}

/// Counts an error of a request in a server zone, or outside of any.
#[cold]
pub(crate) fn count(zone: Option<&Key>, cause: Cause) {
    zone.unwrap_or(&OUTSIDE).add([(cause as usize, 1)]);
    LAST[cause as usize].store(clock::msec(), Relaxed);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique() {
        let names: BTreeSet<_> = Cause::ALL.iter().map(|cause| cause.name()).collect();
        assert_eq!(names.len(), CAUSES);
        assert!(Cause::ALL.iter().enumerate().all(|(place, cause)| *cause as usize == place));
    }

    #[test]
    fn the_side_of_a_status() {
        for status in 400..=599 {
            let side = Cause::of_status(status).side();
            match status {
                502 | 504 => assert_eq!(side, Side::Upstream),
                500 | 503 | 444 | 429 => assert_eq!(side, Side::Proxy),
                400..=417 => assert!(matches!(side, Side::Client | Side::Proxy)),
                _ => {}
            }
        }
    }
}
