//! Logs in JSON: `error_log … json` and the access log format `weir_json`.

use std::net::UdpSocket;

use serde_json::Value;

use crate::cache_disk::SmallDisk;
use crate::harness::{Backend, H2Client, PATIENCE, Reply, Server, Signal, is_nginx, until};

/// The object that a line is.
fn object(line: &str) -> Value {
    let value: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
    assert!(value.is_object(), "{line}");
    value
}

/// The lines of a file, each an object, once `count` of them are about something.
fn objects(server: &Server, name: &str, count: usize, about: &str) -> Vec<Value> {
    let mut found = Vec::new();
    until(&format!("{count} lines with {about}"), || {
        let text = std::fs::read(server.directory().join(name)).unwrap_or_default();
        let text = String::from_utf8(text).expect("a log is UTF-8");
        found = text.lines().filter(|line| line.contains(about)).map(object).collect();
        found.len() >= count
    });
    assert_eq!(found.len(), count, "{found:?}");
    found
}

/// Whether a time is RFC 3339 with milliseconds.
fn is_time(value: &Value) -> bool {
    let shape = |c: char| if c.is_ascii_digit() { '0' } else { c };
    let text: String = value.as_str().unwrap_or_default().chars().map(shape).collect();
    ["0000-00-00T00:00:00.000+00:00", "0000-00-00T00:00:00.000-00:00"].contains(&&*text)
}

#[test]
fn an_error_log_in_json_has_the_parts_as_members() {
    let server = Server::http(
        r#"
        error_log %dir%/plain.log info;
        error_log %dir%/json.log json info;
        server {
            listen 127.0.0.1:%port%;
            server_name a.test;
            access_log %dir%/access.log weir_json;
            location / { proxy_pass http://127.0.0.1:1/x; }
        }
        "#,
    )
    .start();
    let fields = "Host: a.test\r\nReferer: http://r.test/\"é\r\n\
                  traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n";
    let line = "GET /p?q=\u{e9}\u{2028} HTTP/1.1";
    let mut client = server.client();
    client.send(format!("{line}\r\n{fields}Connection: close\r\n\r\n").as_bytes());
    client.rest();
    let found = objects(&server, "json.log", 1, "connect() failed").remove(0);
    let access = objects(&server, "access.log", 1, "request_id").remove(0);
    assert!(is_time(&found["time"]), "{found}");
    for (name, value) in [
        ("level", "error"),
        ("message", "connect() failed (111: Connection refused) while connecting to upstream"),
        ("client", "127.0.0.1"),
        ("server", "a.test"),
        ("request", line),
        ("upstream", "http://127.0.0.1:1/xp?q=\u{e9}\u{2028}"),
        ("host", "a.test"),
        ("referrer", "http://r.test/\"é"),
        ("trace_id", "0af7651916cd43dd8448eb211c80319c"),
    ] {
        assert_eq!(found[name], value, "{name} of {found}");
    }
    assert!(found["pid"].is_u64() && found["tid"].is_u64() && found["connection"].is_u64());
    assert_eq!(found["request_id"].as_str().map(str::len), Some(32), "{found}");
    // Both logs name a request alike.
    assert_eq!(found["request_id"], access["request_id"]);
    assert_eq!(found["trace_id"], access["trace_id"]);
    assert_eq!(found["connection"], access["connection"]);
    let plain = server.directory().read("plain.log");
    let plain = plain.lines().find(|line| line.contains("connect() failed")).unwrap();
    let end = format!(
        ", client: 127.0.0.1, server: a.test, request: \"{line}\", \
         upstream: \"http://127.0.0.1:1/xp?q=\u{e9}\u{2028}\", host: \"a.test\", \
         referrer: \"http://r.test/\"é\""
    );
    assert!(plain.ends_with(&end), "{plain}");
}

/// What clients send that is no decent request: each gets an answer or a closed connection.
fn indecent() -> Vec<Vec<u8>> {
    let all: Vec<u8> = (1..=255).filter(|byte| !b"\r\n".contains(byte)).collect();
    let mut requests = vec![
        b"GET /\xff\xfe%00\"\\ HTTP/1.1\r\nHost: \xff\"\\\x01\r\n\r\n".to_vec(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec(),
        b"GET /only\r\n".to_vec(),
        b"\"}{\"level\":\"emerg\"\r\n\r\n".to_vec(),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        b"GET / HTTP/9.9\r\nHost: a\r\n\r\n".to_vec(),
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc".to_vec(),
        b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n".to_vec(),
    ];
    for name in ["Referer", "User-Agent", "X-Forwarded-For", "Cookie"] {
        let head = format!("GET /{name} HTTP/1.0\r\n{name}: ").into_bytes();
        requests.push([&*head, &all, b"\r\n\r\n"].concat());
    }
    let long = "\u{1f600}\"\\".repeat(1000);
    requests.push(format!("GET /{long} HTTP/1.0\r\nReferer: {long}\r\n\r\n").into_bytes());
    requests.push([b"GET /", &*all, b" HTTP/1.0\r\n\r\n"].concat());
    requests.push([&*all, b"\r\n\r\n"].concat());
    requests
}

#[test]
fn both_logs_are_json_whatever_clients_send() {
    let mut server = Server::http(
        r#"
        error_log %dir%/json.log info json;
        large_client_header_buffers 4 32k;
        server {
            listen 127.0.0.1:%port%;
            access_log %dir%/access.log weir_json;
            location / { root %dir%/none; log_not_found on; client_max_body_size 5; }
        }
        "#,
    )
    .start();
    let requests = indecent();
    for request in &requests {
        let mut client = server.client();
        client.send(request);
        client.finish();
        client.rest();
    }
    server.signal(Signal::QUIT);
    assert!(server.wait_exit());
    let mut truncated = 0;
    for name in ["json.log", "access.log"] {
        let bytes = std::fs::read(server.directory().join(name)).unwrap();
        let text = String::from_utf8(bytes).expect("a log is UTF-8");
        for line in text.lines() {
            let found = object(line);
            assert!(is_time(&found["time"]), "{line}");
            assert!(name != "json.log" || line.len() < 2048, "{}", line.len());
            truncated += usize::from(name == "json.log" && line.len() > 2000);
        }
        assert!(text.lines().count() >= requests.len() - 3, "{text}");
    }
    assert!(truncated > 0, "a line was long");
}

#[test]
fn numbers_of_an_access_log_are_numbers() {
    let backend = Backend::new(|seen| match seen.target() {
        "/fails" => Reply::Last(Vec::new()),
        _ => Reply::ok("12345"),
    });
    let other = Backend::text("other");
    let server = Server::http(&format!(
        r#"
        upstream two {{ server {} max_fails=0; server {} backup; }}
        server {{
            listen 127.0.0.1:%port%;
            access_log %dir%/access.log Weir_JSON;
            location / {{ proxy_pass http://two; }}
            location /own {{ return 204; }}
        }}
        "#,
        backend.address(),
        other.address()
    ))
    .start();
    server.get("/own");
    server.get_with("/a?b", "User-Agent: u\r\nX-Forwarded-For: 192.0.2.1\r\n");
    server.get("/fails");
    let found = objects(&server, "access.log", 3, "request_id");
    let own = &found[0];
    assert_eq!((&own["status"], &own["completed"]), (&204.into(), &true.into()));
    for absent in ["upstream", "upstream_status", "user", "trace_id", "tls", "user_agent"] {
        assert_eq!(own.get(absent), None, "{own}");
    }
    let passed = &found[1];
    for (name, value) in [
        ("status", Value::from(200)),
        ("body_bytes_sent", 5.into()),
        ("upstream_status", vec![200].into()),
        ("upstream", vec![backend.address().to_string()].into()),
        ("method", "GET".into()),
        ("uri", "/a".into()),
        ("request", "GET /a?b HTTP/1.1".into()),
        ("user_agent", "u".into()),
        ("forwarded_for", "192.0.2.1".into()),
    ] {
        assert_eq!(passed[name], value, "{name} of {passed}");
    }
    assert!(passed["request_time"].is_f64() && passed["upstream_response_time"][0].is_f64());
    let failed = &found[2];
    assert_eq!(failed["upstream_status"], Value::from(vec![502, 200]), "{failed}");
    assert_eq!(failed["upstream"].as_array().map(Vec::len), Some(2));
    assert_eq!(failed["upstream_header_time"].as_array().map(Vec::len), Some(2));
}

#[test]
fn a_format_of_its_own_name_is_a_duplicate() {
    let text = "log_format weir_json x; server { listen 127.0.0.1:%port%; }";
    let checked = Server::http(text).check();
    let fault = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(!checked.status.success());
    assert!(fault.contains("duplicate \"log_format\" name \"weir_json\""), "{fault}");
}

#[test]
fn a_syslog_server_gets_json() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let server = Server::http(
        "error_log syslog:server=%syslog%,nohostname,tag=t warn json;
         server { listen 127.0.0.1:%port%; root %dir%/none; }",
    )
    .set("syslog", socket.local_addr().unwrap())
    .start();
    server.get("/missing\"");
    let mut buffer = [0; 4096];
    let received = socket.recv(&mut buffer).unwrap();
    let text = std::str::from_utf8(&buffer[..received]).unwrap();
    let found = object(text.split_once(" t: ").unwrap().1);
    assert_eq!(found["request"], "GET /missing\" HTTP/1.1");
    assert_eq!(found["level"], "error");
}

#[test]
fn a_diagnostic_in_json_has_its_place() {
    let server = Server::conf(
        "daemon off;
         pid %dir%/nginx.pid;
         error_log %dir%/error.log;
         error_log %dir%/json.log notice json;
         events {}
         http { access_log off; server { listen 127.0.0.1:%port%; return 200; } }",
    )
    .start();
    let conf = server.directory().read("nginx.conf");
    server.directory().write("nginx.conf", conf.replace("return 200;", "\nretorn 200;"));
    server.signal(Signal::HUP);
    let found = objects(&server, "json.log", 1, "retorn").remove(0);
    assert_eq!(found["level"], "emerg");
    let line = 1 + conf.lines().position(|line| line.contains("return 200;")).unwrap() + 1;
    assert_eq!(found["line"], line, "{found}");
    assert!(found["file"].as_str().is_some_and(|file| file.ends_with("/nginx.conf")));
    let end = format!("nginx.conf:{line}");
    assert!(found["message"].as_str().is_some_and(|message| message.ends_with(&end)), "{found}");
}

/// The page's logs, each of whose members it describes.
#[test]
fn the_page_describes_each_member() {
    let page = include_str!("../docs/howto/logs-and-traces.md");
    let logs: Vec<_> = page.lines().filter(|line| line.contains("_log /var/log/weir/")).collect();
    assert_eq!(logs.len(), 2, "{logs:?}");
    let conf = logs.join("\n").replace("/var/log/weir/", "%dir%/json-");
    let location = "location / { proxy_pass http://127.0.0.1:1; }";
    let server = Server::server(&format!("{conf}\n{location}")).start();
    server.get_with("/", "Referer: r\r\nUser-Agent: u\r\nX-Forwarded-For: f\r\n");
    for name in ["json-error.log", "json-access.log"] {
        let found = objects(&server, name, 1, "request_id").remove(0);
        assert!(found.as_object().unwrap().len() > 10, "{found}");
        for member in found.as_object().unwrap().keys() {
            assert!(page.contains(&format!("`{member}`")), "{member} of {name}");
        }
    }
}

/// Requests of a connection, of either protocol, have ids of their own; subrequests have that of theirs.
#[test]
fn each_request_has_an_id() {
    let server = Server::http(
        "server { listen 127.0.0.1:%port%; http2 on; log_subrequest on;
             access_log %dir%/access.log weir_json;
             location / { mirror /mirror; return 200 $request_id; }
             location /sub { auth_request /auth; error_page 404 =200 /own; root %dir%/none; }
             location /auth { return 204; }
             location /own { return 200 $request_id; } }",
    )
    .start();
    let mut kept = server.client();
    let mut h2 = H2Client::of(&server);
    let mut ids: Vec<_> = (0..3).map(|_| kept.get("/").text()).collect();
    ids.extend((0..3).map(|_| h2.get("/").text()));
    ids.push(server.text("/"));
    assert!(ids.iter().all(|id| id.len() == 32), "{ids:?}");
    let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
    assert_eq!(distinct.len(), ids.len(), "{ids:?}");
    let own = server.text("/sub");
    let of_one = objects(&server, "access.log", 2, &own);
    assert_eq!(of_one.iter().filter(|line| line["uri"] == "/auth").count(), 1, "{of_one:?}");
}

/// Whether the lines of a file are objects, without the part of one; and their number.
fn whole_lines(path: &std::path::Path) -> usize {
    let text = std::fs::read_to_string(path).expect("a log is UTF-8");
    let lines = text.lines().map(object).count();
    assert!(text.is_empty() || text.ends_with('\n'), "{}", &text[text.len().saturating_sub(99)..]);
    lines
}

/// Lines that a full disk does not take are lost as a whole, whoever writes next.
#[test]
fn a_full_disk_cuts_no_object() {
    if is_nginx() {
        return;
    }
    let Some(disk) = SmallDisk::mount("64k") else { return };
    let conf = "error_log %disk%/error.log info json;
        server { listen 127.0.0.1:%port%; keepalive_requests 9999;
            access_log %disk%/access.log weir_json;
            access_log %disk%/buffered.log weir_json buffer=9k flush=1h;
            location / { root %dir%/none; } }";
    let conf = conf.replace("%disk%", disk.path.to_str().unwrap());
    let mut server = Server::http(&conf).alerts_expected().start();
    let names = ["error.log", "access.log", "buffered.log"];
    let ask = |count: usize| {
        let mut client = server.client();
        for number in 0..count {
            // Of lengths that end everywhere in a page.
            let target = format!("/{}", "x".repeat(number * 37 % 1900));
            assert_eq!(client.get(&target).status, 404);
        }
    };
    // Far more than 64 KiB.
    ask(200);
    let before = names.map(|name| whole_lines(&disk.path.join(name)));
    assert!(before[0] < 200 && before[1] < 200, "{before:?}");
    // The master writes to one of these files, too; then there is room again.
    server.signal(Signal::HUP);
    for name in names {
        std::fs::rename(disk.path.join(name), disk.path.join(format!("{name}.1"))).unwrap();
    }
    server.signal(Signal::USR1);
    until("new files", || names.iter().all(|name| disk.path.join(name).exists()));
    for name in names {
        whole_lines(&disk.path.join(format!("{name}.1")));
        std::fs::remove_file(disk.path.join(format!("{name}.1"))).unwrap();
    }
    until("lines again", || {
        ask(1);
        whole_lines(&disk.path.join("access.log")) > 0
    });
    ask(200);
    server.signal(Signal::QUIT);
    assert!(server.wait_exit());
    for name in names {
        whole_lines(&disk.path.join(name));
    }
}

/// Programs split lines at more characters than a line feed, such as Python's `splitlines`.
#[test]
fn nothing_that_splits_lines_is_in_a_line() {
    let server = Server::server(
        "access_log %dir%/access.log weir_json; error_log %dir%/json.log json;
         location / { root %dir%/none; }",
    )
    .start();
    let splitting = "\u{b}\u{c}\u{1c}\u{1d}\u{1e}\u{85}\u{2028}\u{2029}\u{7f}";
    let sent = format!("/a{}", splitting.replace(char::is_control, ""));
    let agent = "\u{85}\u{2028}\u{2029}\u{e9}";
    server.ask(format!("GET {sent} HTTP/1.0\r\nReferer: {agent}\r\nUser-Agent: {agent}\r\n\r\n"));
    for name in ["access.log", "json.log"] {
        let line = server.wait_lines(name, 1).remove(0);
        assert!(!line.contains(|c| splitting.contains(c)), "{line:?}");
        assert_eq!(object(&line)["referrer"], agent);
    }
}
