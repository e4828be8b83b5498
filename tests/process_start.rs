//! The start: the point of its return, inherited sockets, and failures.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Stdio};

use crate::harness::{
    Client, Daemon, Port, Server, Setup, Signal, binary, children, is_nginx, send_signal, until,
    until_some,
};

/// A daemon.
fn daemon(port: &Port, main: &str, listen: &str) -> Setup {
    Server::conf(
        "pid %dir%/nginx.pid; error_log %dir%/error.log info; %main%
         events { }
         http {
             access_log off;
             client_body_temp_path %dir%/client_body_temp;
             proxy_temp_path %dir%/proxy_temp;
             server { listen 127.0.0.1:%number%; %listen% return 200 ok; }
         }",
    )
    .set("number", port.number())
    .set("main", main)
    .set("listen", listen)
}

fn stop(setup: &Setup) {
    let server = Daemon::of(setup.directory(), "nginx.pid");
    send_signal(server.pid, Signal::QUIT);
    server.wait();
}

#[test]
fn a_start_returns_when_the_server_is_up() {
    let port = Port::reserve();
    let setup = daemon(&port, "", "");
    for _ in 0..3 {
        let output = setup.run(&[]);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && text.is_empty(), "{text}");
        assert!(Daemon::try_of(setup.directory(), "nginx.pid").is_some(), "the pid file exists");
        let mut client = Client::connect(format!("127.0.0.1:{}", port.number()));
        assert_eq!(client.get("/").text(), "ok");
        drop(client);
        stop(&setup);
    }
}

#[test]
fn a_worker_that_cannot_start_fails_the_start() {
    if is_nginx() {
        return;
    }
    for main in ["", "daemon off;"] {
        let port = Port::reserve();
        let main = format!("{main} working_directory %dir%/nothing;");
        let setup = daemon(&port, &main, "listen unix:%dir%/socket;");
        let output = setup.run(&[]);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains("/nothing\") failed (2: No such file or directory)"), "{text}");
        assert!(!setup.directory().join("nginx.pid").exists());
        assert!(!setup.directory().join("socket").exists());
    }
}

#[test]
fn a_stale_unix_socket_is_replaced() {
    let port = Port::reserve();
    let setup = daemon(&port, "", "listen unix:%dir%/socket;");
    let path = setup.directory().join("socket");
    let in_use = "failed (98: Address already in use)";
    let refused = || {
        let output = setup.run(&[]);
        let text = String::from_utf8_lossy(&output.stderr);
        output.status.code() == Some(1) && text.contains(in_use)
    };
    std::fs::write(&path, "").unwrap();
    assert!(refused(), "a file is not a socket");
    std::fs::remove_file(&path).unwrap();
    let alive = UnixListener::bind(&path).unwrap();
    assert!(refused(), "a process listens");
    drop(alive);
    if is_nginx() {
        assert!(refused());
        return;
    }
    assert!(setup.run(&["-t"]).status.success() && path.exists());
    assert!(setup.run(&[]).status.success());
    assert!(UnixStream::connect(&path).is_ok());
    stop(&setup);
    assert!(!path.exists());
}

#[test]
fn only_listening_sockets_are_inherited() {
    if is_nginx() {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let conf = "pid %dir%/nginx.pid; error_log %dir%/error.log info; daemon off;
         events { }
         http {
             access_log off;
             client_body_temp_path %dir%/client_body_temp;
             proxy_temp_path %dir%/proxy_temp;
             server { listen %address%; return 200 ok; }
         }";
    let setup = Server::conf(conf).set("address", address);
    setup.check();
    let directory = setup.directory();
    let mut shell = Command::new("sh");
    shell.arg("-c");
    shell.arg("exec 5<&0 0</dev/null 6</dev/null; NGINX='5;5;6;0;77;' exec \"$0\" \"$@\"");
    shell.arg(binary()).arg("-p").arg(directory.path());
    shell.args(["-c", "nginx.conf", "-e", "error.log"]).stdin(Stdio::from(OwnedFd::from(listener)));
    let mut server = shell.spawn().unwrap();
    until("the worker", || directory.read("error.log").contains("start worker process "));
    assert_eq!(Client::connect(address.to_string()).get("/").text(), "ok");
    let log = directory.read("error.log");
    for (number, why) in
        [(6, "88: Socket operation on non-socket"), (0, "22: Invalid"), (77, "9: Bad file")]
    {
        let text = format!("inherited socket #{number} is not a listening socket, ignored ({why}");
        assert!(log.contains(&text), "{log}");
    }
    send_signal(server.id(), Signal::QUIT);
    assert!(server.wait().unwrap().success());
}

#[test]
fn a_start_with_ignored_signals_reaps_its_workers() {
    let port = Port::reserve();
    let setup = daemon(&port, "", "");
    setup.check();
    let prefix = setup.directory().path();
    let mut start = Command::new("env");
    start.args(["--ignore-signal=CHLD,HUP,QUIT"]).arg(binary()).arg("-p").arg(prefix);
    start.args(["-c", "nginx.conf", "-e", "error.log"]).stdin(Stdio::null());
    assert!(start.status().unwrap().success());
    let server = Daemon::of(setup.directory(), "nginx.pid");
    let worker = until_some("a worker", || children(server.pid).first().copied());
    send_signal(worker, Signal::KILL);
    let another = |process: &u32| *process != worker;
    until("another worker", || children(server.pid).iter().any(another));
    let mut client = Client::connect(format!("127.0.0.1:{}", port.number()));
    assert_eq!(client.get("/").text(), "ok");
    drop(client);
    stop(&setup);
}

#[test]
fn a_failed_bind_is_logged_by_the_new_configuration() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let conf = "pid %dir%/nginx.pid; error_log %dir%/its.log; events { }
         http { access_log off; server { listen %taken%; } }";
    let setup = Server::conf(conf).set("taken", taken.local_addr().unwrap());
    let output = setup.run(&[]);
    assert_eq!(output.status.code(), Some(1));
    let log = setup.directory().read("its.log");
    assert_eq!(log.matches("failed (98: Address already in use)").count(), 5, "{log}");
    assert!(log.contains("[emerg]") && log.contains("still could not bind()"), "{log}");
    assert!(!log.contains("try again to bind()"), "the level is that of the log: {log}");
    assert!(!setup.directory().read("error.log").contains("bind()"));
}
