//! Files: static, index, ranges, validators, try_files, header fields added by modules.

use crate::harness::Server;

#[test]
fn static_files_have_type_length_and_validators() {
    let server = Server::server(
        "root %dir%/html; types { text/html html; image/x-a a; } default_type application/x-else;
         location /alias/ { alias %dir%/html/sub/; }",
    )
    .file("html/x.html", "<p>")
    .file("html/x.a", "")
    .file("html/other", "?")
    .file("html/sub/index.html", "the index")
    .file("html/with space", "spaced")
    .start();
    let response = server.get("/x.html");
    assert_eq!(response.header("Content-Type"), Some("text/html"));
    assert_eq!(response.header("Content-Length"), Some("3"));
    assert_eq!(response.header("Accept-Ranges"), Some("bytes"));
    let tag = response.header("ETag").unwrap().to_owned();
    let date = response.header("Last-Modified").unwrap().to_owned();
    assert!(tag.starts_with('"') && tag.ends_with("-3\""), "{tag}");

    assert_eq!(server.get("/x.a").header("Content-Type"), Some("image/x-a"));
    assert_eq!(server.get("/other").header("Content-Type"), Some("application/x-else"));
    assert_eq!(server.text("/sub/"), "the index");
    assert_eq!(server.text("/alias/index.html"), "the index");
    assert_eq!(server.text("/with%20space"), "spaced");
    assert_eq!(server.get("/none").status, 404);
    server.wait_log("(2: No such file or directory)");
    assert_eq!(server.get("/").status, 403);
    server.wait_log("is forbidden");
    let response = server.get("/sub");
    let location = format!("http://localhost:{}/sub/", server.port("port"));
    assert_eq!((response.status, response.header("Location")), (301, Some(&*location)));
    assert_eq!(server.ask("POST /x.html HTTP/1.0\r\n\r\n").status, 405);

    let with = |lines: &str| server.get_with("/x.html", lines).status;
    assert_eq!(with(&format!("If-None-Match: {tag}\r\n")), 304);
    assert_eq!(with(&format!("If-None-Match: \"a\", W/{tag}\r\n")), 304);
    assert_eq!(with("If-None-Match: *\r\n"), 304);
    assert_eq!(with("If-None-Match: \"other\"\r\n"), 200);
    assert_eq!(with(&format!("If-Modified-Since: {date}\r\n")), 304);
    assert_eq!(with("If-Modified-Since: Mon, 01 Jan 2001 00:00:00 GMT\r\n"), 200);
    assert_eq!(with(&format!("If-Unmodified-Since: {date}\r\n")), 200);
    assert_eq!(with("If-Unmodified-Since: Mon, 01 Jan 2001 00:00:00 GMT\r\n"), 412);
    assert_eq!(with("If-Match: \"other\"\r\n"), 412);
    assert_eq!(with(&format!("If-Match: {tag}\r\n")), 200);
    let response = server.get_with("/x.html", &format!("If-None-Match: {tag}\r\n"));
    assert_eq!(response.header("ETag"), Some(&*tag));
    assert_eq!(response.header("Content-Length"), None);
}

#[test]
fn ranges() {
    let server = Server::server(
        "root %dir%/html; location /one/ { max_ranges 1; alias %dir%/html/; }
         location /no/ { max_ranges 0; alias %dir%/html/; }",
    )
    .file("html/f", "0123456789")
    .start();
    let range = |value: &str| {
        let response = server.get_with("/f", &format!("Range: bytes={value}\r\n"));
        let range = response.header("Content-Range").unwrap_or("").to_owned();
        (response.status, range, response.text())
    };
    let own = |status: u16, range: &str, text: &str| (status, range.to_owned(), text.to_owned());
    assert_eq!(range("0-0"), own(206, "bytes 0-0/10", "0"));
    assert_eq!(range("2-4"), own(206, "bytes 2-4/10", "234"));
    assert_eq!(range("7-"), own(206, "bytes 7-9/10", "789"));
    assert_eq!(range("-3"), own(206, "bytes 7-9/10", "789"));
    assert_eq!(range("5-100"), own(206, "bytes 5-9/10", "56789"));
    assert_eq!(range("-100"), own(206, "bytes 0-9/10", "0123456789"));
    let (status, field, _) = range("10-");
    assert_eq!((status, field.as_str()), (416, "bytes */10"));
    assert_eq!(range("5-2").0, 416);

    let many = server.get_with("/f", "Range: bytes=0-1,4-5\r\n");
    assert_eq!(many.status, 206);
    let kind = many.header("Content-Type").unwrap();
    let boundary = kind.strip_prefix("multipart/byteranges; boundary=").unwrap();
    let part = |range: &str, text: &str| {
        format!(
            "\r\n--{boundary}\r\nContent-Type: text/plain\r\n\
             Content-Range: bytes {range}/10\r\n\r\n{text}"
        )
    };
    let body = part("0-1", "01") + &part("4-5", "45") + &format!("\r\n--{boundary}--\r\n");
    assert_eq!(many.text(), body);

    let get = |target: &str, lines: &str| server.get_with(target, lines).status;
    assert_eq!(get("/one/f", "Range: bytes=0-1,4-5\r\n"), 200);
    assert_eq!(get("/one/f", "Range: bytes=0-1\r\n"), 206);
    let none = server.get_with("/no/f", "Range: bytes=0-1\r\n");
    assert_eq!((none.status, none.header("Accept-Ranges")), (200, None));
    let tag = none.header("ETag").unwrap();
    assert_eq!(get("/f", &format!("Range: bytes=0-1\r\nIf-Range: {tag}\r\n")), 206);
    assert_eq!(get("/f", "Range: bytes=0-1\r\nIf-Range: \"x\"\r\n"), 200);
}

#[test]
fn a_large_file_arrives_whole() {
    let content: Vec<u8> = (0..5_000_000u32).map(|n| (n % 251) as u8).collect();
    let server = Server::server(
        "root %dir%/html; location /plain/ { sendfile off; alias %dir%/html/; }
        location /send/ { sendfile on; tcp_nopush on; alias %dir%/html/; }
        location /chunk/ { sendfile on; sendfile_max_chunk 64k; output_buffers 2 16k;
            alias %dir%/html/; }",
    )
    .file("html/large", &content)
    .start();
    for target in ["/plain/large", "/send/large", "/chunk/large"] {
        assert!(server.get(target).body == content, "{target}");
    }
}

#[test]
fn a_file_behind_a_held_back_head_arrives_whole_at_any_length() {
    const M: usize = 1024 * 1024;
    let content: Vec<u8> = (0..5 * M).map(|n| (n / 7 % 251) as u8).collect();
    let server = Server::server(
        "root %dir%/html; sendfile on; tcp_nopush on; location /chunks/ {
         sendfile_max_chunk 64k; alias %dir%/html/; }",
    )
    .file("html/large", &content)
    .start();
    // One request after the other on a connection: what one holds back must not delay the next.
    let mut client = server.client();
    for length in [8_000, 10_000, 65_000, 66_000, 2 * M - 200, 2 * M, 2 * M + 1, 5 * M] {
        for folder in ["", "/chunks"] {
            let end = length - 1;
            let range = format!("Range: bytes=0-{end}\r\n\r\n");
            client.send(format!("GET {folder}/large HTTP/1.1\r\nHost: a\r\n{range}"));
            assert!(client.response().body == content[..length], "{length} of {folder}");
        }
    }
    let parts = "Range: bytes=0-99999,200000-299999\r\n";
    let parts = server.get_with("/large", parts).body;
    let second = &content[200_000..300_000];
    assert!(parts.windows(second.len()).any(|window| window == second));
}

#[test]
fn try_files_and_index() {
    let server = Server::server(
        r#"
        root %dir%/html;
        location / { try_files $uri $uri/ /fallback.html; }
        location /code/ { try_files $uri =418; }
        location /named/ { try_files $uri @named; }
        location @named { return 200 "named $uri"; }
        location /args/ { try_files /none /index.php?q=$uri&$args; }
        location /index.php { return 200 "$uri $args"; }
        location /list/ { index nothing.html second.html /absolute; }
        location /absolute { return 200 absolute; }
        "#,
    )
    .file("html/a", "file a")
    .file("html/dir/index.html", "dir index")
    .file("html/fallback.html", "fallback")
    .file("html/list/second.html", "second")
    .file("html/named/x", "x on disk")
    .start();
    let expected = [
        ("/a", "file a"),
        ("/dir/", "dir index"),
        ("/missing", "fallback"),
        ("/named/x", "x on disk"),
        ("/named/y", "named /named/y"),
        ("/args/z?k=v", "/index.php q=/args/z&k=v"),
        ("/list/", "second"),
    ];
    for (target, answer) in expected {
        assert_eq!(server.text(target), answer, "{target}");
    }
    assert_eq!(server.get("/code/x").status, 418);
}

#[test]
fn add_header_and_expires() {
    let server = Server::server(
        r#"
        add_header X-Server "s";
        location / { return 200 x; }
        location /own { add_header X-A $arg_v; add_header X-A two; return 200 x; }
        location /err { add_header X-Ok yes; add_header X-Always yes always; return 404; }
        location /empty { add_header X-Empty ""; return 200 x; }
        location /hour { expires 1h; return 200 x; }
        location /past { expires -1; return 200 x; }
        location /epoch { expires epoch; return 200 x; }
        location /max { expires max; return 200 x; }
        location /cache { add_header Cache-Control private; expires 30s; return 200 x; }
        location /var { expires $arg_e; return 200 x; }
        "#,
    )
    .start();
    assert_eq!(server.get("/").header("X-Server"), Some("s"));
    let response = server.get("/own?v=one");
    assert_eq!(response.all("X-A"), ["one", "two"]);
    assert_eq!(response.header("X-Server"), None);
    let response = server.get("/err");
    assert_eq!((response.header("X-Ok"), response.header("X-Always")), (None, Some("yes")));
    assert_eq!(server.get("/empty").header("X-Empty"), None);
    let cache = |target: &str| server.get(target).header("Cache-Control").map(str::to_owned);
    assert_eq!(cache("/hour").as_deref(), Some("max-age=3600"));
    assert_eq!(cache("/past").as_deref(), Some("no-cache"));
    assert_eq!(cache("/max").as_deref(), Some("max-age=315360000"));
    assert_eq!(server.get("/cache").all("Cache-Control"), ["max-age=30", "private"]);
    assert_eq!(cache("/var?e=10m").as_deref(), Some("max-age=600"));
    assert_eq!(cache("/var?e=off"), None);
    let epoch = server.get("/epoch");
    assert_eq!(epoch.header("Expires"), Some("Thu, 01 Jan 1970 00:00:01 GMT"));
    assert_eq!(server.get("/max").header("Expires"), Some("Thu, 31 Dec 2037 23:55:55 GMT"));
}

#[test]
fn gzip() {
    let text = "compress me ".repeat(1000);
    let server = Server::server(
        "root %dir%/html; gzip on; gzip_types text/plain; gzip_min_length 100; gzip_vary on;
         types { text/plain txt; image/x-a a; }
         location /proxied/ { gzip_proxied no-cache; alias %dir%/html/; }",
    )
    .file("html/x.txt", &text)
    .file("html/x.a", &text)
    .file("html/short.txt", "short")
    .start();
    let response = server.get_with("/x.txt", "Accept-Encoding: gzip\r\n");
    assert_eq!(response.header("Content-Encoding"), Some("gzip"));
    assert_eq!(response.header("Vary"), Some("Accept-Encoding"));
    assert_eq!(response.header("Content-Length"), None);
    assert_eq!(response.header("Accept-Ranges"), None);
    assert!(response.header("ETag").unwrap().starts_with("W/"), "{response:?}");
    let packed = server.directory().write("packed.gz", &response.body);
    let unpacked = crate::harness::run("gzip", &["-dc", packed.to_str().unwrap()]);
    assert_eq!(String::from_utf8_lossy(&unpacked.stdout), text);

    let encoding = |target: &str, lines: &str| {
        server.get_with(target, lines).header("Content-Encoding").map(str::to_owned)
    };
    assert_eq!(encoding("/x.txt", ""), None);
    assert_eq!(encoding("/x.txt", "Accept-Encoding: gzip;q=0\r\n"), None);
    assert_eq!(
        encoding("/x.txt", "Accept-Encoding: deflate, gzip;q=0.5\r\n").as_deref(),
        Some("gzip")
    );
    assert_eq!(encoding("/x.a", "Accept-Encoding: gzip\r\n"), None);
    assert_eq!(encoding("/short.txt", "Accept-Encoding: gzip\r\n"), None);
    assert_eq!(encoding("/x.txt", "Accept-Encoding: gzip\r\nVia: 1.1 other\r\n"), None);
    assert_eq!(server.get("/x.txt").header("Vary"), Some("Accept-Encoding"));
}
