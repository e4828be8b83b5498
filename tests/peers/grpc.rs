//! All kinds of calls, with grpcio and tonic on both sides.

use super::{GRPC, HOST, PROXY, grpc, with_certificate};
use crate::harness::Library::{Grpcio, Tonic};
use crate::harness::{GrpcClient, GrpcServer, Library, Server, is_nginx};

/// Commands and the answers of any client and server.
const CALLS: [(&str, &str); 15] = [
    ("unary hello", "hello"),
    ("unary ", ""),
    ("large 4000000", "4000000 bytes, same: true"),
    ("remaining 60000", "as given"),
    ("remaining 7200000", "as given"),
    ("gather 100 1000", "100 messages, 100000 bytes"),
    ("gather 1 0", "1 messages, 0 bytes"),
    ("gather 0 0", "0 messages, 0 bytes"),
    ("scatter 100 1000", "100 messages, 100000 bytes"),
    ("scatter 1 0", "1 messages, 0 bytes"),
    ("scatter 0 0", "0 messages, 0 bytes"),
    ("echo 100 1000", "100 messages, 100000 bytes"),
    ("echo 1 100000", "1 messages, 100000 bytes"),
    ("echo 0 0", "0 messages, 0 bytes"),
    ("many 100", "100 answers"),
];

/// The metadata that a client sends with a call, in the order of their keys and values.
const OWN: &str = " own-bytes-bin= own-bytes-bin=00ff800a own-bytes-bin=616263 \
    own-text=a value own-text=b, c";

/// The same in the trailers of a server of grpcio; tonic cannot add any to a response.
const END: &str = " end-bytes-bin= end-bytes-bin=00ff800a end-bytes-bin=616263 \
    end-text=a value end-text=b, c";

fn all_kinds(client: &mut GrpcClient, server: Library) {
    for (command, answer) in CALLS {
        client.expect(command, answer);
    }
    let end = if server == Grpcio { END } else { "" };
    client.expect("metadata", &format!("m{end}{OWN}"));
    // Messages go through as they come.
    client.expect("open steps", "open");
    for text in ["a", "b", ""] {
        client.expect(&format!("step {text}"), text);
    }
    client.expect("close", "0 messages, 0 bytes");
}

fn failures(client: &mut GrpcClient, server: Library) {
    for code in 1..=16 {
        let text = "100% gr\u{fc}n \"x\" a%20b";
        let answer = format!("status {code} {text}{OWN}");
        client.expect(&format!("fail {code} {text}"), &answer);
        client.expect(&format!("fail-later {code} {text}"), &format!("ab, {answer}"));
    }
    let missing = if server == Grpcio { "Method not found!" } else { "no such method" };
    client.expect("missing", &format!("status 12 {missing}"));
    client.expect("unary after", "after");
}

/// Calls that end before their answers: the server is told.
fn ends(client: &mut GrpcClient, server: &GrpcServer) {
    client.expect("open whole", "open");
    client.expect("close", "0 messages, 0 bytes");
    assert_eq!(server.wait_end("whole"), "finished");
    client.expect("open part", "open");
    client.expect("step a", "a");
    client.expect("cancel", "cancelled");
    assert_eq!(server.wait_end("part"), "cancelled");
    let end = client.ask("deadline 300 late");
    // So tonic says it, as a client and as a server that is faster than its client.
    assert!(end == "status 4 Deadline Exceeded" || end == "status 1 Timeout expired", "{end}");
    assert_eq!(server.wait_end("late"), "cancelled");
    client.expect("unary after", "after");
}

fn between(client: Library, server: Library, location: &str) {
    let Some((mut client, weir, upstream)) = grpc(client, server, location) else { return };
    all_kinds(&mut client, server);
    failures(&mut client, server);
    ends(&mut client, &upstream);
    drop(weir);
}

#[test]
fn grpcio_calls_grpcio() {
    between(Grpcio, Grpcio, GRPC);
}

#[test]
fn grpcio_calls_tonic() {
    between(Grpcio, Tonic, GRPC);
}

#[test]
fn tonic_calls_grpcio() {
    between(Tonic, Grpcio, GRPC);
}

#[test]
fn tonic_calls_tonic() {
    between(Tonic, Tonic, GRPC);
}

#[test]
fn the_proxy_module_passes_calls() {
    if is_nginx() {
        // A response without a body lacks its status there.
        return;
    }
    between(Grpcio, Tonic, PROXY);
    between(Tonic, Grpcio, PROXY);
}

#[test]
fn by_tls_on_both_sides() {
    let (setup, certificate) = with_certificate(Server::http(
        "http2 on; upstream u { server %upstream%; keepalive 8; }
         client_max_body_size 0; ssl_certificate own.crt; ssl_certificate_key own.key;
         server { listen 127.0.0.1:%port% ssl;
            location / { grpc_pass grpcs://u; grpc_ssl_verify on; grpc_ssl_name weir.test;
                grpc_ssl_server_name on; grpc_ssl_trusted_certificate own.crt; } }",
    ));
    let trusted = setup.directory().join(&certificate.certificate);
    let Some(upstream) = GrpcServer::secure(setup.directory(), &certificate) else { return };
    let weir = setup.set("upstream", upstream.address()).start();
    let address = weir.address("port");
    let mut client = GrpcClient::secure(&address, &trusted, HOST).unwrap();
    all_kinds(&mut client, Grpcio);
    failures(&mut client, Grpcio);
    ends(&mut client, &upstream);
    client.expect("scatter 10 1048576", "10 messages, 10485760 bytes");
    client.expect("gather 10 1048576", "10 messages, 10485760 bytes");
    client.expect("gzip 1000000", "1000000 bytes, same: true");
}
