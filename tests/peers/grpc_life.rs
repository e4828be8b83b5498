//! What happens to calls while configurations, workers and servers come and go.

use super::{GRPC, grpc, in_front, passing};
use crate::harness::Library::{Grpcio, Tonic};
use crate::harness::{
    GrpcClient, GrpcServer, Server, Signal, children, is_nginx, send_signal, until,
};

#[test]
fn calls_go_on_through_a_reload() {
    for (client, server) in [(Grpcio, Tonic), (Tonic, Grpcio)] {
        let Some((mut client, weir, upstream)) = grpc(client, server, GRPC) else { return };
        client.expect("open call", "open");
        weir.rewrite_http(&passing("grpc_pass grpc://u; add_header own-text new;"));
        weir.signal(Signal::HUP);
        until("the new configuration", || {
            client.expect("step a", "a");
            client.ask("metadata").contains("own-text=new")
        });
        client.expect("step b", "b");
        client.expect("close", "0 messages, 0 bytes");
        assert_eq!(upstream.wait_end("call"), "finished");
    }
}

#[test]
fn calls_end_before_a_server_that_quits() {
    for (client, server) in [(Grpcio, Tonic), (Tonic, Grpcio)] {
        let Some((mut client, mut weir, upstream)) = grpc(client, server, GRPC) else { return };
        client.expect("open call", "open");
        weir.signal(Signal::QUIT);
        until("the end of the listener", || {
            std::net::TcpStream::connect(weir.address("port")).is_err()
        });
        client.expect("step a", "a");
        client.expect("close", "0 messages, 0 bytes");
        assert_eq!(upstream.wait_end("call"), "finished");
        assert!(weir.wait_exit());
    }
}

#[test]
fn calls_come_to_the_next_worker() {
    for (client, server) in [(Grpcio, Tonic), (Tonic, Grpcio)] {
        let Some(upstream) = GrpcServer::start(server) else { return };
        let weir = in_front(&upstream, GRPC).alerts_expected().start();
        let Some(mut client) = GrpcClient::start(client, &weir.address("port")) else { return };
        client.expect("open call", "open");
        send_signal(children(weir.pid())[0], Signal::KILL);
        assert_eq!(upstream.wait_end("call"), "cancelled");
        let end = client.ask("next");
        assert!(end.starts_with("status 14 ") || end.starts_with("status 2 "), "{end}");
        until("an answer by the next worker", || client.ask("unary a") == "a");
    }
}

#[test]
fn a_server_that_dies_ends_its_calls() {
    for (client, server) in [(Grpcio, Tonic), (Tonic, Grpcio)] {
        let Some((mut calls, _weir, upstream)) = grpc(client, server, GRPC) else { return };
        calls.expect("open call", "open");
        upstream.kill();
        let end = calls.ask("next");
        assert!(end.starts_with("status "), "{end}");
        // Without a server: grpcio looks at the status of HTTP, tonic at the page besides.
        let end = calls.ask("unary a");
        let is_unavailable = if client == Grpcio { "status 14 " } else { "502 Bad Gateway" };
        assert!(end.contains(is_unavailable), "{end}");
    }
}

#[test]
fn error_pages_are_statuses() {
    const ERRORS: &str = "error_page 502 = /unavailable;
        location / { grpc_pass grpc://%upstream%; grpc_connect_timeout 5s; }
        location = /unavailable { internal; default_type application/grpc;
            add_header grpc-status 14; add_header grpc-message \"try%20later\"; return 204; }";
    let Some(upstream) = GrpcServer::start(Grpcio) else { return };
    let weir =
        Server::server(&format!("http2 on; {ERRORS}")).set("upstream", upstream.address()).start();
    for library in [Grpcio, Tonic] {
        let Some(mut client) = GrpcClient::start(library, &weir.address("port")) else { return };
        client.expect("unary a", "a");
    }
    upstream.kill();
    for library in [Grpcio, Tonic] {
        let Some(mut client) = GrpcClient::start(library, &weir.address("port")) else { return };
        client.expect("unary a", "status 14 try later");
    }
}

#[test]
fn calls_of_a_connection_are_balanced() {
    let Some(first) = GrpcServer::start(Grpcio) else { return };
    let Some(second) = GrpcServer::start(Tonic) else { return };
    let weir = Server::http(
        "http2 on; log_format up $upstream_addr;
         upstream u { server %first%; server %second%; keepalive 8; }
         server { listen 127.0.0.1:%port%; access_log %dir%/up.log up;
            location / { grpc_pass grpc://u; } }",
    )
    .set("first", first.address())
    .set("second", second.address())
    .start();
    let mut client = GrpcClient::start(Grpcio, &weir.address("port")).unwrap();
    client.expect("many 100", "100 answers");
    let lines = weir.wait_lines("up.log", 100);
    for server in [&first, &second] {
        let count = lines.iter().filter(|line| **line == server.address()).count();
        assert_eq!(count, 50, "{lines:?}");
    }
}

#[test]
fn health_is_asked_by_grpc() {
    if is_nginx() {
        return;
    }
    for server in [Grpcio, Tonic] {
        let Some(upstream) = GrpcServer::start(server) else { return };
        let location = "grpc_pass grpc://u;
            health_check type=grpc grpc_service=weir.Echo interval=50ms fails=1 passes=1;";
        let weir = Server::http(&passing(location).replace("keepalive", "zone u 64k; keepalive"))
            .set("upstream", upstream.address())
            .start();
        let Some(mut client) = GrpcClient::start(server, &weir.address("port")) else { return };
        // Its own way to the server, as Weir's is closed while the server is not healthy.
        let Some(mut own) = GrpcClient::start(server, &upstream.address()) else { return };
        until("a healthy server", || client.ask("unary a") == "a");
        own.expect("health off", "");
        until("an unhealthy server", || client.ask("unary a") != "a");
        own.expect("health on", "");
        until("a healthy server", || client.ask("unary a") == "a");
    }
}
