//! Names of servers that are resolved at run time.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::harness::{Backend, Server, Setup, Signal, until};

/// Types of DNS records (RFC 1035, RFC 3596).
const A: u8 = 1;
const AAAA: u8 = 28;

/// What the name server below answers to a question for AAAA records.
#[derive(Clone, Copy)]
enum Ipv6 {
    /// That it has failed.
    Failure,
    /// That there are none.
    None,
}

/// A name server for which every name is 127.0.0.1, and the number of its answers. It ends with
/// the tests.
fn name_server(ipv6: Ipv6) -> (u16, Arc<AtomicUsize>) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    let count = Arc::new(AtomicUsize::new(0));
    let answered = Arc::clone(&count);
    std::thread::spawn(move || {
        let mut query = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut query) {
            let mut answer = query[..length].to_vec();
            answer[2..4].copy_from_slice(&[0x81, 0x80]);
            match (answer[length - 3], ipv6) {
                (A, _) => {
                    answer[7] = 1;
                    answer.extend([0xc0, 12, 0, A, 0, 1, 0, 0, 0, 1, 0, 4, 127, 0, 0, 1]);
                }
                (AAAA, Ipv6::Failure) => answer[3] |= 2,
                _ => {}
            }
            let _ = socket.send_to(&answer, from);
            answered.fetch_add(1, Ordering::Relaxed);
        }
    });
    (port, count)
}

const CONF: &str = "
    resolver 127.0.0.1:%dns% valid=1s;
    upstream u { zone u 256k; server name.test:%backend% resolve; }
    server { listen 127.0.0.1:%port%; location / { proxy_pass http://u; } }";

fn resolving(dns: u16, backend: &Backend) -> Setup {
    let port = backend.address().rsplit_once(':').unwrap().1.to_owned();
    Server::http(CONF).set("dns", dns).set("backend", port)
}

/// Every thread may end by a reload but one.
#[test]
fn names_are_resolved_whatever_threads_a_reload_ends() {
    let backend = Backend::text("here");
    let (dns, answers) = name_server(Ipv6::None);
    let server = resolving(dns, &backend).main("worker_processes 4;").start();
    until("the name to be resolved", || server.get("/").status == 200);
    // The thread that is the first to serve by a group may be any.
    for (generation, threads) in [(2, 4), (3, 1)] {
        server.rewrite(&format!(
            "daemon off; pid %dir%/nginx.pid; error_log %dir%/error.log info;
             worker_processes {threads}; events {{ worker_connections 1024; }}
             http {{ access_log off; client_body_temp_path %dir%/client_body_temp;
             proxy_temp_path %dir%/proxy_temp; {} }}",
            CONF.replace("name.test:", "other.test:")
        ));
        server.signal(Signal::HUP);
        until("the reload", || {
            server.error_log().matches("exited with code 0").count() >= generation - 1
        });
    }
    let before = answers.load(Ordering::Relaxed);
    until("the name to be resolved anew", || answers.load(Ordering::Relaxed) >= before + 4);
    assert_eq!(server.text("/"), "here");
}

/// A server is reached by the family that is known of it.
#[test]
fn a_failure_for_ipv6_leaves_ipv4() {
    if crate::harness::is_nginx() {
        // nginx takes the failure for the whole answer.
        return;
    }
    let backend = Backend::text("here");
    let (dns, _) = name_server(Ipv6::Failure);
    let server = resolving(dns, &backend).start();
    until("the name to be resolved", || server.get("/").status == 200);
    assert_eq!(server.text("/"), "here");
}
