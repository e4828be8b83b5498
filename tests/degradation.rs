//! `degradation` and `degrade`: requests are refused while the process takes much memory.

use crate::harness::Server;

#[test]
fn requests_are_refused_above_the_limit() {
    let server = Server::http(
        "degradation sbrk=1;
         server { listen 127.0.0.1:%port%;
             location / { return 200 \"fine\"; }
             location /204 { degrade 204; root %dir%; }
             location /444 { degrade 444; root %dir%; } }",
    )
    .start();
    assert_eq!(server.text("/"), "fine");
    assert_eq!(server.get("/204").status, 204);
    let mut client = server.client();
    client.send("GET /444 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.received(), "");
    server.wait_log("[notice]");
    server.wait_log("degradation sbrk:");
}

#[test]
fn requests_are_served_below_the_limit() {
    let server = Server::http(
        "degradation sbrk=900000m; degrade 444;
         server { listen 127.0.0.1:%port%; root %dir%/html; }",
    )
    .file("html/a", "file")
    .start();
    assert_eq!(server.text("/a"), "file");
    let without = Server::server("degrade 444; root %dir%/html;").file("html/a", "file").start();
    assert_eq!(without.text("/a"), "file");
}

#[test]
fn sizes_are_checked() {
    for (line, message) in [
        ("degradation sbrk=x;", "invalid sbrk size \"sbrk=x\""),
        ("degradation 1m;", "invalid parameter \"1m\""),
        ("degrade 500;", "invalid value \"500\""),
    ] {
        let output = Server::conf(&format!("events {{}} http {{ {line} }}")).check();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && text.contains(message), "{text}");
    }
}
