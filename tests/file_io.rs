//! Files read and written beside the event loop (`aio`, `aio_write`, `directio`, `thread_pool`).
//! Operations are held on a disk served by the test, so no clock is needed to see whether other
//! requests are served meanwhile.

use crate::harness::{
    Backend, Client, HeldDisk, Operation, Reply, Response, Server, Setup, Signal, children,
    is_nginx, skipped, until,
};

fn numbers(length: usize) -> Vec<u8> {
    (0..length).map(|number| (number % 251) as u8).collect()
}

/// A single-threaded server whose `/slow/` is a disk with the files `small` and `large`.
fn server(disk: &HeldDisk, main: &str, conf: &str) -> Setup {
    let slow = "location /slow/ { alias %disk%/; } location = / { return 200 fast; }";
    let setup = Server::server(&format!("{slow}\n{conf}")).main(main);
    setup.set("disk", disk.path().display())
}

/// A disk with a small file and several large ones. While a read of a file is held, opening the
/// same file blocks in the kernel, so each request has its own file.
fn disk() -> Option<(HeldDisk, Vec<u8>)> {
    let large = numbers(300_000);
    let mut files: Vec<(&str, &[u8])> = vec![("small", b"small")];
    files.extend(["large", "large1", "large2", "large3"].map(|name| (name, &large[..])));
    Some((HeldDisk::mount(&files)?, large))
}

fn asking(server: &Server, target: &str) -> Client {
    let mut client = server.client();
    client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
    client
}

/// Requests `target` and, while it waits for the disk, another resource.
fn others_are_answered(disk: &HeldDisk, server: &Server, target: &str) -> Response {
    disk.hold(Operation::Read);
    let mut client = asking(server, target);
    disk.wait_held(1);
    for _ in 0..3 {
        assert_eq!(server.text("/"), "fast");
    }
    disk.release();
    client.response()
}

#[test]
fn a_slow_read_delays_no_other_request() {
    let Some((disk, large)) = disk() else { return };
    for conf in [
        "aio threads;",
        "aio threads; sendfile on;",
        "aio threads; sendfile on; sendfile_max_chunk 0;",
        "aio threads; output_buffers 1 1k;",
        "aio on;",
        "aio on; sendfile on;",
    ] {
        // Without `directio`, nginx ignores `aio on`.
        if is_nginx() && conf.starts_with("aio on") {
            continue;
        }
        let server = server(&disk, "", conf).start();
        let response = others_are_answered(&disk, &server, "/slow/small");
        assert_eq!((response.status, response.text().as_str()), (200, "small"), "{conf}");
        let response = others_are_answered(&disk, &server, "/slow/large");
        assert!(response.body == large, "{conf}");
    }
}

/// By itself, the kernel would read such a file in the ring's own call, on the loop.
#[test]
fn a_slow_read_past_the_page_cache_delays_no_other_request() {
    let Some((disk, large)) = disk() else { return };
    disk.bypass_cache();
    for conf in ["aio threads;", "aio on;", "aio on; sendfile on;"] {
        // Without `directio`, nginx ignores `aio on`.
        if is_nginx() && conf.starts_with("aio on") {
            continue;
        }
        let server = server(&disk, "", conf).start();
        let response = others_are_answered(&disk, &server, "/slow/large");
        assert!(response.body == large, "{conf}");
    }
}

#[test]
fn filters_and_includes_wait_for_the_disk_alone() {
    let Some((disk, large)) = disk() else { return };
    let server = server(
        &disk,
        "",
        "aio threads;
         location /sub/ { alias %disk%/; sub_filter nothing something; sub_filter_types *; }
         location /page { ssi on; ssi_types *; root %dir%; }",
    )
    .file("page", "<<!--#include virtual=\"/slow/large1\" -->>")
    .start();
    let response = others_are_answered(&disk, &server, "/sub/large");
    assert!(response.body == large);
    let response = others_are_answered(&disk, &server, "/page");
    assert!(response.body == [b"<", &large[..], b">"].concat());
}

#[test]
fn a_pools_queue_is_limited() {
    let Some((disk, large)) = disk() else { return };
    let conf = "location /one/ { alias %disk%/; aio threads=one; }";
    let server = server(&disk, "thread_pool one threads=1 max_queue=0;", conf).start();
    disk.hold(Operation::Read);
    let mut first = asking(&server, "/one/small");
    disk.wait_held(1);
    let mut second = asking(&server, "/one/large");
    // The head may have been sent before the read.
    assert!(second.rest().len() < large.len());
    server.wait_log("[error] ");
    server.wait_log("thread pool \"one\" queue overflow: 0 tasks waiting");
    disk.release();
    assert_eq!(first.response().text(), "small");
    assert_eq!(server.text("/one/small"), "small");
}

#[test]
fn a_pools_name_may_contain_variables() {
    let Some((disk, _)) = disk() else { return };
    let conf = "location /pool/ { alias %disk%/; aio threads=pool$arg_n; }";
    let main = "thread_pool pool1 threads=1; thread_pool pool2 threads=1;";
    let server = server(&disk, main, conf).start();
    disk.hold(Operation::Read);
    let mut first = asking(&server, "/pool/small?n=1");
    let mut second = asking(&server, "/pool/large?n=2");
    // Each pool has its own thread.
    disk.wait_held(2);
    assert_eq!(server.text("/"), "fast");
    disk.release();
    assert_eq!((first.response().status, second.response().status), (200, 200));
    let mut third = asking(&server, "/pool/small?n=3");
    assert!(!String::from_utf8_lossy(&third.rest()).contains("\r\n\r\nsmall"));
    server.wait_log("thread pool \"pool3\" not found");
}

#[test]
fn a_read_outlives_its_client() {
    let Some((disk, large)) = disk() else { return };
    let server = server(&disk, "", "aio threads; output_buffers 2 256k;").start();
    disk.hold(Operation::Read);
    let names = ["large1", "large2", "large3"];
    let clients = names.map(|name| asking(&server, &format!("/slow/{name}")));
    disk.wait_held(clients.len());
    drop(clients);
    assert_eq!(server.text("/"), "fast");
    disk.release();
    let response = server.get("/slow/large");
    assert!(response.body == large);
}

#[test]
fn reloads_and_shutdowns_wait_for_reads() {
    let Some((disk, large)) = disk() else { return };
    let mut server = server(&disk, "thread_pool x threads=2;", "aio threads=x;").start();
    disk.hold(Operation::Read);
    let mut client = asking(&server, "/slow/large");
    disk.wait_held(1);
    server.rewrite_with(
        "server { listen 127.0.0.1:%port%; location / { return 200 second; } }",
        "thread_pool y threads=1;",
    );
    server.signal(Signal::HUP);
    until("the new configuration", || server.text("/") == "second");
    server.signal(Signal::QUIT);
    server.wait_log("gracefully shutting down");
    disk.release();
    assert!(client.response().body == large);
    assert!(server.wait_exit());
}

#[test]
fn invalid_pools_are_rejected() {
    for (main, http, told) in [
        ("", "aio threads=x;", "unknown thread pool \"x\" in "),
        ("thread_pool x threads=0;", "", "invalid threads value \"threads=0\" in "),
        ("thread_pool x threads=1 max_queue=;", "", "invalid max_queue value \"max_queue=\" in "),
        ("thread_pool x max_queue=1;", "", "\"thread_pool\" must have \"threads\" parameter in "),
        (
            "thread_pool x threads=1; thread_pool x threads=1;",
            "",
            "duplicate thread pool \"x\" in ",
        ),
        ("", "aio thread;", "\"aio\" directive invalid value in "),
        ("", "aio on; aio off;", "\"aio\" directive is duplicate in "),
        ("", "directio x;", "\"directio\" directive invalid value in "),
    ] {
        let output = Server::server(http).main(main).check();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(&format!("[emerg] {told}")), "{main} {http}: {said}");
    }
    for (main, http) in [
        ("thread_pool default threads=2 max_queue=0;", "aio threads;"),
        ("thread_pool x threads=1 what=ever;", "aio threads=x;"),
        ("", "aio threads=$arg_a; aio_write on; directio 4m; directio_alignment 4k;"),
        ("", "aio on; read_ahead 1; sendfile_max_chunk 0;"),
    ] {
        let output = Server::server(http).main(main).check();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && !said.contains("[warn]"), "{main} {http}: {said}");
    }
}

#[test]
fn cached_files_need_no_thread() {
    if is_nginx() {
        return;
    }
    let text = numbers(500_000);
    let conf = "root %dir%; aio threads; location /send/ { alias %dir%/; sendfile on; }";
    let server = Server::server(conf).file("small", "small").file("large", &text).start();
    let threads = || {
        let worker = children(server.pid())[0];
        let tasks = std::fs::read_dir(format!("/proc/{worker}/task")).unwrap();
        let name =
            |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm")).unwrap();
        tasks
            .map(|task| name(task.unwrap()))
            .filter(|name| name.starts_with("weir-default"))
            .count()
    };
    assert_eq!(server.text("/small"), "small");
    if threads() > 0 {
        return skipped("the file system cannot read without waiting");
    }
    for target in ["/large", "/send/large", "/send/small"] {
        let response = server.get(target);
        assert!(response.body == text || response.text() == "small", "{target}");
    }
    assert_eq!(threads(), 0);
}

#[test]
fn direct_reads_give_the_same_bytes() {
    let text = numbers(300_001);
    let conf = "root %dir%; directio 4k; directio_alignment 4k; sendfile on;
         location /aio/ { alias %dir%/; aio on; }
         location /threads/ { alias %dir%/; aio threads; }
         location /cached/ { alias %dir%/; open_file_cache max=10; }";
    let server = Server::server(conf).file("a", &text).file("small", "small").alerts_expected();
    let server = server.start();
    for target in ["/a", "/aio/a", "/threads/a", "/cached/a", "/cached/a"] {
        assert!(server.get(target).body == text, "{target}");
        for (start, end) in [(0, 0), (1, 300_000), (4095, 4096), (511, 70_000), (300_000, 300_000)]
        {
            let range = format!("Range: bytes={start}-{end}\r\n");
            let response = server.get_with(target, &range);
            assert!(response.body == text[start..=end], "{target} {start} {end}");
        }
    }
    assert_eq!(server.text("/threads/small"), "small");
}

#[test]
fn temporary_files_are_written_beside_the_loop() {
    let Some((disk, _)) = disk() else { return };
    let large = numbers(6_000_000);
    let body = large.clone();
    let backend = Backend::new(move |_| Reply::ok(&body[..]));
    let conf = "aio threads; aio_write on; proxy_temp_path %disk%; proxy_buffers 4 8k;
         proxy_buffer_size 8k;
         location /passed { proxy_pass http://%backend%; }
         location /kept { proxy_pass http://%backend%; proxy_store %dir%/kept; }";
    let server = server(&disk, "", conf).set("backend", backend.address());
    let prefix = server.directory().path();
    std::fs::set_permissions(prefix, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let server = server.start();
    for target in ["/passed", "/kept"] {
        disk.hold(Operation::Write);
        let mut client = asking(&server, target);
        // The client reads nothing until data has been written.
        disk.wait_held(1);
        for _ in 0..3 {
            assert_eq!(server.text("/"), "fast");
        }
        disk.release();
        assert!(client.response().body == large, "{target}");
    }
    let kept = server.directory().join("kept");
    until("the file that is kept", || std::fs::read(&kept).is_ok_and(|kept| kept == large));
}

#[test]
fn request_bodies_are_written_beside_the_loop() {
    // nginx writes them on its loop.
    if is_nginx() {
        return;
    }
    let Some((disk, large)) = disk() else { return };
    let backend = Backend::new(|seen| Reply::ok(&seen.body[..]));
    let conf = "aio threads; aio_write on; client_body_temp_path %disk%;
         client_body_buffer_size 1k;
         location /passed { proxy_pass http://%backend%; }
         location /file { client_body_in_file_only clean; proxy_pass http://%backend%; }";
    let server = server(&disk, "", conf).set("backend", backend.address()).start();
    for target in ["/passed", "/file"] {
        disk.hold(Operation::Write);
        let mut client = server.client();
        let length = large.len();
        client
            .send(format!("POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"));
        client.send(&large);
        disk.wait_held(1);
        for _ in 0..3 {
            assert_eq!(server.text("/"), "fast");
        }
        disk.release();
        assert!(client.response().body == large, "{target}");
    }
}

#[test]
fn a_slow_lookup_delays_no_other_request() {
    // nginx opens files on its loop.
    if is_nginx() {
        return;
    }
    let Some((disk, large)) = disk() else { return };
    let conf = "aio threads;
         location /tried/ { alias %disk%/; try_files large1 /; }
         location /first/ { alias %disk%/; index small; }";
    let server = server(&disk, "", conf).start();
    for target in ["/slow/large", "/tried/x", "/first/"] {
        disk.hold(Operation::Lookup);
        let mut client = asking(&server, target);
        disk.wait_held(1);
        for _ in 0..3 {
            assert_eq!(server.text("/"), "fast");
        }
        disk.release();
        let response = client.response();
        assert!(response.body == large || response.text() == "small", "{target}");
    }
}
