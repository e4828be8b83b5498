//! The table of workloads.

use super::reload::{self, Sites};
use super::slow_disk;
use super::upgrade;

/// The configuration of a workload; the files are in `bench/conf`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Conf {
    /// The bare proxy.
    Bare,
    /// The bare proxy behind TLS 1.3.
    Tls(Key),
    /// HTTP/2 with clients, and at one path with the backend.
    H2,
    /// HTTP/2 with clients over TLS 1.3.
    H2Tls,
    /// The bare proxy in a location with settings that only nginx has.
    Roomy,
    /// Typical settings of a proxy in use.
    Realistic,
    /// Static files without a backend.
    Static,
    /// Responses in a cache.
    Cache,
    /// An application over FastCGI.
    FastCgi,
    /// A mixture of features, for the training only.
    Everyday,
    /// Many sites.
    Many(Sites),
    /// Responses that tell the process.
    Upgrade,
    /// Files of a slow disk, with this value of `aio`.
    SlowDisk(&'static str),
}

/// The key of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// ECDSA with P-256.
    P256,
    /// RSA with 2,048 bits.
    Rsa,
}

/// The fields of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fields {
    /// `Host` alone.
    One,
    /// Twelve fields as sent by a browser, 4 KiB in total.
    Twelve,
    /// `Host`, and `Connection: close`.
    Close,
}

/// The load of a workload.
#[derive(Clone, Copy, Debug)]
pub(super) enum Load {
    /// Requests at the proxy's maximum rate.
    Requests {
        path: &'static str,
        fields: Fields,
        /// The number of connections.
        connections: usize,
        /// The size of the request body in bytes.
        upload: usize,
    },
    /// Requests of HTTP/2 at the proxy's maximum rate, several at once on each connection.
    Streams {
        path: &'static str,
        fields: Fields,
        /// The number of connections.
        connections: usize,
        /// The number of requests at once on each.
        streams: usize,
    },
    /// TLS handshakes at the maximum rate, each with one small request.
    Handshakes { resumed: bool },
    /// So many hundredths of the requests that nginx can serve, at even intervals.
    Paced { percent: u32 },
    /// Connections that are opened, used once and left idle.
    Idle { connections: usize },
    /// A client with a request now and then while the configuration is reloaded.
    Reloads,
    /// Clients with new and with kept connections while the binary is upgraded.
    Upgrades,
    /// A client with a request now and then while another client waits for the slow disk.
    SlowDisk,
}

/// A workload.
#[derive(Debug)]
pub(super) struct Workload {
    /// The name in the table and on the command line.
    pub(super) name: &'static str,
    /// A description in one line.
    pub(super) about: &'static str,
    pub(super) conf: Conf,
    /// The number of threads or worker processes of the proxy.
    pub(super) threads: usize,
    pub(super) load: Load,
}

impl Workload {
    /// Whether the backend gives the same small response to every request.
    pub(super) fn has_small_answers(&self) -> bool {
        match self.load {
            Load::Requests { path, upload, .. } => path == "/" && upload == 0,
            Load::Streams { path, .. } => !path.starts_with("/body/"),
            Load::Handshakes { .. }
            | Load::Paced { .. }
            | Load::Idle { .. }
            | Load::Reloads
            | Load::Upgrades
            | Load::SlowDisk => true,
        }
    }

    /// Whether requests and responses each fit one read, on kept connections and one thread.
    pub(super) fn is_small_talk(&self) -> bool {
        let kept = match self.load {
            Load::Requests { fields, .. } => !matches!(fields, Fields::Close),
            Load::Paced { .. } => true,
            Load::Handshakes { .. }
            | Load::Streams { .. }
            | Load::Idle { .. }
            | Load::Reloads
            | Load::Upgrades
            | Load::SlowDisk => false,
        };
        kept && self.has_small_answers() && self.conf == Conf::Bare && self.threads == 1
    }
}

const SMALL: Load = get("/", Fields::One);

/// The number of kept connections of plain loads.
const CONNECTIONS: usize = 64;

/// The number of connections for responses of 1 MiB.
const FEW: usize = 16;

pub(super) const fn get(path: &'static str, fields: Fields) -> Load {
    Load::Requests { path, fields, connections: CONNECTIONS, upload: 0 }
}

const fn mebibyte(path: &'static str) -> Load {
    Load::Requests { path, fields: Fields::One, connections: FEW, upload: 0 }
}

/// HTTP/2 on as many connections as a busy proxy has from another one.
const fn streams(path: &'static str, fields: Fields, streams: usize) -> Load {
    Load::Streams { path, fields, connections: 10, streams }
}

pub(super) const fn row(
    name: &'static str,
    about: &'static str,
    conf: Conf,
    load: Load,
) -> Workload {
    Workload { name, about, conf, threads: 1, load }
}

const fn slow_disk(name: &'static str, about: &'static str, aio: &'static str) -> Workload {
    row(name, about, Conf::SlowDisk(aio), Load::SlowDisk)
}

/// The number of threads or processes for several cores.
const fn reloads(name: &'static str, about: &'static str, sites: Sites) -> Workload {
    Workload { threads: 2, ..row(name, about, Conf::Many(sites), Load::Reloads) }
}

const UPLOAD: Load =
    Load::Requests { path: "/", fields: Fields::One, connections: FEW, upload: 65_536 };
const UPLOAD_ROOMY: Load =
    Load::Requests { path: "/roomy/upload", fields: Fields::One, connections: FEW, upload: 65_536 };

const P256: Conf = Conf::Tls(Key::P256);
const RSA: Conf = Conf::Tls(Key::Rsa);
const FULL: Load = Load::Handshakes { resumed: false };
const RESUMED: Load = Load::Handshakes { resumed: true };

/// All workloads in the order of the report.
#[rustfmt::skip]
pub(super) const WORKLOADS: &[Workload] = &[
    row("small", "keepalive requests with one field, 6 bytes back", Conf::Bare, SMALL),
    row("fields", "the same with 12 request fields of 4 KiB", Conf::Bare, get("/", Fields::Twelve)),
    row("realistic", "the same with a log, fields set, a map and a limit", Conf::Realistic, get("/", Fields::Twelve)),
    row("body-1k", "bodies of 1 KiB", Conf::Bare, get("/body/1k", Fields::One)),
    row("body-64k", "bodies of 64 KiB", Conf::Bare, get("/body/64k", Fields::One)),
    row("body-64k-roomy", "the same, with buffers as large", Conf::Roomy, get("/roomy/64k", Fields::One)),
    row("body-1m", "bodies of 1 MiB", Conf::Bare, mebibyte("/body/1m")),
    row("body-1m-roomy", "the same, with buffers as large", Conf::Roomy, mebibyte("/roomy/1m")),
    row("upload-64k", "request bodies of 64 KiB", Conf::Bare, UPLOAD),
    row("upload-64k-roomy", "the same, with a buffer as large", Conf::Roomy, UPLOAD_ROOMY),
    row("close", "a client connection for each small request", Conf::Bare, get("/", Fields::Close)),
    row("static-1k", "a file of 1 KiB, no backend", Conf::Static, get("/1k", Fields::One)),
    row("cache-hit-1k", "a response of 1 KiB from the cache", Conf::Cache, get("/kept/1k", Fields::One)),
    row("cache-hit-1m", "a response of 1 MiB from the cache", Conf::Cache, mebibyte("/kept/1m")),
    row("cache-miss", "small responses, each of which is stored", Conf::Cache, SMALL),
    row("fastcgi-small", "small responses of an application", Conf::FastCgi, SMALL),
    Workload { threads: 2, ..row("threads-2", "like small, with two threads", Conf::Bare, SMALL) },
    row("tls-small", "like small, over TLS 1.3", P256, SMALL),
    row("tls-1m", "bodies of 1 MiB over TLS 1.3", P256, mebibyte("/body/1m")),
    row("tls-full-p256", "a full handshake (ECDSA P-256) for each small request", P256, FULL),
    row("tls-full-rsa", "a full handshake (RSA 2048) for each small request", RSA, FULL),
    row("tls-resumed", "a resumed handshake for each small request", P256, RESUMED),
    row("h2-small", "HTTP/2, small requests on 10 connections of 100 streams", Conf::H2, streams("/", Fields::One, 100)),
    row("h2-fields", "the same with 12 request fields of 4 KiB", Conf::H2, streams("/", Fields::Twelve, 100)),
    row("h2-64k", "HTTP/2, bodies of 64 KiB on 10 connections of 10 streams", Conf::H2, streams("/body/64k", Fields::One, 10)),
    row("h2-1m", "bodies of 1 MiB on 10 connections of 4 streams", Conf::H2, streams("/body/1m", Fields::One, 4)),
    row("h2c-upstream", "like h2-small, with HTTP/2 to the backend (`grpc_pass`)", Conf::H2, streams("/h2c/", Fields::One, 100)),
    row("h2-tls-small", "like h2-small, over TLS 1.3", Conf::H2Tls, streams("/", Fields::One, 100)),
    row("paced-25", "small requests at a quarter of nginx's most", Conf::Bare, Load::Paced { percent: 25 }),
    row("paced-50", "at half of it", Conf::Bare, Load::Paced { percent: 50 }),
    row("idle-5000", "5,000 idle keepalive connections", Conf::Bare, Load::Idle { connections: 5_000 }),
    row("idle-15000", "15,000 of them", Conf::Bare, Load::Idle { connections: 15_000 }),
    row("tls-idle-5000", "5,000 over TLS 1.3", P256, Load::Idle { connections: 5_000 }),
    row("tls-idle-15000", "15,000 over TLS 1.3", P256, Load::Idle { connections: 15_000 }),
    row("h2-idle-5000", "5,000 idle connections of HTTP/2", Conf::H2, Load::Idle { connections: 5_000 }),
    reloads("reload-500", "500 servers of five locations are reloaded", Sites::Plain(500)),
    reloads("reload-1000", "1,000 of them", Sites::Plain(1_000)),
    reloads("reload-2000", "2,000 of them", Sites::Plain(2_000)),
    reloads("reload-4000", "4,000 of them", Sites::Plain(4_000)),
    reloads("reload-certificates", "2,000 servers with a certificate each, a map of 20,000 rows", Sites::Certified(2_000)),
    Workload { threads: 2, ..row("upgrade", "the binary is upgraded ten times, and ten times forth and back", Conf::Upgrade, Load::Upgrades) },
    slow_disk("slow-disk", "others beside a file whose reads take 100 ms, `aio threads`", "threads"),
    slow_disk("slow-disk-on", "the same with `aio on`", "on"),
    slow_disk("slow-disk-off", "the same without `aio`: the loop waits for the disk", "off"),
];

/// The columns of each kind of workload. The first is compared with nginx; of reloads, all are.
pub(super) fn columns(load: &Load) -> &'static [&'static str] {
    match load {
        Load::Requests { .. } | Load::Streams { .. } => {
            &["CPU µs per request", "user %", "requests per second"]
        }
        Load::Handshakes { .. } => &["CPU µs per connection", "user %", "connections per second"],
        Load::Paced { .. } => {
            &["CPU µs per request", "user %", "requests per second", "p50 µs", "p99 µs"]
        }
        Load::Idle { .. } => &["bytes per connection", "MiB in all"],
        Load::Reloads => reload::COLUMNS,
        Load::Upgrades => upgrade::COLUMNS,
        Load::SlowDisk => slow_disk::COLUMNS,
    }
}
