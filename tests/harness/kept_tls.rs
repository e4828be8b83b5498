//! A client that asks more than once on a TLS connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::Server;

/// A kept connection of a client with a certificate, by `openssl s_client`.
pub(crate) struct KeptTls {
    host: &'static str,
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl KeptTls {
    /// Opens it with `client.crt` and `client.key` of the server's directory, and with these
    /// arguments.
    pub(crate) fn open(server: &Server, host: &'static str, arguments: &[&str]) -> Self {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-quiet", "-connect", &server.address("port")]);
        command.args(["-servername", host, "-cert", "client.crt", "-key", "client.key"]);
        command.args(arguments).current_dir(server.directory().path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().unwrap();
        let input = process.stdin.take().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        Self { host, process, input, output }
    }

    /// The body of the next response; `None` if the connection has been closed.
    pub(crate) fn ask(&mut self) -> Option<String> {
        write!(self.input, "GET / HTTP/1.1\r\nHost: {}\r\n\r\n", self.host).ok()?;
        let mut length = 0;
        loop {
            let mut line = String::new();
            if self.output.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if let Some(number) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = number.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        self.output.read_exact(&mut body).ok()?;
        Some(String::from_utf8(body).unwrap())
    }
}

impl Drop for KeptTls {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
