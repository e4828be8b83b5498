//! A balancer on a host.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rustix::process::Pid;
use serde_json::Value;

use crate::harness::{
    Directory, Network, PATIENCE, Signal, address, binary, children, run, send_signal, until,
    until_some,
};

/// The configuration of a node. `%more%` is for the `ha` block.
const CONF: &str = "
pid %dir%/nginx.pid;
error_log %dir%/error.log info;
worker_processes 2;
events { worker_connections 1024; }
ha {
    node a 192.168.56.11;
    node b 192.168.56.12;
    %nodes%
    %ha%
}
http {
    access_log off;
    client_body_temp_path %dir%/client_body_temp;
    proxy_temp_path %dir%/proxy_temp;
    upstream backend { zone backend 64k; server %apache%:8080; }
    server {
        listen 192.168.56.100:80;
        %listen%
        location / { proxy_pass http://backend; add_header Node %name%; }
        location /here { return 200 \"%name%\\n\"; }
    }
}
";

/// The lines of the `ha` block of a pair.
pub(super) const HA: &str = "address 192.168.56.100/24;";

/// A running balancer.
pub(super) struct Node<'a> {
    network: &'a Network,
    /// Its number, from 1.
    pub(super) number: usize,
    path: PathBuf,
    /// Its master, unless it has ended.
    master: Option<u32>,
    /// The name of its pid file.
    pub(super) pid_file: String,
    /// The program that is started.
    pub(super) binary: PathBuf,
}

impl<'a> Node<'a> {
    /// Starts a node of a pair; `ha` replaces the lines of the `ha` block unless it is empty.
    pub(super) fn start(
        network: &'a Network,
        directory: &Directory,
        number: usize,
        ha: &str,
    ) -> Self {
        let ha = if ha.is_empty() { HA } else { ha };
        let conf = CONF.replace("%ha%", ha).replace("%nodes%", "").replace("%listen%", "");
        Self::with(network, directory, number, &conf)
    }

    /// The configuration with these lines for the `ha` block and `listen`.
    pub(super) fn conf(nodes: &str, ha: &str, listen: &str) -> String {
        CONF.replace("%ha%", ha).replace("%nodes%", nodes).replace("%listen%", listen)
    }

    /// Starts a node with a whole configuration.
    pub(super) fn with(
        network: &'a Network,
        directory: &Directory,
        number: usize,
        conf: &str,
    ) -> Self {
        let mut this = Self::unstarted(network, directory, number, conf);
        this.launch();
        this
    }

    /// A node with a configuration whose server does not run.
    pub(super) fn unstarted(
        network: &'a Network,
        directory: &Directory,
        number: usize,
        conf: &str,
    ) -> Self {
        let path = directory.join(&format!("balancer{number}"));
        std::fs::create_dir_all(&path).unwrap();
        let (binary, pid_file) = (binary(), "nginx.pid".to_owned());
        let mut this = Self { network, number, path, master: None, pid_file, binary };
        this.write(conf);
        this
    }

    /// Writes a configuration, without a signal.
    pub(super) fn write(&mut self, conf: &str) {
        let apache = address(self.network.nodes.len());
        let text = conf
            .replace("%dir%", &self.path.display().to_string())
            .replace("%apache%", &apache)
            .replace("%name%", self.name());
        let text = match std::env::var("WEIR_TEST_USE") {
            Ok(method) => text.replacen("events {", &format!("events {{ use {method};"), 1),
            Err(_) => text,
        };
        let fresh = self.path.join("nginx.conf.new");
        std::fs::write(&fresh, text).unwrap();
        std::fs::rename(fresh, self.path.join("nginx.conf")).unwrap();
    }

    /// Writes a file of the node as it is, renamed into place.
    pub(super) fn put(&self, name: &str, text: &str) {
        let fresh = self.path.join(format!("{name}.new"));
        std::fs::write(&fresh, text).unwrap();
        std::fs::rename(fresh, self.path.join(name)).unwrap();
    }

    /// The text of a file of the node; empty without it.
    pub(super) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path.join(name)).unwrap_or_default()
    }

    /// What the worker says of its links; `None` while it does not.
    pub(super) fn links(&self) -> Option<Value> {
        let mut stream = UnixStream::connect(self.path.join("state/ha/links.sock")).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// Asks the server at port 8080 of its own host. `None` if no whole answer comes.
    pub(super) fn ask(&self, method: &str, target: &str, body: &str) -> Option<(u16, String)> {
        self.network.on(self.namespace(), || {
            let address = SocketAddr::from(([127, 0, 0, 1], 8080));
            let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let length = body.len();
            let head = format!("{method} {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n");
            let request = format!("{head}Content-Length: {length}\r\n\r\n{body}");
            stream.write_all(request.as_bytes()).ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).ok()?;
            let (head, body) = answer.split_once("\r\n\r\n")?;
            Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
        })
    }

    /// Starts the server.
    pub(super) fn launch(&mut self) {
        let _ = std::fs::remove_file(self.path.join(&self.pid_file));
        let mut command = self.command(&[]);
        let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status().unwrap();
        assert!(status.success(), "node {} did not start: {}", self.name(), self.log());
        self.master = Some(self.pid());
    }

    /// The binary on the host of the node.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.network.command(self.namespace(), &self.binary);
        command.args(arguments);
        command.arg("-p").arg(&self.path).args(["-c", "nginx.conf", "-e", "error.log"]);
        command
    }

    /// Runs the binary with these words until it ends.
    pub(super) fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// Runs `weir ha` with these words, and returns its output.
    #[track_caller]
    pub(super) fn ha(&self, words: &[&str]) -> String {
        let output = self.run(&[&["ha"], words].concat());
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "weir ha {words:?}: {text}{error}");
        text
    }

    /// The status, as JSON.
    pub(super) fn status(&self) -> Option<Value> {
        let output = self.run(&["ha", "status", "--json"]);
        serde_json::from_slice(&output.stdout).ok()
    }

    /// Waits for a value in the status of the first group.
    #[track_caller]
    pub(super) fn wait_knows(&self, field: &str, value: &str) {
        until(&format!("{field} {value}"), || {
            self.status().is_some_and(|status| status["groups"][0][field] == value)
        });
    }

    /// The folder of its files.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Waits until the text of the status has this.
    #[track_caller]
    pub(super) fn wait_says(&self, wanted: &str) {
        let mut said = String::new();
        until(&format!("{wanted:?} in the status of {}", self.name()), || {
            said = String::from_utf8_lossy(&self.run(&["ha", "status"]).stdout).into_owned();
            said.contains(wanted)
        });
    }

    /// Reloads the server with a configuration.
    pub(super) fn reload(&mut self, conf: &str) {
        self.write(conf);
        send_signal(self.pid(), Signal::HUP);
    }

    pub(super) fn name(&self) -> &'static str {
        ["a", "b", "c"][self.number - 1]
    }

    pub(super) fn namespace(&self) -> &'a str {
        self.network.node(self.number)
    }

    /// The master.
    pub(super) fn pid(&self) -> u32 {
        let text = std::fs::read_to_string(self.path.join(&self.pid_file)).unwrap_or_default();
        text.trim().parse().unwrap()
    }

    /// The process in the pid file, while there may be none.
    pub(super) fn pid_of_new(&self) -> u32 {
        let text = std::fs::read_to_string(self.path.join(&self.pid_file)).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    }

    /// Waits until one master and one worker are left.
    #[track_caller]
    pub(super) fn wait_alone(&self) {
        until("one master and one worker", || {
            self.processes("weir: master").len() == 1 && self.processes("weir: worker").len() == 1
        });
    }

    /// The master of a new binary serves instead of the old one.
    pub(super) fn adopt_new(&mut self) {
        self.master = Some(self.pid());
    }

    /// The process of this host with that title or name.
    #[track_caller]
    pub(super) fn process(&self, title: &str) -> u32 {
        until_some(title, || self.processes(title).into_iter().next())
    }

    /// The processes of this host with that in their command line.
    pub(super) fn processes(&self, title: &str) -> Vec<u32> {
        let mut all = self.network.processes(self.namespace());
        all.retain(|pid| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).replace('\0', " ").contains(title)
        });
        all.sort_unstable();
        all
    }

    /// Sends a signal to all processes with that in their command line.
    pub(super) fn signal(&self, title: &str, signal: Signal) {
        let all = self.processes(title);
        assert!(!all.is_empty(), "no process {title}");
        // The parent first, so that it starts no new child.
        all.into_iter().for_each(|pid| send_signal(pid, signal));
    }

    /// Kills master and worker, as the loss of the server does.
    pub(super) fn kill(&mut self) {
        let worker = self.process("weir: worker");
        send_signal(self.pid(), Signal::KILL);
        send_signal(worker, Signal::KILL);
        self.reap();
    }

    /// Waits for the master's end.
    #[track_caller]
    pub(super) fn reap(&mut self) {
        if let Some(master) = self.master.take() {
            until("the end of a master", || !lives(master));
        }
    }

    /// Waits until nothing of the server is left on the host.
    #[track_caller]
    pub(super) fn wait_gone(&self) {
        until("an empty host", || {
            self.processes("weir: ").is_empty() && self.processes("keepalived --").is_empty()
        });
    }

    /// Whether the host has an address.
    pub(super) fn holds(&self, address: &str) -> bool {
        let output = run("ip", &["-n", self.namespace(), "-br", "addr"]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.split_whitespace().any(|word| word.split('/').next() == Some(address))
    }

    #[track_caller]
    pub(super) fn wait_holds(&self, address: &str) {
        until(&format!("{address} on node {}", self.name()), || self.holds(address));
    }

    /// Reloads the server with a configuration that names another pid file.
    pub(super) fn move_pid(&mut self, conf: &str, name: &str) {
        self.reload(conf);
        self.pid_file = name.to_owned();
        until("the moved pid file", || self.pid_of_new() != 0);
    }

    /// Whether the guard has left its folder.
    pub(super) fn has_guards_folder(&self) -> bool {
        !self.guards_folders().is_empty()
    }

    /// The names of the folders of its guards.
    pub(super) fn guards_folders(&self) -> Vec<String> {
        let own = format!("balancer{}-", self.number);
        let run = self.path.parent().unwrap().file_name().unwrap().to_string_lossy().into_owned();
        let folders = std::fs::read_dir("/run/weir-ha").into_iter().flatten().flatten();
        let names = folders.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| name.contains(&own) && name.contains(&run)).collect()
    }

    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(self.path.join("error.log")).unwrap_or_default()
    }

    #[track_caller]
    pub(super) fn wait_log(&self, text: &str) {
        until(&format!("{text:?} in the log of {}", self.name()), || self.log().contains(text));
    }

    /// Ends the server as an administrator does.
    pub(super) fn quit(&mut self) {
        send_signal(self.pid(), Signal::QUIT);
        self.reap();
    }

    /// Whether the master runs.
    pub(super) fn runs(&self) -> bool {
        self.master.is_some()
    }
}

impl Drop for Node<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().rev().take(30).collect();
            println!("--- the end of the log of {} ---", self.name());
            lines.iter().rev().for_each(|line| println!("{line}"));
        }
        let folders = std::fs::read_dir("/run/weir-ha").into_iter().flatten().flatten();
        let own = self.path.display().to_string().replace('/', "-");
        let own = own.trim_start_matches('-').to_owned();
        let folders: Vec<_> = folders.map(|entry| entry.path()).collect();
        // Again, since a master that is not killed first starts another worker.
        for _ in 0..10 {
            let own: Vec<u32> = self.network.processes(self.namespace());
            let own: Vec<u32> = own.into_iter().filter(|pid| !is_apache(*pid)).collect();
            if own.is_empty() {
                break;
            }
            own.into_iter().for_each(|pid| {
                let _ =
                    rustix::process::kill_process(Pid::from_raw(pid as i32).unwrap(), Signal::KILL);
            });
        }
        for folder in folders {
            if folder.to_string_lossy().contains(&own) {
                let _ = std::fs::remove_dir_all(folder);
            }
        }
    }
}

fn is_apache(pid: u32) -> bool {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).contains("apache")
}

/// Whether a process lives; one that nobody has waited for does not.
fn lives(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim().chars().next());
    state.is_some_and(|state| state != 'Z')
}

/// Waits until a worker of this master serves, beside the old one: it has the thread of a loop. While
/// little is asked, the old worker answers everything.
#[track_caller]
pub(super) fn wait_served_by(master: u32) {
    let is_loop = |name: std::io::Result<String>| name.is_ok_and(|name| name.trim() == "weir-0");
    let serves = |worker: &u32| {
        let threads = std::fs::read_dir(format!("/proc/{worker}/task")).into_iter().flatten();
        let mut names =
            threads.flatten().map(|thread| std::fs::read_to_string(thread.path().join("comm")));
        names.any(is_loop)
    };
    until("a new worker that serves", || children(master).iter().any(serves));
}
