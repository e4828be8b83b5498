//! `proxy_cache_rfc9111`: responses are kept and used as RFC 9111 asks of a shared cache.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::cache::{caching, files, http, numbers, used};
use crate::harness::{Backend, Reply, Response, Server, until};

/// A backend that counts in its bodies. Its fields are those in `X-Say`, separated by `|`; its status
/// is `X-Status`. It answers conditional requests with 304 if there is `X-Unchanged`, with the
/// fields in that.
fn told() -> Backend {
    let count = AtomicUsize::new(0);
    Backend::new(move |seen| {
        let number = count.fetch_add(1, Ordering::Relaxed);
        let lines =
            |text: &str| text.split('|').map(|line| format!("{line}\r\n")).collect::<String>();
        let is_conditional = ["If-None-Match", "If-Modified-Since"]
            .into_iter()
            .any(|name| seen.header(name).is_some());
        if let (true, Some(fields)) = (is_conditional, seen.header("X-Unchanged")) {
            let head = format!("HTTP/1.1 304 Not Modified\r\n{}\r\n", lines(fields));
            return Reply::Bytes(head.into_bytes());
        }
        let fields = lines(seen.header("X-Say").unwrap_or("X-A: b"));
        let status = seen.header("X-Status").unwrap_or("200 OK");
        if status == "gone" {
            return Reply::Last(Vec::new());
        }
        Reply::with(status, &fields, format!("body {number}"))
    })
}

const CONF: &str = "location / { proxy_pass http://%backend%; proxy_cache_rfc9111 on; }
    location /nginx/ { proxy_pass http://%backend%; }
    location /stale/ { proxy_pass http://%backend%; proxy_cache_rfc9111 on;
        proxy_cache_use_stale error http_503; }
    location /targeted/ { proxy_pass http://%backend%; proxy_cache_rfc9111 on;
        proxy_cache_control_targets X-Mine CDN-Cache-Control; }
    location /method/ { proxy_pass http://%backend%; proxy_cache_rfc9111 on;
        proxy_cache_key $request_method:$scheme://$host$request_uri; }";

fn following(backend: &Backend) -> Server {
    caching(backend, CONF).start()
}

fn get(server: &Server, target: &str, say: &str, lines: &str) -> Response {
    server.get_with(target, &format!("X-Say: {say}\r\n{lines}"))
}

/// How the cache is used for a second request.
fn second(server: &Server, target: &str, say: &str, lines: &str) -> String {
    get(server, target, say, "");
    used(&get(server, target, say, lines)).0
}

#[track_caller]
fn age(response: &Response) -> u32 {
    response.header("Age").expect("a field Age").parse().expect("a number")
}

#[test]
fn what_a_response_says_decides() {
    let backend = told();
    let server = following(&backend);
    for (at, (say, status)) in [
        ("Cache-Control: max-age=60", "HIT"),
        ("Cache-Control: x=\"max-age=60\"", "MISS"),
        ("Cache-Control: max-age=60, s-maxage=0", "MISS"),
        ("Cache-Control: max-age=60|Age: 61", "MISS"),
        ("Cache-Control: max-age=60|Age: 30", "HIT"),
        ("Cache-Control: max-age=60|Vary: X-A, *", "MISS"),
        ("Cache-Control: max-age=60, private", "MISS"),
        ("Cache-Control: max-age=60, no-store", "MISS"),
        ("Cache-Control: max-age=60, no-cache|ETag: \"a\"", "EXPIRED"),
        ("Cache-Control: max-age=60|Set-Cookie: a=b", "HIT"),
        ("Expires: Thu, 18 Aug 2050 02:01:18 GMT", "HIT"),
        ("Expires: Thu, 18 Aug 2050 02:01:18 UTC", "MISS"),
        ("Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT", "HIT"),
        ("X-Accel-Expires: 60|Cache-Control: no-store", "HIT"),
        ("X-A: b", "MISS"),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(second(&server, &format!("/{at}"), say, ""), status, "{say}");
    }
    for (at, (say, targeted, plain)) in [
        ("CDN-Cache-Control: max-age=60|Cache-Control: no-store", "HIT", "MISS"),
        ("CDN-Cache-Control: no-store|Cache-Control: max-age=60", "MISS", "HIT"),
        ("X-Mine: no-store|CDN-Cache-Control: max-age=60", "MISS", "MISS"),
        ("CDN-Cache-Control: &|Cache-Control: max-age=60", "HIT", "HIT"),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(second(&server, &format!("/targeted/{at}"), say, ""), targeted, "{say}");
        assert_eq!(second(&server, &format!("/untargeted/{at}"), say, ""), plain, "{say}");
    }
}

#[test]
fn without_the_directive_nothing_of_it_counts() {
    let backend = told();
    let server = following(&backend);
    let say = "Cache-Control: max-age=60, must-revalidate|Age: 61|Date: Sun, 06 Nov 1994 08:49:37 \
               GMT|Connection: X-B|X-B: 1";
    get(&server, "/nginx/a", say, "Authorization: a\r\n");
    let hit = get(&server, "/nginx/a", say, "Cache-Control: no-cache, only-if-cached\r\n");
    assert_eq!(used(&hit), ("HIT".to_owned(), "body 0".to_owned()));
    assert_eq!((hit.header("Age"), hit.header("X-B")), (Some("61"), Some("1")));
    assert_ne!(hit.header("Date"), Some("Sun, 06 Nov 1994 08:49:37 GMT"));
    server.ask(b"DELETE /nginx/a HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(used(&get(&server, "/nginx/a", say, "")).0, "HIT");
    // Kept by the other rules, it is no less a response.
    let fresh = "Cache-Control: max-age=60";
    assert_eq!(second(&server, "/nginx/b", fresh, ""), "HIT");
}

#[test]
fn an_age_is_counted_and_a_date_stays() {
    let backend = told();
    let server = following(&backend);
    let date = "Sun, 06 Nov 2050 08:49:37 GMT";
    let say = format!("Cache-Control: max-age=600|Age: 30|Date: {date}");
    let miss = get(&server, "/a", &say, "");
    assert_eq!(miss.all("Date"), [date]);
    assert_eq!(miss.all("Age"), ["30"]);
    let hit = get(&server, "/a", &say, "");
    assert_eq!((hit.all("Date"), hit.all("Age").len()), (vec![date], 1));
    assert!(age(&hit) >= 30);
    // The age grows with the seconds.
    until("a greater age", || age(&get(&server, "/a", &say, "")) > 31);
    let undated = get(&server, "/b", "Cache-Control: max-age=60|Connection: X-B|X-B: 1", "");
    assert_eq!(undated.header("Age"), None);
    let hit = get(&server, "/b", "", "");
    assert_eq!((hit.all("Date").len(), hit.header("X-B")), (1, None));
    assert!(age(&hit) < 60);
}

#[test]
fn what_a_request_demands_is_met() {
    let backend = told();
    let server = following(&backend);
    let say = "Cache-Control: max-age=600|Age: 30|ETag: \"a\"";
    get(&server, "/a", say, "");
    for (lines, status) in [
        ("", "HIT"),
        ("Cache-Control: max-age=300\r\n", "HIT"),
        ("Cache-Control: max-age=10\r\n", "EXPIRED"),
        ("Cache-Control: min-fresh=300\r\n", "HIT"),
        ("Cache-Control: min-fresh=3000\r\n", "EXPIRED"),
        ("Cache-Control: no-cache\r\n", "EXPIRED"),
        ("Pragma: no-cache\r\n", "EXPIRED"),
        ("Pragma: no-cache\r\nCache-Control: x\r\n", "HIT"),
        ("Cache-Control: only-if-cached\r\n", "HIT"),
        ("Cache-Control: no-store\r\n", "HIT"),
    ] {
        assert_eq!(used(&get(&server, "/a", say, lines)).0, status, "{lines}");
    }
    let only = get(&server, "/absent", say, "Cache-Control: only-if-cached\r\n");
    assert_eq!(only.status, 504);
    let count = backend.count();
    for _ in 0..2 {
        let unkept = get(&server, "/unkept", say, "Cache-Control: no-store\r\n");
        assert_eq!(used(&unkept).0, "MISS");
    }
    assert_eq!(backend.count(), count + 2);
    // Conditions that are for the origin reach it.
    let lines = "If-Match: \"b\"\r\n";
    assert_eq!(get(&server, "/a", say, lines).header("X-Cache"), None);
    assert_eq!(backend.last().header("If-Match"), Some("\"b\""));
    // A stale response, if the client takes it.
    let old = "Cache-Control: max-age=10|Age: 30|ETag: \"a\"";
    get(&server, "/old", old, "");
    for (lines, status) in [
        ("Cache-Control: max-stale\r\n", "STALE"),
        ("Cache-Control: max-stale=600\r\n", "STALE"),
        ("Cache-Control: max-stale=10\r\n", "EXPIRED"),
    ] {
        assert_eq!(used(&get(&server, "/old", old, lines)).0, status, "{lines}");
    }
    let strict = "Cache-Control: max-age=10, must-revalidate|Age: 30|ETag: \"a\"";
    assert_eq!(second(&server, "/strict", strict, "Cache-Control: max-stale\r\n"), "EXPIRED");
}

#[test]
fn responses_to_authorized_requests_are_for_others_only_if_they_say_so() {
    let backend = told();
    let server = following(&backend);
    for (at, (more, status)) in
        [("", "MISS"), (", public", "HIT"), (", must-revalidate", "HIT"), (", s-maxage=60", "HIT")]
            .into_iter()
            .enumerate()
    {
        let (target, say) = (format!("/{at}"), format!("Cache-Control: max-age=60{more}"));
        get(&server, &target, &say, "Authorization: a\r\n");
        assert_eq!(used(&get(&server, &target, &say, "")).0, status, "{more}");
    }
}

#[test]
fn a_304_changes_the_fields_of_what_is_kept() {
    let backend = Backend::new(|seen| {
        let say = "Cache-Control: max-age=600\r\nAge: 601\r\nETag: \"a\"\r\nX-A: 1\r\nX-B: 1\r\n";
        let length = seen.target()[1..].parse().unwrap();
        match seen.header("If-None-Match") {
            Some("\"a\"") => Reply::Bytes(
                b"HTTP/1.1 304 Not Modified\r\nCache-Control: max-age=6000\r\nX-A: 2\r\n\r\n"
                    .to_vec(),
            ),
            _ => Reply::with("200 OK", say, numbers(length)),
        }
    });
    let server = caching(
        &backend,
        "location / { proxy_pass http://%backend%; \
        proxy_cache_rfc9111 on; }",
    )
    .start();
    for length in [0, 10, 16_385, 65_536, 300_000] {
        let target = format!("/{length}");
        server.get(&target);
        let kept = files(&server).len();
        for status in ["REVALIDATED", "HIT", "HIT"] {
            let response = server.get(&target);
            assert_eq!(response.header("X-Cache"), Some(status), "{target}");
            assert!(response.body == numbers(length), "{target}");
            let fields = ["X-A", "X-B", "Cache-Control"].map(|name| response.all(name));
            assert_eq!(fields, [["2"], ["1"], ["max-age=6000"]], "{target}");
            assert!(age(&response) < 601);
        }
        assert_eq!(files(&server).len(), kept);
    }
    // With the condition of a client, too.
    let response = server.get_with("/10", "If-None-Match: \"a\"\r\n");
    assert_eq!((response.status, response.header("X-A")), (304, Some("2")));
}

#[test]
fn a_304_about_another_response_changes_nothing() {
    let backend = told();
    let server = following(&backend);
    let say = "Cache-Control: max-age=60|Age: 61|ETag: \"a\"|X-A: 1";
    get(&server, "/a", say, "");
    let other = "X-Unchanged: ETag: \"b\"|X-A: 2|Cache-Control: max-age=60\r\n";
    let response = get(&server, "/a", say, other);
    assert_eq!((response.header("X-A"), response.header("ETag")), (Some("1"), Some("\"a\"")));
    assert_eq!(used(&get(&server, "/a", say, "")).0, "EXPIRED");
}

#[test]
fn one_condition_precedes_another() {
    let backend = told();
    let server = following(&backend);
    let dated =
        "Cache-Control: max-age=60|ETag: \"a\"|Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT";
    get(&server, "/a", dated, "");
    let early = "If-Modified-Since: Sat, 05 Nov 1994 08:49:37 GMT\r\n";
    let late = "If-Modified-Since: Mon, 07 Nov 1994 08:49:37 GMT\r\n";
    for (lines, status) in [
        (format!("If-None-Match: \"a\"\r\n{early}"), 304),
        (format!("If-None-Match: \"b\"\r\n{late}"), 200),
        (early.to_owned(), 200),
        (late.to_owned(), 304),
        ("If-Modified-Since: today\r\n".to_owned(), 200),
        ("Range: bytes=0-0\r\n".to_owned(), 206),
        ("Range: bytes=0-0\r\nIf-Range: \"a\"\r\n".to_owned(), 206),
        ("Range: bytes=0-0\r\nIf-Range: \"b\"\r\n".to_owned(), 200),
    ] {
        let response = get(&server, "/a", dated, &lines);
        let used = response.header("X-Cache");
        assert_eq!((response.status, used), (status, Some("HIT")), "{lines}");
    }
}

#[test]
fn stale_responses_stand_in_unless_they_forbid_it() {
    let backend = told();
    let server = following(&backend);
    for (at, (directory, more, lines, status)) in [
        ("stale", "", "X-Status: gone\r\n", 200),
        ("stale", "", "X-Status: 503 Oh\r\n", 200),
        ("stale", "", "X-Status: gone\r\nCache-Control: no-cache\r\n", 200),
        ("stale", ", must-revalidate", "X-Status: gone\r\n", 502),
        ("stale", ", proxy-revalidate", "X-Status: 503 Oh\r\n", 503),
        ("stale", ", s-maxage=1", "X-Status: gone\r\n", 502),
        ("stale", ", no-cache", "X-Status: gone\r\n", 502),
        ("plain", "", "X-Status: gone\r\n", 502),
        ("plain", ", stale-if-error=600", "X-Status: gone\r\n", 200),
        ("plain", ", stale-if-error=600", "X-Status: 500 Oh\r\n", 200),
        ("plain", ", stale-if-error=600", "X-Status: 404 Oh\r\n", 404),
        ("plain", ", stale-if-error=10", "X-Status: gone\r\n", 502),
    ]
    .into_iter()
    .enumerate()
    {
        let target = format!("/{directory}/{at}");
        let say = format!("Cache-Control: max-age=1{more}|Age: 30|ETag: \"a\"");
        get(&server, &target, &say, "");
        let response = get(&server, &target, &say, lines);
        assert_eq!(response.status, status, "{directory} {more} {lines}");
    }
}

#[test]
fn what_changes_a_target_ends_the_use_of_what_is_kept() {
    let backend = told();
    let server = following(&backend);
    let fresh = "Cache-Control: max-age=60";
    let ask = |method: &str, target: &str, lines: &str| {
        let request = format!(
            "{method} {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n{lines}\r\n"
        );
        server.ask(request.as_bytes())
    };
    for directory in ["", "/method"] {
        for (method, lines, status) in [
            ("POST", "", "MISS"),
            ("PUT", "", "MISS"),
            ("DELETE", "X-Status: 204 No Content\r\n", "MISS"),
            ("M-SEARCH", "", "MISS"),
            ("POST", "X-Status: 302 Found\r\n", "MISS"),
            ("POST", "X-Status: 500 Oh\r\n", "HIT"),
            ("POST", "X-Status: 404 Oh\r\n", "HIT"),
            ("OPTIONS", "", "HIT"),
        ] {
            let target = format!("{directory}/{method}{}", lines.len());
            get(&server, &target, fresh, "");
            ask(method, &target, lines);
            let used = used(&get(&server, &target, fresh, "")).0;
            assert_eq!(used, status, "{directory} {method} {lines}");
        }
    }
    // All variants, and what is named on the same origin.
    let varied = format!("{fresh}|Vary: X-V");
    for target in ["/x/a", "/x/b?c", "/x/d", "/x/e"] {
        for lines in ["X-V: 1\r\n", "X-V: 2\r\n"] {
            get(&server, target, &varied, lines);
            assert_eq!(used(&get(&server, target, &varied, lines)).0, "HIT");
        }
    }
    let say = "X-Say: Location: b?c|Content-Location: http://localhost/x/d\r\n";
    ask("POST", "/x/a", &say.replace("http://localhost", "http://another"));
    for target in ["/x/a", "/x/b?c", "/x/d", "/x/e"] {
        let status = if matches!(target, "/x/d" | "/x/e") { "HIT" } else { "MISS" };
        for lines in ["X-V: 1\r\n", "X-V: 2\r\n"] {
            assert_eq!(used(&get(&server, target, &varied, lines)).0, status, "{target} {lines}");
        }
    }
    ask("POST", "/x/a", say);
    assert_eq!(used(&get(&server, "/x/d", &varied, "X-V: 1\r\n")).0, "MISS");
}

#[test]
fn variants_are_told_by_meaning() {
    let backend = told();
    let server = following(&backend);
    let say = "Cache-Control: max-age=60|Vary: X-A, Accept-Language";
    get(&server, "/a", say, "X-A: 1, 2\r\nAccept-Language: en, de\r\n");
    for (lines, status) in [
        ("X-A: 1\r\nX-A: 2\r\nAccept-Language: EN,de\r\n", "HIT"),
        ("X-A: 1,2\r\nAccept-Language: en, de\r\n", "MISS"),
        ("X-A: 1, 2\r\nAccept-Language: de\r\n", "MISS"),
        ("X-A: 1, 2\r\nAccept-Language: en, de\r\n", "HIT"),
    ] {
        assert_eq!(used(&get(&server, "/a", say, lines)).0, status, "{lines}");
    }
}

#[test]
fn what_is_kept_survives_a_restart_and_a_reload() {
    let backend = told();
    let mut server = following(&backend);
    let say = "Cache-Control: max-age=600|Age: 30|Date: Sun, 06 Nov 2050 08:49:37 GMT";
    get(&server, "/a", say, "");
    server.reload_http(&http("levels=1:2 keys_zone=one:1m", CONF));
    assert!(age(&get(&server, "/a", say, "")) >= 30);
    server.pause();
    server.resume();
    let hit = get(&server, "/a", say, "");
    assert_eq!((used(&hit).0.as_str(), hit.all("Date").len()), ("HIT", 1));
    assert!(age(&hit) >= 30);
    assert_eq!(backend.count(), 1);
}

#[test]
fn a_response_is_updated_beside_requests_that_take_it_stale() {
    let backend = told();
    let server = caching(
        &backend,
        "location / { proxy_pass http://%backend%; proxy_cache_rfc9111 on;
             proxy_cache_background_update on; }",
    )
    .start();
    let say = "Cache-Control: max-age=10, stale-while-revalidate=600|Age: 30";
    let fresh = "Cache-Control: max-age=10";
    get(&server, "/a", say, "");
    // The update is made for all, whatever its client demands for itself.
    let stale = get(&server, "/a", fresh, "Cache-Control: no-store\r\n");
    assert_eq!(used(&stale), ("STALE".to_owned(), "body 0".to_owned()));
    until("the update", || used(&get(&server, "/a", fresh, "")).1 == "body 1");
    // Beyond the window, and for clients that take nothing stale.
    let old = "Cache-Control: max-age=10, stale-while-revalidate=600|Age: 700";
    get(&server, "/b", old, "");
    assert_eq!(used(&get(&server, "/b", fresh, "")).0, "MISS");
    get(&server, "/c", say, "");
    let lines = "Cache-Control: max-age=20\r\n";
    assert_eq!(used(&get(&server, "/c", fresh, lines)).0, "EXPIRED");
}

#[test]
fn a_response_is_as_old_as_the_time_that_it_took() {
    let backend = Backend::new(|_| {
        thread::sleep(Duration::from_millis(50));
        Reply::with("200 OK", "Cache-Control: max-age=600\r\n", "body")
    });
    let server = following(&backend);
    let begun = Instant::now();
    server.get("/");
    let hit = server.get("/");
    assert_eq!(hit.header("X-Cache"), Some("HIT"));
    assert!(u64::from(age(&hit)) <= begun.elapsed().as_secs() + 1, "{hit:?}");
}

#[test]
fn parts_are_kept_under_keys_that_tell_them_apart() {
    let body = numbers(1000);
    let whole = body.clone();
    let backend = Backend::new(move |seen| {
        let fields = "Cache-Control: max-age=60\r\nETag: \"a\"\r\n";
        let Some(range) = seen.header("Range") else {
            return Reply::with("200 OK", fields, &whole);
        };
        let (first, last) = range["bytes=".len()..].split_once('-').unwrap();
        let first: usize = first.parse().unwrap();
        let last = last.parse().map_or(whole.len() - 1, |last: usize| last.min(whole.len() - 1));
        let fields = format!("{fields}Content-Range: bytes {first}-{last}/{}\r\n", whole.len());
        Reply::with("206 Partial Content", &fields, &whole[first..=last])
    });
    let server = caching(
        &backend,
        "location / { proxy_pass http://%backend%; proxy_cache_rfc9111 on; }
         location /sent/ { proxy_pass http://%backend%; proxy_cache_rfc9111 on;
             proxy_set_header Range bytes=0-9; }
         location /sliced/ { proxy_pass http://%backend%; proxy_cache_rfc9111 on; slice 300;
             proxy_set_header Range $slice_range; proxy_cache_key $uri$slice_range; }",
    )
    .start();
    let part = "Range: bytes=250-650\r\n";
    for target in ["/a", "/sliced/a"] {
        for lines in ["", part, "", part] {
            let response = server.get_with(target, lines);
            let expected = if lines.is_empty() { &body[..] } else { &body[250..=650] };
            assert!(response.body == expected, "{target} {lines}");
        }
        assert_eq!(server.get_with(target, part).header("X-Cache"), Some("HIT"), "{target}");
    }
    // A part that nobody asked for is no answer to others.
    for _ in 0..2 {
        let response = server.get("/sent/a");
        assert_eq!((response.status, response.header("X-Cache")), (206, Some("MISS")));
    }
}

#[test]
fn a_removal_by_request_has_precedence() {
    let backend = told();
    let server = caching(
        &backend,
        "location / { proxy_pass http://%backend%; proxy_cache_rfc9111 on;
             proxy_cache_purge $http_x_purge; }",
    )
    .start();
    let fresh = "Cache-Control: max-age=60";
    get(&server, "/a", fresh, "");
    let purge = "X-Purge: 1\r\nIf-Match: \"a\"\r\nCache-Control: only-if-cached\r\n";
    assert_eq!(server.get_with("/a", purge).status, 204);
    assert_eq!(used(&get(&server, "/a", fresh, "")).0, "MISS");
}

#[test]
fn targets_without_the_mode_are_warned_of() {
    let warning = "[warn] \"proxy_cache_control_targets\" has no effect without \
                   \"proxy_cache_rfc9111 on\"";
    for (more, is_warned) in [("", true), ("proxy_cache_rfc9111 on;", false)] {
        let conf = format!(
            "proxy_cache_path %dir%/c keys_zone=one:1m;
             server {{ listen 127.0.0.1:%port%; proxy_cache one; {more}
                 proxy_cache_control_targets CDN-Cache-Control;
                 location / {{ proxy_pass http://127.0.0.1:1; }} }}"
        );
        let output = Server::http(&conf).check();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(said.contains(warning), is_warned, "{said}");
        assert!(output.status.success());
    }
}
