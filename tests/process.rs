//! The process: flags, signals, master and worker, reload, upgrade.

use std::process::{Command, Output};

use crate::harness::{
    Backend, Client, Daemon, Port, Reply, Server, Signal, binary, children, send_signal, until,
    until_some,
};

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs the binary with the prefix of a server or setup.
fn cli(prefix: &std::path::Path, arguments: &[&str]) -> Output {
    let prefix = format!("{}/", prefix.display());
    let mut command = Command::new(binary());
    command.args(["-p", &prefix, "-c", "nginx.conf", "-e", "error.log"]).args(arguments);
    command.output().unwrap()
}

#[test]
fn version_and_help() {
    let version = Command::new(binary()).arg("-v").output().unwrap();
    assert!(version.status.success());
    assert!(stderr(&version).contains(" version: "), "{}", stderr(&version));
    let all = Command::new(binary()).arg("-V").output().unwrap();
    assert!(all.status.success());
    let text = stderr(&all);
    assert!(
        text.contains("nginx version: nginx/1.") && text.contains("configure arguments:"),
        "{text}"
    );
    let help = Command::new(binary()).arg("-h").output().unwrap();
    assert!(help.status.success());
    assert!(stderr(&help).contains("-s signal"), "{}", stderr(&help));
    let unknown = Command::new(binary()).arg("-z").output().unwrap();
    assert_eq!(unknown.status.code(), Some(1));
    assert!(stderr(&unknown).contains("invalid option: \"z\""), "{}", stderr(&unknown));
}

#[test]
fn a_configuration_is_tested() {
    let good = Server::server("return 200;");
    let output = good.check();
    assert!(output.status.success());
    let text = stderr(&output);
    let lines: Vec<&str> = text.lines().collect();
    let file = format!("{}/nginx.conf", good.directory().path().display());
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines[0].ends_with(&format!(": the configuration file {file} syntax is ok")), "{text}");
    assert!(
        lines[1].ends_with(&format!(": configuration file {file} test is successful")),
        "{text}"
    );

    let quiet = cli(good.directory().path(), &["-t", "-q"]);
    assert!(quiet.status.success() && quiet.stderr.is_empty());
    let dump = cli(good.directory().path(), &["-T"]);
    let text = String::from_utf8_lossy(&dump.stdout).into_owned();
    assert!(text.contains(&format!("# configuration file {file}:\n")), "{text}");
    assert!(text.contains("return 200;"), "{text}");
}

#[test]
fn faults_have_nginx_wording() {
    let faults = [
        ("prox_pass http://x;", "unknown directive \"prox_pass\" in "),
        ("listen 1 2", "unexpected \"}\" in "),
        ("root;", "invalid number of arguments in \"root\" directive in "),
        (
            "gzip maybe;",
            "invalid value \"maybe\" in \"gzip\" directive, it must be \"on\" or \"off\" in ",
        ),
        ("location / { proxy_pass ftp://a; }", "invalid URL prefix in "),
        ("return 200 $nothing;", "unknown \"nothing\" variable"),
        ("location / { } location / { }", "duplicate location \"/\" in "),
        ("worker_processes 2;", "\"worker_processes\" directive is not allowed here in "),
        (
            "location ~ ( { }",
            "pcre2_compile() failed: missing closing parenthesis in \"(\" at 1 in ",
        ),
        ("keepalive_timeout 1x;", "\"keepalive_timeout\" directive invalid value in "),
        ("root a; root b;", "\"root\" directive is duplicate in "),
        ("include nothing.conf;", "failed (2: No such file or directory) in "),
        (
            "location / { proxy_pass http://name.invalid; }",
            "host not found in upstream \"name.invalid\" in ",
        ),
    ];
    for (conf, message) in faults {
        let output = Server::server(conf).check();
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{conf}: {text}");
        assert!(text.contains("[emerg] "), "{conf}: {text}");
        // An invalid regular expression may have a different reason within equal words.
        let message = if message.starts_with("pcre2") { "in \"(\"" } else { message };
        assert!(text.contains(message), "{conf}: {text}");
        assert!(text.contains("nginx.conf test failed"), "{conf}: {text}");
    }
}

#[test]
fn the_master_respawns_workers() {
    let server = Server::server("return 200 ok;").alerts_expected().start();
    let title = |process: u32| {
        let bytes = std::fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    until("the master's title", || title(server.pid()).contains(": master process "));
    let worker = until_some("a worker", || children(server.pid()).first().copied());
    until("the worker's title", || title(worker).contains(": worker process"));
    send_signal(worker, Signal::KILL);
    until("another worker", || {
        children(server.pid()).first().is_some_and(|&other| other != worker)
    });
    assert_eq!(server.text("/"), "ok");
    server.wait_log("exited on signal 9");
}

#[test]
fn quit_finishes_requests() {
    let (go, wait) = std::sync::mpsc::channel();
    let wait = std::sync::Mutex::new(wait);
    let backend = Backend::new(move |_| {
        wait.lock().unwrap().recv().unwrap();
        Reply::ok("finished")
    });
    let mut server =
        Server::server("location / { proxy_pass http://%backend%; } location /ok { return 204; }")
            .set("backend", backend.address())
            .start();
    let mut idle = server.client();
    idle.get("/ok");
    let mut busy = server.client();
    busy.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    backend.wait(0);
    server.signal(Signal::QUIT);
    assert!(idle.is_closed(), "an idle connection is closed at once");
    let address = server.address("port");
    until("the listener to close", || Client::try_connect(&address).is_err());
    go.send(()).unwrap();
    let response = busy.response();
    assert_eq!(
        (response.text().as_str(), response.header("Connection")),
        ("finished", Some("close"))
    );
    assert!(server.wait_exit());
    assert!(!server.directory().join("nginx.pid").exists());
}

#[test]
fn term_ends_at_once() {
    let backend = Backend::new(|_| Reply::hold());
    let mut server = Server::server("location / { proxy_pass http://%backend%; }")
        .set("backend", backend.address())
        .alerts_expected()
        .start();
    let mut busy = server.client();
    busy.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    backend.wait(0);
    server.signal(Signal::TERM);
    assert!(server.wait_exit());
    assert!(!server.directory().join("nginx.pid").exists());
}

#[test]
fn a_reload_switches_or_keeps_the_configuration() {
    let conf = |text: &str| {
        format!(
            "server {{ listen 127.0.0.1:%port%; return 200 {text}; }} {}",
            match text {
                "two" => "server { listen 127.0.0.1:%port_two%; return 200 new; }",
                _ => "",
            }
        )
    };
    let server = Server::http(&conf("one")).start();
    assert_eq!(server.text("/"), "one");
    server.rewrite_http(&conf("two"));
    server.signal(Signal::HUP);
    until("the new configuration", || server.text("/") == "two");
    let address = server.address("port_two");
    assert!(Client::try_connect(&address).is_ok());
    server.rewrite_http("server { nonsense; }");
    server.signal(Signal::HUP);
    server.wait_log("unknown directive \"nonsense\" in ");
    assert_eq!(server.text("/"), "two");
    server.rewrite_http(&conf("three"));
    server.signal(Signal::HUP);
    until("the third configuration", || server.text("/") == "three");
    until("the old listener to close", || Client::try_connect(&address).is_err());
}

#[test]
fn flags_signal_a_running_server() {
    let mut server = Server::server("access_log %dir%/access.log; return 200 ok;").start();
    let prefix = server.directory().path().to_owned();
    assert_eq!(server.text("/"), "ok");
    assert!(cli(&prefix, &["-s", "reload"]).status.success());
    server.wait_log("reconfiguring");
    std::fs::rename(prefix.join("access.log"), prefix.join("old.log")).unwrap();
    assert!(cli(&prefix, &["-s", "reopen"]).status.success());
    until("the new log", || prefix.join("access.log").exists());
    assert!(stderr(&cli(&prefix, &["-s", "nonsense"])).contains("invalid option: \"-s nonsense\""));
    assert!(cli(&prefix, &["-s", "quit"]).status.success());
    assert!(server.wait_exit());
    let again = cli(&prefix, &["-s", "stop"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(stderr(&again).contains("failed (2: No such file or directory)"), "{}", stderr(&again));
}

#[test]
fn a_port_in_use_is_reported() {
    let backend = Backend::text("taken");
    let setup = Server::http("server { listen %taken%; }").set("taken", backend.address());
    let output = setup.run(&[]);
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    let message = format!("bind() to {} failed (98: Address already in use)", backend.address());
    assert!(text.contains(&message), "{text}");
}

#[test]
fn a_new_binary_takes_over() {
    let port = Port::reserve();
    let setup = Server::conf(
        "pid %dir%/nginx.pid; error_log %dir%/error.log info; events { }
         http { access_log off; server { listen 127.0.0.1:%number%; return 200 $pid; } }",
    )
    .set("number", port.number());
    let output = setup.run(&[]);
    assert!(output.status.success(), "{}", stderr(&output));
    let directory = setup.directory();
    let old = Daemon::of(directory, "nginx.pid");
    let ask = || {
        let mut client = Client::connect(format!("127.0.0.1:{}", port.number()));
        client.send("GET / HTTP/1.0\r\n\r\n");
        client.response().text()
    };
    let before = ask();
    send_signal(old.pid, Signal::USR2);
    until("the old pid file", || directory.join("nginx.pid.oldbin").exists());
    let new = until_some("the new master", || {
        let daemon = Daemon::try_of(directory, "nginx.pid")?;
        (daemon.pid != old.pid && children(daemon.pid).len() == 1).then_some(daemon)
    });
    send_signal(old.pid, Signal::QUIT);
    old.wait();
    assert_ne!(ask(), before);
    send_signal(new.pid, Signal::QUIT);
    new.wait();
    assert!(!directory.join("nginx.pid").exists());
}

#[test]
fn directives_may_come_from_the_command_line() {
    let setup = Server::http("server { listen 127.0.0.1:%port%; }");
    setup.check();
    let output = cli(setup.directory().path(), &["-t", "-g", "worker_processes 2;"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let output = cli(setup.directory().path(), &["-t", "-g", "nonsense 2;"]);
    assert!(stderr(&output).contains("unknown directive \"nonsense\" in command line"));
}

#[test]
fn several_workers_serve_one_port() {
    let server =
        Server::server("return 200 $connection_requests;").main("worker_processes 4;").start();
    let mut clients: Vec<_> = (0..32).map(|_| server.client()).collect();
    for round in 1..=3 {
        for client in &mut clients {
            assert_eq!(client.get("/").text(), round.to_string());
        }
    }
}

#[test]
fn epoll_is_the_default_method() {
    // Spelled such that the harness adds no method.
    let server = Server::conf(
        "daemon off; pid %dir%/nginx.pid; error_log %dir%/error.log notice;
         events
         {}
         http {
             access_log off;
             client_body_temp_path %dir%/client_body_temp;
             proxy_temp_path %dir%/proxy_temp;
             server { listen 127.0.0.1:%port%; return 200 ok; }
         }",
    )
    .start();
    assert_eq!(server.get("/").status, 200);
    let log = server.error_log();
    assert!(log.contains("using the \"epoll\" event method"), "{log}");
    assert!(!log.contains("[warn]"), "{log}");
}
