//! What goes wrong with PHP: clients that leave, a killed PHP, a reload in the middle.

use super::php::{PAGE, PLACES, start};
use super::{content, form, how_to, md5, server};
use crate::harness::{Php, Server, Signal, is_nginx, send_signal, skipped, until};

fn site(php: &Php) -> (Server, String) {
    let places = [PLACES, &[("/var/www/private/", "%php%/private/")]].concat();
    let conf = how_to(PAGE, 0, &places);
    let server = server(&conf).set("php", php.directory.path().display()).alerts_expected();
    (server.start(), conf)
}

#[test]
fn clients_that_leave_free_their_php() {
    let Some(php) = start() else { return skipped("no php-fpm") };
    let (server, _) = site(&php);
    // More than there are processes, one after the other.
    for _ in 0..6 {
        let mut client = server.client();
        client.send("GET /slow.php HTTP/1.1\r\nHost: a\r\n\r\n");
        until("PHP to run", || php.directory.join("running").exists());
        drop(client);
        std::fs::remove_file(php.directory.join("running")).unwrap();
    }
    assert_eq!(server.text("/"), "home ");
    // In the middle of an upload.
    for _ in 0..6 {
        let mut client = server.client();
        let upload = form("/upload.php", "left", &content(400_000), "t");
        client.send(&upload[..upload.len() / 2]);
    }
    assert_eq!(server.text("/"), "home ");
    assert!(!php.directory.join("site/uploads/left").exists());
}

#[test]
fn a_killed_php_ends_its_responses_visibly() {
    let Some(mut php) = start() else { return skipped("no php-fpm") };
    let (server, _) = site(&php);
    let mut client = server.client();
    client.send("GET /slow.php HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.head().status, 200);
    client.take_chunk();
    let workers = php.workers();
    workers.iter().for_each(|worker| send_signal(*worker, Signal::KILL));
    // The chunks have no end.
    let rest = client.rest();
    assert!(!rest.ends_with(b"0\r\n\r\n"), "{}", String::from_utf8_lossy(&rest));
    server.wait_log("while reading upstream");
    // Its master starts others.
    until("another worker", || server.get("/").status == 200);
    php.kill();
    for target in ["/", "/hello-world/"] {
        assert_eq!(server.get(target).status, 502);
    }
    assert_eq!(server.text("/style.css"), "p {}");
    php.revive();
    assert_eq!(server.text("/"), "home ");
}

#[test]
fn an_upload_outlives_a_reload() {
    let Some(php) = start() else { return skipped("no php-fpm") };
    let (server, conf) = site(&php);
    let sent = content(2_000_000);
    let expected = format!("file new application/x-own 2000000 {}\nA title", md5(&sent));
    let upload = form("/upload.php", "new", &sent, "A title");
    let mut clients: Vec<_> =
        (1..4).map(|part| (server.client(), upload.len() * part / 4)).collect();
    for (client, half) in &mut clients {
        client.send(&upload[..*half]);
    }
    // A request that the server has not read yet would belong to the new configuration.
    until("the uploads", || server.error_log().matches("is buffered to a temporary").count() == 3);
    let changed = conf.replace("index index.php;", "index index.php; add_header X-New 1 always;");
    server.rewrite_http(&changed);
    server.signal(Signal::HUP);
    until("the reload", || server.get("/").header("X-New").is_some());
    for (mut client, half) in clients {
        client.send(&upload[half..]);
        let response = client.response();
        assert_eq!((response.status, response.text()), (200, expected.clone()));
        assert_eq!(response.header("X-New"), None, "it belongs to the old configuration");
    }
    if !is_nginx() {
        assert!(!server.error_log().contains("[alert]"), "{}", server.error_log());
    }
}
