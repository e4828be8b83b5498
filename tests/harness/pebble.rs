//! Pebble, an authority with ACME for tests, and the name server that it asks.

use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use super::{Certificate, Directory, Port, run, skipped, until};

/// An authority: Pebble with `pebble-challtestsrv`, whose names all lead to this host.
pub(crate) struct Pebble {
    processes: Vec<Child>,
    pub(crate) directory: Directory,
    directory_port: Port,
    management: Port,
    /// Where it checks names over HTTP, and in handshakes.
    pub(crate) http: Port,
    pub(crate) tls: Port,
    dns_management: Port,
    dns: Port,
    variables: Vec<(&'static str, &'static str)>,
}

/// What Pebble and its name server write to.
const LOG: &str = "pebble.log";

impl Pebble {
    /// Starts it with these variables of its environment. `None`, and a skipped test, where it is
    /// not installed. It refuses a third of all nonces.
    pub(crate) fn start(variables: &[(&'static str, &'static str)]) -> Option<Self> {
        let mut pebble = Self::prepare(variables, "")?;
        pebble.launch();
        Some(pebble)
    }

    /// As [`Pebble::start`], with more members of its configuration, and without the start.
    pub(crate) fn prepare(
        variables: &[(&'static str, &'static str)],
        members: &str,
    ) -> Option<Self> {
        let mut programs = ["pebble", "pebble-challtestsrv"].iter();
        if !programs.all(|program| Command::new(program).arg("-h").output().is_ok()) {
            skipped("pebble is not installed");
            return None;
        }
        let directory = Directory::new();
        let certificate = Certificate::self_signed(&directory, "pebble", "localhost");
        let [directory_port, management, http, tls, dns, dns_management] =
            [(); 6].map(|()| Port::reserve());
        let conf = format!(
            r#"{{"pebble": {{"listenAddress": "127.0.0.1:{}", "managementListenAddress":
            "127.0.0.1:{}", "certificate": "{}", "privateKey": "{}", "httpPort": {}, "tlsPort": {},
            "ocspResponderURL": "" {members}}}}}"#,
            directory_port.number(),
            management.number(),
            certificate.certificate,
            certificate.key,
            http.number(),
            tls.number(),
        );
        directory.write("pebble.json", conf);
        let variables = [("PEBBLE_VA_NOSLEEP", "1"), ("PEBBLE_WFE_NONCEREJECT", "33")]
            .into_iter()
            .filter(|(name, _)| !variables.iter().any(|(own, _)| own == name))
            .chain(variables.iter().copied())
            .collect();
        let processes = Vec::new();
        Some(Self {
            processes,
            directory,
            directory_port,
            management,
            http,
            tls,
            dns_management,
            dns,
            variables,
        })
    }

    /// Starts it, and waits until it answers. Started anew, it has forgotten everything.
    pub(crate) fn launch(&mut self) {
        let at = |port: &Port| format!("127.0.0.1:{}", port.number());
        let mut dns = self.command("pebble-challtestsrv");
        dns.args(["-http01", "", "-https01", "", "-tlsalpn01", "", "-dns01", &at(&self.dns)]);
        dns.args(["-management", &at(&self.dns_management), "-defaultIPv6", ""]);
        let mut pebble = self.command("pebble");
        pebble.args(["-config", "pebble.json", "-dnsserver", &at(&self.dns)]);
        pebble.envs(self.variables.iter().copied());
        self.processes = [dns, pebble].map(|mut command| command.spawn().unwrap()).into();
        for port in [&self.dns_management, &self.dns, &self.directory_port, &self.management] {
            until("pebble", || TcpStream::connect(at(port)).is_ok());
        }
    }

    fn command(&self, program: &str) -> Command {
        let mut options = std::fs::OpenOptions::new();
        let log = options.create(true).append(true).open(self.directory.join(LOG)).unwrap();
        let mut command = Command::new(program);
        command.current_dir(self.directory.path()).stdin(Stdio::null());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        command
    }

    pub(crate) fn stop(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
        self.processes.clear();
    }

    /// The URL of its directory.
    pub(crate) fn uri(&self) -> String {
        format!("https://localhost:{}/dir", self.directory_port.number())
    }

    /// The lines of a block `acme_issuer` that name it.
    pub(crate) fn lines(&self) -> String {
        let certificate = self.directory.join("pebble.crt");
        format!(
            "uri {}; ssl_trusted_certificate {}; accept_terms_of_service;",
            self.uri(),
            certificate.display()
        )
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        self.directory.read(LOG)
    }

    /// The number of certificates that it has issued.
    pub(crate) fn issued(&self) -> usize {
        self.log().matches("Issued certificate serial").count()
    }

    /// The address at which the name server's records are changed.
    pub(crate) fn records(&self) -> String {
        format!("127.0.0.1:{}", self.dns_management.number())
    }

    /// The certificates of its authorities, and of the alternative ones.
    pub(crate) fn root(&self, number: usize) -> String {
        let url = format!("https://127.0.0.1:{}/roots/{number}", self.management.number());
        let output = run("curl", &["-sk", &url]);
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        self.stop();
        if std::thread::panicking() {
            println!("pebble: {}", self.log());
        }
    }
}
