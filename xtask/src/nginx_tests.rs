//! nginx's own test suite, run with Weir.
//!
//! Started as root, each file runs in its own network and process namespaces and as a plain user,
//! as the suite expects: ports never collide, and no process outlives its file.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use crate::{Failure, cargo};

/// No thread panics while it holds a lock.
const UNHARMED: &str = "a lock that nobody has poisoned";

/// The number of concurrent files; most wait more than they work.
const AT_ONCE: usize = 2;

/// The time limit of a file in seconds.
const TIMEOUT: &str = "180";

/// The report of a file.
#[derive(Debug, Default)]
struct Report {
    file: String,
    planned: usize,
    passed: usize,
    failed: Vec<String>,
    skipped: bool,
}

impl Report {
    fn parse(file: String, tap: &str) -> Self {
        let mut this = Self { file, ..Self::default() };
        for line in tap.lines() {
            if let Some(plan) = line.strip_prefix("1..") {
                let number = plan.split_whitespace().next().unwrap_or("0");
                this.planned = number.parse().unwrap_or(0);
                this.skipped = this.planned == 0;
            } else if line.starts_with("ok ") || line.contains("# TODO") {
                this.passed += 1;
            } else if line.starts_with("not ok ") {
                this.failed.push(line.to_owned());
            }
        }
        this
    }

    fn status(&self) -> &'static str {
        match self {
            Self { skipped: true, .. } => "skip",
            _ if self.planned == 0 => "crash",
            _ if self.passed == self.planned => "pass",
            _ if self.passed + self.failed.len() < self.planned => "crash",
            _ => "fail",
        }
    }

    fn row(&self) -> String {
        let first = self.failed.first().map_or("", String::as_str);
        format!("{}\t{}\t{}\t{}\t{first}", self.file, self.status(), self.planned, self.passed)
    }
}

/// Runs the named files, or all of a checkout, and writes a row for each.
pub(crate) fn run(arguments: &[&str]) -> Result<(), Failure> {
    let (folder, names) = arguments.split_first().ok_or("which checkout of nginx-tests?")?;
    let folder = std::fs::canonicalize(folder).map_err(|error| format!("{folder}: {error}"))?;
    let mut files = files(&folder, names)?;
    files.reverse();
    let binary = match std::env::var_os("WEIR_BINARY") {
        Some(binary) => PathBuf::from(binary),
        None => cargo::build(cargo::Profile::Debug)?,
    };
    let queue = Mutex::new(files);
    let reports = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(file) = { queue.lock().expect(UNHARMED).pop() } {
                    let report = Report::parse(file.clone(), &run_file(&folder, &binary, &file));
                    println!("{}", report.row());
                    reports.lock().expect(UNHARMED).push(report);
                }
            });
        }
    });
    let reports = reports.into_inner().expect(UNHARMED);
    let count = |status: &str| reports.iter().filter(|report| report.status() == status).count();
    let passed: usize = reports.iter().map(|report| report.passed).sum();
    println!(
        "{} files: {} pass, {} fail, {} crash, {} skip; {passed} subtests pass",
        reports.len(),
        count("pass"),
        count("fail"),
        count("crash"),
        count("skip"),
    );
    Ok(())
}

fn files(folder: &Path, names: &[&str]) -> Result<Vec<String>, Failure> {
    let entries = std::fs::read_dir(folder).map_err(|error| error.to_string())?;
    let all = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let wanted = |name: &String| {
        name.ends_with(".t") && (names.is_empty() || names.iter().any(|part| name.contains(part)))
    };
    let mut files: Vec<String> = all.filter(wanted).collect();
    files.sort();
    Ok(files)
}

/// Parses the output of a file; other failures show as a plan that is not met.
fn run_file(folder: &Path, binary: &Path, file: &str) -> String {
    const ALONE: &str = "ip link set lo up && exec setpriv --reuid=nobody --regid=nogroup \
        --clear-groups timeout \"$0\" perl \"$1\"";
    let isolated = Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n");
    let mut command = if isolated {
        let mut command = Command::new("unshare");
        command.args(["--net", "--pid", "--mount-proc", "--fork", "--kill-child", "--"]);
        command.args(["sh", "-c", ALONE, TIMEOUT, file]);
        command
    } else {
        let mut command = Command::new("timeout");
        command.args([TIMEOUT, "perl", file]);
        command
    };
    command.current_dir(folder).env("TEST_NGINX_BINARY", binary);
    let output = command.output().map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&output).into_owned()
}
