use weir_conf::environment::Memory;
use weir_edge::shared::SharedPlan;

use crate::fixture;
use crate::snapshot::plan::{SnapshotPlan, resolver};

/// The messages about the content of `http {}`, without their position.
fn faults(http: &str) -> Vec<String> {
    let mut assembly = fixture::assembly(http);
    let env = Memory::default();
    if assembly.ok() {
        SharedPlan::new(&mut assembly, &env, resolver);
        SnapshotPlan::build(&mut assembly, &env, "/srv".into());
    }
    let lines = assembly.one_lines().into_iter();
    lines.map(|line| line.replace(" in /etc/nginx.conf:1", "").replace("[emerg] ", "")).collect()
}

const GROUP: &str = "upstream u { zone u 64k; server 127.0.0.1:1; }";

fn location(content: &str) -> String {
    format!("server {{ listen 80; location / {{ {content} }} }}")
}

#[test]
fn parameters_are_checked() {
    let of = |check: &str| {
        let http = location(&format!("proxy_pass http://u; {check}"));
        faults(&format!("{GROUP} {http}")).join(" | ")
    };
    for right in [
        "health_check;",
        "health_check; health_check uri=/a?b interval=1ms jitter=0 fails=9 passes=9 port=65535;",
        "health_check mandatory persistent interval=1m keepalive_time=0;",
        "health_check jitter=1h mandatory;",
    ] {
        assert_eq!(of(right), "", "{right}");
    }
    for wrong in [
        "interval=0",
        "interval=",
        "interval=x",
        "jitter=-1",
        "fails=0",
        "passes=x",
        "passes=0",
        "port=0",
        "port=65536",
        "uri=",
        "uri=a",
        "match=",
        "keepalive_time=x",
        "persistent",
        "type=http",
        "type=",
        "grpc_service=a",
        "udp",
        "x",
    ] {
        let expected = format!("invalid parameter \"{wrong}\"");
        assert_eq!(of(&format!("health_check {wrong};")), expected);
    }
    assert_eq!(of("health_check \"uri=/a b\";"), "invalid parameter \"uri=/a b\"");
    assert_eq!(
        of("health_check interval=9 type=grpc grpc_status=12;"),
        "\"health_check type=grpc\" needs a \"grpc_pass\" in its location"
    );
    assert_eq!(of("health_check type=grpc uri=/a;"), "invalid parameter \"uri=/a\"");
    assert_eq!(of("health_check type=grpc grpc_status=x;"), "invalid parameter \"grpc_status=x\"");
    let many = "health_check; ".repeat(weir_upstream::MAX_CHECKS);
    assert_eq!(of(&many), "");
    let more = format!("{many} health_check;");
    assert_eq!(of(&more), "upstream \"u\" has more than 16 health checks");
}

#[test]
fn a_check_needs_a_group_with_a_zone() {
    let of = |http: &str| faults(http).join(" | ");
    let shared = "health checks require upstream \"u\" to be in shared memory";
    let bare = "upstream u { server 127.0.0.1:1; }";
    assert_eq!(of(&format!("{} {bare}", location("proxy_pass http://u; health_check;"))), shared);
    let address = location("health_check; proxy_pass http://127.0.0.1:1;");
    assert_eq!(of(&address), shared.replace("\"u\"", "\"127.0.0.1\""));
    let passed = "\"health_check\" needs a \"proxy_pass\" or \"grpc_pass\" without variables in its location";
    for without in [
        "health_check;",
        "health_check; set $a u; proxy_pass http://$a;",
        "health_check; memcached_pass u;",
        "location /a { health_check; } proxy_pass http://u;",
    ] {
        assert_eq!(of(&format!("{GROUP} {}", location(without))), passed, "{without}");
    }
}

#[test]
fn matches_are_checked() {
    let of = |content: &str| faults(&format!("match m {{ {content} }}")).join(" | ");
    assert_eq!(of("status ! 301-303 307; status 200; header A; header ! A; body ~ a;"), "");
    assert_eq!(
        of("header A = b; header A != b; header A ~ b; header A !~ \"b c\"; body !~ a;"),
        ""
    );
    assert_eq!(of("require $a $b;"), "unknown \"a\" variable");
    for (wrong, message) in [
        ("status;", "invalid number of arguments in \"status\" directive"),
        ("status !;", "invalid number of arguments in \"status\" directive"),
        ("status 99;", "invalid status \"99\""),
        ("status 300-200;", "invalid status \"300-200\""),
        ("status 200-;", "invalid status \"200-\""),
        ("status 2xx;", "invalid status \"2xx\""),
        ("header a b;", "invalid parameter \"a\""),
        ("header a == b;", "invalid parameter \"==\""),
        ("body a b;", "invalid parameter \"a\""),
        ("body ~* b;", "invalid parameter \"~*\""),
        ("require a;", "invalid variable name \"a\""),
        ("expect a;", "unknown directive \"expect\""),
        ("server 1;", "\"server\" directive is not allowed here"),
    ] {
        assert_eq!(of(wrong), message, "{wrong}");
    }
    let missing = of("body ~ \"(\";");
    assert!(missing.starts_with("pcre2_compile() failed: "), "{missing}");
    assert_eq!(faults("match a { } match a { }"), ["duplicate match \"a\""]);
    let check = location("proxy_pass http://u; health_check match=n; health_check match=m;");
    let told = faults(&format!("{GROUP} {check} match m {{ }}"));
    assert_eq!(told, ["match \"n\" is not defined"]);
}
