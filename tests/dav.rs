//! WebDAV: PUT, DELETE, MKCOL, COPY and MOVE.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use crate::harness::{Response, Server, Setup};

fn setup(more: &str) -> Setup {
    let setup = Server::server(&format!(
        "root %dir%/html; dav_methods PUT DELETE MKCOL COPY MOVE; client_max_body_size 2m;
         absolute_redirect off; {more}"
    ))
    .file("html/old", "old");
    let folder = setup.directory().join("html");
    fs::set_permissions(folder, PermissionsExt::from_mode(0o777)).unwrap();
    setup
}

/// Starts with folders that the worker's user may write to.
fn start(setup: Setup, folders: &[&str]) -> Server {
    for name in folders {
        let folder = setup.directory().join(&format!("html/{name}"));
        fs::create_dir_all(&folder).unwrap();
        fs::set_permissions(folder, PermissionsExt::from_mode(0o777)).unwrap();
    }
    setup.start()
}

fn ask(server: &Server, line: &str, fields: &str, body: &str) -> Response {
    let length = body.len();
    let length =
        if line.starts_with("PUT") { format!("Content-Length: {length}\r\n") } else { "".into() };
    server.ask(format!("{line} HTTP/1.1\r\nHost: localhost\r\n{length}{fields}\r\n{body}"))
}

#[test]
fn files_are_put() {
    let server = setup(
        "location /deep/ { create_full_put_path on; dav_access user:rw group:r; }
         location /one/ { dav_methods DELETE; }",
    );
    let server = start(server, &["deep"]);
    let file = |name: &str| server.directory().read(&format!("html/{name}"));
    let new = ask(&server, "PUT /new%20file", "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n", "text");
    assert_eq!((new.status, new.header("Location")), (201, Some("/new%20file")));
    assert_eq!(new.header("Content-Length"), Some("0"));
    assert_eq!(file("new file"), "text");
    let again = server.get("/new%20file");
    assert_eq!(again.header("Last-Modified"), Some("Sun, 06 Nov 1994 08:49:37 GMT"));
    let replaced = ask(&server, "PUT /old", "", "");
    assert_eq!((replaced.status, replaced.header("Content-Length")), (204, None));
    assert_eq!(file("old"), "");
    // A body in a file, and one in chunks.
    let large = "0123456789".repeat(100_000);
    assert_eq!(ask(&server, "PUT /old", "", &large).status, 204);
    assert_eq!(file("old"), large);
    let chunks = "PUT /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\
                  3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    assert_eq!(server.ask(chunks).status, 201);
    assert_eq!(file("c"), "abcde");
    assert_eq!(ask(&server, "PUT /deep/er/x", "", "x").status, 201);
    let mode = |name: &str| {
        let path = server.directory().join(&format!("html/{name}"));
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    };
    assert_eq!((mode("deep/er/x"), mode("deep/er"), mode("c")), (0o640, 0o750, 0o600));
    for (line, fields, status) in [
        ("PUT /none/x", "", 500),
        ("PUT /deep/", "", 409),
        ("PUT /deep", "", 409),
        ("PUT /old", "Content-Range: bytes 0-1/2\r\n", 501),
        ("PUT /one/x", "", 405),
        ("DELETE /one/x", "", 404),
    ] {
        assert_eq!(ask(&server, line, fields, "x").status, status, "{line}");
    }
    let unframed = "PUT /x HTTP/1.1\r\nHost: x\r\n\r\n";
    assert_eq!(server.ask(unframed).status, 500);
}

#[test]
fn files_and_folders_are_deleted_and_made() {
    let files = setup("location /d/ { min_delete_depth 3; } location /off/ { dav_methods off; }")
        .file("html/a/b/c", "c")
        .file("html/d/e/f", "f")
        .file("html/d/g", "g")
        .file("html/kept/x", "x")
        .file("html/off/x", "x");
    let server = start(files, &["a", "a/b", "d", "d/e", "off"]);
    let folder = server.directory().join("html");
    symlink(folder.join("kept"), folder.join("a/b/link")).unwrap();
    for (line, fields, status) in [
        ("DELETE /old", "", 204),
        ("DELETE /old", "", 404),
        ("DELETE /a", "", 409),
        ("DELETE /a/", "Depth: 0\r\n", 400),
        ("DELETE /a/b/c", "Depth: 1\r\n", 400),
        ("DELETE /a/b/c/", "", 409),
        ("DELETE /a/", "Depth: infinity\r\n", 204),
        ("DELETE /d/g", "", 409),
        ("DELETE /d/e/", "", 409),
        ("DELETE /d/e/f", "", 204),
        ("DELETE /off/x", "", 405),
        ("MKCOL /m", "", 409),
        ("MKCOL /m/", "", 201),
        ("MKCOL /m/", "", 405),
        ("MKCOL /none/m/", "", 409),
        ("MKCOL /n/", "Transfer-Encoding: chunked\r\n", 415),
    ] {
        let body = if fields.contains("chunked") { "1\r\nx\r\n0\r\n\r\n" } else { "" };
        assert_eq!(ask(&server, line, fields, body).status, status, "{line} {fields}");
    }
    assert!(!folder.join("a").exists() && folder.join("m").is_dir());
    // A link goes, and what it leads to stays.
    assert_eq!(server.directory().read("html/kept/x"), "x");
}

#[test]
fn files_and_folders_are_copied_and_moved() {
    let files = setup("location /alias/ { alias %dir%/html/in/; }")
        .file("html/in/x", "x")
        .file("html/in/er/y", "y")
        .file("html/b", "b");
    let server = start(files, &["in", "in/er"]);
    let folder = server.directory().join("html");
    symlink(folder.join("b"), folder.join("in/link")).unwrap();
    let file = |name: &str| fs::read_to_string(folder.join(name)).ok();
    let step = |line: &str, to: &str, fields: &str, status: u16| {
        let fields = format!("Destination: {to}\r\n{fields}");
        assert_eq!(ask(&server, line, &fields, "").status, status, "{line} {fields}");
    };
    step("COPY /old", "/copy", "", 204);
    assert_eq!((file("old").as_deref(), file("copy").as_deref()), (Some("old"), Some("old")));
    step("COPY /b", "http://localhost/copy", "Overwrite: F\r\n", 412);
    step("COPY /b", "http://localhost:80/copy", "Overwrite: T\r\n", 204);
    assert_eq!(file("copy").as_deref(), Some("b"));
    step("MOVE /copy", "/new/folder/m", "", 204);
    assert_eq!((file("copy"), file("new/folder/m").as_deref()), (None, Some("b")));
    step("COPY /in/", "/out/", "", 201);
    assert_eq!((file("out/x").as_deref(), file("out/er/y").as_deref()), (Some("x"), Some("y")));
    assert!(fs::symlink_metadata(folder.join("out/link")).is_err());
    step("MOVE /out/", "/new/", "", 201);
    assert_eq!((file("out/x"), file("new/er/y").as_deref()), (None, Some("y")));
    assert_eq!(file("new/folder/m"), None);
    step("MOVE /alias/x", "/alias/z", "", 204);
    assert_eq!((file("in/x"), file("in/z").as_deref()), (None, Some("x")));
    for (line, to, fields, status) in [
        ("COPY /none", "/x", "", 404),
        ("COPY /old", "/old", "", 403),
        ("COPY /in/", "/in/er/", "", 403),
        ("MOVE /in/er/", "/in/", "", 403),
        ("COPY /in/", "/x", "", 409),
        ("COPY /old", "/x/", "", 409),
        ("COPY /old", "/in", "", 409),
        ("COPY /in", "/x", "", 400),
        ("COPY /old/", "/x/", "", 404),
        ("COPY /old", "/../x", "", 400),
        ("COPY /old", "/%2e%2e/x", "", 400),
        ("COPY /old", "http://other/x", "", 400),
        ("COPY /old", "http://localhost.other/x", "", 400),
        ("COPY /old", "http://localhost", "", 400),
        ("COPY /old", "x", "", 400),
        ("COPY /alias/z", "/a", "", 400),
        ("COPY /old", "/x", "Overwrite: x\r\n", 400),
        ("MOVE /old", "/x", "Depth: 0\r\n", 400),
        ("COPY /old", "/x", "Depth: 1\r\n", 400),
        ("COPY /old", "/x", "Depth: 2\r\n", 400),
    ] {
        step(line, to, fields, status);
    }
    let without = server.ask("COPY /old HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(without.status, 400);
    assert_eq!(file("old").as_deref(), Some("old"));
    // Reading a pipe would wait for a writer.
    let pipe = folder.join("pipe");
    crate::harness::run("mkfifo", &[pipe.to_str().unwrap()]);
    step("COPY /pipe", "/x", "", 500);
}
