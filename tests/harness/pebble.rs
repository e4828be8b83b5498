//! Pebble, an authority with ACME for tests, and the name server that it asks.

use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

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

    /// Revokes a certificate in the name of whoever has its key, which is one of RSA (RFC 8555
    /// section 7.6). `file` has both.
    pub(crate) fn revoke(&self, file: &Path) {
        let signed = |script: &str, words: &[&str]| {
            let output = run("sh", &[&["-euc", script, "sh"], words].concat());
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            output.stdout
        };
        let file = file.to_str().unwrap();
        let der = signed("openssl x509 -in \"$1\" -outform DER", &[file]);
        let modulus = signed("openssl x509 -in \"$1\" -noout -modulus | cut -d= -f2", &[file]);
        let modulus: Vec<u8> = modulus
            .trim_ascii()
            .chunks(2)
            .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect();
        let base = self.uri().replace("/dir", "");
        let url = format!("{base}/revoke-cert");
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        // Many nonces are refused.
        until("the revocation", || {
            let nonce = "curl -skI \"$1\" | tr -d '\\r' | sed -n 's/^[Rr]eplay-[Nn]once: //p'";
            let nonce = signed(nonce, &[&format!("{base}/nonce-plz")]);
            let nonce = str::from_utf8(nonce.trim_ascii()).unwrap();
            let jwk = json!({ "kty": "RSA", "n": encode(&modulus), "e": "AQAB" });
            let head = json!({ "alg": "RS256", "jwk": jwk, "nonce": nonce, "url": url });
            let head = encode(head.to_string().as_bytes());
            let payload = json!({ "certificate": encode(&der), "reason": 1 });
            let payload = encode(payload.to_string().as_bytes());
            let sign = "printf %s \"$1\" | openssl dgst -sha256 -sign \"$2\"";
            let signature = signed(sign, &[&format!("{head}.{payload}"), file]);
            let body = json!({ "protected": head, "payload": payload,
                "signature": encode(&signature) });
            let post = "curl -sk -o /dev/null -w '%{http_code}' --data-binary \"$2\" \
                -H 'Content-Type: application/jose+json' \"$1\"";
            signed(post, &[&url, &body.to_string()]) == b"200"
        });
    }

    /// What it says of a certificate with a serial number as the openssl tool shows it: `Valid` or
    /// `Revoked`.
    pub(crate) fn status(&self, serial: &str) -> String {
        let short = serial.split_once("(0x").map(|(_, hex)| hex.trim_end_matches(')'));
        let serial = short.map_or_else(|| serial.replace(':', ""), str::to_owned);
        let port = self.management.number();
        let url = format!("https://127.0.0.1:{port}/cert-status-by-serial/{serial}");
        let status: Value = serde_json::from_slice(&run("curl", &["-sk", &url]).stdout).unwrap();
        status["Status"].as_str().unwrap().to_owned()
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
