//! Configurations drawn from a seed.

use fastrand::Rng;

/// The configuration of a scenario, as far as the model needs it.
#[derive(Clone, Debug)]
pub(crate) struct Configuration {
    pub(crate) seed: u64,
    /// Seconds.
    pub(crate) connect_timeout: u64,
    pub(crate) send_timeout: u64,
    pub(crate) read_timeout: u64,
    pub(crate) client_timeout: u64,
    pub(crate) keepalive_timeout: u64,
    /// The number of idle connections kept to upstreams.
    pub(crate) keepalive: u32,
    pub(crate) non_idempotent: bool,
    pub(crate) next_off: bool,
    /// The maximum number of servers that a request is sent to.
    pub(crate) tries: u32,
    /// The maximum number of concurrent requests of one address; 0 means no limit.
    pub(crate) limit_conn: u32,
    /// The maximum size of a body, in bytes; 0 means no limit.
    pub(crate) max_body: usize,
    /// The maximum number of connections of the worker.
    pub(crate) connections: u64,
    buffers: &'static str,
    buffering: bool,
    request_buffering: bool,
    lingering: &'static str,
    upstream: &'static str,
    servers: [&'static str; 2],
    queue: &'static str,
    ignores_abort: bool,
    next: String,
    http: &'static str,
    keepalive_requests: u32,
}

const BUFFERS: [&str; 4] = [
    "",
    "proxy_buffer_size 1k; proxy_buffers 4 1k; proxy_busy_buffers_size 2k;
     proxy_max_temp_file_size 0;",
    "proxy_buffer_size 1k; proxy_buffers 4 1k; proxy_busy_buffers_size 2k;
     proxy_temp_file_write_size 2k;",
    "proxy_buffer_size 2k; proxy_buffers 2 8k; proxy_busy_buffers_size 8k;
     proxy_max_temp_file_size 16k;",
];

const CAUSES: [&str; 6] =
    ["timeout", "invalid_header", "http_500", "http_503", "http_404", "non_idempotent"];

const METHODS: [&str; 6] =
    ["", "", "least_conn;", "random two;", "ewma tau=1s;", "hash $uri consistent;"];

/// A queue in which nobody waits in vain.
const PATIENT: &str = "queue 100 timeout=600s;";

/// One of `all`.
fn one<T: Copy>(random: &mut Rng, all: &[T]) -> T {
    all[random.usize(..all.len())]
}

impl Configuration {
    pub(crate) fn draw(seed: u64, random: &mut Rng) -> Self {
        let mut causes = vec!["error"];
        causes.extend(CAUSES.iter().filter(|_| random.u8(..3) == 0));
        let next_off = random.u8(..8) == 0;
        let tries = random.u32(0..=2);
        let next = match next_off {
            true => "proxy_next_upstream off;".to_owned(),
            false => format!(
                "proxy_next_upstream {}; proxy_next_upstream_tries {tries};",
                causes.join(" ")
            ),
        };
        Self {
            seed,
            connect_timeout: random.u64(1..5),
            send_timeout: random.u64(2..8),
            read_timeout: random.u64(2..8),
            client_timeout: random.u64(3..8),
            keepalive_timeout: one(random, &[0, 3, 20, 75]),
            keepalive: one(random, &[0, 1, 2, 8]),
            non_idempotent: !next_off && causes.contains(&"non_idempotent"),
            next_off,
            tries: if tries == 0 { 2 } else { tries },
            limit_conn: one(random, &[0, 0, 1, 2]),
            max_body: one(random, &[0, 0, 1000, 20_000]),
            connections: one(random, &[512, 512, 512, 12]),
            buffers: one(random, &BUFFERS),
            buffering: random.bool(),
            request_buffering: random.bool(),
            lingering: one(random, &["on", "on", "always"]),
            upstream: one(random, &METHODS),
            servers: [
                one(random, &["", "weight=3", "max_conns=1", "max_fails=2 fail_timeout=3s"]),
                one(random, &["", "backup", "max_fails=0", "max_conns=2"]),
            ],
            queue: one(random, &["", "queue 1 timeout=2s;", PATIENT, PATIENT]),
            ignores_abort: random.u8(..4) == 0,
            next,
            http: one(random, &["1.1", "1.1", "1.0", "2", "2"]),
            keepalive_requests: one(random, &[1000, 1000, 1, 2]),
        }
    }

    /// Whether connections are scarce, so that some are closed to make room.
    pub(crate) fn is_scarce(&self) -> bool {
        self.connections < 100
    }

    /// Whether both servers may be full, so that a request is refused.
    pub(crate) fn is_narrow(&self) -> bool {
        self.queue != PATIENT && self.servers.iter().all(|server| server.contains("max_conns"))
    }

    /// Whether a response with this status may be a failure of its server.
    pub(crate) fn blames(&self, status: u16) -> bool {
        status >= 400 && self.next.contains("http_")
    }

    /// The text of this configuration for a generation.
    pub(crate) fn text(&self, generation: usize) -> String {
        let Self { seed, buffers, next, lingering, upstream, queue, http, .. } = self;
        let switch = |on: bool| if on { "on" } else { "off" };
        let [first, second] = self.servers;
        // Random and hashed choices have no backup.
        let second = match second {
            "backup" if upstream.starts_with("random") || upstream.starts_with("hash") => "",
            other => other,
        };
        let limit = |count: u32| match count {
            0 => String::new(),
            count => format!("limit_conn z{seed} {count};"),
        };
        let (limited, probe) = (limit(self.limit_conn), limit(1));
        let max_body = self.max_body;
        let (connect, send, read) = (self.connect_timeout, self.send_timeout, self.read_timeout);
        let (client, idle, requests) =
            (self.client_timeout, self.keepalive_timeout, self.keepalive_requests);
        let kept = self.keepalive;
        let (buffering, request_buffering, ignores) =
            (switch(self.buffering), switch(self.request_buffering), switch(self.ignores_abort));
        format!(
            "error_log /errors debug;
             http {{
                 http2 on;
                 access_log off;
                 limit_conn_zone $binary_remote_addr zone=z{seed}:1m;
                 upstream u {{
                     {upstream}
                     {queue}
                     server 10.1.0.1:80 {first};
                     server 10.1.0.2:80 {second};
                     keepalive {kept};
                     keepalive_timeout 20s;
                 }}
                 server {{
                     listen 10.0.0.1:80;
                     client_header_timeout {client}s;
                     client_body_timeout {client}s;
                     send_timeout {client}s;
                     keepalive_timeout {idle}s;
                     keepalive_requests {requests};
                     lingering_close {lingering};
                     client_max_body_size {max_body};
                     client_body_buffer_size 2k;
                     client_body_temp_path temp;
                     proxy_temp_path temp;
                     add_header X-Generation {generation} always;
                     location / {{
                         {limited}
                         proxy_pass http://u;
                         proxy_http_version {http};
                         proxy_set_header Connection \"\";
                         proxy_connect_timeout {connect}s;
                         proxy_send_timeout {send}s;
                         proxy_read_timeout {read}s;
                         proxy_buffering {buffering};
                         proxy_request_buffering {request_buffering};
                         proxy_ignore_client_abort {ignores};
                         {buffers}
                         {next}
                     }}
                     location /probe {{
                         {probe}
                         empty_gif;
                     }}
                 }}
             }}
             "
        )
    }
}
