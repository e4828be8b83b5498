//! Routes and messages of whole configurations.

use std::path::Path;

use weir_conf::environment::Memory;
use weir_conf::{Assembly, assemble};

use super::build::Builder;
use super::check::check;
use super::*;
use crate::core::status_zone::{STATUS_ZONE, StatusZone};
use crate::h2::settings::TABLE;

const ZONES: &weir_conf::Table = &StatusZone::table(&STATUS_ZONE);

fn assembled(text: &str) -> Assembly {
    let env = Memory::default().with("/etc/nginx.conf", text);
    let tables: Vec<_> = core::TABLES
        .iter()
        .copied()
        .chain([TABLE, crate::recorder::settings::TABLE, ZONES])
        .chain(crate::pending::tables())
        .collect();
    let mut assembly =
        assemble(&tables, Path::new("/etc/nginx.conf"), Path::new("/srv"), None, &env);
    let Assembly { root, diagnostics, .. } = &mut assembly;
    check(root, diagnostics);
    assembly
}

/// The messages for the content of `http {}`, without the name of the file.
fn messages(http: &str) -> Vec<String> {
    let lines = assembled(&format!("http {{\n{http}\n}}\n")).one_lines();
    lines.into_iter().map(|line| line.replace(" in /etc/nginx.conf", "")).collect()
}

fn routes(http: &str) -> Routes {
    let assembly = assembled(&format!("http {{\n{http}\n}}\n"));
    assert_eq!(assembly.one_lines(), Vec::<String>::new());
    build(&assembly)
}

fn build(assembly: &Assembly) -> Routes {
    let builder =
        Builder { handlers: &|_, _| Handlers::default(), passes: &|_| false, connects: &|_| false };
    builder.build(&assembly.root)
}

/// The default server of the first listener.
fn first(routes: &Routes) -> &Server {
    &routes.listeners[0].endpoint(None).default
}

/// The names of the locations that match URIs in the first server.
fn found(routes: &Routes, uris: &[&str]) -> Vec<String> {
    let name = |uri: &&str| {
        let found = first(routes).find(uri.as_bytes());
        let slash = if found.redirect_to_slash { " redirect" } else { "" };
        format!("{}{slash}", String::from_utf8_lossy(&found.location.name))
    };
    uris.iter().map(name).collect()
}

#[test]
fn locations_are_found_as_nginx_finds_them() {
    let routes = routes(
        r"server {
            location / { }
            location = /exact { }
            location /exact { location /exact/in { } location ~ in\.nested$ { } }
            location ^~ /static { location ~ \.inner$ { } }
            location ~ \.php$ { location ~ deep { } }
            location ~* \.JPG$ { }
            location @named { }
            location /a/ { }
            location /a/b/c { }
        }",
    );
    let uris = ["/", "/exact", "/exact/x", "/exact/in/y", "/exact/in.nested", "/exactly.php"];
    assert_eq!(
        found(&routes, &uris),
        ["/", "/exact", "/exact", "/exact/in", r"in\.nested$", r"\.php$"]
    );
    let uris = ["/static/x.php", "/static/x.inner", "/x.php", "/deep.php", "/x.jpg", "/a/b/cd"];
    assert_eq!(
        found(&routes, &uris),
        ["/static", r"\.inner$", r"\.php$", "deep", r"\.JPG$", "/a/b/c"]
    );
    assert_eq!(found(&routes, &["/a", "/a/b", "/zzz", ""]), ["/", "/a/", "/", ""]);
    assert!(first(&routes).locations.named(b"@named").is_some());
    assert!(first(&routes).locations.named(b"@other").is_none());
}

#[test]
fn without_a_match_the_server_itself_answers() {
    let routes = routes("server { location /a { } location = /b { } }");
    let found = first(&routes).find(b"/c");
    assert_eq!(found.location.kind, Kind::Server);
    assert_eq!(first(&routes).find(b"/bc").location.kind, Kind::Server);
    assert_eq!(first(&routes).find(b"/ab").location.name, b"/a");
}

#[test]
fn captures_are_returned_with_their_variables() {
    let routes = routes(r"server { location ~ ^/(?<user>\w+)/ { location ~ (\d+)$ { } } }");
    let found = first(&routes).find(b"/bob/17");
    assert_eq!(found.captures.len(), 2);
    assert_eq!(found.captures[0].captures.get(1), Some(&b"bob"[..]));
    assert_eq!(found.captures[0].variables.len(), 1);
    assert_eq!(found.captures[1].captures.get(1), Some(&b"17"[..]));
}

#[test]
fn a_location_that_passes_redirects_to_its_slash() {
    let text = "http { server {
        location /pass/ { internal; }
        location /other/ { }
        location = /exact { }
        location ~ pass$ { }
    } }";
    // In place of a protocol, which is a module's.
    let passes = |settings: &Settings| settings.get(&core::ACCESS).internal;
    let builder =
        Builder { handlers: &|_, _| Handlers::default(), passes: &passes, connects: &|_| false };
    let routes = builder.build(&assembled(text).root);
    let uris = ["/pass", "/pass/x", "/other", "/exact"];
    assert_eq!(found(&routes, &uris), ["/pass/ redirect", "/pass/", "", "/exact"]);
}

#[test]
fn hosts_choose_among_the_servers_of_an_address() {
    let routes = routes(
        "server { listen 80; server_name a.com *.a.com; }
         server { listen 80; server_name b.com; listen 127.0.0.1:80; }
         server { listen 127.0.0.1:80; server_name c.com; }
         server { }",
    );
    let specs: Vec<_> = routes.listeners.iter().map(|l| l.spec().address.to_string()).collect();
    assert_eq!(specs, ["0.0.0.0:80"]);
    let listener = &routes.listeners[0];
    assert!(listener.needs_local());
    let name = |ip: &str, host: &str| {
        let endpoint = listener.endpoint(ip.parse().ok());
        let found = endpoint.find(host.as_bytes());
        let server = found.map_or(&*endpoint.default, |(at, _)| endpoint.server(at));
        String::from_utf8(server.name.clone()).unwrap()
    };
    assert_eq!(name("10.0.0.1", "x.a.com"), "a.com");
    assert_eq!(name("10.0.0.1", "b.com"), "b.com");
    assert_eq!(name("10.0.0.1", "c.com"), "a.com");
    assert_eq!(name("127.0.0.1", "c.com"), "c.com");
    assert_eq!(name("127.0.0.1", "a.com"), "b.com");
}

#[test]
fn faults_have_nginxs_messages_and_positions() {
    let cases = [
        ("server { listen 80;\nlisten 80; }", "[emerg] a duplicate listen 0.0.0.0:80:3"),
        ("server { location / { }\nlocation / { } }", "[emerg] duplicate location \"/\":3"),
        (
            "server { location /a {\nlocation /b { } } }",
            "[emerg] location \"/b\" is outside location \"/a\":3",
        ),
        (
            "server { root a;\nlocation / { root b; alias c; } }",
            "[emerg] \"alias\" directive is duplicate, \"root\" directive was specified earlier:3",
        ),
        ("root a; root b;", "[emerg] \"root\" directive is duplicate:2"),
        ("server { listen x; }", "[emerg] host not found in \"x\" of the \"listen\" directive:2"),
        ("server { listen 80 bog; }", "[emerg] invalid parameter \"bog\":2"),
        ("server { listen 0; }", "[emerg] invalid port in \"0\" of the \"listen\" directive:2"),
        (
            "server { server_name a; } server { server_name a; }",
            "[warn] conflicting server name \"a\" on 0.0.0.0:80, ignored",
        ),
        ("server { server_name *a; }", "[emerg] server name \"*a\" is invalid:2"),
        ("server { server_name a/; }", "[warn] server name \"a/\" has suspicious symbols:2"),
        ("error_page 200 /x;", "[emerg] value \"200\" must be between 300 and 599:2"),
        ("error_page 499 /x;", "[emerg] invalid value \"499\":2"),
        ("error_page =200 /x;", "[emerg] invalid value \"=200\":2"),
        (
            "open_file_cache inactive=1s;",
            "[emerg] \"open_file_cache\" must have the \"max\" parameter:2",
        ),
        ("resolver valid=1s;", "[emerg] no name servers defined:2"),
        ("keepalive_timeout x;", "[emerg] \"keepalive_timeout\" directive invalid value:2"),
        ("limit_rate x;", "[emerg] \"limit_rate\" directive invalid value:2"),
        ("request_pool_size 100;", "[emerg] the pool size must be no less than 112:2"),
        (
            "types { a/b x; }\ntypes { c/d x; }",
            "[warn] duplicate extension \"x\", content type: \"c/d\", previous content type: \
             \"a/b\":3",
        ),
        ("server { try_files a =x; }", "[emerg] invalid code \"=x\":2"),
        ("http3 on;", "[warn] \"http3\" directive is not supported yet and has no effect:2"),
        ("js_import x;", "[emerg] unknown directive \"js_import\":2"),
        (
            "server { location / { limit_except GET { }\nlimit_except GET { } } }",
            "[emerg] \"limit_except\" directive is duplicate:3",
        ),
        ("server { location / { limit_except FOO { } } }", "[emerg] invalid method \"FOO\":2"),
        (
            "server { listen 80 ssl;\nlisten [::]:80 ipv6only=oops; }",
            "[emerg] invalid ipv6only flags \"oops\":3",
        ),
    ];
    for (text, message) in cases {
        assert_eq!(messages(text).last().map(String::as_str), Some(message), "{text}");
    }
}

#[test]
fn settings_are_inherited_with_nginxs_defaults() {
    let routes = routes(
        "client_max_body_size 2m; error_page 404 /404;
         server { keepalive_timeout 10s 5s; location /a { root files/; client_max_body_size 0; }
                  location /b/ { alias /other/; internal; } }",
    );
    let server = first(&routes);
    assert_eq!(server.settings.get(&core::LIMITS).client_max_body_size.0, 2 << 20);
    assert!(server.settings.get(&core::LIMITS).merge_slashes);
    let root = |uri: &[u8]| server.find(uri).location.settings.get(&core::ROOT).root.clone();
    assert_eq!(root(b"/a").path.literal(), Some(&b"/srv/files"[..]));
    assert_eq!(root(b"/").path.literal(), Some(&b"/srv/html"[..]));
    assert_eq!(root(b"/b/").alias, core::root::Alias::Prefix(3));
    let a = server.find(b"/a").location;
    assert_eq!(a.settings.get(&core::LIMITS).client_max_body_size.0, 0);
    assert_eq!(a.settings.get(&core::CONNECTION).keepalive_timeout.header, Some(5));
    assert_eq!(a.settings.get(&core::ERRORS).pages.len(), 1);
    assert_eq!(a.settings.get(&core::TYPES).media_type(b"HTML"), b"text/html");
    assert!(!a.is_internal() && server.find(b"/b/").location.is_internal());
    let temp = a.settings.get(&core::LIMITS).client_body_temp_path.clone().unwrap();
    assert_eq!(temp.path, Path::new("/srv/client_body_temp"));
}

#[test]
fn ranges_and_families_of_listen() {
    let routes = routes("server { listen 8000-8002; listen [::1]:8000; listen unix:/run/x; }");
    let specs: Vec<_> = routes.listeners.iter().map(|l| l.spec().address.to_string()).collect();
    let wanted = ["0.0.0.0:8000", "0.0.0.0:8001", "0.0.0.0:8002", "[::1]:8000", "unix:/run/x"];
    assert_eq!(specs, wanted);
}
