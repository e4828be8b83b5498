//! One side of a case in its own namespaces: network, mounts and processes.

use std::collections::BTreeSet;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::super::connection;
use super::super::side::even_out;
use super::dump::Dump;
use super::questions::{Question, questions};
use super::{ALONE, CONNECTION, DIRECTIVES, EXCHANGE, echo};
use crate::harness::{Directory, Signal, send_signal, until};

/// The last line of a report.
pub(super) const END: &str = "end";

/// The number of exchanges without an end after which a case is abandoned: its server waits for
/// something that does not exist.
const HELD: usize = 2;

/// Folders named by configurations, empty in each namespace.
const EMPTY: &[&str] = &["/var/log", "/run", "/var/cache", "/var/lib"];

/// Runs one side in new namespaces and returns its report.
pub(super) fn enter(
    folder: &Path,
    scratch: &Directory,
    side: &str,
    binary: &Path,
    nginx: &Path,
) -> String {
    let own = scratch.join(side).join(super::name(folder));
    let copied = std::fs::create_dir_all(own.parent().unwrap_or(Path::new("/")))
        .and_then(|()| Command::new("cp").arg("-a").arg(folder).arg(&own).status());
    if !copied.is_ok_and(|status| status.success()) {
        return "the folder could not be copied".to_owned();
    }
    // The logs at nginx's default paths.
    let _ = std::fs::create_dir_all(own.join("logs"));
    let runner = std::env::current_exe().expect("the runner's own path");
    let output = Command::new("unshare")
        .args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"])
        .arg(runner)
        .arg(ALONE)
        .args([&*own, binary, nginx])
        .stdin(Stdio::null())
        .output();
    let _ = std::fs::remove_dir_all(&own);
    match output {
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            text + &String::from_utf8_lossy(&output.stderr)
        }
        Err(error) => format!("unshare: {error}"),
    }
}

/// Runs inside the namespaces: starts the binary, sends the requests and prints a report.
pub(super) fn alone(folder: &Path, binary: &Path, nginx: &Path) -> Result<(), String> {
    furnish()?;
    let dump = dump(folder, nginx)?;
    let questions = questions(&dump.servers);
    let ports = dump.ports();
    if dump.upstreams.iter().any(|(_, port)| ports.contains(port)) {
        return Err("it passes requests to itself".to_owned());
    }
    echo::start(&dump.upstreams);
    let directives: Vec<&str> = dump.directives.iter().map(String::as_str).collect();
    println!("{DIRECTIVES}{}", directives.join(" "));
    let mut server = start(folder, binary, &dump)?;
    let first = questions.first().map(|question| &question.listen);
    if let Some(listen) = first {
        until("the server to listen", || {
            !dump.has("daemon") && server.try_wait().is_ok_and(|status| status.is_some())
                || TcpStream::connect((listen.address.as_str(), listen.port)).is_ok()
        });
    }
    ask(folder, &questions);
    send_signal(server.id(), Signal::TERM);
    let _ = server.wait();
    println!("{END}");
    Ok(())
}

/// Brings up the loopback interface and empties the folders that servers write to.
fn furnish() -> Result<(), String> {
    run(Command::new("ip").args(["link", "set", "lo", "up"]))?;
    for folder in EMPTY.iter().filter(|folder| Path::new(folder).is_dir()) {
        run(Command::new("mount").args(["-t", "tmpfs", "none", folder]))?;
    }
    for folder in ["/var/log/nginx", "/var/cache/nginx", "/var/lib/nginx"] {
        std::fs::create_dir_all(folder).map_err(|error| format!("{folder}: {error}"))?;
    }
    Ok(())
}

fn run(command: &mut Command) -> Result<(), String> {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        other => Err(format!("{command:?}: {other:?}")),
    }
}

/// The arguments for a folder's configuration.
fn arguments(folder: &Path) -> [String; 4] {
    let prefix = format!("{}/", folder.display());
    ["-p".to_owned(), prefix, "-c".to_owned(), "nginx.conf".to_owned()]
}

fn dump(folder: &Path, nginx: &Path) -> Result<Dump, String> {
    let output = Command::new(nginx).arg("-T").args(arguments(folder)).output();
    let output = output.map_err(|error| format!("{}: {error}", nginx.display()))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(Dump::parse(&String::from_utf8_lossy(&output.stdout)))
}

fn start(folder: &Path, binary: &Path, dump: &Dump) -> Result<Child, String> {
    let mut command = Command::new(binary);
    command.args(arguments(folder)).stdout(Stdio::null()).stderr(Stdio::null());
    if !dump.has("daemon") {
        command.args(["-g", "daemon off;"]);
    }
    command.spawn().map_err(|error| format!("{}: {error}", binary.display()))
}

/// Sends all requests and prints the results.
fn ask(folder: &Path, questions: &[Question]) {
    let own = folder.display().to_string();
    let mut used = BTreeSet::new();
    let mut held = 0;
    for question in questions {
        println!("{EXCHANGE}{}", question.exchange.name);
        match connection::run(&question.exchange, question.listen.port, &mut used) {
            Ok(outcome) => {
                let text = even_out(&outcome.received);
                let text =
                    text.replace(&own, "%dir%").replace(&outcome.port.to_string(), "%client%");
                text.lines().for_each(|line| println!(" {}", without_ids(line)));
                println!("{CONNECTION}{}", outcome.end);
                held += usize::from(outcome.end == connection::OPEN);
            }
            Err(error) => println!(" no connection: {error}"),
        }
        if held == HELD {
            break;
        }
    }
}

/// Replaces numbers of 32 hexadecimal digits, which are request IDs.
fn without_ids(line: &str) -> String {
    let mut out = String::new();
    for piece in line.split_inclusive(|c: char| !c.is_ascii_hexdigit()) {
        let digits = piece.trim_end_matches(|c: char| !c.is_ascii_hexdigit());
        if digits.len() == 32 {
            out += "(id)";
            out += &piece[digits.len()..];
        } else {
            out += piece;
        }
    }
    out
}
