//! Shortages of connections and descriptors.

use crate::harness::{
    Backend, Certificate, Client, Daemon, Server, Signal, is_nginx, run, send_signal,
};

const ASK: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn conf(main: &str, connections: usize) -> String {
    format!(
        "daemon off; pid %dir%/nginx.pid; error_log %dir%/error.log info; {main}
         events {{ worker_connections {connections}; }}
         http {{
             access_log off;
             client_body_temp_path %dir%/client_body_temp;
             proxy_temp_path %dir%/proxy_temp;
             server {{ listen 127.0.0.1:%port%; return 200 ok; }}
         }}"
    )
}

/// Idle connections make room whether they had a response recently or long ago.
#[test]
fn idle_connections_make_room_for_new_ones() {
    let server = Server::conf(&conf("", 20)).start();
    let mut kept = Vec::new();
    for _ in 0..200 {
        let mut client = server.client();
        assert_eq!(client.get("/").text(), "ok");
        kept.push(client);
    }
    server.wait_log("20 worker_connections are not enough, reusing connections");
    // The first have gone.
    assert!(kept[0].is_closed());
    assert_eq!(server.error_log().matches("[alert]").count(), 0);
}

/// TLS connections without a handshake make room as well.
#[test]
fn silent_connections_make_room_before_a_handshake() {
    let conf = conf("", 20).replace(
        "%port%;",
        "%port% ssl; ssl_certificate a.crt; \
        ssl_certificate_key a.key;",
    );
    let setup = Server::conf(&conf);
    Certificate::self_signed(setup.directory(), "a", "a.test");
    let server = setup.start();
    let silent: Vec<_> = (0..60).map(|_| server.client()).collect();
    let url = format!("https://{}/", server.address("port"));
    let output = run("curl", &["-sSk", &url]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "ok", "{output:?}");
    server.wait_log("20 worker_connections are not enough, reusing connections");
    drop(silent);
}

/// Connections in the middle of a request are not closed for others, which are rejected; that is
/// logged, but not for each.
#[test]
fn busy_connections_are_not_closed() {
    let server = Server::conf(&conf("", 20)).alerts_expected().start();
    let mut busy: Vec<_> = (0..30).map(|_| server.client()).collect();
    for client in &mut busy {
        client.send_if_wanted("GET / HTTP/1.1\r\n");
    }
    server.wait_log("20 worker_connections are not enough");
    for _ in 0..300 {
        let mut client = server.client();
        if client.send_if_wanted(ASK) {
            let _ = client.try_response(false);
        }
    }
    let mut served = 0;
    for client in &mut busy {
        let sent = client.send_if_wanted("Host: a\r\n\r\n");
        served += usize::from(sent && client.try_response(false).is_ok());
    }
    assert!((10..=20).contains(&served), "{served} were served");
    let lines = server.error_log().matches("not enough\n").count();
    assert!(is_nginx() || lines < 100, "{lines} lines");
}

/// Idle connections to upstreams make room; nginx answers 500 instead.
#[test]
fn kept_connections_to_upstreams_make_room() {
    if is_nginx() {
        return;
    }
    let (server, _backend) = keep_one_connection_per_group(40, &conf("", 20));
    server.wait_log("20 worker_connections are not enough, reusing connections");
}

/// Nor do they keep clients and other upstreams from the descriptors of the process.
#[test]
fn kept_connections_to_upstreams_free_descriptors() {
    if is_nginx() {
        return;
    }
    keep_one_connection_per_group(100, &conf("worker_rlimit_nofile 64;", 1000));
}

/// A server that has proxied a request to each of its groups, every one of which keeps its
/// connection.
fn keep_one_connection_per_group(groups: usize, conf: &str) -> (Server, Backend) {
    let backend = Backend::text("ok");
    let mut upstreams = String::new();
    let mut locations = String::new();
    for group in 0..groups {
        let address = backend.address();
        upstreams += &format!("upstream u{group} {{ server {address}; keepalive 4; }}\n");
        locations += &format!("location = /{group} {{ proxy_pass http://u{group}; }}\n");
    }
    let conf = conf
        .replace("access_log off;", &format!("access_log off; {upstreams}"))
        .replace("return 200 ok;", &locations);
    let server = Server::conf(&conf).start();
    for group in 0..groups {
        assert_eq!(server.get(&format!("/{group}")).status, 200, "group {group}");
    }
    (server, backend)
}

#[test]
fn accepting_resumes_when_descriptors_are_free() {
    let server = Server::conf(&conf("worker_rlimit_nofile 64;", 1000)).start();
    let mut first = server.client();
    assert_eq!(first.get("/").text(), "ok");
    let crowd: Vec<_> = (0..500).map(|_| server.client()).collect();
    server.wait_log("accept4() failed (24: Too many open files)");
    assert_eq!(first.get("/").text(), "ok", "the open connection is served");
    // Most of these are still in the queue, and closed before they are accepted: later connections
    // need not wait for those that cannot all be accepted at once.
    drop(crowd);
    let address = server.address("port");
    assert_eq!(Client::connect(&address).get("/").text(), "ok");
    let lines = server.error_log().matches("accept4() failed").count();
    assert!(lines < 50, "{lines} lines");
}

/// A limit that is too low for the start is named, with what is needed and what to set.
#[test]
fn a_limit_of_open_files_that_is_too_low_is_named() {
    if is_nginx() {
        return;
    }
    let mut told = String::new();
    for limit in 5.. {
        let main = format!("worker_processes 2; worker_rlimit_nofile {limit};");
        let setup = Server::conf(&conf(&main, 20).replace("daemon off;", "daemon on;"));
        let output = setup.run(&[]);
        if output.status.success() {
            let server = Daemon::of(setup.directory(), "nginx.pid");
            send_signal(server.pid, Signal::QUIT);
            server.wait();
            break;
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let named = format!("the worker process may have {limit} open files");
        assert!(said.contains(&named), "{said}");
        assert!(said.contains("set \"worker_rlimit_nofile\" higher"), "{said}");
        told.push_str(&said);
    }
    assert!(told.contains(" for its sockets and logs: set"), "{told}");
}
