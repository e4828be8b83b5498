//! A graceful shutdown, of the server or of a part, loses nothing: new connections may still send a
//! request, and received requests are answered.

use std::io::{Read, Write};

use crate::harness::{
    Backend, Client, Daemon, Port, Reply, Response, Server, Setup, Signal, children, is_nginx,
    send_signal, until, until_some,
};

/// The number of waiting connections.
const MANY: usize = 40;

const ASK: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// `conf` in a server next to one that counts connections.
fn counting(conf: &str) -> Setup {
    Server::http(&counting_conf(conf))
}

fn counting_conf(conf: &str) -> String {
    format!("{conf} server {{ listen 127.0.0.1:%port%; location /status {{ stub_status; }} }}")
}

/// New connections to a port, accepted by the server.
fn accepted(server: &Server, port: &str, count: usize) -> Vec<Client> {
    let before = active(server);
    let clients = (0..count).map(|_| Client::connect(server.address(port))).collect();
    until("all connections to be accepted", || active(server) == before + count);
    clients
}

/// The number of active connections, including the counting one.
fn active(server: &Server) -> usize {
    let text = server.text("/status");
    let number = text.strip_prefix("Active connections: ").and_then(|rest| rest.lines().next());
    number.and_then(|number| number.trim().parse().ok()).expect("the number of connections")
}

/// Sends a request on each connection and checks that all are served.
#[track_caller]
fn all_are_served(clients: Vec<Client>) {
    let mut lost = 0;
    for mut client in clients {
        let sent = client.send_if_wanted(ASK);
        let answer = client.try_response(false);
        lost += usize::from(!sent || !answer.is_ok_and(|answer| is_last(&answer)));
    }
    assert_eq!(lost, 0, "requests were lost");
}

/// Whether the response announces the close, which nginx does not do.
fn is_last(answer: &Response) -> bool {
    answer.status == 200 && (is_nginx() || answer.header("Connection") == Some("close"))
}

#[test]
fn a_new_connection_is_served_after_quit() {
    let mut server = counting("server { listen 127.0.0.1:%port_new%; return 200 ok; }").start();
    let clients = accepted(&server, "port_new", MANY);
    server.signal(Signal::QUIT);
    server.wait_log("gracefully shutting down");
    let address = server.address("port_new");
    until("the listener to close", || Client::try_connect(&address).is_err());
    all_are_served(clients);
    assert!(server.wait_exit());
}

/// A request that `worker_shutdown_timeout` cuts is in the access log as far as it came, also if
/// the log is buffered.
#[test]
fn a_request_that_is_cut_at_the_end_is_logged() {
    let backend = Backend::new(|seen| {
        let path = seen.target().to_owned();
        Reply::Custom(Box::new(move |stream| {
            let head: &[u8] = match path.as_str() {
                "/part" => b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart",
                "/up" => {
                    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                      Upgrade: echo\r\n\r\nfirst"
                }
                _ => b"",
            };
            let _ = stream.write_all(head);
            let _ = stream.read(&mut [0]);
        }))
    });
    let mut server = Server::http(
        "log_format cut '$request $status $body_bytes_sent $upstream_status $request_completion.';
         server { listen 127.0.0.1:%port%; access_log %dir%/access.log cut buffer=64k;
           proxy_buffering off; proxy_http_version 1.1;
           proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;
           location / { proxy_pass http://%backend%; } }",
    )
    .main("worker_processes 1; worker_shutdown_timeout 100ms;")
    .set("backend", backend.address())
    .start();
    let ask = |path: &str, lines: &str| {
        let mut client = Client::connect(server.address("port"));
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n{lines}\r\n"));
        client
    };
    let _silent = ask("/silent", "");
    let mut part = ask("/part", "");
    let mut up = ask("/up", "Connection: Upgrade\r\nUpgrade: echo\r\n");
    for (client, first) in [(&mut part, "part"), (&mut up, "first")] {
        client.head();
        assert_eq!(client.take(first.len()), first.as_bytes());
    }
    until("all requests", || backend.count() == 3);
    server.signal(Signal::QUIT);
    assert!(server.wait_exit());
    let mut lines = server.wait_lines("access.log", 3);
    lines.sort();
    assert_eq!(
        lines,
        [
            "GET /part HTTP/1.1 200 4 200 .",
            "GET /silent HTTP/1.1 000 0 - .",
            "GET /up HTTP/1.1 101 5 101 .",
        ]
    );
}

#[test]
fn a_new_connection_is_served_by_the_old_binary() {
    let port = Port::reserve();
    let setup = Server::conf(
        "pid %dir%/nginx.pid; error_log %dir%/error.log info; events { }
         http { access_log off; server { listen 127.0.0.1:%number%; return 200 ok; } }",
    )
    .set("number", port.number());
    assert!(setup.run(&[]).status.success());
    let directory = setup.directory();
    let old = Daemon::of(directory, "nginx.pid");
    let address = format!("127.0.0.1:{}", port.number());
    let mut clients: Vec<_> = (0..MANY).map(|_| Client::connect(&address)).collect();
    // Connections are accepted in order.
    assert_eq!(Client::connect(&address).get("/").status, 200);
    send_signal(old.pid, Signal::USR2);
    let new = until_some("the new master", || {
        let daemon = Daemon::try_of(directory, "nginx.pid")?;
        (daemon.pid != old.pid && children(daemon.pid).len() == 1).then_some(daemon)
    });
    send_signal(old.pid, Signal::QUIT);
    for client in &mut clients {
        client.send_if_wanted(ASK);
    }
    let lost = clients.iter_mut().filter_map(|client| client.try_response(false).err()).count();
    assert_eq!(lost, 0, "requests were lost");
    drop(clients);
    old.wait();
    send_signal(new.pid, Signal::QUIT);
    new.wait();
}

/// nginx closes kept connections without checking for data.
#[test]
fn a_received_request_on_a_kept_connection_is_served_after_quit() {
    if is_nginx() {
        return;
    }
    let mut server = Server::server("return 200 ok;").start();
    let worker = until_some("the worker", || children(server.pid()).first().copied());
    let mut clients: Vec<_> = (0..MANY).map(|_| server.client()).collect();
    for client in &mut clients {
        assert_eq!(client.get("/").status, 200);
    }
    // When the worker continues, it finds both requests and the order to quit.
    send_signal(worker, Signal::STOP);
    let mut idle = clients.pop().unwrap();
    for client in &mut clients {
        client.send(ASK);
    }
    server.signal(Signal::QUIT);
    server.wait_log("signal 3 (SIGQUIT) received");
    send_signal(worker, Signal::CONT);
    for client in &mut clients {
        assert_eq!(client.response().status, 200);
    }
    assert!(idle.is_closed(), "an idle connection is closed");
    assert!(server.wait_exit());
}

fn listening(options: &str) -> String {
    counting_conf(&format!("server {{ listen 127.0.0.1:%port_new% {options}; return 200 ok; }}"))
}

#[test]
fn new_connections_survive_a_reduction_of_workers() {
    for options in ["", "reuseport"] {
        let server = Server::http(&listening(options)).main("worker_processes 4;").start();
        let clients = accepted(&server, "port_new", MANY);
        let fewer = format!("{} server {{ listen 127.0.0.1:%port_more%; }}", listening(options));
        server.rewrite_with(&fewer, "worker_processes 1;");
        server.signal(Signal::HUP);
        let address = server.address("port_more");
        until("the new configuration", || Client::try_connect(&address).is_ok());
        let mut kept = 0;
        for mut client in clients {
            client.send(ASK);
            let answer = client.response();
            assert_eq!(answer.status, 200);
            kept += usize::from(answer.header("Connection") != Some("close"));
        }
        // Connections of the remaining thread go on.
        assert!(is_nginx() || kept > 0);
    }
}

/// nginx loses the connections in the queue of a closed socket.
#[test]
fn queues_survive_a_reduction_of_workers() {
    if is_nginx() {
        return;
    }
    let server = Server::http(&listening("reuseport")).main("worker_processes 4;").start();
    assert_eq!(active(&server), 1);
    let worker = until_some("the worker", || children(server.pid()).first().copied());
    send_signal(worker, Signal::STOP);
    let address = server.address("port_new");
    let mut clients: Vec<_> = (0..MANY).map(|_| Client::connect(&address)).collect();
    for client in &mut clients {
        client.send(ASK);
    }
    server.rewrite_with(&listening("reuseport"), "worker_processes 1;");
    server.signal(Signal::HUP);
    server.wait_log("reconfiguring");
    send_signal(worker, Signal::CONT);
    for client in &mut clients {
        assert_eq!(client.response().status, 200);
    }
    // Later connections to every socket are accepted as well.
    for _ in 0..MANY {
        assert_eq!(Client::connect(&address).get("/").status, 200);
    }
}

#[test]
fn new_connections_to_a_removed_listener_are_served_by_the_old_configuration() {
    let server = counting("server { listen 127.0.0.1:%port_new%; return 200 ok; }").start();
    let mut kept = Client::connect(server.address("port_new"));
    assert_eq!(kept.get("/").status, 200);
    let clients = accepted(&server, "port_new", MANY);
    server.rewrite_http(&counting_conf(""));
    server.signal(Signal::HUP);
    let address = server.address("port_new");
    until("the listener to close", || Client::try_connect(&address).is_err());
    assert!(kept.is_closed(), "an idle connection is closed");
    all_are_served(clients);
    server.wait_log("exited with code 0");
}
