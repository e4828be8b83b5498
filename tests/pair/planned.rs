//! Moves and changes on purpose, under load: nobody sees an error.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};

use super::node::wait_served_by;
use super::*;
use crate::harness::{Client, PATIENCE, Signal, run, send_signal};

/// No client saw an error in a time.
#[track_caller]
fn assert_good(what: &str, asking: &Asking, from: Instant) {
    let attempts = asking.between(from, Instant::now());
    let errors: Vec<_> = attempts.iter().filter_map(|one| one.answer.as_ref().err()).collect();
    let longest = attempts.iter().map(|one| one.ended - one.began).max();
    println!("{what}: {} requests, {} errors, longest {longest:?}", attempts.len(), errors.len());
    assert!(errors.is_empty(), "{what}: {} of {}: {errors:?}", errors.len(), attempts.len());
    assert!(attempts.len() > 20, "{what}: {}", attempts.len());
}

#[test]
fn a_planned_takeover_a_reload_and_an_upgrade_cost_nobody_an_error() {
    on_a_pair(|_, [mut a, mut b]| {
        let asking = Asking::start(&format!("{ADDRESS}:80"));
        asking.wait_for("a");

        let mut kept = Client::connect(format!("{ADDRESS}:80"));
        let mut ask_again = move || {
            kept.send("GET /here HTTP/1.1\r\nHost: a\r\n\r\n");
            kept.response().text()
        };
        assert_eq!(ask_again(), "a\n");
        let start = Instant::now();
        for node in [&mut a, &mut b] {
            let before = node.log().matches("reconfiguring").count();
            node.write(&Node::conf("", node::HA, "listen 8080;"));
            send_signal(node.pid(), Signal::HUP);
            until("the reload", || {
                node.log().matches("generation 1 exited").count() > 0 && before < 2
            });
            assert!(node.log().contains("reconfiguring"));
        }
        asking.wait_for("a");
        assert_good("reload", &asking, start);
        assert_eq!(ask_again(), "a\n", "the connection has outlived the reload");

        let start = Instant::now();
        for node in [&mut a, &mut b] {
            let (old, guard) = (node.pid(), node.process("weir: guard"));
            send_signal(old, Signal::USR2);
            until("the new binary", || ![0, old].contains(&node.pid_of_new()));
            wait_served_by(node.pid_of_new());
            send_signal(old, Signal::QUIT);
            node.reap();
            node.adopt_new();
            node.wait_alone();
            assert_eq!(node.process("weir: guard"), guard, "the guard stays");
        }
        asking.wait_for("a");
        assert!(a.holds(ADDRESS) && !b.holds(ADDRESS));
        assert_good("upgrade", &asking, start);
        for node in [&a, &b] {
            assert!(!node.log().contains("this node is unfit: no worker"), "{}", node.log());
        }

        let start = Instant::now();
        a.quit();
        asking.wait_for("b");
        a.wait_gone();
        assert_good("planned takeover", &asking, start);
        b.wait_log("ha: 192.168.56.100 are held here now: node \"a\" gave them up");

        a.launch();
        a.wait_knows("here", "waits");
        assert!(!a.holds(ADDRESS), "no preemption");
    });
}

/// A server in front that answers a request only when it is told to.
struct Slow {
    address: SocketAddr,
    asked: Receiver<TcpStream>,
}

impl Slow {
    fn start() -> Self {
        let listener = TcpListener::bind("192.168.56.10:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (ask, asked) = channel();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut head, mut bytes) = (Vec::new(), [0; 1024]);
            while !head.ends_with(b"\r\n\r\n") {
                let count = stream.read(&mut bytes).unwrap();
                assert_ne!(count, 0, "a request without an end");
                head.extend_from_slice(&bytes[..count]);
            }
            ask.send(stream).unwrap();
        });
        Self { address, asked }
    }
}

/// A request under way is answered over the address before it moves.
#[test]
fn a_node_that_quits_answers_what_is_under_way_before_its_address_moves() {
    let Some((network, directory)) = hosts(2) else { return };
    network.in_front(|| {
        let _apache = Apache::start(&network, &directory, 3);
        let slow = Slow::start();
        let location = format!("location /slow {{ proxy_pass http://{}; }}", slow.address);
        let ha = format!("{} stall 5s;", node::HA);
        let conf = Node::conf("", &ha, &location);
        let mut a = Node::with(&network, &directory, 1, &conf);
        a.wait_holds(ADDRESS);
        let b = Node::with(&network, &directory, 2, &conf);
        b.wait_knows("here", "waits");
        let mut client = Client::connect(format!("{ADDRESS}:80"));
        client.send("GET /slow HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let mut asked = slow.asked.recv_timeout(PATIENCE).unwrap();
        let quit = Instant::now();
        send_signal(a.pid(), Signal::QUIT);
        a.wait_log("gracefully shutting down");
        // The guard looks every 20 ms, and keepalived hears of it at once.
        until("some looks of the guard", || quit.elapsed() > Duration::from_millis(200));
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nslow\n";
        asked.write_all(answer.as_bytes()).unwrap();
        // A machine that is too busy for that misses the second that there is.
        if quit.elapsed() < Duration::from_millis(600) {
            assert_eq!(client.response().text(), "slow\n");
        }
        a.reap();
        b.wait_holds(ADDRESS);
        let log = a.log();
        assert!(log.contains("this node is unfit: the server is shutting down"), "{log}");
        assert!(!log.contains("this node is unfit: no worker"), "{log}");
    });
}

/// A drill names the time, and the address is where it was.
#[test]
fn a_drill_proves_a_takeover_and_puts_things_back() {
    on_a_pair(|_, [a, mut b]| {
        let said = a.ha(&["drill"]);
        println!("{said}");
        assert!(said.contains("192.168.56.100:80 answers from another node after"), "{said}");
        assert!(said.contains("taken back after"), "{said}");
        a.wait_holds(ADDRESS);
        b.wait_knows("holder", "a");
        assert!(!b.holds(ADDRESS));
        // The usual configuration is in force again: b takes over, and a does not take it back.
        assert!(a.ha(&["show"]).contains("nopreempt"));
        let output = b.run(&["ha", "drill"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains("holds no address"), "{said}");

        // Without another node, the drill gives the address back and says so.
        b.quit();
        b.wait_gone();
        let output = a.run(&["ha", "drill"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains("no other node took over"), "{said}");
        a.wait_holds(ADDRESS);
    });
}

/// The status names the holder, the time and the cause, on either node.
#[test]
fn the_status_tells_the_same_on_both_nodes() {
    on_a_pair(|_, [mut a, b]| {
        for node in [&a, &b] {
            let said = node.ha(&["status"]);
            assert!(said.contains("192.168.56.100/24\n    held by node \"a\" for "), "{said}");
        }
        a.kill();
        b.wait_holds(ADDRESS);
        b.wait_knows("holder", "b");
        let said = b.ha(&["status"]);
        assert!(said.contains("here: holds for "), "{said}");
        assert!(said.contains("node \"a\""), "{said}");
        a.wait_gone();
        let output = a.run(&["ha", "status"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains("no guard process runs"), "{said}");
    });
}

/// As soon as the command that starts the server has ended, `weir ha status` has an answer.
#[test]
fn the_status_is_there_when_the_server_has_started() {
    let Some((network, directory)) = hosts(1) else { return };
    let mut a = Node::unstarted(&network, &directory, 1, &Node::conf("", node::HA, ""));
    for _ in 0..3 {
        a.launch();
        let status = a.ha(&["status"]);
        assert!(status.starts_with("This is node \"a\", Weir "), "{status}");
        a.quit();
        a.wait_gone();
    }
}

/// `docs/howto/pair.md`, word for word, with what it says about the commands.
#[test]
fn the_page_about_the_pair_is_true() {
    let Some((network, directory)) = hosts(2) else { return };
    let page = include_str!("../../docs/howto/pair.md");
    let conf = page.split("```nginx\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let main = "pid %dir%/nginx.pid; error_log %dir%/error.log info; events { }\n";
    let temp = "http { access_log off; client_body_temp_path %dir%/b; proxy_temp_path %dir%/p;";
    let conf = format!("{main}{}", conf.replace("http {", temp));
    network.in_front(|| {
        let _apache = Apache::start(&network, &directory, 3);
        let a = Node::with(&network, &directory, 1, &conf);
        a.wait_holds(ADDRESS);
        let b = Node::with(&network, &directory, 2, &conf);
        assert!(b.run(&["-t"]).status.success());
        b.wait_knows("holder", "a");
        b.wait_knows("here", "waits");
        let shape = |text: &str| -> Vec<String> {
            let lines = text.lines().map(|line| {
                let words = line.split(' ');
                let is_number = |word: &str| {
                    word.starts_with(|first: char| first.is_ascii_digit()) && !word.contains("192")
                };
                let plain = words.map(|word| if is_number(word) { "N" } else { word });
                plain.collect::<Vec<_>>().join(" ").replace("N ms", "N s").replace("N min", "N s")
            });
            lines.collect()
        };
        let blocks: Vec<_> = page.split("\n```\n").map(|block| format!("{block}\n")).collect();
        let shown = |start: &str| {
            blocks
                .iter()
                .find(|block| block.starts_with(start))
                .unwrap_or_else(|| panic!("{start}"))
        };
        let status = b.ha(&["status"]);
        assert_eq!(shape(&status), shape(shown("This is node")), "{status}");
        let drill = a.ha(&["drill"]);
        assert_eq!(shape(&drill), shape(shown("given up here")), "{drill}");
        let output = run(
            "ip",
            &[
                "netns",
                "exec",
                &network.front,
                "curl",
                "-s",
                "--max-time",
                "5",
                &format!("http://{ADDRESS}/"),
            ],
        );
        assert_eq!(String::from_utf8_lossy(&output.stdout), "3\n");
    });
}
