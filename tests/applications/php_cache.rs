//! The site in PHP with a cache.

use super::php::{PAGE, PLACES, start};
use super::{Browser, how_to, server};
use crate::cache::used;
use crate::harness::{Php, Response, Server, Setup, is_nginx, skipped};

fn cached(php: &Php) -> Setup {
    let mut conf = how_to(PAGE, 1, &[PLACES, &[("/var/cache/weir", "%dir%")]].concat());
    if is_nginx() {
        // nginx sells it.
        conf = conf.replace("fastcgi_cache_purge $purges;", "");
    }
    server(&conf).set("php", php.directory.path().display())
}

fn ask(server: &Server, method: &str, target: &str) -> Response {
    let mut client = server.client();
    client.send(format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    if method == "HEAD" { client.head_response() } else { client.response() }
}

fn status(response: &Response) -> &str {
    response.header("X-Cache").unwrap_or("-")
}

#[test]
fn pages_are_kept_and_sessions_are_not() {
    let Some(php) = start() else { return skipped("no php-fpm") };
    let server = cached(&php).start();
    // What a HEAD leaves is not the page.
    assert_eq!(status(&ask(&server, "HEAD", "/hello-world/")), "MISS");
    for expected in ["MISS", "HIT", "HIT"] {
        let response = server.get("/hello-world/");
        assert_eq!(used(&response), (expected.to_owned(), "post Hello, world 1 -".to_owned()));
    }
    assert_eq!(status(&ask(&server, "HEAD", "/hello-world/")), "HIT");
    assert_eq!(server.text("/hello-world/?page=2"), "post Hello, world 2 -");
    for (target, code) in [("/hello-world", 301), ("/none/", 404)] {
        for expected in ["MISS", "HIT"] {
            let response = server.get(target);
            assert_eq!((response.status, status(&response)), (code, expected), "{target}");
        }
    }
    assert_eq!(server.get("/short/").status, 302);
    assert_eq!(status(&server.get("/short/")), "MISS", "302 is not listed");
    // A session's page is nobody else's.
    let (mut one, mut other) = (Browser::new(&server), Browser::new(&server));
    one.ask("POST", "/login.php", "name=Ada");
    assert_eq!(used(&one.ask("GET", "/login.php", "")), ("BYPASS".to_owned(), "Ada 1".to_owned()));
    let fresh = other.ask("GET", "/login.php", "");
    assert_eq!(used(&fresh), ("MISS".to_owned(), "nobody 1".to_owned()));
    assert_eq!(one.ask("GET", "/login.php", "").text(), "Ada 2");
    assert_eq!(status(&one.ask("GET", "/hello-world/", "")), "BYPASS");
    assert_eq!(status(&server.get("/hello-world/")), "HIT");
}

#[test]
fn pages_are_purged() {
    if is_nginx() {
        return;
    }
    let Some(php) = start() else { return skipped("no php-fpm") };
    let server = cached(&php).start();
    let fill = || {
        for target in ["/", "/hello-world/", "/hello-world/?page=2"] {
            server.get(target);
            assert_eq!(status(&server.get(target)), "HIT", "{target}");
        }
    };
    fill();
    assert_eq!(ask(&server, "PURGE", "/hello-world/").status, 204);
    assert_eq!(status(&server.get("/hello-world/")), "MISS");
    assert_eq!(status(&server.get("/hello-world/?page=2")), "HIT");
    fill();
    assert_eq!(ask(&server, "PURGE", "/*").status, 204);
    for target in ["/", "/hello-world/", "/hello-world/?page=2"] {
        assert_eq!(status(&server.get(target)), "MISS", "{target}");
    }
    assert_eq!(ask(&server, "PURGE", "/never/").status, 404);
}

#[test]
fn pages_outlive_php() {
    let Some(mut php) = start() else { return skipped("no php-fpm") };
    let conf = how_to(PAGE, 1, &[PLACES, &[("/var/cache/weir", "%dir%")]].concat());
    let mut conf = conf.replace("301 10m", "301 1s");
    if is_nginx() {
        conf = conf.replace("fastcgi_cache_purge $purges;", "");
    }
    let server = server(&conf).set("php", php.directory.path().display()).start();
    server.get("/hello-world/");
    php.kill();
    // Until its second is over it is a hit, then it is stale.
    crate::harness::until("a stale page", || {
        let response = server.get("/hello-world/");
        assert_eq!((response.status, response.text()), (200, "post Hello, world 1 -".to_owned()));
        // With updates beside requests, nobody waits for the dead PHP.
        ["STALE", "UPDATING"].contains(&status(&response))
    });
    assert_eq!(server.get("/none/").status, 502);
    php.revive();
    crate::harness::until("the fresh page", || {
        let response = server.get("/hello-world/");
        assert_eq!(response.status, 200);
        status(&response) == "HIT"
    });
    assert_eq!(server.get("/none/").status, 404);
}

/// A file that PHP lets one client have is no page for the others.
#[test]
fn files_that_php_names_are_not_kept() {
    let Some(php) = start() else { return skipped("no php-fpm") };
    let conf = how_to(PAGE, 1, &[PLACES, &[("/var/cache/weir", "%dir%")]].concat());
    let mut conf = conf.replace(
        "location / {",
        "location /protected/ { internal; alias %php%/private/; } location / {",
    );
    if is_nginx() {
        conf = conf.replace("fastcgi_cache_purge $purges;", "");
    }
    let server = server(&conf).set("php", php.directory.path().display()).start();
    for _ in 0..3 {
        let response = server.get("/download.php?file=report+1.bin");
        assert_eq!((response.status, response.text()), (200, "0123456789".to_owned()));
        assert_eq!(status(&response), "-");
    }
    php.directory.write("private/report 1.bin", "changed");
    assert_eq!(server.text("/download.php?file=report+1.bin"), "changed");
}
