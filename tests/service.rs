//! What a service manager is told, by the protocol of sd_notify(3).

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::harness::{
    Daemon, PATIENCE, Server, Setup, Signal, binary, is_nginx, send_signal, until_some,
};

/// A configuration of a server in the foreground.
fn setup() -> Setup {
    Server::conf(
        "daemon off; pid %dir%/nginx.pid; error_log %dir%/error.log info; events { }
         http { access_log off; server { listen unix:%dir%/socket; } }",
    )
}

/// Starts a server as a service manager does, whose socket has this name.
fn start(setup: &Setup, socket: &str) -> Child {
    // Writes the configuration.
    assert!(setup.check().status.success());
    let mut service = Command::new(binary());
    service.arg("-p").arg(setup.directory().path()).args(["-c", "nginx.conf", "-e", "error.log"]);
    service.env("NOTIFY_SOCKET", socket).stdin(Stdio::null()).stderr(Stdio::null());
    service.spawn().unwrap()
}

/// The next message of the server.
#[track_caller]
fn hear(manager: &UnixDatagram) -> String {
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut buffer = [0; 512];
    let length = manager.recv(&mut buffer).expect("a message of the server");
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

#[track_caller]
fn hear_words(manager: &UnixDatagram, words: &[&str]) {
    for word in words {
        let message = hear(manager);
        assert!(message.starts_with(word), "{message:?} instead of {word:?}");
    }
}

/// A reload is told with its end, also if it fails.
#[test]
fn the_manager_hears_of_start_reloads_and_end() {
    if is_nginx() {
        return;
    }
    let setup = setup();
    let name = format!("weir-service-{}", setup.directory().path().display());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let manager = UnixDatagram::bind_addr(&address).unwrap();
    let mut service = start(&setup, &format!("@{name}"));
    hear_words(&manager, &["READY=1\n"]);
    send_signal(service.id(), Signal::HUP);
    hear_words(&manager, &["RELOADING=1\nMONOTONIC_USEC=", "READY=1\n"]);
    setup.directory().write("nginx.conf", "nonsense;");
    send_signal(service.id(), Signal::HUP);
    hear_words(&manager, &["RELOADING=1\n", "READY=1\n"]);
    send_signal(service.id(), Signal::QUIT);
    hear_words(&manager, &["STOPPING=1\n"]);
    assert!(service.wait().unwrap().success());
}

/// A new binary is silent until the old one names it.
#[test]
fn the_manager_is_told_of_an_upgrade() {
    if is_nginx() {
        return;
    }
    let setup = setup();
    let directory = setup.directory();
    let socket = directory.join("notify");
    let manager = UnixDatagram::bind(&socket).unwrap();
    let mut service = start(&setup, &socket.display().to_string());
    hear_words(&manager, &["READY=1\n"]);
    let new = upgrade(directory.path(), service.id());
    // Taken back: the old one has been the main process all the time.
    send_signal(new.pid, Signal::QUIT);
    new.wait();
    until_some("the old process id", || {
        Daemon::try_of(directory, "nginx.pid").filter(|daemon| daemon.pid == service.id())
    });
    let new = upgrade(directory.path(), service.id());
    send_signal(service.id(), Signal::QUIT);
    assert!(service.wait().unwrap().success());
    assert_eq!(hear(&manager), format!("MAINPID={}", new.pid));
    send_signal(new.pid, Signal::HUP);
    let message = hear(&manager);
    assert!(message.ends_with(&format!("\nMAINPID={}", new.pid)), "{message}");
    send_signal(new.pid, Signal::QUIT);
    until_some("its end", || hear(&manager).starts_with("STOPPING=1\n").then_some(()));
    new.wait();
}

/// USR2: the new master, once its worker serves beside the old one.
fn upgrade(directory: &Path, old: u32) -> Daemon {
    let started = |log: &str| log.matches("start worker process ").count();
    let log = || std::fs::read_to_string(directory.join("error.log")).unwrap_or_default();
    let before = started(&log());
    send_signal(old, Signal::USR2);
    until_some("the worker of the new binary", || (started(&log()) > before).then_some(()));
    until_some("the new master", || {
        let text = std::fs::read_to_string(directory.join("nginx.pid")).ok()?;
        let pid = text.strip_suffix('\n')?.parse().ok()?;
        (pid != old).then_some(Daemon { pid })
    })
}
