//! map, geo, split_clients, and variables as such.

use crate::harness::Server;

#[test]
fn map_matches_in_nginx_order() {
    let server = Server::http(
        r#"
        map $arg_k $m {
            hostnames;
            default other;
            "" empty;
            exact one;
            *.example.com star;
            example.* tail;
            .dot.test dot;
            ~^re(?<digits>\d+)$ "re $digits";
            ~*^CASE caseless;
            \default word;
            $arg_v never;
        }
        map $arg_k $v { default $arg_v; a "[$arg_v]"; }
        map $arg_a:$arg_b $pair { 1:2 yes; default no; }
        server { listen 127.0.0.1:%port%; return 200 "$m|$v|$pair"; }
        "#,
    )
    .start();
    let m = |target: &str| server.text(target).split('|').next().unwrap().to_owned();
    let expected = [
        ("/", "empty"),
        ("/?k=exact", "one"),
        ("/?k=EXACT", "one"),
        ("/?k=a.example.com", "star"),
        ("/?k=example.org", "tail"),
        ("/?k=dot.test", "dot"),
        ("/?k=x.dot.test", "dot"),
        ("/?k=re12", "re 12"),
        ("/?k=case", "caseless"),
        ("/?k=default", "word"),
        ("/?k=zzz", "other"),
    ];
    for (target, answer) in expected {
        assert_eq!(m(target), answer, "{target}");
    }
    assert_eq!(server.text("/?k=a&v=x&a=1&b=2"), "other|[x]|yes");
    assert_eq!(server.text("/?k=b&v=x&a=1&b=3"), "other|x|no");
}

#[test]
fn geo_and_split_clients() {
    let server = Server::http(
        r#"
        geo $arg_ip $net {
            default none;
            10.0.0.0/8 ten;
            10.1.0.0/16 ten-one;
            10.1.2.3 host;
            2001:db8::/32 doc;
        }
        geo $arg_ip $range {
            ranges;
            default none;
            192.0.2.1-192.0.2.9 low;
            192.0.2.10-192.0.2.20 high;
        }
        geo $me { default no; 127.0.0.0/8 yes; }
        split_clients "$arg_s" $split { 10% a; 40% b; * c; }
        server { listen 127.0.0.1:%port%; return 200 "$net|$range|$me|$split"; }
        "#,
    )
    .start();
    let field = |target: &str, n: usize| server.text(target).split('|').nth(n).unwrap().to_owned();
    let nets = [
        ("10.9.9.9", "ten"),
        ("10.1.9.9", "ten-one"),
        ("10.1.2.3", "host"),
        ("11.0.0.1", "none"),
        ("2001:db8::1", "doc"),
    ];
    for (ip, answer) in nets {
        assert_eq!(field(&format!("/?ip={ip}"), 0), answer, "{ip}");
    }
    for (ip, answer) in [("192.0.2.5", "low"), ("192.0.2.10", "high"), ("192.0.2.21", "none")] {
        assert_eq!(field(&format!("/?ip={ip}"), 1), answer, "{ip}");
    }
    assert_eq!(field("/", 2), "yes");
    // Bit-equal with nginx: MurmurHash2 of the text.
    let split: String = (0..20).map(|n| field(&format!("/?s=client{n}"), 3)).collect();
    assert_eq!(split, SPLIT_OF_CLIENTS_0_TO_19);
}

/// What nginx gives for `client0` to `client19`.
const SPLIT_OF_CLIENTS_0_TO_19: &str = "cccbabbbccacbabccacc";

#[test]
fn request_variables() {
    let server = Server::http(
        r#"
        server {
            listen 127.0.0.1:%port%;
            server_name localhost;
            location /a {
                set $line "$request_uri|$uri|$document_uri|$args|$query_string|$is_args|$arg_b";
                set $more "$arg_none|$cookie_c|$http_user_agent|$request_method|$server_protocol";
                set $type "$content_length|$content_type";
                return 200 "$line|$more|$type|$remote_user|$https|$nginx_version"; }
            location /b {
                return 200 "$host $hostname $pid $msec $time_iso8601 $time_local $request_id"; }
            location /c { set $x "a$1b"; return 200 "${x}c$args"; }
        }
        "#,
    )
    .start();
    let text = server
        .get_with(
            "/a%2Fx?b=1&B=2",
            "Cookie: a=0; c=v\r\nUser-Agent: u\r\nAuthorization: Basic dXNlcjpwYXNz\r\n",
        )
        .text();
    let fields: Vec<&str> = text.split('|').collect();
    assert_eq!(
        fields[..16],
        [
            "/a%2Fx?b=1&B=2",
            "/a/x",
            "/a/x",
            "b=1&B=2",
            "b=1&B=2",
            "?",
            "1",
            "",
            "v",
            "u",
            "GET",
            "HTTP/1.1",
            "",
            "",
            "user",
            ""
        ]
    );
    let text = server.text("/b");
    let fields: Vec<&str> = text.split(' ').collect();
    assert_eq!(fields[0], "localhost");
    assert!(fields[2].parse::<u32>().is_ok() && fields[3].contains('.'), "{text}");
    assert_eq!(fields[7].len(), 32, "{text}");
    assert_eq!(server.text("/c?q"), "abcq");
}
