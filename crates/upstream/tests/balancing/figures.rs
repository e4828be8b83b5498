//! The figures of `docs/balancing.md`, and tests of what it says. `cargo xtask balancing` writes
//! its tables and plots anew.

use std::{fmt::Write, path::PathBuf};

use weir_upstream::{Causes, RetryBudget};

use crate::judge::judge_spread;
use crate::methods::{METHODS, Method, named};
use crate::plan::{Kind, Micros, Plan, SECOND, ServerPlan, Trouble};
use crate::report::Report;
use crate::svg::{Axis, Line, bars, lines};

/// The mean time of a request at a server, in microseconds.
const MEAN: f64 = 20_000.0;

/// The number of servers.
const SERVERS: usize = 10;

/// Ejection by failures and by latency.
const EJECTION: &str = "outlier_ejection latency=3;";

/// The state of the servers.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Case {
    /// Ten equal servers.
    Equal,
    /// Servers of three sizes, and weights that say so.
    Weighed,
    /// Servers of three sizes, and no weights.
    Unweighed,
    /// Equal servers, one of which is in trouble from a quarter of the time on.
    One(Kind),
}

fn plan(method: &'static Method, case: Case, load: f64, requests: usize) -> Plan {
    let size = |place: usize| [1, 2, 4][place % 3];
    let server = |place: usize| match case {
        Case::Equal | Case::One(_) => ServerPlan::new(1, 2, MEAN),
        Case::Weighed => ServerPlan::new(size(place) as u32, size(place), MEAN),
        Case::Unweighed => ServerPlan::new(1, size(place), MEAN),
    };
    let mut plan = Plan {
        seed: 1,
        method,
        servers: (0..SERVERS).map(server).collect(),
        directives: "",
        preferred: Vec::new(),
        requests,
        load,
        clients: 10_000,
        troubles: Vec::new(),
        causes: Causes::DEFAULT,
        budget: Some(RetryBudget::DEFAULT),
        timeout: 60 * SECOND,
    };
    if let Case::One(kind) = case {
        let from = plan.length() / 4;
        plan.troubles.push(Trouble { server: 3, kind, from, until: Micros::MAX });
        plan.timeout = 2 * SECOND;
    }
    plan
}

fn run(plan: &Plan) -> Report {
    crate::silence_the_process_log();
    crate::run(plan, None).unwrap_or_else(|fault| panic!("{}: {fault}", plan.method.name))
}

/// A method by its name, and `outlier_ejection` beside it.
fn of(name: &str, case: Case, requests: usize) -> Report {
    let (name, ejects) = match name.strip_suffix(" with ejection") {
        Some(name) => (name, true),
        None => (name, false),
    };
    let load = if let Case::One(_) = case { 0.6 } else { 0.7 };
    let mut plan = plan(named(name), case, load, requests);
    if ejects {
        plan.directives = EJECTION;
    }
    run(&plan)
}

/// The share of the server in trouble, of the requests since then, in percent.
fn share_of_the_bad(report: &Report) -> f64 {
    let later = &report.choices[report.choices.len() / 4..];
    let bad = later.iter().filter(|(_, place)| *place == 3).count();
    100.0 * bad as f64 / later.len() as f64
}

const SLOW: Case = Case::One(Kind::Slow(5.0));
const ERRING: Case = Case::One(Kind::Erring(1.0));
const REFUSING: Case = Case::One(Kind::Refusing);
const HANGING: Case = Case::One(Kind::Hanging);

#[test]
fn spreads_are_as_promised_in_a_larger_world() {
    for method in METHODS {
        for case in [Case::Equal, Case::Weighed] {
            let plan = plan(method, case, 0.7, 3000);
            let fault = judge_spread(&plan, &run(&plan)).err();
            assert_eq!(fault, None, "{} {case:?}", method.name);
        }
    }
}

/// What the page says in words.
#[test]
fn the_advice_of_the_documentation_holds() {
    let small = |name: &str, case| of(name, case, 6000);
    let p99 = |name: &str, case| small(name, case).quantile(0.99);
    assert!(1.3 * p99("least_conn", Case::Equal) < p99("random", Case::Equal));
    assert!(p99("least_conn", Case::Equal) < p99("round robin", Case::Equal));
    assert!(1.3 * p99("random two least_conn", Case::Equal) < p99("random", Case::Equal));
    assert!(2.0 * p99("least_conn", Case::Unweighed) < p99("round robin", Case::Unweighed));
    assert!(2.0 * p99("ewma", SLOW) < p99("round robin", SLOW));
    // Latencies are compared every ten seconds.
    let [plain, ejecting] = ["round robin", "round robin with ejection"]
        .map(|name| of(name, SLOW, 20_000).quantile(0.99));
    assert!(2.0 * ejecting < plain, "{ejecting} and {plain}");
    let balanced = p99("hash consistent balance=125%", Case::Equal);
    assert!(1.5 * balanced < p99("hash consistent", Case::Equal));
    // A server that fails fast attracts the requests of methods that only count.
    let errors = |name: &str| small(name, ERRING).errors;
    assert!(errors("least_conn") > errors("round robin"));
    assert!(4 * errors("ewma") < errors("round robin"));
    assert!(4 * errors("least_conn with ejection") < errors("least_conn"));
    for method in METHODS {
        assert_eq!(small(method.name, REFUSING).errors, 0, "{}", method.name);
    }
}

/// Writes the tables and plots to the folder in `WEIR_BALANCING_DOCS`.
#[test]
#[ignore = "a chore: cargo xtask balancing"]
fn writes_the_documentation() {
    let folder = PathBuf::from(std::env::var_os("WEIR_BALANCING_DOCS").unwrap());
    let page = folder.join("balancing.md");
    let text = std::fs::read_to_string(&page).unwrap();
    let (begin, end) = ("<!-- figures: begin -->\n", "<!-- figures: end -->");
    let (head, rest) = text.split_once(begin).unwrap();
    let (_, tail) = rest.split_once(end).unwrap();
    let tables = format!("\n{}\n{}\n{}\n", healthy_table(), bad_table(), plots());
    std::fs::write(&page, [head, begin, &tables, end, tail].concat()).unwrap();
    let plots = folder.join("balancing");
    std::fs::create_dir_all(&plots).unwrap();
    for (name, plot) in [("load", load_plot()), ("slow", slow_plot()), ("warm-up", warm_up_plot())]
    {
        std::fs::write(plots.join(format!("{name}.svg")), plot).unwrap();
    }
}

/// The number of requests of a figure.
const REQUESTS: usize = 40_000;

fn plots() -> String {
    "![p99 by load](balancing/load.svg)\n\n![one slow server](balancing/slow.svg)\n\n\
     ![warm-up](balancing/warm-up.svg)\n"
        .into()
}

fn healthy_table() -> String {
    let mut text = "| method | equal servers: spread | median | p99 | p99.9 | servers of three \
                    sizes, with weights: p99 | without weights: p99 |\n\
                    |---|---:|---:|---:|---:|---:|---:|\n"
        .to_owned();
    for method in METHODS {
        let equal = plan(method, Case::Equal, 0.7, REQUESTS);
        let report = run(&equal);
        let p99 = |case| of(method.name, case, REQUESTS).quantile(0.99);
        let [median, p99_of_equal, p999] = [0.5, 0.99, 0.999].map(|share| report.quantile(share));
        let _ = writeln!(
            text,
            "| {} | {:.2} | {median:.0} | {p99_of_equal:.0} | {p999:.0} | {:.0} | {:.0} |",
            method.name,
            report.spread(&equal),
            p99(Case::Weighed),
            p99(Case::Unweighed)
        );
    }
    text
}

fn bad_table() -> String {
    let mut text = "| method | slow: its share | p99 | p99.9 | erring: its share | errors | \
                    hanging: its share | errors | p99 | p99.9 |\n\
                    |---|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n"
        .to_owned();
    let names = METHODS.iter().map(|method| method.name);
    for name in names.chain(["round robin with ejection", "least_conn with ejection"]) {
        let [slow, erring, hanging] = [SLOW, ERRING, HANGING].map(|case| of(name, case, REQUESTS));
        let errors = 100.0 * erring.errors as f64 / REQUESTS as f64;
        let _ = writeln!(
            text,
            "| {name} | {:.1} % | {:.0} | {:.0} | {:.1} % | {errors:.2} % | {:.2} % | {:.2} % | {:.0} | {:.0} |",
            share_of_the_bad(&slow),
            slow.quantile(0.99),
            slow.quantile(0.999),
            share_of_the_bad(&erring),
            share_of_the_bad(&hanging),
            100.0 * hanging.errors as f64 / REQUESTS as f64,
            hanging.quantile(0.99),
            hanging.quantile(0.999)
        );
    }
    text
}

fn load_plot() -> String {
    let loads: Vec<f64> = (2..=9).map(|tenth| f64::from(tenth) / 10.0).chain([0.95]).collect();
    let names = [
        "round robin",
        "random",
        "random two least_conn",
        "least_conn",
        "ewma",
        "hash consistent",
        "hash consistent balance=125%",
    ];
    let line = |name: &&str| {
        let point = |&load: &f64| {
            let report = run(&plan(named(name), Case::Equal, load, REQUESTS));
            (100.0 * load, report.quantile(0.99))
        };
        Line { name: (*name).to_owned(), points: loads.iter().map(point).collect() }
    };
    let lines_of: Vec<Line> = names.iter().map(line).collect();
    let x = Axis {
        text: "load in percent of what all servers can do",
        ends: (20.0, 95.0),
        numbers: vec![20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0],
        logarithmic: false,
    };
    let y = Axis {
        text: "99th percentile, ms",
        ends: (80.0, 5000.0),
        numbers: vec![100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0],
        logarithmic: true,
    };
    lines("Ten equal servers: waiting times by load", &x, &y, &lines_of)
}

fn slow_plot() -> String {
    let names = METHODS.iter().map(|method| method.name);
    let rows: Vec<(String, Vec<f64>)> = names
        .chain(["round robin with ejection", "least_conn with ejection"])
        .map(|name| {
            let report = of(name, SLOW, REQUESTS);
            (name.to_owned(), vec![report.quantile(0.99), report.quantile(0.999)])
        })
        .collect();
    let x = Axis {
        text: "ms, logarithmic",
        ends: (50.0, 4000.0),
        numbers: Vec::new(),
        logarithmic: true,
    };
    bars("One of ten servers takes five times as long", &x, &["p99", "p99.9"], &rows)
}

/// The second at which the server of the plot works again, slowly at first.
const BACK: u64 = 10;

fn warm_up_plot() -> String {
    let line = |(name, words): (&str, &str)| {
        let mut plan = plan(named("round robin"), Case::Equal, 0.6, 36_000);
        plan.servers[3].words = format!("fail_timeout=2s {words}");
        let trouble = |kind, from, until| Trouble {
            server: 3,
            kind,
            from: from * SECOND,
            until: until * SECOND,
        };
        plan.troubles = vec![
            trouble(Kind::Refusing, 5, BACK),
            trouble(Kind::Slow(4.0), BACK, BACK + 5),
            trouble(Kind::Slow(2.0), BACK + 5, BACK + 10),
        ];
        let report = run(&plan);
        let share = |second: u64| {
            let of_second = |it: &&(Micros, usize)| it.0 / SECOND == second;
            let all = report.choices.iter().filter(of_second).count();
            let own = report.choices.iter().filter(of_second).filter(|it| it.1 == 3).count();
            (second as f64, 100.0 * own as f64 / all.max(1) as f64)
        };
        Line { name: name.to_owned(), points: (0..55).map(share).collect() }
    };
    let all = [
        ("without slow_start", ""),
        ("slow_start=20s", "slow_start=20s"),
        ("slow_start=auto", "slow_start=auto"),
    ]
    .map(line);
    let x = Axis {
        text: "seconds",
        ends: (0.0, 55.0),
        numbers: vec![0.0, 10.0, 20.0, 30.0, 40.0, 50.0],
        logarithmic: false,
    };
    let y = Axis {
        text: "its share of the requests, percent",
        ends: (0.0, 15.0),
        numbers: vec![0.0, 5.0, 10.0, 15.0],
        logarithmic: false,
    };
    lines("One of ten servers fails, and is slow when it is back after 10 s", &x, &y, &all)
}
