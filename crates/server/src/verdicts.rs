//! nginx 1.31.5's verdicts on thousands of directives: for each directive accepted values, one of
//! each rejected kind, a duplicate, and sizes in relation to one another.
//!
//! A row of `rows.tsv` holds a context, the text, and nginx's first message without tabs, empty if
//! it accepts the text. A final ` @` stands for the position. A fourth part says why Weir accepts
//! what nginx rejects. Rows are added by hand: write the line and ask nginx with `-t`.

use std::path::Path;

use weir_conf::Assembly;
use weir_conf::environment::Memory;

use crate::assemble::assemble;
use crate::serve::Plan;

const ROWS: &str = include_str!("verdicts/rows.tsv");

/// Definitions that rows of `http` may refer to.
const HTTP: &str = "proxy_cache_path cache keys_zone=one:1m; \
    limit_conn_zone $binary_remote_addr zone=lc:1m; \
    limit_req_zone $binary_remote_addr zone=lr:1m rate=1r/s; \
    log_format fmt \"$uri\"; upstream u { server 127.0.0.1:8081; }";

/// Definitions that rows of `stream` may refer to.
const STREAM: &str = "limit_conn_zone $binary_remote_addr zone=lc:1m; \
    log_format fmt \"$remote_addr\"; upstream u { server 127.0.0.1:8081; }";

/// A complete configuration around a row.
fn around(context: &str, row: &str) -> String {
    let http = |inner: &str| format!("events {{}} http {{ {HTTP} {inner} }}");
    let server = |inner: &str| http(&format!("server {{ listen 127.0.0.1:8080; {inner} }}"));
    let location = |inner: &str| server(&format!("location /a/ {{ {inner} }}"));
    let stream = |inner: &str| format!("events {{}} stream {{ {inner} }}");
    let to = "listen 127.0.0.1:8080; proxy_pass";
    match context {
        "main" => format!("{row} events {{}}"),
        "events" => format!("events {{ {row} }}"),
        "http" => format!(
            "events {{}} http {{ {row} server {{ listen 127.0.0.1:8080; location / {{ }} }} }}"
        ),
        "server" => server(&format!("{row} location / {{ }}")),
        "location" => location(row),
        "server_if" => server(&format!("if ($arg_a) {{ {row} }}")),
        "location_if" => location(&format!("if ($arg_a) {{ {row} }}")),
        "limit_except" => location(&format!("limit_except GET {{ {row} }}")),
        "upstream" => format!(
            "events {{}} http {{ upstream u {{ server 127.0.0.1:8081; {row} }} server {{ \
             listen 127.0.0.1:8080; location / {{ proxy_pass http://u; }} }} }}"
        ),
        "stream" => stream(&format!("{row} server {{ {to} 127.0.0.1:8081; }}")),
        "stream_server" => stream(&format!("{STREAM} server {{ {to} 127.0.0.1:8081; {row} }}")),
        "stream_upstream" => {
            stream(&format!("upstream u {{ server 127.0.0.1:8081; {row} }} server {{ {to} u; }}"))
        }
        "mail" => format!(
            "events {{}} mail {{ auth_http 127.0.0.1:80/x; {row} server {{ \
             listen 127.0.0.1:8080; protocol imap; }} }}"
        ),
        "mail_server" => format!(
            "events {{}} mail {{ auth_http 127.0.0.1:80/x; server {{ \
             listen 127.0.0.1:8080; protocol imap; {row} }} }}"
        ),
        other => panic!("no context {other}"),
    }
}

/// Reads a text as `-t` does.
fn read(text: &str) -> (Assembly, Option<Plan>) {
    let mut env = Memory::default().with("/x.conf", text);
    env.hosts.insert("localhost".into(), vec!["127.0.0.1".parse().unwrap()]);
    let mut assembly = assemble(Path::new("/x.conf"), Path::new("/"), None, &env);
    let plan = Plan::build(&mut assembly, &env, "/".into());
    (assembly, plan)
}

/// The first fatal message about a text, with ` @` for its position; empty if there is none.
fn verdict(text: &str) -> String {
    let (assembly, _) = read(text);
    let fault = assembly.diagnostics.iter().find(|found| found.severity.is_fatal());
    let Some(fault) = fault else { return String::new() };
    let line = fault.one_line(&assembly.sources);
    let line = line.strip_prefix("[emerg] ").unwrap_or(&line);
    line.strip_suffix(" in /x.conf:1").map_or_else(|| line.to_owned(), |said| format!("{said} @"))
}

/// The difference between both verdicts on a row; empty if they agree.
fn differing(row: &str) -> String {
    let mut parts = row.splitn(4, '\t');
    let mut part = || parts.next().unwrap_or_default();
    let (context, text, message, accepted) = (part(), part(), part(), part());
    let wanted = if accepted.is_empty() { message } else { "" };
    let got = verdict(&around(context, text));
    match got == wanted {
        true => String::new(),
        false => format!("{context}: {text}\n  nginx: {message}\n  weir:  {got}\n"),
    }
}

#[test]
fn values_are_judged_as_in_nginx() {
    let rows: Vec<&str> = ROWS.lines().collect();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let differences = |part: &[&str]| part.iter().map(|row| differing(row)).collect::<String>();
    let wrong: String = std::thread::scope(|scope| {
        let parts = rows.chunks(rows.len().div_ceil(threads));
        let running: Vec<_> = parts.map(|part| scope.spawn(move || differences(part))).collect();
        running.into_iter().map(|part| part.join().unwrap()).collect()
    });
    assert!(wrong.is_empty(), "{wrong}");
}

/// The terminal output for rejected rows besides nginx's message: a row of `hints.tsv` holds a
/// context, the text (`¶` for a newline), the text above the caret, and the hint.
const HINTS: &str = include_str!("verdicts/hints.tsv");

#[test]
fn hints_point_at_the_fault_and_suggest_a_fix() {
    let mut wrong = Vec::new();
    for row in HINTS.lines() {
        let parts: Vec<&str> = row.split('\t').collect();
        let [context, text, caret, hint] = parts[..] else { panic!("{row}") };
        let text = around(context, &text.replace('¶', "\n"));
        let (assembly, _) = read(&text);
        let fault = assembly.diagnostics.iter().find(|found| found.severity.is_fatal());
        let shown = fault.map(|fault| {
            let span = fault.word.or(fault.span).unwrap_or_default();
            let above = &text[span.start as usize..span.end as usize];
            (above.to_owned(), fault.hint.clone().unwrap_or_default())
        });
        if shown != Some((caret.to_owned(), hint.to_owned())) {
            wrong.push(format!("{row}\n  {shown:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn duplicates_refer_to_the_first_occurrence() {
    for (context, text) in [
        ("location", "root /a;\nroot /b;"),
        ("location", "proxy_buffering on;\ngzip on;\nproxy_buffering on;"),
        ("server", "location /b { }\nlocation /b { }"),
        ("http", "upstream a { server 127.0.0.1:1; }\nupstream a { server 127.0.0.1:1; }"),
    ] {
        let (assembly, _) = read(&around(context, text));
        let fault = assembly.diagnostics.iter().find(|found| found.severity.is_fatal()).unwrap();
        let shown = fault.pretty(&assembly.sources, false).unwrap();
        assert!(shown.contains("the first one is here"), "{text}\n{shown}");
        assert!(!shown.contains('\u{1b}'));
    }
}

/// The page that lists the differences from nginx.
fn differences() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/differences.md");
    std::fs::read_to_string(path).unwrap()
}

/// The warnings of Weir alone, by the words that only they have.
const OWN_WARNINGS: &[&str] = &["no effect", "not supported"];

/// Words of nginx's own warnings.
const ALSO_OF_NGINX: &[&str] = &["\"send_lowat\" is not supported", "on this platform, ignored"];

/// Whoever is warned finds the name in `docs/differences.md`.
#[test]
fn warnings_about_missing_effects_are_listed() {
    let page = differences();
    let mut wrong = std::collections::BTreeSet::new();
    for row in ROWS.lines() {
        let (context, text) = row.split_once('\t').unwrap();
        let (assembly, _) = read(&around(context, text.split('\t').next().unwrap()));
        for found in assembly.diagnostics.iter().filter(|found| !found.severity.is_fatal()) {
            let line = found.one_line(&assembly.sources);
            let is_in = |words: &[&str]| words.iter().any(|words| line.contains(words));
            // The name is the first word in quotes: `"listen ... http2"`.
            let name = line.split('"').nth(1).unwrap_or_default();
            let name = name.split(' ').next().unwrap_or_default();
            let listed = page.contains(&format!("`{name}"));
            if is_in(OWN_WARNINGS) && !is_in(ALSO_OF_NGINX) && !listed {
                wrong.insert(line);
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_variable_of_nginx_is_known_or_listed() {
    let page = differences();
    let names = include_str!("../../tidy/nginx-variables.txt").lines();
    let unknown = names.filter(|name| {
        let name = if name.ends_with('_') { format!("{name}x") } else { (*name).to_owned() };
        let said = verdict(&around("location", &format!("set $verdict \"${name}\";")));
        let listed = page.contains(&format!("`${name}`"));
        !said.is_empty() && !listed
    });
    let unknown: Vec<_> = unknown.collect();
    assert!(unknown.is_empty(), "neither known nor in docs/differences.md: {unknown:?}");
}
