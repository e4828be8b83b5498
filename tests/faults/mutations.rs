//! Thousands of malformed requests: none may hold a connection beyond its timeout.

use std::time::{Duration, Instant};

use crate::harness::{Backend, Client, Server, children};

/// The number of mutations; `WEIR_TESTS_MUTATIONS` raises it.
const MUTATIONS: usize = 10_000;

/// The number of open connections, within a plain user's descriptor limit.
const AT_ONCE: usize = 200;

const VALID: &[u8] = b"POST /path/%61?q=1&r=%20 HTTP/1.1\r\nHost: a.test\r\nUser-Agent: x\r\n\
    Accept: text/html,*/*;q=0.1\r\nCookie: a=1; b=2\r\nTransfer-Encoding: chunked\r\n\
    Connection: close\r\n\r\n5\r\nhello\r\n3;x=y\r\nabc\r\n0\r\nTrailer: t\r\n\r\n";

const CONF: &str =
    "client_header_timeout 300ms; client_body_timeout 300ms; keepalive_timeout 300ms;
    lingering_timeout 300ms; location / { proxy_pass http://%backend%; }";

/// The maximum time from the first byte to the end of the connection; each stage above may take its
/// limit, and the machine may be busy.
const END: Duration = Duration::from_secs(15);

/// splitmix64: small, seeded, and good enough for choosing bytes.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Applies one to four small changes to the valid request.
fn mutate(random: &mut Random) -> Vec<u8> {
    const INTERESTING: &[u8] = b"\r\n\0 \t:;,%/?#\x01\x7f\x80\xff0f\"";
    let mut bytes = VALID.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len());
        let other = random.below(bytes.len());
        match random.below(7) {
            0 => bytes[at] = random.below(256) as u8,
            1 => bytes[at] = INTERESTING[random.below(INTERESTING.len())],
            2 => bytes.insert(at, INTERESTING[random.below(INTERESTING.len())]),
            3 => drop(bytes.remove(at)),
            4 => bytes.swap(at, other),
            5 => {
                let piece = bytes[at..(at + random.below(40)).min(bytes.len())].to_vec();
                bytes.splice(other..other, piece);
            }
            _ => drop(bytes.drain(at..(at + random.below(20)).min(bytes.len()))),
        }
    }
    bytes
}

/// Sends each request on its own connection and waits for the end of all.
fn send_all(server: &Server, requests: &[Vec<u8>]) {
    let started = Instant::now();
    let clients: Vec<Client> = requests
        .iter()
        .map(|bytes| {
            let mut client = server.client().patience(END);
            client.send_if_wanted(bytes);
            client
        })
        .collect();
    for (mut client, bytes) in clients.into_iter().zip(requests) {
        if let Err(error) = client.try_rest() {
            let text = String::from_utf8_lossy(bytes).into_owned();
            panic!("{error}: not closed {:?} after {text:?}", started.elapsed());
        }
    }
}

#[test]
fn truncated_requests_end_in_time() {
    let backend = Backend::text("ok");
    let server = Server::server(CONF).set("backend", backend.address()).start();
    let cuts: Vec<Vec<u8>> = (1..=24).map(|n| VALID[..VALID.len() * n / 25].to_vec()).collect();
    send_all(&server, &cuts);
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn mutated_requests_end_in_time() {
    let seed = number("WEIR_TESTS_SEED").unwrap_or(20_260_101);
    println!("WEIR_TESTS_SEED={seed}");
    let count = number("WEIR_TESTS_MUTATIONS").map_or(MUTATIONS, |count| count as usize);
    let backend = Backend::text("ok");
    let server = Server::server(CONF).set("backend", backend.address()).start();
    // Workers are certain to be running only once a request is answered.
    assert_eq!(server.get("/").status, 200);
    let workers = children(server.pid());
    let mut random = Random(seed);
    let requests: Vec<Vec<u8>> = (0..count).map(|_| mutate(&mut random)).collect();
    for batch in requests.chunks(AT_ONCE) {
        send_all(&server, batch);
    }
    assert_eq!(server.get("/").status, 200);
    assert_eq!(children(server.pid()), workers, "the worker has survived");
}
