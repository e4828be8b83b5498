//! The program of `dns_hook`, as the worker runs it.

use super::faults::plain;
use super::server;
use crate::harness::{Pebble, Server, Setup, children, is_nginx, until, until_some};

const CONF: &str = "
    acme_issuer ca { %ca% challenge dns; dns_hook_timeout %timeout%; dns_hook /bin/sh %dir%/hook.sh; }
    server { listen 127.0.0.1:%port% ssl; server_name a.test; acme_certificate ca;
        ssl_certificate $acme_certificate; ssl_certificate_key $acme_certificate_key; }
    server { listen 127.0.0.1:%portplain%; return 200 plain; }";

fn setup(pebble: &Pebble, timeout: &str, hook: &str) -> Setup {
    let setup = server(pebble, CONF).set("timeout", timeout).file("hook.sh", hook);
    let said = setup.directory().write("said", "");
    std::fs::set_permissions(said, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    setup
}

fn said(server: &Server) -> String {
    server.directory().read("said")
}

/// Its user and environment are the worker's; it has none of its descriptors and blocked signals.
#[test]
fn the_program_runs_as_the_worker_and_apart_from_it() {
    if is_nginx() {
        return;
    }
    let Some(pebble) = Pebble::start(&[]) else { return };
    let hook = "cd \"$(dirname \"$0\")\"; { echo uid $(id -u); env; echo fds $(ls -l /proc/$$/fd);
        sed -n 's/^SigBlk:.//p' /proc/self/status; echo end; } >> said; exit 1";
    let server = setup(&pebble, "60s", hook).main("env WEIR_HOOK_ZONE=example;").start();
    until("the program's words", || said(&server).ends_with("\nend\n"));
    let text = said(&server);
    let worker = until_some("a worker", || children(server.pid()).first().copied());
    let status = std::fs::read_to_string(format!("/proc/{worker}/status")).unwrap();
    let user = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap();
    let user = user.split_whitespace().nth(1).unwrap();
    assert!(text.contains(&format!("uid {user}\n")), "{text}");
    assert!(text.contains("WEIR_HOOK_ZONE=example\n"), "{text}");
    assert!(!text.contains("CARGO"), "{text}");
    assert!(text.contains("\n0000000000000000\n"), "{text}");
    let fds = text.lines().find_map(|line| line.strip_prefix("fds ")).unwrap();
    let is_ours = ["socket:", "anon_inode:", ".log", ".pid"].iter().any(|own| fds.contains(own));
    assert!(!is_ours, "{fds}");
}

/// It is killed with its children, is told once, and costs no request.
#[test]
fn a_program_that_hangs_is_killed() {
    if is_nginx() {
        return;
    }
    let Some(pebble) = Pebble::start(&[]) else { return };
    let hook = "cd \"$(dirname \"$0\")\"; test $1 = present || exit 0
        sleep 1000 & echo $! >> said; echo waiting for the zone >&2; sleep 1000";
    let server = setup(&pebble, "1s", hook).start();
    until("the child", || said(&server).contains('\n'));
    assert_eq!(plain(&server), "plain");
    server.wait_log("present: was killed after 1 s waiting for the zone; next try at ");
    let child = said(&server).lines().next().unwrap().to_owned();
    until("the child's end", || {
        let status = std::fs::read_to_string(format!("/proc/{child}/status")).unwrap_or_default();
        status.is_empty() || status.contains("State:\tZ")
    });
}
