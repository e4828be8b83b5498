//! Reports in both forms, and what is wrong with others.

use super::*;

fn metrics(names: &[&str]) -> Vec<Metric> {
    names.iter().map(|name| Metric::new(name).expect("a metric")).collect()
}

fn parse(value: &str) -> Option<LoadReport> {
    LoadReport::parse(value.as_bytes(), &metrics(&["named_metrics.a", "utilization.b"]))
}

const NONE: LoadReport =
    LoadReport { application: 0.0, cpu: 0.0, memory: 0.0, rps: 0.0, eps: 0.0, chosen: 0.0 };

#[test]
fn both_forms_say_the_same() {
    let all =
        LoadReport { application: 0.5, cpu: 1.25, memory: 0.75, rps: 120.0, eps: 3.0, chosen: 0.9 };
    let texts = [
        "TEXT application_utilization:0.5,cpu_utilization:1.25,mem_utilization:0.75,\
         rps_fractional:1.2e2,eps:3,rps:7,named_metrics.a:0.9,named_metrics.c:4,utilization.b:-1",
        " TEXT\t named_metrics.a : 0.1 , utilization.b:0.9,eps:+3.0, rps_fractional:120, \
         application_utilization:.5,cpu_utilization:1.25,mem_utilization:75e-2 ",
        "JSON {\"application_utilization\":0.5,\"cpu_utilization\":1.25,\"mem_utilization\":0.75,\
         \"rps_fractional\":120,\"eps\":3,\"rps\":\"7\",\"named_metrics\":{\"a\":0.9,\"c\":4},\
         \"utilization\":{\"b\":-1},\"request_cost\":{\"a\":5}}",
        "JSON \t{ \"applicationUtilization\" : \"0.5\" , \"cpuUtilization\" : 1.25, \"eps\": 3.0 ,\
         \"memUtilization\":7.5e-1, \"rpsFractional\" :120 , \"namedMetrics\" : { \"a\" : 0.9 , \
         \"b\":0.95 }, \"requestCost\":null,\"rps\": null } ",
    ];
    for text in texts {
        assert_eq!(parse(text), Some(all), "{text}");
    }
    assert_eq!(parse("JSON {}"), Some(NONE));
    assert_eq!(parse("JSON {\"utilization\":{}}"), Some(NONE));
    assert_eq!(parse("JSON {\"named_metrics\":{\"\\\"}\":1}}"), Some(NONE));
}

#[test]
fn one_bad_item_voids_a_report() {
    let bad = [
        "",
        "TEXT",
        "TEXT ",
        "JSON",
        "JSON ",
        "BIN CAE=",
        "cpu_utilization:0.5",
        "text eps:1",
        "TEXT eps",
        "TEXT eps:",
        "TEXT :1",
        "TEXT eps:1,",
        "TEXT ,eps:1",
        "TEXT eps:1,,rps:1",
        "TEXT eps:1,eps:1",
        "TEXT eps:1,eps:2",
        "TEXT named_metrics.x:1,named_metrics.x:1",
        "TEXT eps:NaN",
        "TEXT eps:inf",
        "TEXT eps:-inf",
        "TEXT eps:infinity",
        "TEXT eps:1e999",
        "TEXT eps:-1",
        "TEXT cpu_utilization:-0.1",
        "TEXT eps:0x1",
        "TEXT eps:1;rps:2",
        "TEXT eps:1 2",
        "TEXT EPS:1",
        "TEXT cpu:1",
        "TEXT named_metrics.:1",
        "TEXT named_metrics:1",
        "TEXT request_cost.a:1",
        "TEXT eps:1:2",
        "TEXT eps:--1",
        "JSON {",
        "JSON }",
        "JSON {}}",
        "JSON {},",
        "JSON []",
        "JSON null",
        "JSON {\"eps\"}",
        "JSON {\"eps\":}",
        "JSON {\"eps\":1,}",
        "JSON {,\"eps\":1}",
        "JSON {\"eps\":1",
        "JSON {\"eps\":1}x",
        "JSON {\"eps\":1,\"eps\":1}",
        "JSON {\"rpsFractional\":1,\"rps_fractional\":1}",
        "JSON {\"eps\":NaN}",
        "JSON {\"eps\":\"NaN\"}",
        "JSON {\"eps\":\"Infinity\"}",
        "JSON {\"eps\":-1}",
        "JSON {\"eps\":true}",
        "JSON {\"eps\":{}}",
        "JSON {\"eps\":[1]}",
        "JSON {\"cpu\":1}",
        "JSON {\"named_metrics\":1}",
        "JSON {\"named_metrics\":{\"a\":null}}",
        "JSON {\"named_metrics\":{\"\":1}}",
        "JSON {\"named_metrics\":{\"a\":1,\"a\":1}}",
        "JSON {\"named_metrics\":{\"a\":{}}}",
        "JSON {\"eps\":\"1}",
        "JSON {\"eps\":\"\\",
        "JSON {\"\\",
    ];
    for text in bad {
        assert_eq!(parse(text), None, "{text}");
    }
}

#[test]
fn the_number_of_items_is_limited() {
    let text = |count: usize| {
        let items: Vec<String> = (0..count).map(|n| format!("named_metrics.{n}:1")).collect();
        format!("TEXT {}", items.join(","))
    };
    assert!(parse(&text(MAX_ITEMS)).is_some());
    assert_eq!(parse(&text(MAX_ITEMS + 1)), None);
    let json = |count: usize| {
        let items: Vec<String> = (0..count).map(|n| format!("\"{n}\":1")).collect();
        let items = items.join(",");
        format!("JSON {{\"named_metrics\":{{{items}}}}}")
    };
    assert!(parse(&json(MAX_ITEMS)).is_some());
    assert_eq!(parse(&json(MAX_ITEMS + 1)), None);
    let spread = format!(
        "{},\"utilization\":{{\"b\":1}}}}",
        json(MAX_ITEMS).trim_end_matches('}').to_owned() + "}"
    );
    assert_eq!(parse(&spread), None);
}

#[test]
fn a_weight_is_the_rate_at_full_use() {
    let report = LoadReport { cpu: 0.5, rps: 100.0, ..NONE };
    assert_eq!(report.weight(1.0), Some(200.0));
    // The application knows better than its processors, and the chosen metrics best.
    let report = LoadReport { application: 0.25, ..report };
    assert_eq!(report.weight(1.0), Some(400.0));
    assert_eq!(LoadReport { chosen: 0.125, ..report }.weight(1.0), Some(800.0));
    // A tenth of errors is as a tenth more of use.
    let failing = LoadReport { eps: 10.0, ..report };
    assert!((failing.weight(1.0).unwrap() - 100.0 / 0.35).abs() < 1e-9);
    assert_eq!(failing.weight(0.0), Some(400.0));
    for too_little in [NONE, LoadReport { rps: 0.0, ..report }, LoadReport { rps: 5.0, ..NONE }] {
        assert_eq!(too_little.weight(1.0), None);
    }
    assert_eq!(LoadReport { rps: f64::MAX, cpu: f64::MIN_POSITIVE, ..NONE }.weight(1.0), None);
}

#[test]
fn metrics_have_names_of_the_definition() {
    let good = ["cpu_utilization", "mem_utilization", "application_utilization", "utilization.x"];
    assert!(good.iter().all(|name| Metric::new(name).is_some()));
    let bad = ["", "cpu", "eps", "rps_fractional", "named_metrics.", "request_cost.a", "a.b", ".a"];
    assert!(bad.iter().all(|name| Metric::new(name).is_none()));
    let metrics = metrics(&["mem_utilization", "named_metrics.a.b"]);
    let chosen = |text: &str| LoadReport::parse(text.as_bytes(), &metrics).unwrap().chosen;
    assert_eq!(chosen("TEXT mem_utilization:0.5,cpu_utilization:0.9"), 0.5);
    assert_eq!(chosen("TEXT named_metrics.a.b:0.7,named_metrics.a:0.9"), 0.7);
    assert_eq!(chosen("JSON {\"named_metrics\":{\"a.b\":0.7}}"), 0.7);
    assert_eq!(chosen("TEXT named_metrics.a.b:-0.7"), 0.0);
}
