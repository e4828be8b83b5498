//! The resolver against name servers of the tests.

use std::{
    io::{Read, Write},
    net::{TcpListener, UdpSocket},
    sync::Mutex,
};

use weir_engine::event_loop::block_on;

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_secs(20);
const RESEND_SOON: Duration = Duration::from_millis(30);

const A: u16 = 1;
const CNAME: u16 = 5;
const AAAA: u16 = 28;
const SRV: u16 = 33;

/// A name server's reaction to a query.
enum Reply {
    Silence,
    Code(u8),
    Truncated,
    WrongIdent,
    Records(Vec<(u16, u32, Vec<u8>)>),
}

fn address(last: u8) -> (u16, u32, Vec<u8>) {
    (A, 60, vec![127, 0, 0, last])
}

fn name(text: &str) -> Vec<u8> {
    let label = |label: &str| [&[label.len() as u8], label.as_bytes()].concat();
    let mut name: Vec<u8> = text.split('.').flat_map(label).collect();
    name.push(0);
    name
}

fn service(priority: u8, weight: u8, port: u16, target: &str) -> (u16, u32, Vec<u8>) {
    let mut data = vec![0, priority, 0, weight];
    data.extend_from_slice(&port.to_be_bytes());
    data.extend_from_slice(&name(target));
    (SRV, 60, data)
}

/// The response to a query; `None` is silence.
fn message(query: &[u8], reply: Reply) -> Option<Vec<u8>> {
    let mut message = query.to_vec();
    message[2..4].copy_from_slice(&[0x81, 0x80]);
    match reply {
        Reply::Silence => return None,
        Reply::Code(code) => message[3] |= code,
        Reply::Truncated => message[2] |= 2,
        Reply::WrongIdent => message[1] ^= 1,
        Reply::Records(records) => {
            message[7] = records.len() as u8;
            for (kind, ttl, data) in records {
                message.extend_from_slice(&[0xc0, 12]);
                message.extend_from_slice(&kind.to_be_bytes());
                message.extend_from_slice(&[0, 1]);
                message.extend_from_slice(&ttl.to_be_bytes());
                message.extend_from_slice(&(data.len() as u16).to_be_bytes());
                message.extend_from_slice(&data);
            }
        }
    }
    Some(message)
}

fn question(query: &[u8]) -> (String, u16) {
    let mut labels = Vec::new();
    let mut at = 12;
    while query[at] != 0 {
        let end = at + 1 + usize::from(query[at]);
        labels.push(String::from_utf8_lossy(&query[at + 1..end]).into_owned());
        at = end;
    }
    (labels.join("."), u16::from_be_bytes([query[at + 1], query[at + 2]]))
}

type Log = Arc<Mutex<Vec<String>>>;

/// A UDP and a TCP socket with the same port. A port that is free for one may be taken for the
/// other, for example by another test; then another one is tried.
fn same_port() -> (UdpSocket, TcpListener) {
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        if let Ok(socket) = UdpSocket::bind(listener.local_addr().unwrap()) {
            return (socket, listener);
        }
    }
}

/// A name server over UDP and, with `tcp`, over TCP at the same port, on threads that end with the
/// tests. The log has every query.
fn server(
    tcp: Option<fn(&str, u16) -> Reply>,
    reply: impl Fn(usize, &str, u16) -> Reply + Send + 'static,
) -> (SocketAddr, Log) {
    let (socket, listener) = same_port();
    let address = socket.local_addr().unwrap();
    let log = Log::default();
    let seen = Arc::clone(&log);
    std::thread::spawn(move || {
        let mut buffer = [0; 512];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).unwrap();
            let query = &buffer[..length];
            let (name, kind) = question(query);
            let count = seen.lock().unwrap().len();
            seen.lock().unwrap().push(format!("{name} {kind}"));
            if let Some(message) = message(query, reply(count, &name, kind)) {
                socket.send_to(&message, from).unwrap();
            }
        }
    });
    if let Some(reply) = tcp {
        std::thread::spawn(move || {
            loop {
                let (mut stream, _) = listener.accept().unwrap();
                let mut length = [0; 2];
                stream.read_exact(&mut length).unwrap();
                let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
                stream.read_exact(&mut query).unwrap();
                let (name, kind) = question(&query);
                let message = message(&query, reply(&name, kind)).unwrap();
                stream.write_all(&(message.len() as u16).to_be_bytes()).unwrap();
                stream.write_all(&message).unwrap();
            }
        });
    }
    (address, log)
}

fn resolver(servers: &[SocketAddr], ipv6: bool) -> Resolver {
    let config =
        ResolverConfig { servers: servers.to_vec(), valid: None, ipv4: true, ipv6, counters: None };
    Resolver::with_resend(config, RESEND_SOON)
}

fn texts(resolved: &Resolved) -> Vec<String> {
    resolved.addresses.iter().map(ToString::to_string).collect()
}

#[test]
fn both_families_are_asked_for_once_and_remembered() {
    block_on(async {
        let (server, log) = server(None, |_, _, kind| match kind {
            AAAA => Reply::Records(vec![(AAAA, 60, std::net::Ipv6Addr::LOCALHOST.octets().into())]),
            _ => Reply::Records(vec![address(1)]),
        });
        let resolver = resolver(&[server], true);
        let (one, two) = tokio::join!(
            resolver.resolve("A.example", SECOND),
            resolver.resolve("a.example.", SECOND)
        );
        assert_eq!(texts(&one.unwrap()), ["127.0.0.1", "::1"]);
        assert_eq!(texts(&two.unwrap()), ["127.0.0.1", "::1"]);
        let mut again = texts(&resolver.resolve("a.example", SECOND).await.unwrap());
        again.sort();
        assert_eq!(again, ["127.0.0.1", "::1"]);
        assert_eq!(*log.lock().unwrap(), ["a.example 1", "a.example 28"]);
    });
}

#[test]
fn an_address_is_no_question() {
    block_on(async {
        let resolved = resolver(&[], true).resolve("127.0.0.9", SECOND).await.unwrap();
        assert_eq!(texts(&resolved), ["127.0.0.9"]);
    });
}

#[test]
fn aliases_are_followed() {
    block_on(async {
        let (server, log) = server(None, |_, asked, _| match asked {
            "a" => Reply::Records(vec![(CNAME, 60, name("b.net"))]),
            "loop" => Reply::Records(vec![(CNAME, 60, name("loop"))]),
            _ => Reply::Records(vec![address(2)]),
        });
        let resolver = resolver(&[server], false);
        assert_eq!(texts(&resolver.resolve("a", SECOND).await.unwrap()), ["127.0.0.2"]);
        assert_eq!(*log.lock().unwrap(), ["a 1", "b.net 1"]);
        let error = resolver.resolve("loop", LONG).await.unwrap_err();
        assert_eq!(error.to_string(), "loop could not be resolved (3: Host not found)");
    });
}

#[test]
fn failures_are_told_in_words_and_not_remembered() {
    block_on(async {
        let (server, _) = server(None, |count, asked, _| match (asked, count) {
            ("empty", _) => Reply::Records(Vec::new()),
            (_, 1) => Reply::Code(2),
            (_, 2) => Reply::Code(3),
            (_, 3) => Reply::Code(5),
            _ => Reply::Records(vec![address(1)]),
        });
        let resolver = resolver(&[server], false);
        let mut said = Vec::new();
        for asked in ["empty", "a", "a", "a"] {
            said.push(resolver.resolve(asked, LONG).await.unwrap_err().to_string());
        }
        assert_eq!(
            said,
            [
                "empty could not be resolved (3: Host not found)",
                "a could not be resolved (2: Server failure)",
                "a could not be resolved (3: Host not found)",
                "a could not be resolved (5: Operation refused)",
            ]
        );
        assert!(resolver.resolve("a", SECOND).await.is_ok());
        let error = resolver.resolve("a..b", SECOND).await.unwrap_err();
        assert_eq!(error.reason, Reason::NOT_FOUND);
    });
}

#[test]
fn silence_times_out() {
    block_on(async {
        let (server, _) = server(None, |_, _, _| Reply::Silence);
        let resolver = resolver(&[server], false);
        let error = resolver.resolve("a", Duration::from_millis(10)).await.unwrap_err();
        assert_eq!(error.to_string(), "a could not be resolved (110: Operation timed out)");
    });
}

#[test]
fn the_next_server_is_asked_after_a_while() {
    block_on(async {
        let (dumb, asked) = server(None, |_, _, _| Reply::WrongIdent);
        let (good, _) = server(None, |_, _, _| Reply::Records(vec![address(3)]));
        let resolver = resolver(&[dumb, good], false);
        assert_eq!(texts(&resolver.resolve("a", LONG).await.unwrap()), ["127.0.0.3"]);
        assert_eq!(asked.lock().unwrap().len(), 1);
    });
}

#[test]
fn a_format_error_is_ignored_until_the_query_is_sent_again() {
    block_on(async {
        let (server, _) = server(None, |count, _, _| match count {
            0 => Reply::Code(1),
            _ => Reply::Records(vec![address(3)]),
        });
        let resolved = resolver(&[server], false).resolve("a", LONG).await.unwrap();
        assert_eq!(texts(&resolved), ["127.0.0.3"]);
    });
}

#[test]
fn an_answer_that_does_not_fit_comes_over_tcp() {
    block_on(async {
        let over_tcp = |_: &str, _| Reply::Records(vec![address(4)]);
        let (server, _) = server(Some(over_tcp), |_, _, _| Reply::Truncated);
        let resolved = resolver(&[server], false).resolve("a", LONG).await.unwrap();
        assert_eq!(texts(&resolved), ["127.0.0.4"]);
    });
}

/// A name server that fails for IPv6, as is common, does not invalidate IPv4 addresses.
#[test]
fn ipv4_is_enough() {
    block_on(async {
        let (server, _) = server(None, |_, asked, kind| match (asked, kind) {
            ("silent", AAAA) => Reply::Silence,
            ("refused", AAAA) => Reply::Code(5),
            ("format", AAAA) => Reply::Code(1),
            ("nothing", _) | ("ipv6", A) => Reply::Code(3),
            ("ipv6", _) => Reply::Records(vec![(AAAA, 60, vec![0; 16])]),
            _ => Reply::Records(vec![address(6)]),
        });
        let resolver = resolver(&[server], true);
        for asked in ["silent", "refused", "format"] {
            let resolved = resolver.resolve(asked, LONG).await.unwrap();
            assert_eq!(texts(&resolved), ["127.0.0.6"], "{asked}");
            let held = resolved.valid - now();
            assert!(held <= FAILURE_VALID, "IPv6 is asked for again soon: {held}");
        }
        for asked in ["nothing", "ipv6"] {
            let error = resolver.resolve(asked, LONG).await.unwrap_err();
            assert_eq!(error.reason, Reason::NOT_FOUND, "{asked}");
        }
    });
}

/// A query from a thread that ends is repeated by a waiter on another thread.
#[test]
fn a_question_outlives_its_thread() {
    let (server, log) = server(None, |count, _, _| match count {
        0 => Reply::Silence,
        _ => Reply::Records(vec![address(7)]),
    });
    let resolver = Resolver::new(ResolverConfig {
        servers: vec![server],
        valid: None,
        ipv4: true,
        ipv6: false,
        counters: None,
    });
    let (asked, other) = (Arc::clone(&log), resolver.clone());
    let first = std::thread::spawn(move || {
        block_on(async {
            let waiting = weir_engine::spawn_joined(async move {
                let _ = other.resolve("a", Duration::ZERO).await;
            });
            while asked.lock().unwrap().is_empty() {
                weir_engine::timer::sleep(Duration::from_millis(1)).await;
            }
            drop(waiting);
        });
    });
    block_on(async {
        while log.lock().unwrap().is_empty() {
            weir_engine::timer::sleep(Duration::from_millis(1)).await;
        }
        first.join().unwrap();
        assert_eq!(texts(&resolver.resolve("a", LONG).await.unwrap()), ["127.0.0.7"]);
    });
}

#[test]
fn services_have_the_addresses_of_their_targets() {
    block_on(async {
        let (server, log) = server(None, |_, asked, kind| match (asked, kind) {
            ("_http._tcp.a", SRV) => Reply::Records(vec![
                service(2, 0, 81, "backup"),
                service(1, 5, 80, "main"),
                service(1, 5, 80, "missing"),
            ]),
            ("main", A) => Reply::Records(vec![address(1), address(2)]),
            ("backup", A) => Reply::Records(vec![address(3)]),
            _ => Reply::Code(3),
        });
        let resolver = resolver(&[server], false);
        let found = resolver.resolve_service("a", "http", LONG).await.unwrap();
        let line = |it: &ServiceAddress| {
            format!("{} {} {} {}", it.address, it.target, it.priority, it.weight)
        };
        let lines: Vec<_> = found.addresses.iter().map(line).collect();
        assert_eq!(
            lines,
            ["127.0.0.1:80 main 1 5", "127.0.0.2:80 main 1 5", "127.0.0.3:81 backup 2 1"]
        );
        assert_eq!(found.failed.len(), 1);
        assert_eq!(log.lock().unwrap()[0], "_http._tcp.a 33");
        let (error, _) = resolver.resolve_service("a", "_x._tcp", LONG).await.unwrap_err();
        assert_eq!(error.reason, Reason::NOT_FOUND);
    });
}
