use super::*;

fn shown(format: Format) -> String {
    let mut out = Exposition::new(format);
    let zone = Labels::of(&[("zone", "a\\\"\nb")]);
    out.info("weir_build_info", "What runs.").sample(&Labels::of(&[("version", "1")]), 1_u64);
    out.counter("weir_sent_bytes_total", "Bytes \\ \"sent\".")
        .sample(&zone, 5_u64)
        .sample(&zone.with("code", "2xx"), 6_u64);
    out.gauge("weir_lag_seconds", "Lag.").sample(Labels::NONE, Value::millis(1500));
    out.gauge("weir_nothing", "Nothing.");
    let exemplar = Exemplar {
        labels: Labels::of(&[("request_id", "0f")]),
        value: 0.75,
        time: 1_700_000_000.5,
    };
    let exemplars = [None, Some(exemplar), None];
    let values =
        Distribution { ends: &[0.5, 1.0], counts: &[1, 2, 3], sum: 12.5, exemplars: &exemplars };
    out.histogram("weir_time_seconds", "Time.").distribution(&zone, &values);
    out.finish()
}

#[test]
fn the_text_format_is_written() {
    let zone = r#"zone="a\\\"\nb""#;
    let expected = format!(
        r#"# HELP weir_build_info What runs.
# TYPE weir_build_info gauge
weir_build_info{{version="1"}} 1
# HELP weir_sent_bytes_total Bytes \\ "sent".
# TYPE weir_sent_bytes_total counter
weir_sent_bytes_total{{{zone}}} 5
weir_sent_bytes_total{{{zone},code="2xx"}} 6
# HELP weir_lag_seconds Lag.
# TYPE weir_lag_seconds gauge
weir_lag_seconds 1.5
# HELP weir_time_seconds Time.
# TYPE weir_time_seconds histogram
weir_time_seconds_bucket{{{zone},le="0.5"}} 1
weir_time_seconds_bucket{{{zone},le="1.0"}} 3
weir_time_seconds_bucket{{{zone},le="+Inf"}} 6
weir_time_seconds_sum{{{zone}}} 12.5
weir_time_seconds_count{{{zone}}} 6
"#
    );
    assert_eq!(shown(Format::Text), expected);
}

#[test]
fn openmetrics_is_written() {
    let zone = r#"zone="a\\\"\nb""#;
    let expected = format!(
        r#"# HELP weir_build What runs.
# TYPE weir_build info
weir_build_info{{version="1"}} 1
# HELP weir_sent_bytes Bytes \\ \"sent\".
# TYPE weir_sent_bytes counter
# UNIT weir_sent_bytes bytes
weir_sent_bytes_total{{{zone}}} 5
weir_sent_bytes_total{{{zone},code="2xx"}} 6
# HELP weir_lag_seconds Lag.
# TYPE weir_lag_seconds gauge
# UNIT weir_lag_seconds seconds
weir_lag_seconds 1.5
# HELP weir_time_seconds Time.
# TYPE weir_time_seconds histogram
# UNIT weir_time_seconds seconds
weir_time_seconds_bucket{{{zone},le="0.5"}} 1
weir_time_seconds_bucket{{{zone},le="1.0"}} 3 # {{request_id="0f"}} 0.75 1700000000.500
weir_time_seconds_bucket{{{zone},le="+Inf"}} 6
weir_time_seconds_sum{{{zone}}} 12.5
weir_time_seconds_count{{{zone}}} 6
# EOF
"#
    );
    assert_eq!(shown(Format::OpenMetrics), expected);
}

#[test]
fn a_long_exemplar_is_left_out() {
    let labels = Labels::of(&[("request_id", &"x".repeat(120))]);
    let exemplars = [Some(Exemplar { labels, value: 1.0, time: 1.0 })];
    let values = Distribution { ends: &[], counts: &[1], sum: 1.0, exemplars: &exemplars };
    let mut out = Exposition::new(Format::OpenMetrics);
    out.histogram("weir_a", "A.").distribution(Labels::NONE, &values);
    assert!(!out.finish().contains(" # {"));
}

#[test]
fn special_values_have_names() {
    let mut out = Exposition::new(Format::Text);
    out.gauge("weir_a", "A.")
        .sample(&Labels::of(&[("of", "1")]), f64::NAN)
        .sample(&Labels::of(&[("of", "2")]), f64::INFINITY)
        .sample(&Labels::of(&[("of", "3")]), f64::NEG_INFINITY)
        .sample(&Labels::of(&[("of", "4")]), true);
    let text = out.finish();
    for line in [r#""1"} NaN"#, r#""2"} +Inf"#, r#""3"} -Inf"#, r#""4"} 1"#] {
        assert!(text.contains(line), "{text}");
    }
}

#[test]
fn the_format_is_negotiated() {
    use Format::{OpenMetrics, Text};
    let prometheus_2 = "application/openmetrics-text;version=1.0.0,\
        application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    let prometheus_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
        application/openmetrics-text;version=0.0.1;q=0.5,\
        text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
        text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
    let text_first = "text/plain;version=0.0.4;q=0.6, application/openmetrics-text; q=0.5";
    for (accept, expected) in [
        ("", Text),
        ("*/*", Text),
        ("text/html,*/*;q=0.8", Text),
        (prometheus_2, OpenMetrics),
        (prometheus_3, OpenMetrics),
        (text_first, Text),
        ("application/openmetrics-text", OpenMetrics),
        ("application/openmetrics-text; version=2.0.0, */*;q=0.1", Text),
        ("application/openmetrics-text;q=0", Text),
        ("application/openmetrics-text;q=x", Text),
        ("application/openmetrics-text;q=inf", Text),
        ("application/openmetrics-text;q=nan, text/plain;q=0.1", Text),
        ("application/openmetrics-text;q=9, text/plain;q=0.1", Text),
        ("application/openmetrics-text;q=-1", Text),
        ("application/openmetrics-text;q=1.000;version=\"1.0.0\", text/plain;q=0.999", OpenMetrics),
        ("application/openmetrics-text; Version = 1.0.0; Q = 0.5, text/plain; q=0.4", OpenMetrics),
        (";;;,,q=1;=;version", Text),
        ("Application/OpenMetrics-Text ; version=1.0.0 ; q=0.9", OpenMetrics),
    ] {
        assert_eq!(Format::preferred(accept.as_bytes()), expected, "{accept}");
    }
}

#[test]
fn any_labels_are_read() {
    for text in ["", "a\u{1}b\u{1}c", "\"\\\n{},= # \u{1}\r\t\0\u{1}\u{1f600}\\n", "\u{1}\u{1}"] {
        fuzz::fuzz(text.as_bytes());
    }
    fuzz::fuzz(b"\xff\xfe\xfd\xfc\xfb\xfa\xf9\x7f");
    fuzz::fuzz(b"\0\0\0\0\0\0\xf0\xff");
}
