//! `proxy_store`: responses stored as files.

use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};

use crate::harness::{Backend, Reply, Server, Setup, is_nginx, until};

/// A server whose workers may write to their prefix.
fn keeping(backend: &Backend, conf: &str) -> Setup {
    let setup = Server::server(conf).set("backend", backend.address());
    let prefix = setup.directory().path();
    std::fs::set_permissions(prefix, PermissionsExt::from_mode(0o777)).unwrap();
    setup
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path.display().to_string()),
        }
    }
    found
}

/// Whether the folder for temporary files is empty.
fn no_temporary_files(server: &Server) -> bool {
    files(&server.directory().join("proxy_temp")).is_empty()
}

/// Waits until the file exists with this content.
#[track_caller]
fn wait_kept(server: &Server, file: &str, content: impl AsRef<[u8]>) {
    let path = server.directory().join(file);
    until(file, || std::fs::read(&path).is_ok_and(|found| found == content.as_ref()));
}

fn numbers(length: u32) -> Vec<u8> {
    (0..length).map(|n| (n % 251) as u8).collect()
}

#[test]
fn a_response_is_stored_under_its_uri_or_a_name_with_variables() {
    let backend = Backend::new(|seen| Reply::ok(seen.target()));
    let server = keeping(
        &backend,
        "root %dir%/kept;
         location / { proxy_pass http://%backend%; proxy_store on; }
         location /off/ { proxy_pass http://%backend%; }
         location /alias/ { alias %dir%/aliased/; proxy_pass http://%backend%; proxy_store on; }
         location /named/ { proxy_pass http://%backend%; proxy_store %dir%/by-$arg_n$uri.txt; }
         location /nameless/ { proxy_pass http://%backend%; proxy_store $arg_n; }",
    )
    .start();
    let kept = [
        ("/a/deep/one", "kept/a/deep/one"),
        ("/a%20b?c=d", "kept/a b"),
        ("/alias/x/y", "aliased/x/y"),
        ("/named/a?n=n", "by-n/named/a.txt"),
    ];
    for (target, file) in kept {
        assert_eq!(server.text(target), target);
        wait_kept(&server, file, target);
    }
    assert_eq!(server.text("/off/a"), "/off/a");
    assert_eq!(server.text("/nameless/a"), "/nameless/a");
    assert_eq!(files(&server.directory().join("kept")).len(), 2);
    until("temporary files to go", || no_temporary_files(&server));
}

#[test]
fn a_stored_file_has_its_mode_and_time() {
    const TIME: &str = "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    let backend = Backend::new(|seen| match seen.target() {
        "/odd" => Reply::with("200 OK", "Last-Modified: yesterday\r\n", "body"),
        _ => Reply::with("200 OK", TIME, "body"),
    });
    let server = keeping(
        &backend,
        "root %dir%/kept; proxy_store on; proxy_hide_header Last-Modified;
         location / { proxy_pass http://%backend%; }
         location /all/ { proxy_store_access user:rw group:rw all:r; proxy_pass http://%backend%; }
         location /odd { proxy_store_access user:r; proxy_pass http://%backend%; }",
    )
    .start();
    let about = |path: &str| {
        let found = server.directory().join(&format!("kept{path}")).metadata().unwrap();
        (found.mode() & 0o777, found.mtime())
    };
    for target in ["/usual/time", "/all/time", "/odd"] {
        assert_eq!(server.text(target), "body");
        wait_kept(&server, &format!("kept{target}"), "body");
    }
    assert_eq!(about("/usual/time"), (0o600, 784_111_777));
    assert_eq!(about("/usual").0, 0o700);
    assert_eq!(about("/all/time"), (0o664, 784_111_777));
    // The umask of the tests' user limits a folder's mode.
    assert_eq!(about("/all").0 | 0o077, 0o777);
    let (mode, time) = about("/odd");
    assert_eq!(mode, 0o400);
    assert!(time > 1_700_000_000, "the time of the last write");
}

#[test]
fn only_complete_responses_with_status_200_are_stored() {
    let backend = Backend::new(|seen| {
        let text = match seen.target() {
            "/close" => "200 OK\r\n\r\nbody",
            "/chunked" => "200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
            "/empty" => "200 OK\r\nContent-Length: 0\r\n\r\n",
            "/long" => "200 OK\r\nContent-Length: 4\r\n\r\nbody and more",
            "/short" => "200 OK\r\nContent-Length: 5\r\n\r\nbody",
            "/short-chunk" => "200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n",
            "/bad-chunk" => "200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\nx\r\n",
            "/created" => "201 Created\r\nContent-Length: 4\r\n\r\nbody",
            "/part" => "206 Partial\r\nContent-Range: bytes 0-3/9\r\nContent-Length: 4\r\n\r\nbody",
            "/missing" => "404 Not Found\r\nContent-Length: 4\r\n\r\nbody",
            "/direct" => "200 OK\r\nX-Accel-Buffering: no\r\nContent-Length: 4\r\n\r\nbody",
            "/elsewhere" => "200 OK\r\nX-Accel-Redirect: /other\r\nContent-Length: 4\r\n\r\nbody",
            _ => return Reply::ok("body"),
        };
        Reply::Last(format!("HTTP/1.1 {text}").into_bytes())
    });
    let server = keeping(
        &backend,
        "root %dir%/kept; proxy_http_version 1.1; proxy_store on;
         location / { proxy_pass http://%backend%; }
         location /unbuffered { proxy_buffering off; proxy_pass http://%backend%; }
         location /other { return 200 other; }",
    )
    .start();
    for name in ["plain", "close", "chunked", "empty", "long"] {
        let body = server.get(&format!("/{name}")).body;
        wait_kept(&server, &format!("kept/{name}"), body);
    }
    let whole = files(&server.directory().join("kept")).len();
    assert_eq!(whole, 5);
    let names = "short short-chunk bad-chunk created part missing direct elsewhere unbuffered";
    for name in names.split(' ') {
        let mut client = server.client();
        client.send(format!("GET /{name} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
        client.rest();
        assert_eq!(files(&server.directory().join("kept")).len(), whole, "{name}");
    }
    until("temporary files to go", || no_temporary_files(&server));
}

#[test]
fn a_head_request_stores_nothing_without_a_body() {
    let backend = Backend::new(|seen| match seen.line.starts_with("HEAD") {
        true => Reply::Bytes(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec()),
        false => Reply::ok("body"),
    });
    let server = keeping(
        &backend,
        "root %dir%/kept; proxy_store on;
         location / { proxy_pass http://%backend%; }
         location /get/ { proxy_method GET; proxy_pass http://%backend%; }",
    )
    .start();
    let mut client = server.client();
    for target in ["/a", "/get/a"] {
        client.send(format!("HEAD {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(client.head_response().status, 200);
    }
    wait_kept(&server, "kept/get/a", "body");
    // nginx creates an empty file for a HEAD response without a length.
    assert!(is_nginx() || !server.directory().join("kept/a").exists());
}

#[test]
fn a_stored_file_is_replaced_and_failures_do_not_reach_the_client() {
    let backend = Backend::new(|seen| Reply::ok(seen.header("X-Body").unwrap_or("body")));
    let server = keeping(
        &backend,
        "root %dir%/kept; location / { proxy_pass http://%backend%; proxy_store on; }",
    )
    .start();
    for body in ["first", "second and longer", "third"] {
        let answer = server.get_with("/a", &format!("X-Body: {body}\r\n"));
        assert_eq!(answer.text(), body);
        wait_kept(&server, "kept/a", body);
    }
    std::fs::set_permissions(server.directory().join("kept"), PermissionsExt::from_mode(0o777))
        .unwrap();
    std::fs::create_dir(server.directory().join("kept/folder")).unwrap();
    assert_eq!(server.text("/folder"), "body");
    server.wait_log("/kept/folder\" failed (21: Is a directory) while reading upstream");
    assert_eq!(server.text("/a/b"), "body");
    server.wait_log("/kept/a/b\" failed (20: Not a directory) while reading upstream");
    if !is_nginx() {
        std::fs::remove_dir_all(server.directory().join("proxy_temp")).unwrap();
        assert_eq!(server.text("/b"), "body");
        server.wait_log("\" failed (2: No such file or directory) while reading upstream");
    }
    assert_eq!(files(&server.directory().join("kept")).len(), 1);
}

#[test]
fn a_large_response_is_stored_ahead_of_a_slow_client() {
    let body = numbers(9_000_000);
    let copy = body.clone();
    let backend = Backend::new(move |_| Reply::ok(&copy));
    let server = keeping(
        &backend,
        "root %dir%/kept; proxy_store on; proxy_max_temp_file_size 0;
         proxy_buffer_size 1k; proxy_buffers 4 1k; proxy_busy_buffers_size 2k;
         location / { proxy_pass http://%backend%; }
         location /gzip/ { gzip on; gzip_types *; proxy_pass http://%backend%; }",
    )
    .start();
    for target in ["/plain", "/gzip/filtered"] {
        let mut client = server.client();
        client.send(format!(
            "GET {target} HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n"
        ));
        // The client starts to read when the file is complete.
        wait_kept(&server, &format!("kept{target}"), &body);
        let response = client.response();
        match response.header("Content-Encoding") {
            None => assert!(response.body == body, "{target}"),
            Some(_) => assert!(response.body.len() < body.len() / 10, "{target}"),
        }
    }
    until("temporary files to go", || no_temporary_files(&server));
    assert!(!server.error_log().contains("buffered to a temporary file"));
}

#[test]
fn a_response_is_stored_after_a_client_abort() {
    let body = numbers(3_000_000);
    let copy = body.clone();
    let (go, wait) = mpsc::channel::<()>();
    let wait = Arc::new(Mutex::new(wait));
    let backend = Backend::new(move |seen| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", copy.len());
        let whole = [head.as_bytes(), &copy].concat();
        let first = if seen.target() == "/before" { 0 } else { whole.len() / 2 };
        let wait = Arc::clone(&wait);
        Reply::Custom(Box::new(move |stream| {
            let _ = stream.write_all(&whole[..first]);
            let _ = wait.lock().unwrap().recv();
            let _ = stream.write_all(&whole[first..]);
            let _ = stream.read(&mut [0]);
        }))
    });
    let server = keeping(
        &backend,
        "root %dir%/kept; location / { proxy_pass http://%backend%; proxy_store on; }
         location /off/ { proxy_pass http://%backend%; }",
    )
    .start();
    for (number, target) in ["/before", "/midway"].into_iter().enumerate() {
        let mut client = server.client();
        client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        backend.wait(number);
        if target == "/midway" {
            assert_eq!(client.head().status, 200);
        }
        drop(client);
        go.send(()).unwrap();
        wait_kept(&server, &format!("kept{target}"), &body);
    }
    let log = server.error_log();
    assert!(!log.contains("upstream connection is closed too"), "{log}");
    until("temporary files to go", || no_temporary_files(&server));
}

#[test]
fn an_included_response_outlives_the_client_of_the_page() {
    let (go, wait) = mpsc::channel::<()>();
    let wait = Arc::new(Mutex::new(wait));
    let backend = Backend::new(move |_| {
        let wait = Arc::clone(&wait);
        Reply::Custom(Box::new(move |stream| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf");
            let _ = wait.lock().unwrap().recv();
            let _ = stream.write_all(b"half");
            let _ = stream.read(&mut [0]);
        }))
    });
    let server = keeping(
        &backend,
        "location /page { ssi on; ssi_types *; access_log %dir%/access.log; }
         location /included/ { root %dir%/kept; proxy_pass http://%backend%; proxy_store on; }",
    )
    .file("html/page", "<!--#include virtual=\"/included/a\" -->")
    .start();
    let mut client = server.client();
    client.send("GET /page HTTP/1.1\r\nHost: a\r\n\r\n");
    backend.wait(0);
    drop(client);
    if !is_nginx() {
        server.wait_lines("access.log", 1);
    }
    go.send(()).unwrap();
    wait_kept(&server, "kept/included/a", "halfhalf");
}

#[test]
fn a_truncated_response_is_not_stored() {
    let backend = Backend::new(|_| {
        Reply::Custom(Box::new(|stream| {
            let head = b"HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n";
            let _ = stream.write_all(head);
            let _ = stream.write_all(&numbers(2_000_000));
        }))
    });
    let server = keeping(
        &backend,
        "root %dir%/kept; location / { proxy_pass http://%backend%; proxy_store on; }",
    )
    .start();
    let mut client = server.client();
    client.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.head().status, 200);
    assert!(client.rest() == numbers(2_000_000));
    server.wait_log("upstream prematurely closed connection while reading upstream");
    assert!(!server.directory().join("kept").exists());
    until("temporary files to go", || no_temporary_files(&server));
}

#[test]
fn responses_of_subrequests_are_stored() {
    let body = numbers(400_000);
    let copy = body.clone();
    let backend = Backend::new(move |seen| match seen.target() {
        "/included/large" => Reply::ok(&copy),
        _ => Reply::ok("small"),
    });
    let server = keeping(
        &backend,
        "location /page { ssi on; ssi_types *; }
         location /included/ { root %dir%/kept; proxy_pass http://%backend%; proxy_store on; }
         location /mirrored { mirror /included/mirror; }
         location /guarded { auth_request /included/auth; }",
    )
    .file(
        "html/page",
        "<!--#include virtual=\"/included/small\" --><!--#include virtual=\"/included/large\" -->",
    )
    .file("html/guarded", "secret")
    .file("html/mirrored", "mirrored")
    .start();
    let page = server.get("/page").body;
    assert!(page == [&b"small"[..], &body].concat());
    wait_kept(&server, "kept/included/small", "small");
    wait_kept(&server, "kept/included/large", &body);
    assert_eq!(server.text("/guarded"), "secret");
    wait_kept(&server, "kept/included/auth", "small");
    assert_eq!(server.text("/mirrored"), "mirrored");
    wait_kept(&server, "kept/included/mirror", "small");
}
