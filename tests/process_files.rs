//! Files created by the process: their owners and modes, and links that are not trusted.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};

use crate::harness::{
    Daemon, Port, Server, Setup, Signal, binary, children, is_nginx, is_root, send_signal, skipped,
    until, until_some,
};

/// The default user of workers.
const NOBODY: u32 = 65534;

fn mode(path: &Path) -> u32 {
    std::fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
}

/// A daemon that logs into a folder owned by the worker's user.
fn daemon(port: &Port) -> Setup {
    let conf = "pid %dir%/run/nginx.pid; error_log %dir%/logs/error.log info;
         events { }
         http {
             access_log %dir%/logs/access.log;
             client_body_temp_path %dir%/temp/body;
             proxy_temp_path %dir%/temp/proxy;
             server { listen 127.0.0.1:%number%; listen unix:%dir%/logs/socket; return 200 ok; }
         }";
    let setup = Server::conf(conf).set("number", port.number());
    for folder in ["run", "logs", "temp"] {
        std::fs::create_dir(setup.directory().join(folder)).unwrap();
    }
    if is_root() {
        chown(setup.directory().join("logs"), Some(NOBODY), None).unwrap();
    }
    setup
}

#[track_caller]
fn succeeds(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[track_caller]
fn fails(output: &Output, why: &str) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains(why), "{text}");
}

#[test]
fn files_have_their_modes() {
    let port = Port::reserve();
    let setup = daemon(&port);
    succeeds(&setup.run(&[]));
    let directory = setup.directory();
    let old = Daemon::of(directory, "run/nginx.pid");
    for (name, rights) in [
        ("run/nginx.pid", 0o644),
        ("logs/error.log", 0o644),
        ("logs/access.log", 0o644),
        ("logs/socket", 0o666),
        ("temp/body", 0o700),
        ("temp/proxy", 0o700),
    ] {
        assert_eq!(mode(&directory.join(name)), rights, "{name}");
    }
    if is_root() {
        assert_eq!(std::fs::metadata(directory.join("temp/body")).unwrap().uid(), NOBODY);
    }
    let text = directory.read("nginx.conf");
    directory.write("nginx.conf", text.replace("run/nginx.pid", "run/other.pid"));
    send_signal(old.pid, Signal::HUP);
    until("the pid file to move", || {
        directory.read("run/other.pid").ends_with('\n') && !directory.join("run/nginx.pid").exists()
    });
    assert_eq!(mode(&directory.join("run/other.pid")), 0o644);
    send_signal(old.pid, Signal::USR2);
    let new = until_some("the new master", || {
        let daemon = Daemon::try_of(directory, "run/other.pid")?;
        (daemon.pid != old.pid && children(daemon.pid).len() == 1).then_some(daemon)
    });
    assert_eq!(mode(&directory.join("run/other.pid")), 0o644);
    assert_eq!(mode(&directory.join("run/other.pid.oldbin")), 0o644);
    for daemon in [old, new] {
        send_signal(daemon.pid, Signal::QUIT);
        daemon.wait();
    }
}

/// Runs in a process group of its own: a server that takes 0 for a process ID would signal its
/// whole group.
fn send_stop(setup: &Setup) -> Output {
    let mut command = Command::new(binary());
    command.arg("-p").arg(setup.directory().path()).args(["-c", "nginx.conf", "-e", "error.log"]);
    command.args(["-s", "stop"]).process_group(0).output().unwrap()
}

#[test]
fn only_servers_are_signalled() {
    if is_nginx() {
        return;
    }
    let port = Port::reserve();
    let setup = daemon(&port);
    setup.check();
    let mut other = Command::new("sleep").arg("1000").spawn().unwrap();
    let file = setup.directory().join("run/nginx.pid");
    for (content, why) in [
        ("0\n".to_owned(), "invalid PID number \"0\" in"),
        (String::new(), "invalid PID number \"\" in"),
        (format!("{}\n", other.id()), "is not a server but \"sleep\""),
    ] {
        std::fs::write(&file, content).unwrap();
        fails(&send_stop(&setup), why);
    }
    assert!(other.try_wait().unwrap().is_none(), "the other process got no signal");
    other.kill().unwrap();
    other.wait().unwrap();
    fails(&setup.run(&["-s", "stop"]), "failed (3: No such process)");
    // A server is recognized whatever its program name.
    let renamed = setup.directory().join("web");
    symlink(binary(), &renamed).unwrap();
    let mut start = Command::new(&renamed);
    start.arg("-p").arg(setup.directory().path()).args(["-c", "nginx.conf", "-e", "error.log"]);
    succeeds(&start.output().unwrap());
    let server = Daemon::of(setup.directory(), "run/nginx.pid");
    succeeds(&setup.run(&["-s", "quit"]));
    server.wait();
}

#[test]
fn root_follows_no_link_of_the_workers_user() {
    if is_nginx() {
        return;
    }
    if !is_root() {
        return skipped("it needs root");
    }
    let port = Port::reserve();
    let setup = daemon(&port);
    let directory = setup.directory();
    let victim = directory.join("victim");
    let why = "failed (40: Too many levels of symbolic links)";
    let plant = |name: &str, owner: u32| {
        let link = directory.join(name);
        let _ = std::fs::remove_file(&link);
        symlink(&victim, &link).unwrap();
        lchown(&link, Some(owner), None).unwrap();
        link
    };
    for name in ["logs/access.log", "logs/error.log", "run/nginx.pid"] {
        let link = plant(name, NOBODY);
        fails(&setup.run(&[]), why);
        assert!(!victim.exists(), "{name}");
        std::fs::remove_file(link).unwrap();
    }
    std::fs::create_dir(&victim).unwrap();
    let _ = std::fs::remove_dir(directory.join("temp/body"));
    let link = plant("temp/body", NOBODY);
    fails(&setup.run(&[]), why);
    assert_eq!(std::fs::metadata(&victim).unwrap().uid(), 0);
    std::fs::remove_file(link).unwrap();
    std::fs::remove_dir(&victim).unwrap();

    // Links owned by root are followed, such as /dev/stdout in containers.
    plant("logs/access.log", 0);
    succeeds(&setup.run(&[]));
    let server = Daemon::of(directory, "run/nginx.pid");
    assert!(victim.exists());
    std::fs::remove_file(&victim).unwrap();
    plant("logs/access.log", NOBODY);
    send_signal(server.pid, Signal::USR1);
    until("the log to be refused", || directory.read("logs/error.log").contains(why));
    assert!(!victim.exists());
    // Reopened files keep their owner: workers receive them open.
    std::fs::remove_file(directory.join("logs/access.log")).unwrap();
    send_signal(server.pid, Signal::USR1);
    until("the log to be made", || directory.join("logs/access.log").exists());
    send_signal(server.pid, Signal::QUIT);
    server.wait();
    assert_eq!(std::fs::metadata(directory.join("logs/access.log")).unwrap().uid(), 0);
}
