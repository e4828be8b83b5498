//! etcd as the source: Debian's, driven by its own client.

use std::fs;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use super::{Load, conf, drain, lines, listed, setup, shown, time_to_first, wait_listed, worker};
use crate::harness::{
    Backend, Certificate, Directory, Etcd, Port, Server, Setup, Signal, children, etcd_is_there,
    is_root, send_signal, until,
};

/// The key prefix of the tests.
const PREFIX: &str = "prefix=/services/app/";

/// A server that follows etcd.
fn follower(etcd: &Etcd, more: &str) -> Setup {
    setup("%more% discover etcd %url% %prefix% %parameters%;")
        .set("url", etcd.url())
        .set("prefix", PREFIX)
        .set("more", "")
        .set("parameters", more)
}

const KEPT: &str = "go on serving";
const KEPT_ONE: &str = "the last known server goes on serving";

/// The example of docs/howto/etcd.md.
#[test]
fn a_registered_server_has_requests_in_under_a_second() {
    let Some(etcd) = Etcd::start() else { return };
    let (one, two) = (Backend::text("one"), Backend::text("two"));
    let (first, second) = (one.address(), two.address());
    etcd.put("one", &first);
    let server = follower(&etcd, "").start();
    assert_eq!(server.text("/"), "one", "the first request finds the servers known");
    let load = Load::start(&server);
    load.go_on();
    let mut best = Duration::MAX;
    for _ in 0..3 {
        two.forget();
        let lease = etcd.lease(600);
        let value = format!(r#"{{"server": "{second}", "weight": 2}}"#);
        let put = ["put", "--lease", &lease, "/services/app/two", &value];
        let since = Instant::now();
        etcd.ctl(&put);
        best = best.min(time_to_first(&two, since));
        assert_eq!(shown(&server, &second)["weight"], 2);
        load.go_on();
        etcd.ctl(&["lease", "revoke", &lease]);
        wait_listed(&server, &[&first]);
    }
    println!("a registered server had its first request after {best:?}, etcdctl included");
    assert!(best < Duration::from_secs(1), "{best:?}");
    // A lease that nobody keeps alive.
    let lease = etcd.lease(1);
    etcd.ctl(&["put", "--lease", &lease, "/services/app/two", &second]);
    wait_listed(&server, &[&first, &second]);
    wait_listed(&server, &[&first]);
    // Compaction, changes of a value, a value that is no server.
    etcd.put("two", &second);
    etcd.put("three", "127.0.0.1:1 wieght=2");
    wait_listed(&server, &[&first, &second]);
    etcd.ctl(&["compact", "5"]);
    etcd.put("two", &format!("{second} weight=3 down"));
    until("the change", || shown(&server, &second)["weight"] == 3);
    let fault = "key \"/services/app/three\": invalid parameter \"wieght=2\", which is ignored";
    server.wait_log(fault);
    assert_eq!(lines(&server, fault), 1);
    // Edits hold while it is registered.
    etcd.put("two", &second);
    until("the change", || shown(&server, &second)["down"] == false);
    drain(&server, &first);
    etcd.put("one", &format!("{first} weight=7"));
    until("the change", || shown(&server, &first)["weight"] == 7);
    assert_eq!(shown(&server, &first)["drain"], true);
    load.go_on();
    load.end();
}

#[test]
fn an_etcd_that_is_killed_or_stands_still_takes_no_server_away() {
    let Some(mut etcd) = Etcd::start() else { return };
    let (one, two) = (Backend::text("one"), Backend::text("two"));
    let (first, second) = (one.address(), two.address());
    etcd.put("one", &first);
    let server = follower(&etcd, "").alerts_expected().start();
    wait_listed(&server, &[&one.address()]);
    assert_eq!(server.text("/"), "one");
    let load = Load::start(&server);
    etcd.kill();
    server.wait_log("connect() failed (111: Connection refused), the last known server");
    load.go_on();
    etcd.start_again();
    etcd.put("two", &second);
    wait_listed(&server, &[&first, &second]);
    assert_eq!((lines(&server, KEPT_ONE), lines(&server, "lists servers again")), (1, 1));
    assert_eq!(lines(&server, "the watch began again: "), 1, "a line says why");
    load.go_on();

    etcd.signal(Signal::STOP);
    until("the silence to be noticed", || lines(&server, KEPT) == 1);
    server.wait_log("the answer is late, the last known 2 servers go on serving");
    load.go_on();
    // A worker that is killed meanwhile leaves what it knows, and a reload forgets nothing.
    let before = worker(&server);
    load.end();
    send_signal(before, Signal::KILL);
    until("the next worker", || children(server.pid()).iter().any(|&it| it != before));
    assert_eq!(server.get("/").status, 200);
    assert_eq!(listed(&server).len(), 2);
    server.signal(Signal::HUP);
    server.wait_log("generation 1 exited with code 0");
    assert_eq!(listed(&server).len(), 2);
    etcd.signal(Signal::CONT);
    etcd.remove("one");
    wait_listed(&server, &[&second]);
}

/// Its servers register again, one by one.
#[test]
fn an_etcd_that_begins_anew_takes_no_server_away() {
    let Some(mut etcd) = Etcd::start() else { return };
    let (one, two) = (Backend::text("one"), Backend::text("two"));
    let (first, second) = (one.address(), two.address());
    etcd.put("one", &first);
    etcd.put("two", &second);
    let server = follower(&etcd, "").start();
    wait_listed(&server, &[&first, &second]);
    let load = Load::start(&server);
    load.go_on();
    etcd.kill();
    fs::remove_dir_all(etcd.directory.join("data")).unwrap();
    etcd.start_again();
    server.wait_log("lists no servers, the last known 2 servers go on serving");
    load.go_on();
    etcd.put("two", &second);
    server.wait_log("began anew, servers are removed only in 30 seconds");
    let third = Backend::text("three");
    etcd.put("three", &third.address());
    wait_listed(&server, &[&first, &second, &third.address()]);
    load.go_on();
    load.end();
    assert_eq!(lines(&server, "lists servers again"), 1);
    assert_eq!(lines(&server, "removed"), 1, "only the line that says when");
}

#[test]
fn the_last_known_servers_survive_a_restart_without_etcd() {
    let Some(mut etcd) = Etcd::start() else { return };
    let one = Backend::text("one");
    etcd.put("one", &format!("{} weight=2", one.address()));
    let folder = Directory::new();
    let path = folder.path().display().to_string();
    if is_root() {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    }
    let setup = || follower(&etcd, &format!("state={path}/app.servers"));
    let server = setup().start();
    wait_listed(&server, &[&one.address()]);
    assert_eq!(server.text("/"), "one");
    let written = format!("{} weight=2\n", one.address());
    until("the state file", || folder.read("app.servers") == written);
    drop(server);
    let again = setup();
    etcd.kill();
    let server = again.start();
    wait_listed(&server, &[&one.address()]);
    assert_eq!(server.text("/"), "one");
    server.wait_log("begins with the servers of ");
    server.wait_log(KEPT_ONE);
    assert_eq!(shown(&server, &one.address())["weight"], 2);
    // Nor does the new process know whether etcd still knows everything.
    fs::remove_dir_all(etcd.directory.join("data")).unwrap();
    etcd.start_again();
    etcd.put("two", "127.0.0.1:2");
    wait_listed(&server, &[&one.address(), "127.0.0.1:2"]);
    server.wait_log("began anew");
    // On purpose, and thus at once.
    etcd.put("one", "none");
    wait_listed(&server, &["127.0.0.1:2"]);
    etcd.remove("two");
    wait_listed(&server, &[]);
    until("the state file", || folder.read("app.servers") == "none\n");
}

#[test]
fn a_wrong_password_is_told() {
    let Some(mut etcd) = Etcd::start() else { return };
    let one = Backend::text("one");
    etcd.put("one", &one.address());
    etcd.ctl(&["user", "add", "root:secret"]);
    etcd.ctl(&["user", "grant-role", "root", "root"]);
    etcd.ctl(&["user", "add", "weir:right"]);
    etcd.ctl(&["role", "add", "reader"]);
    etcd.ctl(&["role", "grant-permission", "reader", "--prefix=true", "read", "/services/app/"]);
    etcd.ctl(&["user", "grant-role", "weir", "reader"]);
    etcd.ctl(&["auth", "enable"]);
    etcd.login = vec!["--user".into(), "root:secret".into()];
    let login = "user=weir password_file=password";
    let server = follower(&etcd, login).file("password", "wrong\n").start();
    server.wait_log("authentication failed, invalid user ID or password, no servers are known");
    assert_eq!(server.get("/").status, 502);
    server.directory().write("password", "right\n");
    server.signal(Signal::HUP);
    wait_listed(&server, &[&one.address()]);
    assert_eq!(server.text("/"), "one");
    etcd.put("two", "127.0.0.1:2");
    wait_listed(&server, &[&one.address(), "127.0.0.1:2"]);
    assert!(!server.error_log().contains("right"), "no password is in the log");
}

#[test]
fn etcd_is_reached_over_tls() {
    let directory = Directory::new();
    let certificates = ["server", "client", "other"]
        .map(|name| Certificate::self_signed(&directory, name, "localhost"));
    let at = |name: &str| directory.join(name).display().to_string();
    let flag = |name: &str, file: &str| format!("--{name}={}", at(file));
    let [own, client, _] = &certificates;
    let both = [&own.certificate, &client.certificate].map(|name| directory.read(name)).concat();
    directory.write("clients.crt", both);
    let flags = [
        flag("cert-file", &own.certificate),
        flag("key-file", &own.key),
        flag("trusted-ca-file", "clients.crt"),
        "--client-cert-auth".to_owned(),
    ];
    let copies: Vec<(String, String)> =
        ["server.crt", "client.crt", "client.key", "other.crt", "other.key"]
            .map(|name| (name.to_owned(), directory.read(name)))
            .into();
    let login = ["cacert=server.crt", "cert=client.crt", "key=client.key"].map(|argument| {
        let (name, file) = argument.split_once('=').unwrap();
        format!("--{name}={}", at(file))
    });
    let Some(mut etcd) = Etcd::with(directory, "https", &flags) else { return };
    etcd.login = login.into();
    etcd.wait();
    let one = Backend::text("one");
    etcd.put("one", &one.address());
    let good = "ca=server.crt certificate=client.crt certificate_key=client.key";
    for (parameters, told) in [
        (good, ""),
        ("ca=other.crt certificate=client.crt certificate_key=client.key", "certificate"),
        ("ca=server.crt certificate=other.crt certificate_key=other.key", "no servers are known"),
        ("ca=server.crt", "no servers are known"),
    ] {
        let mut setup = follower(&etcd, parameters);
        for (name, content) in &copies {
            setup = setup.file(name, content);
        }
        let server = setup.start();
        if told.is_empty() {
            wait_listed(&server, &[&one.address()]);
            assert_eq!(server.text("/"), "one");
            etcd.put("two", "127.0.0.1:2");
            wait_listed(&server, &[&one.address(), "127.0.0.1:2"]);
        } else {
            server.wait_log("no servers are known");
            server.wait_log(told);
            assert_eq!(listed(&server), [""; 0]);
        }
    }
}

/// The first endpoint takes connections and says nothing, the second refuses them.
#[test]
fn the_next_endpoint_is_asked() {
    let Some(etcd) = Etcd::start() else { return };
    let one = Backend::text("one");
    etcd.put("one", &one.address());
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let dead = Port::reserve();
    let server = setup("discover etcd http://%silent%/ http://127.0.0.1:%dead% %url% %prefix%;")
        .set("silent", silent.local_addr().unwrap())
        .set("dead", dead.number())
        .set("url", etcd.url())
        .set("prefix", PREFIX)
        .start();
    wait_listed(&server, &[&one.address()]);
    assert_eq!(lines(&server, "no servers are known"), 0, "one endpoint is enough");
}

/// Two of three members die, and with them the majority: the third knows nothing for certain.
#[test]
fn an_etcd_without_a_majority_takes_no_server_away() {
    if !etcd_is_there() {
        return;
    }
    let names = ["a", "b", "c"];
    let ports = names.map(|_| (Port::reserve(), Port::reserve()));
    let peers = ports.iter().map(|(_, peer)| format!("http://127.0.0.1:{}", peer.number()));
    let members: Vec<_> =
        names.iter().zip(peers).map(|(name, peer)| format!("{name}={peer}")).collect();
    let mut etcds: Vec<Etcd> = names
        .into_iter()
        .zip(ports)
        .map(|(name, (client, peer))| {
            let cluster = members.join(",");
            let flags = vec![format!("--name={name}"), format!("--initial-cluster={cluster}")];
            Etcd::launched(Directory::new(), client, peer, "http", flags)
        })
        .collect();
    etcds.iter().for_each(Etcd::wait);
    let (one, two) = (Backend::text("one"), Backend::text("two"));
    etcds[0].put("one", &one.address());
    let urls: Vec<_> = etcds.iter().map(Etcd::url).collect();
    let server = setup("discover etcd %url% %prefix%;")
        .set("url", urls.join(" "))
        .set("prefix", PREFIX)
        .start();
    wait_listed(&server, &[&one.address()]);
    assert_eq!(server.text("/"), "one");
    let load = Load::start(&server);
    // Whichever the server is connected to, the other two suffice.
    etcds[0].kill();
    until("the majority", || {
        etcds[1].try_ctl(&["put", "/services/app/one", &one.address()]).is_some()
    });
    load.go_on();
    etcds[1].kill();
    server.wait_log(KEPT_ONE);
    load.go_on();
    etcds[0].start_again();
    until("the majority", || {
        etcds[0].try_ctl(&["put", "/services/app/two", &two.address()]).is_some()
    });
    wait_listed(&server, &[&one.address(), &two.address()]);
    load.go_on();
    load.end();
    assert_eq!((lines(&server, KEPT_ONE), lines(&server, "lists servers again")), (1, 1));
}

#[test]
fn an_answer_that_is_none_is_told() {
    for (answer, told) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "an invalid \"header\""),
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno", "the status is 404"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx", "the answer is not HTTP"),
        ("SSH-2.0-OpenSSH_9.2\r\n", "the answer is not HTTP"),
        ("", "the connection was closed"),
    ] {
        let backend = Backend::new(move |_| crate::harness::Reply::Last(answer.into()));
        let server = setup("discover etcd http://%address% %prefix%;")
            .set("address", backend.address())
            .set("prefix", PREFIX)
            .start();
        server.wait_log(&format!("{told}, no servers are known"));
    }
}

#[test]
fn a_configuration_is_checked() {
    for (parameters, fault) in [
        ("http://127.0.0.1:1", "discover etcd has no \"prefix=\""),
        ("prefix=/a", "discover etcd has no endpoint"),
        ("http://127.0.0.1:1 prefix=", "invalid parameter \"prefix=\""),
        ("http://127.0.0.1:1/v3 prefix=/a", "invalid host in \"http://127.0.0.1:1/v3\""),
        ("http://127.0.0.1:x prefix=/a", "invalid port in \"http://127.0.0.1:x\""),
        ("ftp://127.0.0.1 prefix=/a", "invalid parameter \"ftp://127.0.0.1\""),
        ("http://127.0.0.1 prefix=/a user=a", "belong together"),
        ("https://127.0.0.1 prefix=/a", "\"https://\" requires \"ca=\""),
        ("http://127.0.0.1 prefix=/a ca=a", "\"ca=a\" requires \"https://\""),
        ("https://127.0.0.1 prefix=/a ca=none.crt", "none.crt\" failed (2: No such file"),
        ("https://127.0.0.1 prefix=/a ca=nginx.conf", "cannot load certificate"),
        ("http://127.0.0.1 prefix=/a user=a password_file=empty", "has no password"),
    ] {
        let setup = setup(&format!("discover etcd {parameters};")).file("empty", "\n");
        let told = String::from_utf8_lossy(&setup.check().stderr).into_owned();
        assert!(told.contains(fault), "{parameters}: {told}");
    }
    let whole = conf("discover etcd http://127.0.0.1 http://[::1]:2 prefix=/a;");
    let checked = Server::http(&whole).check();
    assert!(checked.status.success(), "{checked:?}");
}
