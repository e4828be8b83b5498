//! From URIs to files: no request path leaves its root or alias.

use std::fmt::Write;

use crate::harness::{Backend, Reply, Server};

/// The content of files outside of every root.
const MARKER: &str = "beyond the root";

#[test]
fn an_alias_serves_no_rewritten_uri() {
    let server = Server::server(
        r#"
        location /break/ { rewrite ^/break/(.*)$ /$1 break; alias %dir%/html/; }
        location /tries/ { rewrite ^/tries/(.*)$ /$1 break; alias %dir%/html/; try_files $uri =404; }
        location ~ ^/whole/(.*)$ { alias %dir%/html/$1; }
        location /name/ { rewrite ^/name/(.*)$ /$1 break; alias %dir%/html/;
            add_header X-Name "[$request_filename]" always; }
        location /last/ { rewrite ^/last/(.*)$ /there/$1 last; }
        location /there/ { alias %dir%/html/; }
        "#,
    )
    .file("html/file", "from disk")
    .file("outside", MARKER)
    .alerts_expected()
    .start();
    for target in ["/break/file", "/break/1234../outside", "/break/", "/tries/file", "/name/x"] {
        let answer = server.get(target);
        assert_eq!(answer.status, 500, "{target}");
        assert!(!answer.text().contains(MARKER), "{target}");
    }
    assert_eq!(server.get("/name/x").header("X-Name"), Some("[]"));
    let line = "\"alias\" cannot be used in location \"/break/\" where URI was rewritten";
    server.wait_log(line);
    assert_eq!(server.text("/last/file"), "from disk");
    assert_eq!(server.text("/whole/file"), "from disk");
}

#[test]
fn dots_in_the_configuration_are_allowed() {
    let server = Server::server(
        r#"
        location /root/ { root %dir%/html/../html; }
        location /up/ { alias %dir%/html/..; }
        location /set/ { set $base %dir%/html/..; root $base; rewrite ^/set(.*)$ $1 break; }
        location /late/ { root %dir%/$arg_folder/../html; }
        "#,
    )
    .file("html/root/file", "1")
    .file("html/late/file", "2")
    .file("plain", "3")
    .start();
    assert_eq!(server.text("/root/file"), "1");
    assert_eq!(server.text("/late/file?folder=html"), "2");
    assert_eq!(server.text("/set/plain"), "3");
    assert_eq!(server.get("/up/plain").status, 403);
}

#[test]
fn a_path_that_leaves_is_refused() {
    let server = Server::server(
        r#"
        root %dir%/html;
        location /slash { alias %dir%/html/; }
        location /joined/ { rewrite ^/joined/(.*)-(.*)$ /$1$2 break; }
        location /bare/ { rewrite ^/bare/(.*)$ $1 break; }
        location /deep/ { root %dir%/html/$arg_d; }
        location /index/ { alias %dir%/html/; index $arg_i; }
        location /tried/ { try_files $arg_f =404; }
        location /name/ { rewrite ^/name/(.*)-(.*)$ /$1$2 break;
            add_header X-Name "[$request_filename]" always; }
        "#,
    )
    .file("html/file", "from disk")
    .file("outside", MARKER)
    .file("html-outside", MARKER)
    .start();
    for (target, status) in [
        ("/slash../outside", 403),
        ("/slash/..", 403),
        ("/joined/.-./outside", 403),
        ("/joined/.-.", 403),
        ("/bare/-outside", 403),
        ("/deep/outside?d=..", 403),
        ("/index/?i=../outside", 403),
        ("/tried/?f=/../outside", 404),
        ("/tried/?f=-outside", 404),
        ("/name/.-./outside", 403),
        ("/slash/file", 200),
        ("/joined/fi-le", 200),
        ("/tried/?f=/file", 200),
    ] {
        let answer = server.get(target);
        assert_eq!(answer.status, status, "{target}");
        assert!(!answer.text().contains(MARKER), "{target}");
    }
    assert_eq!(server.get("/name/.-./x").header("X-Name"), Some("[]"));
    server.wait_log("html/../outside\" is forbidden: it is outside its root");
}

/// A small, repeatable generator.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        (self.0 >> 33) as usize % sides
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.roll(of.len())]
    }
}

/// A location for URIs that begin with `/N`.
fn location(dice: &mut Dice, n: usize) -> String {
    let (head, alias) = match dice.roll(5) {
        0 => (format!("location /{n}/"), "alias %dir%/site/www/;"),
        1 => (format!("location /{n}/"), "alias %dir%/site/www;"),
        2 => (format!("location /{n}"), "alias %dir%/site/www/;"),
        3 => (format!("location ~ ^/{n}(.*)$"), "alias %dir%/site/www/$1;"),
        _ => (format!("location ~ ^/{n}/(.*)$"), "alias %dir%/site/www/$1;"),
    };
    let root = match dice.roll(4) {
        0 | 1 => alias,
        2 => "root %dir%/site/www;",
        _ => "root %dir%/site/www/$arg_d;",
    };
    let mut text = format!("{head} {{ {root} ");
    for _ in 0..dice.roll(4) {
        text += &match dice.roll(7) {
            0 => format!("rewrite ^/{n}/?(.*)-(.*)$ /$1$2 break; "),
            1 => format!("rewrite ^/{n}/?(.*)$ $1 break; "),
            2 => format!("rewrite ^/{n}/(.*)-(.*)$ /{}/$1$2 last; ", dice.roll(LOCATIONS)),
            3 => "rewrite ^ /$arg_y break; ".to_owned(),
            4 => "if ($arg_y) { rewrite ^ $arg_y break; } ".to_owned(),
            5 => "set $args f=$arg_y; ".to_owned(),
            _ => format!("if ($arg_d ~ (.*)-(.*)) {{ rewrite ^ /{n}/$1$2 break; }} "),
        };
    }
    for _ in 0..1 + dice.roll(2) {
        let line = match dice.roll(9) {
            0 => "try_files $arg_f $uri $uri/ =404; ",
            1 => "index $arg_i index.html; ",
            2 => "autoindex on; ",
            3 => "gzip_static always; ",
            4 => "error_page 403 404 500 /$arg_y; ",
            5 => "error_page 403 404 = @named; ",
            6 => "random_index on; ",
            7 => "add_after_body /$uri; addition_types *; ",
            _ => "ssi on; ssi_types *; ",
        };
        if !text.contains(line.split(' ').next().unwrap()) {
            text += line;
        }
    }
    text + "}\n"
}

const LOCATIONS: usize = 150;

const PARTS: &[&str] = &[
    "..",
    ".",
    "%2e%2e",
    "%2e",
    "/",
    "/",
    "%2f",
    "//",
    "-",
    "-",
    "OUTSIDE",
    "OUTSIDE",
    "../OUTSIDE",
    ".-./OUTSIDE",
    "-x/OUTSIDE",
    "a",
    "page",
    "index.html",
    "x..",
    "..-",
    "%5c",
    "%09",
    "~",
    "+",
];

fn path(dice: &mut Dice) -> String {
    (0..1 + dice.roll(6)).map(|_| dice.pick(PARTS)).collect()
}

#[test]
fn no_combination_leads_out() {
    let seed = std::env::var("WEIR_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or(1);
    let dice = &mut Dice(seed);
    let accel = Backend::new(|seen| {
        let target = seen.target().split("to=").nth(1).unwrap_or("/").to_owned();
        Reply::with("200 OK", &format!("X-Accel-Redirect: {target}\r\n"), "")
    });
    let mut conf = String::from(
        "root %dir%/site/www; location @named { autoindex on; }
         location /accel/ { proxy_pass http://%accel%; }
         location = /page { ssi on; ssi_types *; }",
    );
    for n in 0..LOCATIONS {
        let _ = writeln!(conf, "{}", location(dice, n));
    }
    let mut setup = Server::server(&conf).set("accel", accel.address()).alerts_expected();
    let page = "<!--# include virtual=\"$arg_y\" --><!--# include file=\"$arg_f\" -->";
    for (name, content) in [
        ("site/www/index.html", "index"),
        ("site/www/a/index.html", "index of a"),
        ("site/www/a/page", page),
        ("site/www/page", page),
        ("site/www/x../file", "dots"),
        ("site/www-x/OUTSIDE", MARKER),
        ("site/www-OUTSIDE", MARKER),
        ("site/wwwOUTSIDE", MARKER),
        ("site/OUTSIDE", MARKER),
        ("site/OUTSIDE.gz", MARKER),
        ("OUTSIDE", MARKER),
    ] {
        setup = setup.file(name, content);
    }
    let server = setup.start();
    let mut client = server.client();
    let mut served = 0;
    for _ in 0..1500 {
        let (n, slash) = (dice.roll(LOCATIONS), dice.pick(&["/", "/", "/", ""]));
        let mut target = format!("/{n}{slash}{}", path(dice));
        if dice.roll(20) == 0 {
            target = format!("/accel/?to=/{}/{}", dice.roll(LOCATIONS), path(dice));
        }
        for (at, name) in ["f", "i", "d", "y"].iter().enumerate() {
            if dice.roll(2) == 0 {
                let mark = if at == 0 && !target.contains('?') { '?' } else { '&' };
                let slash = dice.pick(&["", "/", "/a/"]);
                let _ = write!(target, "{mark}{name}={slash}{}", path(dice).replace("%2f", "/"));
            }
        }
        client.send(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        let Ok(answer) = client.try_response(false) else {
            // Syntax errors and truncated bodies close the connection.
            client = server.client();
            continue;
        };
        let told = answer.text();
        let listed = ["OUTSIDE", "www", "site"].map(|name| format!("href=\"{name}"));
        let leaks = told.contains(MARKER) || listed.iter().any(|link| told.contains(link));
        assert!(!leaks, "seed {seed}: {target}\n{}{told}", answer.head);
        served += usize::from(answer.status == 200);
        if answer.header("Connection") == Some("close") {
            client = server.client();
        }
    }
    assert!(served > 10, "{served} were served");
}
