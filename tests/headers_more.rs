//! The directives of headers-more: fields of responses and requests that are set and cleared.
//! Expected values were taken from the module in nginx, except for framing.

use crate::harness::{Backend, Reply, Server};

#[test]
fn fields_of_responses_are_set_and_cleared() {
    let server = Server::http(
        "more_set_headers 'X-Level: http' 'X-Http: yes';
         server { listen 127.0.0.1:%port%; more_set_headers 'X-Level: server';
           location /inherited { return 200 x; }
           location /own { more_set_headers 'X-Level: $uri' 'X-Http:'; return 200 x; }
           location /if { more_set_headers 'X-If: no';
               if ($arg_a) { more_set_headers 'X-If: $arg_a'; } return 200 x; }
           location /added { add_header X-A one; more_set_headers 'X-A: two'; return 200 x; }
           location /kept { add_header X-A one; more_clear_headers X-A; return 200 x; }
           location /append { more_set_headers -a 'X-B: 1' 'X-B: 2'; return 200 x; }
           location /twice { more_set_headers 'X-B: 1' 'X-B: 2'; return 200 x; }
           location /own-fields { more_set_headers 'Server: me' 'Date: now' 'Content-Type: a/b';
               return 200 x; }
           location /cleared { more_clear_headers Server Date Content-Type; return 200 x; }
           location /prefix { more_clear_headers 'Serv*' 'Date*'; return 200 x; }
           location /charset { charset utf-8; default_type text/html;
               more_set_headers 'Content-Type: text/plain; charset=latin1'; return 200 x; }
           location /moved { more_set_headers 'Location: /new'; return 301 /old; }
           location /unmoved { more_clear_headers Location; return 301 /old; }
           location /prefixed { more_clear_headers 'Loc*'; return 301 /old; }
           location /empty { more_set_headers 'Server: $arg_x'; return 204; }
         }",
    )
    .start();
    let value = |target: &str, name: &str| server.get(target).header(name).map(str::to_owned);
    let is = |target: &str, name: &str, expected: Option<&str>| {
        assert_eq!(value(target, name).as_deref(), expected, "{target} {name}");
    };
    is("/inherited", "X-Level", Some("server"));
    is("/inherited", "X-Http", Some("yes"));
    is("/own", "X-Level", Some("/own"));
    is("/own", "X-Http", None);
    is("/if", "X-If", Some("no"));
    is("/if?a=b", "X-If", Some("b"));
    // `add_header` comes later.
    assert_eq!(server.get("/added").all("X-A"), ["two", "one"]);
    assert_eq!(server.get("/kept").all("X-A"), ["one"]);
    assert_eq!(server.get("/append").all("X-B"), ["1", "2"]);
    assert_eq!(server.get("/twice").all("X-B"), ["2"]);
    let own = server.get("/own-fields");
    assert_eq!(own.all("Server"), ["me"]);
    assert_eq!(own.all("Date"), ["now"]);
    assert_eq!(own.all("Content-Type"), ["a/b"]);
    for name in ["Server", "Date", "Content-Type"] {
        is("/cleared", name, None);
    }
    // The server's own are no fields yet.
    let prefix = server.get("/prefix");
    assert!(prefix.header("Server").is_some() && prefix.header("Date").is_some());
    is("/charset", "Content-Type", Some("text/plain; charset=latin1"));
    let to = format!("http://127.0.0.1:{}/new", server.port("port"));
    is("/moved", "Location", Some(&to.replace("127.0.0.1", "localhost")));
    is("/unmoved", "Location", None);
    is("/prefixed", "Location", None);
    is("/empty", "Server", None);
}

#[test]
fn statuses_and_types_choose_responses() {
    let server = Server::server(
        "root %dir%/html; error_page 403 /denied.html;
         more_set_headers -s 404 -s '500 403' 'X-Error: yes';
         more_set_headers -t 'text/css; text/html' 'X-Type: yes';
         more_set_headers -s 404 -t image/png 'X-Both: yes';
         more_clear_headers -s 200 ETag Last-Modified;
         location /ok { return 200 x; }
         location /css { default_type text/css; return 200 x; }
         location /charset { charset utf-8; default_type text/html; return 200 x; }
         location = /denied.html { }
         location /none { error_page 404 /not.png; }
         location /not.png { default_type image/png; return 404 x; }
         location /denied/ { deny all; }",
    )
    .file("html/denied.html", "sorry")
    .file("html/plain", "plain")
    .start();
    let fields = |target: &str| {
        let answer = server.get(target);
        ["X-Error", "X-Type", "X-Both"].map(|name| answer.header(name).is_some())
    };
    assert_eq!(fields("/ok"), [false, false, false]);
    assert_eq!(fields("/css"), [false, true, false]);
    assert_eq!(fields("/charset"), [false, true, false]);
    // The page's status is that of the error.
    assert_eq!(fields("/denied/x"), [true, true, false]);
    assert_eq!(fields("/none"), [true, false, true]);
    assert_eq!(fields("/not.png"), [true, false, true]);
    assert_eq!(server.ask("GET / BAD\r\n\r\n").header("X-Error"), None);
    let plain = server.get("/plain");
    assert_eq!((plain.header("ETag"), plain.header("Last-Modified")), (None, None));
}

/// A wrong length of a body would make the client take its rest for the next response.
#[test]
fn no_field_changes_how_a_response_ends() {
    let backend = Backend::new(|seen| match seen.target().starts_with("/chunked") {
        true => Reply::Bytes(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n".into(),
        ),
        false => Reply::ok("abc"),
    });
    let server = Server::server(
        "location / { proxy_pass http://%a%; more_set_headers 'Content-Length: $arg_l'
             'Transfer-Encoding: $arg_t' 'X-L: 1'; }
         location /clear { more_clear_headers Content-Length; return 200 abc; }
         location /clear-coding { more_clear_headers Transfer-Encoding; proxy_pass http://%a%/chunked; }
         location /next { return 200 next; }",
    )
    .set("a", backend.address())
    .start();
    let mut client = server.client();
    let mut response = |target: &str| {
        let answer = client.get(target);
        assert_eq!(answer.body, b"abc", "{target}");
        // The connection is in sync.
        assert_eq!(client.get("/next").body, b"next", "{target}");
        let fields = ["Content-Length", "Transfer-Encoding"];
        fields.map(|name| answer.all(name).join("|"))
    };
    assert_eq!(response("/x?l=2"), ["3", ""]);
    assert_eq!(response("/x?l=20&t=chunked"), ["3", ""]);
    assert_eq!(response("/x?l=-1"), ["3", ""]);
    assert_eq!(response("/chunked?l=2&t=identity"), ["", "chunked"]);
    assert_eq!(response("/clear"), ["", "chunked"]);
    assert_eq!(response("/clear-coding"), ["", "chunked"]);
    let mut client = server.client();
    client.send(
        "HEAD /chunked?l=17 HTTP/1.1\r\nHost: x\r\n\r\nGET /next HTTP/1.1\r\nHost: x\r\n\r\n",
    );
    assert_eq!(client.head_response().header("Content-Length"), Some("17"));
    assert_eq!(client.response().body, b"next");
}

#[test]
fn fields_of_requests_are_set_and_cleared() {
    let backend = Backend::echo();
    let server = Server::server(
        "set $from_set server; more_set_input_headers 'X-Server: yes';
         location / { set $from_set $arg_a; more_set_input_headers 'X-A: $from_set' 'X-R:';
             if ($arg_if) { more_set_input_headers 'X-If: $arg_if'; }
             proxy_pass http://%a%; }
         location /r { more_set_input_headers -r 'X-R: new'; proxy_pass http://%a%; }
         location /t { more_set_input_headers -t 'a/b; c/d' 'X-T: yes'; proxy_pass http://%a%; }
         location /clear { more_clear_input_headers 'X-*' Cookie; proxy_pass http://%a%; }
         location /seen { more_set_input_headers 'X-R: new' 'Cookie: k=new' 'User-Agent: me'
                 'Host: Other.Example:81' 'Referer: r';
             try_files /none @seen; }
         location = /part { root %dir%; more_set_input_headers 'Range: bytes=1-1'; }
         location @seen { return 200 '$http_x_r $cookie_k $http_user_agent $host $http_host'; }
         location /last { more_set_input_headers 'X-Last: yes'; rewrite ^ /shown last; }
         location /shown { try_files /none @shown; }
         location @shown { return 200 '$http_x_last'; }
         location /host { more_set_input_headers 'Host: $arg_h'; try_files /none @seen; }
         location /close { more_set_input_headers 'Connection: close'; try_files /none @seen; }
         location /sub { auth_request /auth; try_files /none @seen; }
         location = /auth { more_set_input_headers 'X-R: inner'; proxy_pass http://%a%; }",
    )
    .set("a", backend.address())
    .file("part", "abc")
    .start();
    let seen = |target: &str, lines: &str| {
        assert_eq!(server.get_with(target, lines).status, 200);
        backend.last()
    };
    let first = seen("/x?a=1", "X-A: 0\r\nX-A: 00\r\nX-R: old\r\n");
    let all: Vec<_> = first.headers.iter().filter(|(name, _)| name.starts_with("X-")).collect();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(all, [&pair("X-A", "1"), &pair("X-Server", "yes")]);
    assert_eq!(seen("/x?if=2", "").header("X-If"), Some("2"));
    assert_eq!(seen("/r", "").header("X-R"), None);
    assert_eq!(seen("/r", "x-r: old\r\n").header("X-R"), Some("new"));
    assert_eq!(seen("/t", "Content-Type: c/d\r\n").header("X-T"), Some("yes"));
    assert_eq!(seen("/t", "Content-Type: c\r\n").header("X-T"), None);
    let cleared = seen("/clear", "X-Y: 1\r\nx-z: 2\r\nCookie: a\r\nCookie: b\r\nY: 3\r\n");
    assert_eq!(["X-Y", "x-z", "Cookie", "X-Server"].map(|name| cleared.header(name)), [None; 4]);
    assert_eq!(cleared.header("Y"), Some("3"));
    let lines = "X-R: old\r\nCookie: k=old\r\n";
    assert_eq!(server.get_with("/seen", lines).text(), "new new me other.example Other.Example:81");
    let part = server.get_with("/part", "Range: bytes=0-0\r\n");
    assert_eq!((part.status, part.text().as_str()), (206, "b"));
    assert_eq!(server.text("/last"), "yes");
    assert_eq!(server.get("/host?h=a/b").status, 400);
    server.wait_log("more_set_input_headers: invalid host \"a/b\"");
    let mut client = server.client();
    assert_eq!(client.get("/close").header("Connection"), Some("close"));
    assert!(client.is_closed());
    // A subrequest's fields are its own.
    assert!(server.get_with("/sub", "X-R: outer\r\n").text().starts_with("outer "));
    assert_eq!(backend.last().header("X-R"), Some("inner"));
}

/// Otherwise the rest of a body would become a request of its own, here or at the upstream.
#[test]
fn no_field_changes_how_a_request_ends() {
    let backend = Backend::echo();
    let server = Server::server(
        "location / { proxy_pass http://%a%; proxy_http_version 1.1;
             more_set_input_headers 'Content-Length: $arg_l' 'Transfer-Encoding: $arg_t'; }
         location /keep { proxy_pass http://%a%; proxy_http_version 1.1;
             more_set_input_headers 'Content-Length: 3' 'Transfer-Encoding: chunked'; }
         location /prefix { proxy_pass http://%a%; proxy_http_version 1.1;
             more_clear_input_headers 'Content-*' 'Transfer-*'; }
         location /next { return 200 next; }",
    )
    .set("a", backend.address())
    .start();
    let mut client = server.client();
    let mut ask = |target: &str, framing: &str, body: &str| {
        client.send(format!("POST {target} HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n{body}"));
        assert_eq!(client.response().status, 200, "{target}");
        assert_eq!(client.get("/next").body, b"next", "{target}");
        let seen = backend.last();
        let framing = ["Content-Length", "Transfer-Encoding"].map(|name| {
            let same = seen.headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
            same.map(|(_, value)| value.clone()).collect::<Vec<_>>().join("|")
        });
        (framing, String::from_utf8(seen.body).unwrap())
    };
    let framed = |length: &str, coding: &str, body: &str| {
        ([length.to_owned(), coding.to_owned()], body.to_owned())
    };
    let (length, chunked) = ("Content-Length: 5", "Transfer-Encoding: chunked");
    let chunks = "5\r\nabcde\r\n0\r\n\r\n";
    for target in ["/keep", "/prefix", "/x?l=2", "/x?l=90&t=chunked"] {
        assert_eq!(ask(target, length, "abcde"), framed("5", "", "abcde"), "{target}");
        // A body that is here in time is sent with its length.
        let seen = ask(target, chunked, chunks);
        let both = [framed("5", "", "abcde"), framed("", "chunked", "abcde")];
        assert!(both.contains(&seen), "{target}: {seen:?}");
    }
    // A body without a length is not passed on.
    for target in ["/x", "/x?l=0"] {
        assert_eq!(ask(target, length, "abcde"), framed("0", "", ""), "{target}");
        assert_eq!(ask(target, chunked, chunks).1, "abcde", "{target}");
    }
}
