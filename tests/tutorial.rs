//! The tutorial, as shipped in conf/: two Apaches on their own hosts, and one server in front.
//!
//! Three network namespaces stand for three hosts, so that the addresses are those of the tutorial
//! and nothing else on this machine is affected. Needs root, apache2, curl and iproute2.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use crate::harness::{
    Apache, Daemon, Directory, Network, binary, children, skipped, until, until_some,
};

/// A user database with the tutorial's user, visible in the first namespace only.
const USERS: &str =
    "root:x:0:0:root:/root:/bin/sh\nwww:x:987:987::/nonexistent:/usr/sbin/nologin\n";
const GROUPS: &str = "root:x:0:\nwww:x:987:\n";
const WWW: &str = "987";

/// The tutorial's hosts.
struct Hosts {
    network: Network,
}

impl Hosts {
    fn new() -> Result<Self, String> {
        let this = Self { network: Network::new(2)? };
        let files = this.files();
        std::fs::create_dir_all(&files).unwrap();
        std::fs::write(files.join("passwd"), USERS).unwrap();
        std::fs::write(files.join("group"), GROUPS).unwrap();
        Ok(this)
    }

    /// The files that `ip netns exec` mounts over /etc.
    fn files(&self) -> PathBuf {
        Path::new("/etc/netns").join(&self.network.front)
    }

    fn curl(&self, arguments: &[&str]) -> Output {
        let mut command = self.network.command(&self.network.front, "curl");
        command.args(["-sS", "--max-time", "10"]).args(arguments).output().unwrap()
    }

    /// The page, which names its node.
    fn page(&self) -> String {
        let output = self.curl(&["--fail", "http://192.168.56.10/"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn pages(&self, count: usize) -> String {
        (0..count).map(|_| self.page()).collect()
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(self.files());
        // Only if it is empty, and so ours.
        let _ = std::fs::remove_dir("/etc/netns");
    }
}

/// The server in front, controlled by its command line alone.
struct Front<'a> {
    hosts: &'a Hosts,
    directory: &'a Directory,
}

impl Front<'_> {
    fn run(&self, arguments: &[&str]) -> Output {
        let network = &self.hosts.network;
        let mut command = network.command(&network.front, binary());
        command.arg("-p").arg(format!("{}/", self.directory.path().display()));
        // The default folder of logs need not exist on this machine.
        command.args(["-c", "conf/nginx.conf", "-e", "logs/error.log"]);
        command.args(arguments).stdin(Stdio::null());
        // A daemon inherits the pipes, so their end cannot be waited for.
        let error = self.directory.join("stderr");
        command.stderr(std::fs::File::create(&error).unwrap()).stdout(Stdio::null());
        let status = command.status().unwrap();
        Output { status, stdout: Vec::new(), stderr: std::fs::read(&error).unwrap() }
    }

    #[track_caller]
    fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {text}");
        text
    }

    fn start(&self) -> Daemon {
        self.succeed(&[]);
        Daemon::of(self.directory, "logs/nginx.pid")
    }
}

fn status(process: u32, field: &str) -> String {
    let text = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    line.unwrap_or("").split_whitespace().next().unwrap_or("").to_owned()
}

fn count(pages: &str, page: char) -> usize {
    pages.chars().filter(|&other| other == page).count()
}

fn install(directory: &Directory) {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../conf");
    for name in ["nginx.conf", "proxy.conf", "mime.types"] {
        directory.write(&format!("conf/{name}"), std::fs::read(shipped.join(name)).unwrap());
    }
    std::fs::create_dir(directory.join("logs")).unwrap();
}

#[test]
fn the_tutorial() {
    if !Apache::is_there() {
        return skipped("it needs Apache");
    }
    let hosts = match Hosts::new() {
        Ok(hosts) => hosts,
        Err(reason) => return skipped(&reason),
    };
    let network = &hosts.network;
    let directory = Directory::new();
    install(&directory);
    let front = Front { hosts: &hosts, directory: &directory };
    let first = Apache::start(network, &directory, 1);
    let _second = Apache::start(network, &directory, 2);

    let told = front.succeed(&["-t"]);
    let file = format!("{}/conf/nginx.conf", directory.path().display());
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines.len(), 2, "{told}");
    assert!(lines[0].ends_with(&format!("the configuration file {file} syntax is ok")), "{told}");
    assert!(lines[1].ends_with(&format!("configuration file {file} test is successful")), "{told}");

    let master = front.start();
    let worker = until_some("a worker", || children(master.pid).first().copied());
    until("the worker's user", || status(worker, "Uid:") == WWW);
    assert_eq!((status(master.pid, "Uid:").as_str(), status(worker, "Gid:").as_str()), ("0", WWW));
    assert_eq!(status(master.pid, "PPid:"), "1", "the master has left its shell");

    balance(&hosts, &directory, first);
    signals(&hosts, &front, &master);
    let log = directory.read("logs/error.log");
    assert!(!log.contains("[alert]") && !log.contains("panicked"), "{log}");
}

/// Weights, a stopped server, and its return.
fn balance(hosts: &Hosts, directory: &Directory, first: Apache<'_>) {
    let pages = hosts.pages(12);
    // nginx's workers each have a round of their own; over many requests the weights hold.
    assert!((7..=9).contains(&count(&pages, '1')), "two of three go to the first: {pages}");

    first.stop();
    let pages = hosts.pages(12);
    assert_eq!(count(&pages, '2'), 12, "no request fails, all go to the second: {pages}");

    let _first = Apache::start(&hosts.network, directory, 1);
    until("the first server to come back", || hosts.page() == "1");
    let pages = hosts.pages(12);
    assert!(count(&pages, '1') >= 6, "{pages}");
}

/// `-s reload`, `-s reopen`, `-s stop` and `-s quit`.
fn signals(hosts: &Hosts, front: &Front<'_>, master: &Daemon) {
    let directory = front.directory;
    let conf = directory.read("conf/nginx.conf");
    let changed = conf.replace("location / {", "location = /new { return 200 new; }\nlocation / {");
    directory.write("conf/nginx.conf", changed);
    front.succeed(&["-s", "reload"]);
    until("the new configuration", || hosts.curl(&["http://192.168.56.10/new"]).stdout == b"new");
    let still: u32 = directory.read("logs/nginx.pid").trim().parse().unwrap();
    assert_eq!(still, master.pid);

    std::fs::rename(directory.join("logs/access.log"), directory.join("logs/old.log")).unwrap();
    front.succeed(&["-s", "reopen"]);
    until("a line in the new access log", || {
        hosts.curl(&["http://192.168.56.10/new"]);
        directory.read("logs/access.log").contains("GET /new HTTP/1.1")
    });

    front.succeed(&["-s", "stop"]);
    master.wait();
    let again = front.start();
    assert_eq!(hosts.curl(&["http://192.168.56.10/new"]).stdout, b"new");
    front.succeed(&["-s", "quit"]);
    again.wait();
    assert!(!directory.join("logs/nginx.pid").exists());
}
