//! Requests of every way through the server, and records of them: protocols, waits, subrequests,
//! chains of error pages, large groups, the end of a worker, and what is kept of many.

use serde_json::Value;

use super::{record, recorded, setup, steps};
use crate::fastcgi::records::output;
use crate::harness::{
    Backend, Certificate, Event, Frame, H2Client, H2Upstream, Peer, Reply, Server, Signal,
    children, code, send_signal, until, until_some,
};

/// The records of a list, newest first.
fn listed(server: &Server, query: &str) -> Vec<Value> {
    let all = server.api_get(&format!("http/request_records/?limit=1000&{query}"));
    all.as_array().unwrap().clone()
}

#[test]
fn grpc_and_http_2_upstreams_have_attempts() {
    let upstream = H2Upstream::answering(|peer: &mut Peer, stream, fields, _| {
        let path = fields.iter().find(|(name, _)| name == ":path").unwrap();
        if path.1.contains("reset") {
            peer.frame(&Frame::reset(stream, code::INTERNAL_ERROR));
            return;
        }
        let head = [(":status", "200"), ("content-type", "application/grpc")];
        peer.fields(stream, &head, false);
        peer.fields(stream, &[("grpc-status", "13")], true);
    });
    let server = setup(
        "http2 on;",
        "location /grpc { grpc_pass %u%; }
         location /http { proxy_http_version 2; proxy_pass http://%u%; }",
    )
    .set("u", upstream.address())
    .start();
    for (target, status) in [("/grpc/a", 200), ("/http/a", 200), ("/grpc/reset", 502)] {
        let answer = H2Client::of(&server).post(target, "content-type: application/grpc\r\n", b"");
        assert_eq!(answer.whole().0, status);
        let record = record(&server, answer.field("x-request-id").unwrap());
        assert_eq!(record["protocol"], "HTTP/2.0");
        let attempts = record["attempts"].as_array().unwrap();
        assert_eq!(attempts.len(), 1, "{record}");
        assert_eq!(attempts[0]["server"], upstream.address());
        if status == 200 {
            assert_eq!((&attempts[0]["status"], &record["class"]), (&200.into(), &"sample".into()));
        } else {
            assert_eq!(record["class"], "error");
            let error = attempts[0]["error"].as_str().unwrap();
            assert!(error.starts_with("upstream rejected request with error 2"), "{error}");
        }
    }
}

#[test]
fn tls_and_fastcgi_are_told() {
    let application = output(|_| "Status: 503 Busy\r\n\r\n".to_owned());
    let setup = setup(
        "server { listen 127.0.0.1:%port2% ssl; server_name a.test;
             ssl_certificate a.crt; ssl_certificate_key a.key; add_header X-Id $request_id always;
             request_records on slow=off sample=0%;
             location / { fastcgi_pass %a%; fastcgi_param A b; } }",
        "location / { proxy_ssl_verify on; proxy_ssl_trusted_certificate b.crt;
             proxy_pass https://127.0.0.1:%port2%; }",
    )
    .set("a", application.address());
    for label in ["a", "b"] {
        Certificate::self_signed(setup.directory(), label, "a.test");
    }
    let server = setup.start();
    // Its certificate is not trusted.
    let found = recorded(&server, "/");
    assert_eq!(found["status"], 502);
    let error = found["attempts"][0]["error"].as_str().unwrap();
    assert!(error.contains("upstream SSL certificate verify error"), "{error}");

    let port = server.port("port2");
    let target = format!("https://a.test:{port}/over-tls");
    let resolve = format!("a.test:{port}:127.0.0.1");
    let said = std::process::Command::new("curl")
        .args(["-sk", "--http1.1", "--resolve", &resolve, "-o", "/dev/null"])
        .args(["-w", "%{http_code} %header{x-id}", &target])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let found = record(&server, said.strip_prefix("503 ").expect("the status is 503"));
    assert_eq!(found["tls"]["protocol"], "TLSv1.3", "{found}");
    assert_eq!(found["attempts"][0]["status"], 503);
    assert_eq!(found["attempts"][0]["server"], application.address());
}

#[test]
fn who_waits_for_the_cache_says_so() {
    let go = std::sync::Arc::new(std::sync::Barrier::new(2));
    let gate = std::sync::Arc::clone(&go);
    let backend = Backend::new(move |_| {
        gate.wait();
        Reply::ok("page")
    });
    let server = setup(
        "proxy_cache_path %dir%/cache keys_zone=kept:64k;",
        "location /kept { proxy_cache kept; proxy_cache_valid 1h; proxy_cache_lock on;
             proxy_cache_lock_timeout 1m; proxy_cache_lock_age 1m; proxy_pass http://%a%; }",
    )
    .set("a", backend.address())
    .start();
    let (mut first, mut second) = (server.client(), server.client());
    let request = "GET /kept HTTP/1.1\r\nHost: a\r\n\r\n";
    first.send(request);
    until("the fetch", || backend.count() == 1);
    second.send(request);
    until("the wait", || {
        let all = server.api_get("http/requests_under_way/");
        all.as_array().unwrap().iter().any(|request| request["what"] == "cache_lock")
    });
    go.wait();
    let ids = [first.response(), second.response()].map(|answer| {
        assert_eq!(answer.text(), "page");
        answer.header("X-Request-ID").unwrap().to_owned()
    });
    let waited = record(&server, &ids[1]);
    assert_eq!(steps(&waited, "wait", &["name"]), ["cache_lock"]);
    let wait = waited["steps"].as_array().unwrap().iter().find(|step| step["step"] == "wait");
    assert!(wait.unwrap()["took"].as_u64().unwrap() > 0, "{waited}");
    assert_eq!(waited["cache"]["status"], "HIT");
    assert_eq!(record(&server, &ids[0])["cache"]["status"], "MISS");
}

#[test]
fn parts_of_a_page_and_mirrors_are_subrequests() {
    let backend = Backend::new(|seen| match seen.target() {
        "/page" => Reply::with(
            "200 OK",
            "Content-Type: text/html\r\n",
            "<!--# include virtual=\"/part?1\" --><!--# include virtual=\"/dead\" -->",
        ),
        _ => Reply::ok("part"),
    });
    let server = setup(
        "",
        "location /page { ssi on; proxy_pass http://%a%; }
         location /part { proxy_pass http://%a%; }
         location /dead { proxy_pass http://127.0.0.1:1; }
         location /mirrored { mirror /copy; proxy_pass http://%a%; }
         location /copy { internal; proxy_pass http://127.0.0.1:1; }",
    )
    .set("a", backend.address())
    .start();
    let page = recorded(&server, "/page");
    assert_eq!(steps(&page, "subrequest", &["subrequest", "to"]), ["1 /part", "2 /dead"]);
    let mut ends = steps(&page, "subrequest_end", &["subrequest", "status"]);
    ends.sort_unstable();
    assert_eq!(ends, ["1 200", "2 502"]);
    let of = |number: u64| {
        let mut attempts = page["attempts"].as_array().unwrap().iter();
        attempts.find(|attempt| attempt["subrequest"].as_u64() == Some(number)).cloned().unwrap()
    };
    assert_eq!(of(1)["server"], backend.address());
    assert!(of(2)["error"].as_str().unwrap().starts_with("connect() failed"), "{page}");
    // The page itself is whole, whatever its parts are.
    assert_eq!((&page["class"], &page["status"]), (&"sample".into(), &200.into()));

    let mirrored = recorded(&server, "/mirrored");
    assert_eq!(mirrored["status"], 200);
    assert_eq!(steps(&mirrored, "subrequest", &["to"]), ["/copy"]);
}

#[test]
fn a_chain_of_error_pages_is_followed_to_its_end() {
    let backend = Backend::new(|_| Reply::with("418 Teapot", "", "no"));
    let server = setup(
        "",
        "error_page 502 /second; recursive_error_pages on;
         location /first { proxy_pass http://127.0.0.1:1; }
         location /second { error_page 503 @third; return 503; }
         location @third { proxy_intercept_errors on; error_page 418 =500 /fourth;
             proxy_pass http://%a%; }
         location /fourth { rewrite ^ /fifth; }
         location /fifth { auth_request /no; return 200; }
         location /no { return 403; }
         location /loop { error_page 404 /loop; return 404; }",
    )
    .set("a", backend.address())
    .start();
    let answer = server.get("/first");
    let found = record(&server, answer.header("X-Request-ID").unwrap());
    assert_eq!(found["class"], "error", "{found}");
    let redirects = steps(&found, "redirect", &["name", "from", "to", "status"]);
    assert_eq!(
        redirects,
        [
            "error_page /first /second 502",
            "error_page /second @third 503",
            "error_page /second /fourth 418",
        ]
    );
    let locations = steps(&found, "location", &["to"]);
    assert_eq!(locations[..4], ["/first", "/second", "@third", "/fourth"], "{locations:?}");
    let attempts = found["attempts"].as_array().unwrap();
    assert_eq!(attempts[1]["status"], 418);
    // nginx, too, ends a chain without an end.
    let found = recorded(&server, "/loop");
    assert_eq!(steps(&found, "redirect", &["to"]).len(), 10, "{found}");
    assert_eq!(found["status"], 500);
    assert_eq!(found["class"], "error");
}

/// What is noted of a choice does not grow with the group.
#[test]
fn a_group_of_thousands_shows_its_best_servers() {
    let backend = Backend::text("a");
    let dead: String =
        (0..3000).map(|at| format!("server 127.0.{}.{}:1 down;", at / 250, at % 250 + 1)).collect();
    let server = setup(
        &format!("upstream u {{ zone u 8m; least_conn; server %a%; {dead} }}"),
        "location / { proxy_pass http://u; }",
    )
    .set("a", backend.address())
    .start();
    let found = recorded(&server, "/");
    let choice = &found["attempts"][0]["choice"];
    assert_eq!(choice["servers"], 3001);
    let rivals = choice["rivals"].as_array().unwrap();
    assert!((2..=64).contains(&rivals.len()), "{}", rivals.len());
    assert_eq!(rivals[0]["server"], backend.address(), "the chosen one is among them");
    assert_eq!(rivals[0]["chosen"], true);
    let bytes = found.to_string().len();
    assert!(bytes < 32 << 10, "{bytes}");
}

#[test]
fn every_error_is_kept_and_a_bounded_share_of_the_rest() {
    let conf = "request_records_size 8m; server { listen 127.0.0.1:%port%; keepalive_requests 9999;
        request_records on slow=off sample=10%; location /api { api; request_records off; }
        location = /500 { return 500; } location = /502 { proxy_pass http://127.0.0.1:1; }
        location = /503 { return 503; } location = /504 { return 504; }
        location = /599 { return 599; } location / { return 404; } }";
    let server = Server::http(conf).start();
    let statuses = [500, 502, 503, 504, 599];
    for _ in 0..20 {
        for status in statuses {
            assert_eq!(server.get(&format!("/{status}")).status, status);
        }
    }
    let mut client = server.client();
    for _ in 0..1000 {
        assert_eq!(client.get("/").status, 404);
    }
    until("every error", || listed(&server, "errors").len() == 100);
    for status in statuses {
        assert_eq!(listed(&server, &format!("status={status}")).len(), 20, "{status}");
    }
    // 100 of 1,000 are expected, with a deviation of 9.5.
    let sampled = listed(&server, "status=404").len();
    assert!((30..=170).contains(&sampled), "{sampled}");
}

#[test]
fn a_killed_worker_takes_its_records_along() {
    let server = setup("", "location / { return 503; }").alerts_expected().start();
    server.get("/before");
    until("a record", || listed(&server, "").len() == 1);
    let worker = children(server.pid())[0];
    send_signal(worker, Signal::KILL);
    let answer = until_some("another worker", || {
        let mut client = crate::harness::Client::try_connect(&server.address("port")).ok()?;
        client.send_if_wanted("GET /after HTTP/1.0\r\n\r\n");
        client.try_response(false).ok()
    });
    let found = record(&server, answer.header("X-Request-ID").unwrap());
    assert_eq!(found["request"], "GET /after HTTP/1.0");
    let all = listed(&server, "");
    assert!(all.iter().all(|record| record["request"] != "GET /before HTTP/1.1"), "{all:?}");
}

/// An upstream that never answers a stream, and one that is reset by its client, end in records.
#[test]
fn a_client_that_leaves_is_told_of() {
    let upstream = H2Upstream::new(|peer, _| {
        peer.frame(&Frame::settings(&[]));
        while !matches!(peer.event()?, Event::Reset { .. }) {}
        Ok(())
    });
    let server = setup("http2 on;", "location /grpc { grpc_pass %u%; }")
        .set("u", upstream.address())
        .start();
    let mut client = H2Client::of(&server);
    let stream = client.ask("/grpc/a");
    until("the attempt", || {
        let all = server.api_get("http/requests_under_way/");
        all.as_array().unwrap().iter().any(|request| request["upstream_server"].is_string())
    });
    client.frame(&Frame::reset(stream, code::CANCEL));
    let found = until_some("a record", || listed(&server, "").first().cloned());
    let found = record(&server, found["id"].as_str().unwrap());
    assert_eq!((&found["status"], &found["end"]), (&499.into(), &"client".into()), "{found}");
}
