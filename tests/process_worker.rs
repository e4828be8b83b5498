//! The worker process: its privileges, reloads, and its replacement.

use std::os::unix::fs::MetadataExt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;

use crate::harness::{
    Backend, Client, Reply, Server, Signal, children, is_nginx, is_root, run, send_signal, skipped,
    until, until_some,
};

const NOBODY: u32 = 65534;

fn read(process: u32, name: &str) -> String {
    std::fs::read_to_string(format!("/proc/{process}/{name}")).unwrap_or_default()
}

fn title(process: u32) -> String {
    read(process, "cmdline").trim_end_matches('\0').to_owned()
}

/// The workers that have not been told to end.
fn workers(server: &Server) -> Vec<u32> {
    let all = children(server.pid()).into_iter();
    all.filter(|&child| title(child).ends_with(": worker process")).collect()
}

/// The value of a line in `/proc/PID/status`.
fn status(process: u32, name: &str) -> String {
    let text = read(process, "status");
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":"));
    line.unwrap_or_default().trim().to_owned()
}

fn soft_limit(process: u32, name: &str) -> String {
    let text = read(process, "limits");
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.split_whitespace().next().unwrap_or_default().to_owned()
}

#[test]
fn a_worker_cannot_regain_privileges() {
    if is_nginx() {
        return;
    }
    if !is_root() {
        return skipped("it needs root");
    }
    for (main, location, kept) in [
        ("", "", "0000000000000000"),
        ("worker_rlimit_core 1m;", "", "0000000000000000"),
        (
            "working_directory /;",
            "location / { proxy_pass http://127.0.0.1:1; proxy_bind 127.0.0.1 transparent; }",
            "0000000000002000",
        ),
    ] {
        let server = Server::server(location).main(main).start();
        let worker = until_some("a worker", || workers(&server).first().copied());
        until("the worker's user", || status(worker, "Uid").starts_with("65534"));
        until("its capabilities", || status(worker, "CapPrm") == kept);
        assert_eq!(status(worker, "NoNewPrivs"), "1");
        assert_eq!(status(worker, "CapEff"), kept);
        for set in ["CapInh", "CapBnd", "CapAmb"] {
            assert_eq!(status(worker, set), "0000000000000000", "{set}");
        }
        // Processes of the same user may trace it only if core files are enabled.
        let owner = std::fs::metadata(format!("/proc/{worker}/environ")).unwrap().uid();
        assert_eq!(owner, if main.is_empty() { 0 } else { NOBODY }, "{main}");
    }
}

#[test]
fn a_reload_of_start_time_settings_replaces_the_worker() {
    let (go, wait) = channel();
    let wait = Mutex::new(wait);
    let backend = Backend::new(move |_| {
        wait.lock().unwrap().recv().unwrap();
        Reply::ok("finished")
    });
    let http = "server { listen 127.0.0.1:%port%;
        location / { proxy_pass http://%backend%; } location /ok { return 200 ok; } }";
    let server = Server::http(http)
        .set("backend", backend.address())
        .main("worker_rlimit_nofile 700;")
        .alerts_expected()
        .start();
    until("the limit", || {
        workers(&server).first().is_some_and(|&w| soft_limit(w, "Max open files") == "700")
    });
    let mut busy = server.client();
    busy.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    backend.wait(0);

    let conf = server.directory().read("nginx.conf");
    let mut lines = "worker_rlimit_nofile 600; worker_rlimit_core 4096; worker_priority 3;
        working_directory /;"
        .to_owned();
    if is_root() {
        lines.push_str("user daemon;");
    }
    let changed = conf.replace("worker_rlimit_nofile 700;", &lines);
    server.directory().write("nginx.conf", &changed);
    server.signal(Signal::HUP);
    let is_new = |&worker: &u32| {
        let nice = read(worker, "stat")
            .rsplit_once(')')
            .map(|(_, rest)| rest.split_whitespace().nth(16).unwrap_or_default().to_owned());
        soft_limit(worker, "Max open files") == "600"
            && soft_limit(worker, "Max core file size") == "4096"
            && nice.as_deref() == Some("3")
            && std::fs::read_link(format!("/proc/{worker}/cwd")).is_ok_and(|d| d.as_os_str() == "/")
            && (!is_root() || status(worker, "Uid").starts_with("1\t"))
    };
    until("a worker with other settings alone", || {
        let all = workers(&server);
        !all.is_empty() && all.iter().all(is_new)
    });
    assert_eq!(server.text("/ok"), "ok");
    go.send(()).unwrap();
    assert_eq!(busy.response().text(), "finished");
    until("the end of the old worker", || children(server.pid()).len() == 1);

    // If the new worker fails to start, the old one keeps serving.
    if !is_nginx() {
        let broken = changed.replace("working_directory /;", "working_directory /nothing;");
        server.directory().write("nginx.conf", broken);
        server.signal(Signal::HUP);
        server.wait_log("the old one stays in force");
        assert_eq!(server.text("/ok"), "ok");
    }
}

#[test]
fn reopened_logs_stay_separate_while_an_old_worker_ends() {
    let (go, wait) = channel();
    let wait = Mutex::new(wait);
    let backend = Backend::new(move |_| {
        wait.lock().unwrap().recv().unwrap();
        Reply::ok("finished")
    });
    let a = "server { listen 127.0.0.1:%port%; access_log %dir%/a.log;
        location / { proxy_pass http://%backend%; } }";
    let b = "server { listen 127.0.0.1:%port_b%; access_log %dir%/b.log; return 200 b; }";
    let server = Server::http(&format!("{a} {b}"))
        .set("backend", backend.address())
        .main("worker_rlimit_nofile 700;")
        .start();
    let mut busy = server.client();
    busy.send("GET /waiting HTTP/1.1\r\nHost: a\r\n\r\n");
    backend.wait(0);
    server.rewrite_http(&format!("{b} {a}"));
    let conf = server.directory().read("nginx.conf");
    server.directory().write("nginx.conf", conf.replace("nofile 700", "nofile 600"));
    let old = workers(&server);
    server.signal(Signal::HUP);
    until("the other worker", || workers(&server).iter().any(|worker| !old.contains(worker)));
    until("the old one to be told", || !workers(&server).iter().any(|w| old.contains(w)));
    for name in ["a.log", "b.log"] {
        std::fs::rename(server.directory().join(name), server.directory().join("old")).unwrap();
    }
    server.signal(Signal::USR1);
    until("the new logs", || {
        ["a.log", "b.log"].iter().all(|name| server.directory().join(name).exists())
    });
    let has_old = |&worker: &u32| {
        let files = std::fs::read_dir(format!("/proc/{worker}/fd")).unwrap();
        let mut files = files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
        files.any(|file| file.display().to_string().contains("/old"))
    };
    until("the workers to have reopened them", || !children(server.pid()).iter().any(has_old));
    go.send(()).unwrap();
    assert_eq!(busy.response().text(), "finished");
    assert_eq!(Client::connect(server.address("port_b")).get("/b").text(), "b");
    assert!(server.wait_lines("a.log", 1)[0].contains("/waiting"));
    assert!(server.wait_lines("b.log", 1)[0].contains("/b"));
}

#[test]
fn a_signalled_worker_is_replaced_at_once() {
    let (go, wait) = channel();
    let wait = Mutex::new(wait);
    let backend = Backend::new(move |_| {
        wait.lock().unwrap().recv().unwrap();
        Reply::ok("finished")
    });
    let http = "server { listen 127.0.0.1:%port%;
        location / { proxy_pass http://%backend%; } location /ok { return 200 one; } }";
    let server = Server::http(http).set("backend", backend.address()).start();
    let mut busy = server.client();
    busy.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    backend.wait(0);
    let old = until_some("a worker", || workers(&server).first().copied());
    send_signal(old, Signal::QUIT);
    if !is_nginx() {
        assert_eq!(server.text("/ok"), "one", "while the old worker finishes its last request");
        server.rewrite_http(&http.replace("one", "two"));
        server.signal(Signal::HUP);
        until("the next configuration", || server.text("/ok") == "two");
    }
    go.send(()).unwrap();
    assert_eq!(busy.response().text(), "finished");
    until("the end of the old worker", || !children(server.pid()).contains(&old));
    until("a worker", || workers(&server).len() == 1);
}

#[test]
fn a_failed_respawn_is_retried() {
    if is_nginx() {
        return;
    }
    let server = Server::server("return 200 ok;")
        .main("working_directory %dir%/work;")
        .file("work/file", "")
        .alerts_expected()
        .start();
    // From this point the master knows that the start has succeeded.
    server.signal(Signal::HUP);
    server.wait_log("generation 1 exited with code 0");
    let worker = until_some("a worker", || workers(&server).first().copied());
    let work = server.directory().join("work");
    std::fs::rename(&work, server.directory().join("away")).unwrap();
    send_signal(worker, Signal::KILL);
    server.wait_log("exited with fatal code 2");
    std::fs::rename(server.directory().join("away"), &work).unwrap();
    assert_eq!(server.text("/"), "ok");
}

#[test]
fn a_reload_without_free_descriptors_changes_nothing() {
    if is_nginx() {
        return;
    }
    let conf = |text: &str| format!("server {{ listen 127.0.0.1:%port%; return 200 {text}; }}");
    let server =
        Server::http(&conf("one")).main("worker_rlimit_nofile 40;").alerts_expected().start();
    assert_eq!(server.text("/"), "one");
    let mut clients: Vec<_> = (0..60).map(|_| server.client()).collect();
    server.wait_log("accept4() failed (24: Too many open files)");
    server.rewrite_http(&conf("two"));
    server.signal(Signal::HUP);
    let told = "the worker process may have 40 open files, and needs ";
    server.wait_log(told);
    let log = server.error_log();
    let needed = log.split_once(told).and_then(|(_, rest)| rest.split_once(' ')).unwrap().0;
    assert!(needed.parse::<u32>().unwrap() > 40, "{needed}");
    clients.clear();
    until("the old configuration", || server.text("/") == "one");
    server.signal(Signal::HUP);
    until("the new configuration", || server.text("/") == "two");
}

#[test]
fn connections_wait_for_the_next_worker() {
    let server = Server::http(
        "server { listen 127.0.0.1:%port%; return 200 ok; }
         server { listen 127.0.0.1:%port_each% reuseport; return 200 ok; }",
    )
    .main("worker_processes 2;")
    .alerts_expected()
    .start();
    for _ in 0..5 {
        let all = until_some("workers", || Some(workers(&server)).filter(|all| !all.is_empty()));
        all.iter().for_each(|&worker| send_signal(worker, Signal::KILL));
        until("their end", || !children(server.pid()).iter().any(|child| all.contains(child)));
        let mut clients: Vec<_> = ["port", "port_each"]
            .iter()
            .flat_map(|port| (0..8).map(|_| Client::connect(server.address(port))))
            .collect();
        for client in &mut clients {
            assert_eq!(client.get("/").text(), "ok");
        }
    }
}

#[test]
fn a_worker_that_replaces_another_writes_to_the_files_in_force() {
    let conf = |name: &str| {
        format!("server {{ listen 127.0.0.1:%port%; access_log {name}; return 200 {name}; }}")
    };
    let server = Server::http(&conf("first.log")).alerts_expected().start();
    let text = |name: &str| {
        until_some("an answer", || {
            let mut client = Client::try_connect(&server.address("port")).ok()?;
            client.send_if_wanted("GET / HTTP/1.0\r\n\r\n");
            let text = client.try_response(false).ok()?.text();
            (text == name).then_some(text)
        })
    };
    let kill = || {
        let worker = workers(&server)[0];
        send_signal(worker, Signal::KILL);
        until("the worker's end", || !children(server.pid()).contains(&worker));
    };
    text("first.log");
    kill();
    text("first.log");
    server.wait_lines("first.log", 2);

    server.rewrite_http(&conf("second.log"));
    server.signal(Signal::HUP);
    text("second.log");
    // The master has accepted it by then, too.
    server.wait_log("generation 1 exited with code 0");
    kill();
    text("second.log");
    server.wait_lines("second.log", 2);

    let file = |name: &str| server.directory().join(name);
    std::fs::rename(file("second.log"), file("second.log.1")).unwrap();
    server.signal(Signal::USR1);
    until("a new file", || file("second.log").exists());
    kill();
    text("second.log");
    server.wait_lines("second.log", 1);
}

/// Reloads a server with several configurations of `listen` while clients connect to 127.0.0.1,
/// none of which may fail.
fn serves_through(listens: &[&str], address: &str) {
    let conf =
        |listen: &str, number: usize| format!("server {{ listen {listen}; return 200 {number}; }}");
    let server = Server::http(&conf(listens[0], 0)).main("worker_processes 2;").start();
    let address = format!("{address}:{}", server.port("port"));
    let (done, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    let ask = || -> Result<String, String> {
        let mut client = Client::try_connect(&address).map_err(|error| error.to_string())?;
        client.send_if_wanted("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        asked.fetch_add(1, Ordering::Relaxed);
        Ok(client.try_response(false).map_err(|error| error.to_string())?.text())
    };
    let ask_on = || {
        while !done.load(Ordering::Relaxed) {
            ask()?;
        }
        Ok(String::new())
    };
    let faults = std::thread::scope(|scope| {
        let clients = [scope.spawn(ask_on), scope.spawn(ask_on)];
        let mut served = Ok(String::new());
        for (number, listen) in listens.iter().enumerate().skip(1) {
            server.rewrite_http(&conf(listen, number));
            server.signal(Signal::HUP);
            while served.as_ref().is_ok_and(|text| *text != number.to_string()) {
                served = ask();
            }
        }
        done.store(true, Ordering::Relaxed);
        let [one, two] = clients.map(|client| client.join().unwrap().err());
        [served.err(), one, two]
    });
    assert_eq!(faults, [None, None, None]);
    assert!(asked.load(Ordering::Relaxed) > 0);
    assert!(!server.error_log().contains("[emerg]"), "{}", server.error_log());
}

#[test]
fn a_listener_changes_between_wildcard_and_address() {
    if is_nginx() {
        return;
    }
    let (one, any) = ("127.0.0.1:%port%", "%port%");
    serves_through(&[one, any, one, any, one], "127.0.0.1");
    if std::net::TcpListener::bind("[::1]:0").is_ok() {
        let (one, any) = ("[::1]:%port%", "[::]:%port%");
        serves_through(&[one, any, one, any, one], "[::1]");
        let both = "[::]:%port% ipv6only=off";
        serves_through(&["%port%", both, "%port%", "127.0.0.1:%port%", both], "127.0.0.1");
    }
}

#[test]
fn a_listener_becomes_reuseport_by_a_reload() {
    let (plain, each) = ("127.0.0.1:%port%", "127.0.0.1:%port% reuseport");
    serves_through(&[plain, each], "127.0.0.1");
}

/// Whether the kernel has Multipath TCP.
fn has_multipath() -> bool {
    std::fs::read_to_string("/proc/sys/net/mptcp/enabled").is_ok_and(|text| text.trim() == "1")
}

/// Whether a Multipath TCP socket listens on a port.
fn listens_multipath(port: u16) -> bool {
    let list = run("ss", &["-H", "-l", "-n", "-M"]);
    let list = String::from_utf8_lossy(&list.stdout).into_owned();
    list.split_whitespace().any(|word| word.ends_with(&format!(":{port}")))
}

#[test]
fn a_listener_speaks_multipath_tcp() {
    if !has_multipath() {
        return skipped("the kernel lacks Multipath TCP");
    }
    let conf = |options: &str| {
        format!("server {{ listen 127.0.0.1:%port_many% {options}; return 200 '{options}'; }}")
    };
    let mut servers = "server { listen 127.0.0.1:%port%; }".to_owned() + &conf("multipath");
    let server = Server::http(&servers).start();
    let (port, address) = (server.port("port_many"), server.address("port_many"));
    // As in nginx, connections in the queue of a replaced socket may be lost.
    let ask = || {
        let mut client = Client::try_connect(&address).ok()?;
        client.send_if_wanted("GET / HTTP/1.0\r\n\r\n");
        Some(client.try_response(false).ok()?.text())
    };
    assert_eq!(ask().as_deref(), Some("multipath"));
    assert!(listens_multipath(port));
    for options in ["backlog=100", "multipath backlog=100"] {
        servers = "server { listen 127.0.0.1:%port%; }".to_owned() + &conf(options);
        server.rewrite_http(&servers);
        server.signal(Signal::HUP);
        until("the new configuration", || ask().as_deref() == Some(options));
        // The replaced socket closes with the worker's last look at it.
        until("the kind of socket", || listens_multipath(port) == options.contains("multipath"));
    }
}
