//! The guard over upgrades of the binary and moves of the pid file: it runs the new program, is
//! found by the new name, and no address moves.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::node::wait_served_by;
use super::*;
use crate::harness::{Signal, binary, send_signal};

/// The lines of the `ha` block: a busy machine is no reason to give the address up.
const HA: &str = "address 192.168.56.100/24; stall 5s;";

/// The configuration of both nodes, which tells the process that answers.
fn with(ha: &str) -> String {
    let process = "location /process { return 200 $pid; } location /here ";
    Node::conf("", ha, "").replace("location /here ", process)
}

fn conf() -> String {
    with(HA)
}

/// The same with another address.
fn two() -> String {
    with(&format!("{HA} address 192.168.56.105/24;"))
}

/// A pair, the first node of which holds the address.
fn pair<'a>(network: &'a Network, directory: &'a Directory) -> [Node<'a>; 2] {
    let a = Node::with(network, directory, 1, &conf());
    a.wait_holds(ADDRESS);
    let b = Node::with(network, directory, 2, &conf());
    b.wait_knows("holder", "a");
    b.wait_knows("here", "waits");
    [a, b]
}

/// Puts a program under a name that no other file has been.
fn install(at: &Path) {
    let fresh = at.with_extension("new");
    std::fs::copy(binary(), &fresh).unwrap();
    std::fs::rename(fresh, at).unwrap();
}

fn program_of(pid: u32) -> u64 {
    std::fs::metadata(format!("/proc/{pid}/exe")).map_or(0, |found| found.ino())
}

/// Nobody was answered by another node, or by none.
#[track_caller]
fn assert_stayed(asking: &Asking, from: Instant) {
    let mut attempts = asking.between(from, Instant::now());
    attempts.retain(|one| one.answer != Ok('a'));
    assert!(attempts.is_empty(), "{} others: {:?}", attempts.len(), attempts.first());
}

/// Starts a new binary and ends the old one.
fn upgrade(node: &mut Node<'_>) {
    let old = node.pid();
    send_signal(old, Signal::USR2);
    until("the new binary", || ![0, old].contains(&node.pid_of_new()));
    wait_served_by(node.pid());
    send_signal(old, Signal::QUIT);
    node.reap();
    node.adopt_new();
    node.wait_alone();
}

#[test]
fn the_guard_goes_on_with_the_program_of_an_upgrade() {
    let Some((network, directory)) = hosts(2) else { return };
    network.in_front(|| {
        let _apache = Apache::start(&network, &directory, 3);
        let program = directory.join("weir");
        install(&program);
        let mut a = Node::unstarted(&network, &directory, 1, &conf());
        a.binary.clone_from(&program);
        a.launch();
        a.wait_holds(ADDRESS);
        let b = Node::start(&network, &directory, 2, HA);
        b.wait_knows("holder", "a");
        let asking = Asking::start(&format!("{ADDRESS}:80"));
        asking.wait_for("a");
        let start = Instant::now();
        let guard = a.process("weir: guard");
        let keepalived = a.processes("keepalived --");
        for round in 1..=2 {
            let before = program_of(guard);
            install(&program);
            upgrade(&mut a);
            let wanted = program_of(a.pid());
            assert_ne!(before, wanted);
            until("the new program", || program_of(guard) == wanted);
            a.wait_knows("here", "holds");
            assert_eq!(a.process("weir: guard"), guard, "round {round}");
            assert_eq!(a.processes("keepalived --"), keepalived, "round {round}");
            a.wait_log("the guard process goes on with the program of the master");
        }
        assert_stayed(&asking, start);
        // It has lost nothing: it tells keepalived of changes, gives up and takes back, and sees
        // keepalived's end.
        a.reload(&two());
        a.wait_holds("192.168.56.105");
        assert!(a.ha(&["drill"]).contains("taken back after"));
        a.wait_knows("here", "holds");
        a.signal("keepalived --", Signal::KILL);
        b.wait_holds(ADDRESS);
        until("one holder", || !a.holds(ADDRESS));
        a.wait_log("keepalived process");
        a.wait_knows("here", "waits");
        a.quit();
        a.wait_gone();
        assert!(!a.has_guards_folder());
    });
}

#[test]
fn an_upgrade_that_is_taken_back_leaves_the_guard_as_it_was() {
    let Some((network, directory)) = hosts(2) else { return };
    network.in_front(|| {
        let _apache = Apache::start(&network, &directory, 3);
        let program = directory.join("weir");
        install(&program);
        let mut a = Node::unstarted(&network, &directory, 1, &conf());
        a.binary.clone_from(&program);
        a.launch();
        a.wait_holds(ADDRESS);
        let asking = Asking::start(&format!("{ADDRESS}:80"));
        asking.wait_for("a");
        let (guard, old) = (a.process("weir: guard"), a.pid());
        let before = program_of(guard);
        let start = Instant::now();
        // The new one has another block, which counts until it ends.
        install(&program);
        a.write(&two());
        send_signal(old, Signal::USR2);
        a.wait_holds("192.168.56.105");
        send_signal(a.pid_of_new(), Signal::QUIT);
        until("the old block", || !a.holds("192.168.56.105"));
        until("the old master alone", || a.pid_of_new() == old);
        a.wait_alone();
        assert_eq!((a.process("weir: guard"), program_of(guard)), (guard, before));
        a.wait_knows("here", "holds");
        assert_stayed(&asking, start);
    });
}

#[test]
fn the_guard_follows_a_moved_pid_file() {
    let Some((network, directory)) = hosts(2) else { return };
    network.in_front(|| {
        let _apache = Apache::start(&network, &directory, 3);
        let [mut a, b] = pair(&network, &directory);
        let asking = Asking::start(&format!("{ADDRESS}:80"));
        asking.wait_for("a");
        let (guard, keepalived) = (a.process("weir: guard"), a.processes("keepalived --"));
        let folders = a.guards_folders();
        let start = Instant::now();
        let moved = |conf: String| conf.replace("%dir%/nginx.pid", "%dir%/moved.pid");
        a.move_pid(&moved(conf()), "moved.pid");
        a.wait_knows("here", "holds");
        until("another folder", || {
            let now = a.guards_folders();
            now.len() == 1 && now != folders
        });
        assert_eq!(a.process("weir: guard"), guard);
        assert_eq!(a.processes("keepalived --"), keepalived);
        assert_stayed(&asking, start);
        // keepalived still hears of everything.
        a.reload(&moved(two()));
        a.wait_holds("192.168.56.105");
        assert_stayed(&asking, start);
        assert!(a.ha(&["drill"]).contains("taken back after"));
        a.signal("keepalived --", Signal::KILL);
        b.wait_holds(ADDRESS);
        a.wait_knows("here", "waits");
        a.quit();
        a.wait_gone();
        assert!(!a.has_guards_folder());
    });
}

/// A new binary finds the guard by the folder of the old one, not by its own pid file.
#[test]
fn an_upgrade_may_move_the_pid_file() {
    let Some((network, directory)) = hosts(2) else { return };
    network.in_front(|| {
        let _apache = Apache::start(&network, &directory, 3);
        let [mut a, _b] = pair(&network, &directory);
        let asking = Asking::start(&format!("{ADDRESS}:80"));
        asking.wait_for("a");
        let (guard, old, start) = (a.process("weir: guard"), a.pid(), Instant::now());
        a.write(&conf().replace("%dir%/nginx.pid", "%dir%/moved.pid"));
        a.pid_file = "moved.pid".to_owned();
        send_signal(old, Signal::USR2);
        until("the new binary", || a.pid_of_new() != 0);
        wait_served_by(a.pid());
        send_signal(old, Signal::QUIT);
        a.reap();
        a.adopt_new();
        a.wait_alone();
        a.wait_knows("here", "holds");
        assert_eq!(a.processes("weir: guard"), [guard]);
        assert_stayed(&asking, start);
    });
}
