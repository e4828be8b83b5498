//! The server under test: from a configuration to a running process.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;

use super::{Client, Directory, Port, Response, Signal, binary, send_signal, until};

/// The configuration around the text of [`Server::http`].
const HTTP: &str = "
daemon off;
pid %dir%/nginx.pid;
error_log %dir%/error.log info;
%main%
events { worker_connections 1024; }
http {
    access_log off;
    default_type text/plain;
    client_body_temp_path %dir%/client_body_temp;
    proxy_temp_path %dir%/proxy_temp;
    fastcgi_temp_path %dir%/fastcgi_temp;
    uwsgi_temp_path %dir%/uwsgi_temp;
    scgi_temp_path %dir%/scgi_temp;
";

/// A server to be started.
#[derive(Debug)]
pub(crate) struct Setup {
    conf: String,
    values: BTreeMap<String, String>,
    directory: Directory,
    binary: PathBuf,
    alerts: bool,
}

impl Setup {
    /// Replaces `%name%` in the configuration.
    pub(crate) fn set(mut self, name: &str, value: impl ToString) -> Self {
        self.values.insert(name.to_owned(), value.to_string());
        self
    }

    /// Adds lines to the main context of [`Server::http`].
    pub(crate) fn main(self, lines: &str) -> Self {
        self.set("main", lines)
    }

    /// Writes a file to the server's prefix before the start.
    pub(crate) fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        self.directory.write(name, content);
        self
    }

    /// Starts this binary instead of the one under test.
    #[allow(dead_code, reason = "the comparison uses two binaries")]
    pub(crate) fn binary(mut self, binary: &Path) -> Self {
        self.binary = binary.to_owned();
        self
    }

    /// Allows `[alert]` in the error log.
    pub(crate) fn alerts_expected(mut self) -> Self {
        self.alerts = true;
        self
    }

    /// The prefix of the server.
    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Starts the server and waits for its pid file.
    #[track_caller]
    pub(crate) fn start(self) -> Server {
        let ports = Mutex::new(BTreeMap::new());
        let text = written(&self.conf, &self.values, &self.directory, &ports);
        self.directory.write("nginx.conf", text);
        let child = self.launch();
        Server { setup: self, ports, child: Some(child) }
    }

    /// Starts the process and waits for its pid file.
    #[track_caller]
    fn launch(&self) -> Child {
        let mut child =
            command(&self.binary, &self.directory).stderr(Stdio::piped()).spawn().unwrap();
        let pid = self.directory.join("nginx.pid");
        until("the pid file", || {
            if let Ok(Some(status)) = child.try_wait() {
                let mut text = String::new();
                let mut stderr = child.stderr.take().unwrap();
                std::io::Read::read_to_string(&mut stderr, &mut text).unwrap();
                panic!("the server did not start, {status}:\n{text}");
            }
            std::fs::read_to_string(&pid).is_ok_and(|text| text.ends_with('\n'))
        });
        // Standard error is not read from here on; the error log has everything relevant.
        drop(child.stderr.take());
        child
    }

    /// Runs `-t` with the configuration.
    pub(crate) fn check(&self) -> Output {
        self.run(&["-t"])
    }

    /// Runs the binary with additional flags until it ends or becomes a daemon.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        let ports = Mutex::new(BTreeMap::new());
        let text = written(&self.conf, &self.values, &self.directory, &ports);
        self.directory.write("nginx.conf", text);
        command(&self.binary, &self.directory).args(arguments).output().unwrap()
    }
}

fn command(binary: &Path, directory: &Directory) -> Command {
    let mut command = Command::new(binary);
    command.arg("-p").arg(format!("{}/", directory.path().display()));
    command.args(["-c", "nginx.conf", "-e", "error.log"]).stdin(Stdio::null());
    command
}

/// The final text of the configuration. `WEIR_TEST_USE` names the event method, so that all tests
/// can run with each method.
fn written(
    conf: &str,
    values: &BTreeMap<String, String>,
    directory: &Directory,
    ports: &Mutex<BTreeMap<String, Port>>,
) -> String {
    let text = fill(conf, values, directory, ports);
    match std::env::var("WEIR_TEST_USE") {
        Ok(method) => text.replacen("events {", &format!("events {{ use {method};"), 1),
        Err(_) => text,
    }
}

/// Replaces `%dir%`, `%portX%` (reserved on first use) and the test's values.
fn fill(
    conf: &str,
    values: &BTreeMap<String, String>,
    directory: &Directory,
    ports: &Mutex<BTreeMap<String, Port>>,
) -> String {
    let mut text = String::new();
    let mut rest = conf;
    while let Some(start) = rest.find('%') {
        text.push_str(&rest[..start]);
        rest = &rest[start..];
        let Some(end) = rest[1..].find('%').map(|end| end + 1) else { break };
        let name = &rest[1..end];
        let value = match name {
            "dir" => Some(directory.path().display().to_string()),
            _ if name.starts_with("port") && !name.contains(' ') => {
                let mut ports = ports.lock().unwrap();
                let port = ports.entry(name.to_owned()).or_insert_with(Port::reserve);
                Some(port.number().to_string())
            }
            _ => values.get(name).map(|value| fill(value, values, directory, ports)),
        };
        match value {
            Some(value) => text.push_str(&value),
            None if name == "main" => {}
            None => {
                text.push('%');
                rest = &rest[1..];
                continue;
            }
        }
        rest = &rest[end + 1..];
    }
    text + rest
}

/// A running server. Dropping it sends QUIT, waits for the end and checks the error log.
#[derive(Debug)]
pub(crate) struct Server {
    setup: Setup,
    ports: Mutex<BTreeMap<String, Port>>,
    child: Option<Child>,
}

impl Server {
    /// A server with `conf` inside `http { }`; `%port%` is the port of [`Self::client`].
    pub(crate) fn http(conf: &str) -> Setup {
        Self::conf(&format!("{HTTP}{conf}\n}}\n"))
    }

    /// A server with one `server { listen %port%; }` holding `conf`.
    pub(crate) fn server(conf: &str) -> Setup {
        Self::http(&format!(
            "server {{ listen 127.0.0.1:%port%; server_name localhost;\n{conf}\n}}"
        ))
    }

    /// A server with a complete configuration, which must not daemonise.
    pub(crate) fn conf(conf: &str) -> Setup {
        Setup {
            conf: conf.to_owned(),
            values: BTreeMap::new(),
            directory: Directory::new(),
            binary: binary(),
            alerts: false,
        }
    }

    /// The number of a port in the configuration.
    pub(crate) fn port(&self, name: &str) -> u16 {
        let ports = self.ports.lock().unwrap();
        ports.get(name).unwrap_or_else(|| panic!("no %{name}% in the configuration")).number()
    }

    /// `127.0.0.1:PORT` for a port in the configuration.
    pub(crate) fn address(&self, name: &str) -> String {
        format!("127.0.0.1:{}", self.port(name))
    }

    /// A new connection to `%port%`.
    #[track_caller]
    pub(crate) fn client(&self) -> Client {
        Client::connect(self.address("port"))
    }

    /// Requests `target` on a new connection.
    #[track_caller]
    pub(crate) fn get(&self, target: &str) -> Response {
        self.get_with(target, "")
    }

    /// Requests `target` with additional header lines, each ending in CRLF.
    #[track_caller]
    pub(crate) fn get_with(&self, target: &str, lines: &str) -> Response {
        let mut client = self.client();
        let host = if lines.contains("Host:") { "" } else { "Host: localhost\r\n" };
        client.send(format!("GET {target} HTTP/1.1\r\n{host}{lines}Connection: close\r\n\r\n"));
        client.response()
    }

    /// Sends `bytes` on a new connection and reads a response.
    #[track_caller]
    pub(crate) fn ask(&self, bytes: impl AsRef<[u8]>) -> Response {
        let mut client = self.client();
        client.send(bytes);
        client.response()
    }

    /// The body of the response to GET `target`, as text.
    #[track_caller]
    pub(crate) fn text(&self, target: &str) -> String {
        self.get(target).text()
    }

    /// The started process: the master.
    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// Sends a signal to the master.
    pub(crate) fn signal(&self, signal: Signal) {
        send_signal(self.pid(), signal);
    }

    /// Writes a new configuration with the same ports and values, without a signal.
    pub(crate) fn rewrite(&self, conf: &str) {
        let directory = &self.setup.directory;
        let text = written(conf, &self.setup.values, directory, &self.ports);
        // Renamed into place, so that the server never reads a partial file.
        let fresh = directory.write("nginx.conf.new", text);
        std::fs::rename(fresh, directory.join("nginx.conf")).unwrap();
    }

    /// Rewrites the text inside `http { }`.
    pub(crate) fn rewrite_http(&self, conf: &str) {
        self.rewrite(&format!("{HTTP}{conf}\n}}\n"));
    }

    /// Rewrites the text inside `http { }` and the main context.
    pub(crate) fn rewrite_with(&self, conf: &str, main: &str) {
        self.rewrite(&format!("{HTTP}{conf}\n}}\n").replace("%main%", main));
    }

    /// Reloads with this text inside `http { }`, and waits for the end of the old configuration.
    #[track_caller]
    pub(crate) fn reload_http(&self, conf: &str) {
        let ended = || self.error_log().matches("exited with code 0").count();
        let before = ended();
        self.rewrite_http(conf);
        self.signal(Signal::HUP);
        until("the reload", || ended() > before);
    }

    /// The server's prefix.
    pub(crate) fn directory(&self) -> &Directory {
        &self.setup.directory
    }

    /// The current content of the error log.
    pub(crate) fn error_log(&self) -> String {
        self.directory().read("error.log")
    }

    /// Waits until the error log contains `text`.
    #[track_caller]
    pub(crate) fn wait_log(&self, text: &str) {
        until(&format!("{text:?} in the error log"), || self.error_log().contains(text));
    }

    /// Waits until a file in the prefix has this many complete lines, and returns them.
    #[track_caller]
    pub(crate) fn wait_lines(&self, name: &str, lines: usize) -> Vec<String> {
        until(&format!("{lines} lines in {name}"), || {
            self.directory().read(name).matches('\n').count() >= lines
        });
        self.directory().read(name).lines().map(str::to_owned).collect()
    }

    /// Waits for the end of the process; returns whether its exit status was 0.
    #[track_caller]
    pub(crate) fn wait_exit(&mut self) -> bool {
        let mut child = self.child.take().expect("the server has not ended yet");
        let mut status = None;
        until("the end of the server", || {
            status = child.try_wait().unwrap();
            status.is_some()
        });
        status.is_some_and(|status| status.success())
    }

    /// Ends the server for a while.
    #[track_caller]
    pub(crate) fn pause(&mut self) {
        self.stop().unwrap();
    }

    /// Starts a paused server with its files as they are now.
    #[track_caller]
    pub(crate) fn resume(&mut self) {
        self.child = Some(self.setup.launch());
    }

    /// Kills all processes at once, like the end of the machine. [`Self::resume`] starts again.
    #[track_caller]
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().expect("the server runs");
        let workers = super::children(child.id());
        child.kill().unwrap();
        child.wait().unwrap();
        for worker in workers {
            // It may have ended with its master.
            let pid = rustix::process::Pid::from_raw(worker as i32).unwrap();
            let _ = rustix::process::kill_process(pid, Signal::KILL);
            until("the end of a worker", || {
                std::fs::read_to_string(format!("/proc/{worker}/stat"))
                    .map_or(true, |stat| stat.contains(") Z "))
            });
        }
        let _ = std::fs::remove_file(self.directory().join("nginx.pid"));
    }

    fn stop(&mut self) -> Result<(), String> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        if !matches!(child.try_wait(), Ok(None)) {
            return Err("the server ended before the test did".to_owned());
        }
        send_signal(child.id(), Signal::QUIT);
        let deadline = std::time::Instant::now() + super::PATIENCE;
        while let Ok(None) = child.try_wait() {
            if std::time::Instant::now() > deadline {
                for process in super::children(child.id()) {
                    send_signal(process, Signal::KILL);
                }
                let _ = child.kill();
                let _ = child.wait();
                return Err("the server did not end after QUIT".to_owned());
            }
            std::thread::park_timeout(std::time::Duration::from_millis(2));
        }
        Ok(())
    }

    /// Lines that no test may cause in the log.
    fn complaints(&self) -> Option<String> {
        let log = self.error_log();
        let bad = |line: &&str| {
            (line.contains("[alert]") && !self.setup.alerts)
                || line.contains("panicked")
                || line.contains("Sanitizer")
        };
        let lines: Vec<&str> = log.lines().filter(bad).collect();
        (!lines.is_empty()).then(|| lines.join("\n"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let stopped = self.stop();
        let complaints = self.complaints();
        if std::thread::panicking() {
            let log = self.error_log();
            let tail: Vec<&str> = log.lines().rev().take(40).collect();
            println!("--- the end of the error log ---");
            tail.iter().rev().for_each(|line| println!("{line}"));
            return;
        }
        if let Err(reason) = stopped {
            panic!("{reason}\n{}", self.error_log());
        }
        if let Some(lines) = complaints {
            panic!("the error log holds\n{lines}");
        }
    }
}
