//! `weir demo cluster`, as a user sees it.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::harness::{Signal, binary, children, is_nginx, send_signal, until};

/// A running demo, and the lines that it prints.
struct Demo {
    child: Child,
    /// `None` when nobody reads any more.
    lines: Option<std::io::Lines<BufReader<ChildStdout>>>,
}

impl Demo {
    fn start(seconds: &str) -> Self {
        let mut command = Command::new(binary());
        command.args(["demo", "cluster", seconds]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines: Some(lines) }
    }

    /// The lines up to the one that contains `text`.
    fn until(&mut self, text: &str) -> Vec<String> {
        let mut before = Vec::new();
        loop {
            let line = self.lines.as_mut().unwrap().next().expect("more lines").unwrap();
            let is_it = line.contains(text);
            before.push(line);
            if is_it {
                return before;
            }
        }
    }

    /// The folder of the demo.
    fn folder(&self) -> std::path::PathBuf {
        std::env::temp_dir().join(format!("weir-demo-{}", self.child.id()))
    }

    /// Waits for its end, which leaves nothing behind. Returns whether no client saw an error.
    fn end(mut self) -> bool {
        let started = children(self.child.id());
        let status = self.child.wait().unwrap();
        assert!(!self.folder().exists());
        let runs = |&process: &u32| std::path::Path::new(&format!("/proc/{process}")).exists();
        until("the end of its processes", || !started.iter().any(runs));
        status.success()
    }
}

#[test]
fn the_cluster_demo_shows_no_error() {
    if is_nginx() {
        return;
    }
    let mut demo = Demo::start("1");
    let text = demo.until("no client saw an error");
    assert!(text.iter().all(|line| line.len() <= 80), "{text:#?}");
    let is_act = |line: &&String| line.starts_with(|first: char| first.is_ascii_digit());
    let acts: Vec<_> = text.iter().filter(is_act).take(5).collect();
    for (number, act) in (1..=5).zip(&acts) {
        assert!(act.starts_with(&format!("{number}. ")), "{text:#?}");
    }
    // Three lines for each act, of which a busy machine may answer none in one; the killed server
    // answers nothing later on.
    let is_row = |line: &&String| line.contains(" - ") && line.matches(" ms ").count() == 2;
    let rows: Vec<_> = text.iter().filter(is_row).collect();
    assert_eq!(rows.len(), 15, "{text:#?}");
    assert!(rows[5].trim_end().ends_with('-'), "{text:#?}");
    assert!(text.iter().any(|line| line.contains("is ejected for 5 s: 5")), "{text:#?}");
    assert!(demo.end());
}

#[test]
fn the_cluster_demo_ends_with_ctrl_c() {
    if is_nginx() {
        return;
    }
    let mut demo = Demo::start("3600");
    demo.until("1. All is well");
    let conf = std::fs::read_to_string(demo.folder().join("nginx.conf")).unwrap();
    assert!(conf.contains("outlier_ejection"));
    send_signal(demo.child.id(), Signal::INT);
    demo.until("no client saw an error");
    assert!(demo.end());
    // Words that name no demo are refused as other arguments are.
    for words in [&["demo", "x"][..], &["demo", "cluster", "0"], &["demo", "cluster", "1", "2"]] {
        let output = Command::new(binary()).args(words).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && told.contains("invalid option: \"demo\""), "{told}");
    }
}

/// As in `weir demo cluster | head -1`.
#[test]
fn a_demo_that_nobody_reads_cleans_up() {
    if is_nginx() {
        return;
    }
    let mut demo = Demo::start("1");
    demo.until("Weir in front");
    demo.lines = None;
    assert!(demo.end());
}

/// Not even a killed demo leaves its Weir behind.
#[test]
fn a_killed_demo_leaves_no_server() {
    if is_nginx() {
        return;
    }
    let mut demo = Demo::start("3600");
    demo.until("1. ");
    let started = children(demo.child.id());
    assert!(!started.is_empty());
    let workers: Vec<u32> = started.iter().flat_map(|&master| children(master)).collect();
    demo.child.kill().unwrap();
    demo.child.wait().unwrap();
    let runs = |&process: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat"));
        stat.is_ok_and(|stat| !stat.contains(") Z "))
    };
    until("the end of its server", || !started.iter().chain(&workers).any(runs));
    let _ = std::fs::remove_dir_all(demo.folder());
}
