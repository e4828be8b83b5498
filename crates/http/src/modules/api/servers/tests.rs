use super::*;

fn refused(body: &str) -> (u16, &'static str, String) {
    let failure = Parameters::read(body.as_bytes()).and_then(Parameters::server).unwrap_err();
    (failure.status, failure.code, failure.text)
}

#[test]
fn a_body_describes_a_server() {
    let body = r#"{"server": "10.0.0.1:8080", "weight": 5, "max_conns": 3, "max_fails": 0,
        "fail_timeout": "1m", "slow_start": "1500ms", "route": "a", "backup": true,
        "locality": "eu-1a",
        "down": false, "drain": true}"#;
    let server = Parameters::read(body.as_bytes()).and_then(Parameters::server).unwrap();
    let limits = Limits {
        weight: 5,
        max_conns: 3,
        max_fails: 0,
        fail_timeout: 60,
        slow_start: SlowStart::Within(1500),
        admission: Admission::Draining,
        locality: Some("eu-1a".into()),
        ..Limits::default()
    };
    assert_eq!((server.limits, server.backup), (limits, true));
    assert_eq!(server.route.as_deref(), Some("a"));
    assert_eq!(server.addresses[0].to_string(), "10.0.0.1:8080");
    let named = r#"{"server": "A.example", "service": "HTTP"}"#;
    let named = Parameters::read(named.as_bytes()).and_then(Parameters::server).unwrap();
    let name = Name { host: "a.example".into(), port: 80, service: Some("http".into()) };
    assert_eq!((named.resolve, named.addresses.len()), (Some(name), 0));
}

#[test]
fn refusals_name_the_parameter() {
    let format = "UpstreamConfFormatError";
    for (body, code, text) in [
        ("{}", format, "missing \"server\" argument"),
        (r#"{"server": ""}"#, format, "missing \"server\" argument"),
        ("[]", format, "object expected"),
        (r#"{"server": ["a"]}"#, format, "nested object or list"),
        (r#"{"server": 7}"#, format, "invalid \"server\" value"),
        (r#"{"server": "a\nb"}"#, format, "invalid \"server\" value"),
        (r#"{"id": 1}"#, format, "unknown parameter \"id\""),
        (r#"{"weight": "1"}"#, format, "invalid \"weight\" value"),
        (r#"{"weight": 1.5}"#, format, "invalid \"weight\" value"),
        (r#"{"weight": 0}"#, "UpstreamBadWeight", "invalid \"weight\""),
        (r#"{"weight": -1}"#, "UpstreamBadWeight", "invalid \"weight\""),
        (r#"{"weight": 4294967296}"#, "UpstreamBadWeight", "invalid \"weight\""),
        (r#"{"max_conns": -1}"#, "UpstreamBadMaxConns", "invalid \"max_conns\""),
        (r#"{"max_fails": 9223372036854775808}"#, "UpstreamBadMaxFails", "invalid \"max_fails\""),
        (r#"{"fail_timeout": "1x"}"#, "UpstreamBadFailTimeout", "invalid \"fail_timeout\""),
        (r#"{"fail_timeout": 10}"#, format, "invalid \"fail_timeout\" value"),
        (r#"{"slow_start": "-1"}"#, "UpstreamBadSlowStart", "invalid \"slow_start\""),
        (r#"{"backup": 1}"#, format, "invalid \"backup\" value"),
        (r#"{"service": ""}"#, "UpstreamBadService", "\"service\" is empty"),
        (
            r#"{"server": "a:1", "service": "http"}"#,
            "UpstreamBadAddress",
            "service upstream \"a\" may not have port",
        ),
        (
            r#"{"server": "10.0.0.1", "service": "http"}"#,
            "UpstreamBadAddress",
            "service upstream \"10.0.0.1\" requires domain name",
        ),
        (
            r#"{"server": "10.0.0.1:x"}"#,
            "UpstreamBadAddress",
            "invalid port while parsing \"10.0.0.1:x\"",
        ),
    ] {
        assert_eq!(refused(body), (400, code, text.to_owned()), "{body}");
    }
    let (status, code, _) = refused("{");
    assert_eq!((status, code), (415, "JsonError"));
    let deep = "[".repeat(100_000);
    assert_eq!(refused(&deep).1, "JsonError");
}
