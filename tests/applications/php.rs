//! A site in PHP, under each of the usual configurations.

use std::os::unix::fs::PermissionsExt;

use super::{Browser, content, form, how_to, md5, server, take_chunks};
use crate::harness::{Php, Server, skipped};

/// The site's scripts.
const SITE: &[(&str, &str)] = &[
    ("site/index.php", include_str!("site/index.php")),
    ("site/login.php", include_str!("site/login.php")),
    ("site/upload.php", include_str!("site/upload.php")),
    ("site/download.php", include_str!("site/download.php")),
    ("site/parts.php", include_str!("site/parts.php")),
    ("site/large.php", include_str!("site/large.php")),
    ("site/fault.php", include_str!("site/fault.php")),
    ("site/slow.php", include_str!("site/slow.php")),
    ("site/style.css", "p {}"),
    ("site/.secret", "hidden"),
    ("site/uploads/.keep", ""),
    ("private/report 1.bin", "0123456789"),
    ("sessions/.keep", ""),
];

/// Starts PHP with the site; None without PHP.
pub(super) fn start() -> Option<Php> {
    let php = Php::start(SITE)?;
    for folder in ["", "site", "site/uploads", "sessions"] {
        let all = std::fs::Permissions::from_mode(0o777);
        std::fs::set_permissions(php.directory.join(folder), all).unwrap();
    }
    Some(php)
}

/// The page for PHP, and its places.
pub(super) const PAGE: &str = include_str!("../../docs/howto/php.md");
pub(super) const PLACES: &[(&str, &str)] =
    &[("/var/www/blog;", "%php%/site;"), ("unix:/run/php/php8.2-fpm.sock", "unix:%php%/socket")];

/// nginx's example for PHP, with the permalinks of WordPress.
const EXAMPLE: &str = r"
server {
    listen 127.0.0.1:%port%;
    root %php%/site;
    index index.html index.htm index.php;
    client_max_body_size 20m;
    location = /favicon.ico { log_not_found off; access_log off; }
    location / { try_files $uri $uri/ /index.php?$args; }
    location ~* /(?:uploads|files)/.*\.php$ { deny all; }
    location ~ /\. { deny all; }
    location ~* \.(js|css|png|jpg|jpeg|gif|ico)$ { expires max; log_not_found off; }
    location ~ [^/]\.php(/|$) {
        fastcgi_split_path_info ^(.+?\.php)(/.*)$;
        if (!-f $document_root$fastcgi_script_name) { return 404; }
        fastcgi_param HTTP_PROXY '';
        fastcgi_pass unix:%php%/socket;
        fastcgi_index index.php;
        include fastcgi_params;
        fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;
        fastcgi_param PATH_INFO $fastcgi_path_info;
    }
    location /protected/ { internal; alias %php%/private/; }
}";

/// Debian's snippet for PHP, with buffering off in both directions.
const SNIPPET: &str = r"
server {
    listen 127.0.0.1:%port%;
    root %php%/site;
    index index.php;
    client_max_body_size 20m;
    location / { try_files $uri $uri/ /index.php?$args; }
    location ~ /uploads/.*\.php$ { deny all; }
    location ~ /\. { deny all; }
    location ~ \.php(/|$) {
        fastcgi_split_path_info ^(.+?\.php)(/.*)$;
        try_files $fastcgi_script_name =404;
        set $path_info $fastcgi_path_info;
        fastcgi_param PATH_INFO $path_info;
        fastcgi_index index.php;
        include fastcgi.conf;
        fastcgi_buffering off;
        fastcgi_request_buffering off;
        fastcgi_pass unix:%php%/socket;
    }
    location /protected/ { internal; alias %php%/private/; }
}";

#[test]
fn the_how_to_serves_the_site() {
    let places = [PLACES, &[("/var/www/private/", "%php%/private/")]].concat();
    serve(&how_to(PAGE, 0, &places));
}

#[test]
fn the_example_of_nginx_serves_the_site() {
    serve(EXAMPLE);
}

#[test]
fn the_snippet_of_debian_serves_the_site() {
    serve(SNIPPET);
}

fn serve(conf: &str) {
    let Some(php) = start() else { return skipped("no php-fpm") };
    let server = server(conf).set("php", php.directory.path().display()).start();
    links(&server);
    sessions(&server);
    uploads(&server, &php);
    downloads(&server);
    parts(&server, &php);
    faults(&server);
    let large = server.get("/large.php?lines=60000");
    let expected: String = (0..3).map(|at| md5(at.to_string().as_bytes()) + "\n").collect();
    assert_eq!((large.status, large.body.len()), (200, 60_000 * 33));
    assert!(large.body.starts_with(expected.as_bytes()));
}

/// Permalinks, redirects, files, and what does not exist.
fn links(server: &Server) {
    for (target, status, text) in [
        ("/", 200, "home "),
        ("/?s=a%20b", 200, "home a b"),
        ("/hello-world/?page=2", 200, "post Hello, world 2 "),
        ("/gr%C3%BC%C3%9Fe/", 200, "post Gr\u{fc}\u{df}e 1 "),
        ("/none/a&b/", 404, "nothing at /none/a&amp;b/ "),
        ("/style.css", 200, "p {}"),
    ] {
        let response = server.get(target);
        let body = response.text().trim_end_matches('-').to_owned();
        assert_eq!((response.status, body.as_str()), (status, text), "{target}");
    }
    let target = "/index.php/hello-world/";
    assert_eq!(server.text(target), "nothing at /index.php/hello-world/ /hello-world/");
    for (target, status, location) in [
        ("/hello-world", 301, "http://localhost/hello-world/"),
        ("/short/", 302, "../hello-world/"),
        ("/moved/", 308, "/hello-world/"),
    ] {
        let response = server.get(target);
        assert_eq!((response.status, response.header("Location")), (status, Some(location)));
    }
    assert_eq!(server.get("/none.php").status, 404);
    assert_eq!(server.get("/style.css/x.php").status, 404, "no script in a file of another kind");
    for target in ["/.secret", "/uploads/a.php"] {
        assert_eq!(server.get(target).status, 403, "{target}");
    }
    assert_eq!(server.get("/protected/report%201.bin").status, 404);
}

fn sessions(server: &Server) {
    let (mut one, mut other) = (Browser::new(server), Browser::new(server));
    let response = one.ask("POST", "/login.php", "name=Ada+L");
    assert_eq!((response.status, response.header("Location")), (303, Some("login.php")));
    assert_eq!(response.all("Set-Cookie").len(), 2);
    assert_eq!(one.ask("GET", "/login.php", "").text(), "Ada L 1");
    assert_eq!(other.ask("GET", "/login.php", "").text(), "nobody 1");
    assert_eq!(one.ask("GET", "/login.php", "").text(), "Ada L 2");
}

fn uploads(server: &Server, php: &Php) {
    for length in [0, 5, 3_000_000] {
        let sent = content(length);
        let answer = server.ask(form("/upload.php", "a b.php", &sent, "A title"));
        let expected = format!("file a b.php application/x-own {length} {}\nA title", md5(&sent));
        assert_eq!((answer.status, answer.text()), (200, expected));
        assert!(std::fs::read(php.directory.join("site/uploads/a b.php")).unwrap() == sent);
    }
    assert_eq!(server.get("/uploads/a%20b.php").status, 403, "it is not run");
    if server.directory().read("nginx.conf").contains("request_buffering off") {
        // PHP reads no more than the length, which is not known then.
        return;
    }
    let sent = content(200_000);
    let mut client = server.client();
    client.send("PUT /upload.php HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for piece in sent.chunks(7000) {
        client.send(format!("{:x}\r\n", piece.len())).send(piece).send("\r\n");
    }
    client.send("0\r\n\r\n");
    assert!(client.response().text().starts_with(&md5(&sent)));
    let mut client = server.client();
    client.send("POST /upload.php HTTP/1.1\r\nHost: a\r\nContent-Length: 70000000\r\n\r\n");
    assert_eq!(client.response().status, 413);
}

/// PHP decides, the server sends.
fn downloads(server: &Server) {
    let response = server.get("/download.php?file=report+1.bin");
    assert_eq!((response.status, response.text()), (200, "0123456789".to_owned()));
    assert_eq!(response.header("Content-Type"), Some("application/octet-stream"));
    let disposition = "attachment; filename=\"report.bin\"";
    assert_eq!(response.header("Content-Disposition"), Some(disposition));
    let part = server.get_with("/download.php?file=report+1.bin", "Range: bytes=2-4\r\n");
    assert_eq!((part.status, part.text()), (206, "234".to_owned()));
    assert_eq!(server.get("/download.php?file=none").status, 404);
    assert_eq!(server.get("/download.php?file=../site/.secret").status, 404);
}

fn parts(server: &Server, php: &Php) {
    let mut client = server.client();
    client.send("GET /parts.php HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.head().header("Transfer-Encoding"), Some("chunked"));
    take_chunks(&mut client, "one\n");
    php.directory.write("go-0", "");
    take_chunks(&mut client, "two\n");
    php.directory.write("go-1", "");
    take_chunks(&mut client, "three\n");
    assert!(client.take_chunk().is_empty());
}

fn faults(server: &Server) {
    assert_eq!(server.text("/fault.php"), "survived");
    server.wait_log("PHP message: first");
    server.wait_log("PHP message: second");
    assert_eq!(server.get("/fault.php?fatal").status, 500);
    server.wait_log("PHP Fatal error:  Uncaught Exception: the reason");
}
