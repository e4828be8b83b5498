//! access_log, log_format, error_log.

use crate::harness::{Server, Signal, until};

#[test]
fn combined_and_own_formats() {
    let server = Server::http(
        r#"
        log_format own '$remote_addr|$request_method|$uri|$args|$status|$body_bytes_sent|'
                       '$bytes_sent|$http_x|$sent_http_x_a|'
                       '$request_length|$server_protocol|$scheme';
        server {
            listen 127.0.0.1:%port%;
            access_log %dir%/combined.log;
            access_log %dir%/own.log own;
            location / { add_header X-A sent; return 200 "12345"; }
        }
        "#,
    )
    .start();
    let length = server.get_with("/p?q=1", "X: v\r\nReferer: r\r\nUser-Agent: ua\r\n");
    let bytes = length.head.len() + 5;
    let line = server.wait_lines("combined.log", 1).remove(0);
    assert!(line.starts_with("127.0.0.1 - - ["), "{line}");
    assert!(line.ends_with("] \"GET /p?q=1 HTTP/1.1\" 200 5 \"r\" \"ua\""), "{line}");
    let line = server.wait_lines("own.log", 1).remove(0);
    assert_eq!(line, format!("127.0.0.1|GET|/p|q=1|200|5|{bytes}|v|sent|93|HTTP/1.1|http"));
}

#[test]
fn escapes() {
    let server = Server::http(
        r#"
        log_format plain "$http_x";
        log_format json escape=json "$http_x";
        log_format none escape=none "$http_x";
        server {
            listen 127.0.0.1:%port%;
            access_log %dir%/plain.log plain;
            access_log %dir%/json.log json;
            access_log %dir%/none.log none;
            return 204;
        }
        "#,
    )
    .start();
    server.get_with("/", "X: a\"b\\c\td\u{e9}\r\n");
    server.get("/");
    assert_eq!(server.wait_lines("plain.log", 2), ["a\\x22b\\x5Cc\\x09d\\xC3\\xA9", "-"]);
    assert_eq!(server.wait_lines("json.log", 2), ["a\\\"b\\\\c\\td\u{e9}", ""]);
    assert_eq!(server.wait_lines("none.log", 2), ["a\"b\\c\td\u{e9}", ""]);
}

#[test]
fn conditions_buffers_and_variables() {
    let mut server = Server::http(
        r#"
        log_format own "$uri";
        map $status $failed { ~^[45] 1; default 0; }
        server {
            listen 127.0.0.1:%port%;
            access_log %dir%/failed.log own if=$failed;
            access_log %dir%/buffered.log own buffer=64k;
            location / { return 200; }
            location /bad { return 400; }
            location /off { access_log off; return 200; }
        }
        "#,
    )
    .start();
    for target in ["/a", "/bad", "/off", "/b"] {
        server.get(target);
    }
    assert_eq!(server.wait_lines("failed.log", 1), ["/bad"]);
    assert_eq!(server.directory().read("buffered.log"), "", "the buffer is not full");
    server.signal(Signal::QUIT);
    assert!(server.wait_exit());
    assert_eq!(server.directory().read("buffered.log"), "/a\n/bad\n/b\n");
}

#[test]
fn usr1_reopens_the_logs() {
    let server = Server::http(
        r#"
        log_format own "$uri";
        server { listen 127.0.0.1:%port%; access_log %dir%/access.log own; return 200; }
        "#,
    )
    .start();
    server.get("/before");
    server.wait_lines("access.log", 1);
    let directory = server.directory();
    std::fs::rename(directory.join("access.log"), directory.join("access.old")).unwrap();
    server.signal(Signal::USR1);
    until("the new log file", || directory.join("access.log").exists());
    // The worker reopens slightly later than the master: a request may go to either file.
    until("a line in the new file", || {
        server.get("/after");
        directory.read("access.log").contains("/after\n")
    });
    assert!(directory.read("access.old").starts_with("/before\n"));
}

#[test]
fn error_log_lines_and_levels() {
    let server = Server::http(
        "server {
            listen 127.0.0.1:%port%;
            root %dir%/html;
            location /info { error_log %dir%/info.log info; }
            location /crit { error_log %dir%/crit.log crit; }
            location /quiet { log_not_found off; error_log %dir%/quiet.log; }
        }",
    )
    .start();
    for target in ["/info/x", "/crit/x", "/quiet/x"] {
        assert_eq!(server.get(target).status, 404);
    }
    let lines = server.wait_lines("info.log", 1);
    let line = lines.iter().find(|line| line.contains("[error]")).expect("an error line");
    let (time, rest) = line.split_at(19);
    assert!(time.chars().all(|c| c.is_ascii_digit() || "/: ".contains(c)), "{line}");
    assert!(rest.starts_with(" [error] ") && rest.contains("#"), "{line}");
    let end =
        ", client: 127.0.0.1, server: , request: \"GET /info/x HTTP/1.1\", host: \"localhost\"";
    assert!(line.ends_with(end), "{line}");
    assert_eq!(server.directory().read("crit.log"), "");
    assert!(!server.directory().read("quiet.log").contains("[error]"));
}

#[test]
fn missing_arguments_are_logged_as_a_dash() {
    let server = Server::http(
        "log_format args '$args|$query_string|$is_args';
         server { listen 127.0.0.1:%port%; access_log %dir%/args.log args; return 200; }",
    )
    .start();
    for target in ["/", "/?", "/?a"] {
        server.get(target);
    }
    assert_eq!(server.wait_lines("args.log", 3), ["-|-|", "-|-|", "a|a|?"]);
}

#[test]
fn json_is_valid_whatever_a_client_sends() {
    let server = Server::http(
        r#"
        log_format f escape=json '{"agent":"$http_user_agent","none":"$arg_none"}';
        server { listen 127.0.0.1:%port%; access_log %dir%/access.log f;
            location / { return 200 text; } }
        "#,
    )
    .start();
    let mut client = server.client();
    client.send(b"GET / HTTP/1.0\r\nUser-Agent: \xc3\xa9 \xff\xc3 \"\\\r\n\r\n");
    client.rest();
    let lines = server.wait_lines("access.log", 1);
    // nginx does not escape bytes that are not UTF-8.
    if !crate::harness::is_nginx() {
        assert_eq!(lines[0], r#"{"agent":"é \u00FF\u00C3 \"\\","none":""}"#);
    }
}

#[test]
fn errors_during_logging_have_a_context() {
    let server = Server::http(
        "server { listen 127.0.0.1:%port%; access_log %dir%/$arg_name.log;
             location / { root %dir%/nothing; return 200; } }",
    )
    .start();
    server.get("/?name=a");
    let line = "existence failed (2: No such file or directory) while logging request, client: ";
    server.wait_log(line);
}
