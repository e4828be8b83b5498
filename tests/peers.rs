//! Real clients and servers of HTTP/2 and gRPC: grpcio and tonic on both sides, curl, nghttp and
//! h2load as clients, nghttpd as an upstream, and Chromium.

use crate::harness::{Certificate, GrpcClient, GrpcServer, Library, Server, Setup};

mod chromium;
mod curl;
mod grpc;
mod grpc_bodies;
mod grpc_life;
mod nghttp;
mod nghttpd;

/// The name of the server by TLS.
const HOST: &str = "weir.test";

/// Adds a certificate for [`HOST`].
fn with_certificate(setup: Setup) -> (Setup, Certificate) {
    let certificate = Certificate::self_signed(setup.directory(), "own", HOST);
    (setup, certificate)
}

/// A server of gRPC, Weir in front of it with this text in `location / { }`, and a client.
fn grpc(
    client: Library,
    server: Library,
    location: &str,
) -> Option<(GrpcClient, Server, GrpcServer)> {
    let upstream = GrpcServer::start(server)?;
    let weir = in_front(&upstream, location).start();
    let client = GrpcClient::start(client, &weir.address("port"))?;
    Some((client, weir, upstream))
}

/// Weir in front of a server of gRPC, the upstream `u`.
fn in_front(upstream: &GrpcServer, location: &str) -> Setup {
    Server::http(&passing(location)).set("upstream", upstream.address())
}

fn passing(location: &str) -> String {
    format!(
        "http2 on; client_max_body_size 0; upstream u {{ server %upstream%; keepalive 8; }}
         server {{ listen 127.0.0.1:%port%; location / {{ {location} }} }}"
    )
}

/// Passing by the module of gRPC.
const GRPC: &str = "grpc_pass grpc://u;";

/// Passing by the module of proxies, as far as this can be like the module of gRPC.
const PROXY: &str = "proxy_pass http://u; proxy_http_version 2; proxy_set_header TE $http_te;
    proxy_request_buffering off; proxy_buffering off; proxy_pass_trailers on;";

/// A body that tells where its bytes are.
fn content(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8 ^ (at >> 12) as u8).collect()
}
