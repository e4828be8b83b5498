//! map, geo, split_clients, and variables in general.

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
    // Equal to nginx: MurmurHash2 of the text.
    let split: String = (0..20).map(|n| field(&format!("/?s=client{n}"), 3)).collect();
    assert_eq!(split, SPLIT_OF_CLIENTS_0_TO_19);
}

/// nginx's values for `client0` to `client19`.
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

#[test]
fn variables_may_be_redefined_as_in_nginx() {
    let ok = [
        "args",
        "limit_rate",
        "proxy_host",
        "proxy_port",
        "ssl_protocol",
        "ssl_client_verify",
        "http_own",
        "cookie_x",
        "sent_http_own",
        "arg_x",
        "msie",
    ];
    let fixed = [
        "uri",
        "query_string",
        "host",
        "http_host",
        "http_user_agent",
        "http_cookie",
        "sent_http_location",
        "sent_http_connection",
        "upstream_addr",
        "upstream_cache_status",
        "request_method",
        "remote_addr",
        "is_args",
    ];
    let define = |names: &[&str]| {
        let line = |name: &&str| format!("map $uri ${name} {{ default v; }}\n");
        let maps: String = names.iter().map(line).collect();
        let sets: String = names.iter().map(|name| format!("set ${name} v;\n")).collect();
        let server = "server { listen 127.0.0.1:%port%;";
        Server::http(&format!("{maps} {server} {sets} }}")).check()
    };
    let output = define(&ok);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let is_refused = |conf: String, name: &str| {
        let output = Server::http(&conf).check();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        let message = format!("the duplicate \"{name}\" variable");
        assert!(!output.status.success() && told.contains(&message), "{conf}\n{told}");
    };
    for name in fixed {
        is_refused(format!("server {{ listen 127.0.0.1:%port%; set ${name} v; }}"), name);
    }
    is_refused("map $uri $http_host { default v; }".into(), "http_host");
    is_refused("geo $http_host { default v; }".into(), "http_host");
    is_refused("split_clients $uri $http_via { * v; }".into(), "http_via");
    is_refused("map $uri $own { ~(?<http_referer>x) v; }".into(), "http_referer");
}

#[test]
fn a_redefined_variable_has_the_set_value() {
    let server = Server::server(
        r#"
        location / { set $proxy_host own; set $ssl_protocol none; set $http_own mine;
            return 200 "$proxy_host $ssl_protocol $http_own"; }
        "#,
    )
    .start();
    assert_eq!(server.get_with("/", "Own: theirs\r\n").text(), "own none mine");
}

#[test]
fn captures_of_a_map_are_its_own() {
    // Deliberately better than nginx, where the last match of any expression counts.
    if crate::harness::is_nginx() {
        return;
    }
    let server = Server::http(
        r#"
        map $arg_x $mapped { ~^(.)(.*)$ "<$2$1>"; default none; }
        server {
            listen 127.0.0.1:%port%;
            rewrite ^/first/(.*)$ /shown/$mapped/$1;
            rewrite ^/last/(.*)$ /shown/$1/$mapped;
            location ~ ^/both/(.*)$ { return 200 "$mapped $1 $mapped"; }
            location ~ ^/if/(.*)$ { if ($mapped) { return 200 "$1"; } }
            location ~ ^/set/(.*)$ { set $own "$mapped-$1"; return 200 $own; }
            location / { return 200 $uri; }
        }
        "#,
    )
    .start();
    assert_eq!(server.text("/first/path?x=abc"), "/shown/<bca>/path");
    assert_eq!(server.text("/last/path?x=abc"), "/shown/path/<bca>");
    assert_eq!(server.text("/both/path?x=abc"), "<bca> path <bca>");
    assert_eq!(server.text("/if/path?x=abc"), "path");
    assert_eq!(server.text("/set/path?x=abc"), "<bca>-path");
    assert_eq!(server.text("/set/path"), "none-path");
}
