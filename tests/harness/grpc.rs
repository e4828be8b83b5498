//! Clients and servers of gRPC by grpcio, Python's library (`tests/peers/grpcio.py`), and by tonic,
//! Rust's (`tests/peers/tonic`). Both have the same commands and answers.
//!
//! A server prints `port N`, and then how calls with an id end: `finished ID` or `cancelled ID`. A
//! client answers each line with a line, which is `status CODE TEXT METADATA` for a failure:
//!
//! ```text
//! unary TEXT             the text
//! large SIZE             whether a message comes back as it was
//! metadata               the text of a call, and the metadata that came with it
//! gather COUNT SIZE      messages to the server, which says what it has received
//! scatter COUNT SIZE     messages from the server
//! echo COUNT SIZE        both
//! slow COUNT SIZE        scatter, but after the first message others calls are made; how many
//!                        messages the server had sent after these
//! many COUNT             calls at the same time
//! remaining MS           whether the server knows the time limit
//! deadline MS ID         a call that is not answered
//! fail CODE TEXT         a call that the server refuses, with the client's metadata
//! fail-later CODE TEXT   a call that fails after two messages
//! missing                a call of a method that there is not
//! health on | off        what the server's service of health says from now on
//! open ID                begins a call whose messages come back, and sends `open`
//! step TEXT              sends a message in it, and returns the answer
//! next                   the next message of it
//! close                  ends it, and says what else came
//! cancel                 cancels it
//! ```

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::LazyLock;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use super::{Certificate, Directory, skipped};

/// The deadline of a command: one may take 100 MiB through a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// Debian's Python, whose grpcio it is.
const PYTHON: &str = "/usr/bin/python3";

/// Debian's grpcio.
const GRPCIO: &str = "/usr/lib/python3/dist-packages/grpc/__init__.py";

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/grpcio.py");

/// A library of gRPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Library {
    Grpcio,
    Tonic,
}

impl Library {
    /// Its program; None, and a skipped test, without it.
    fn program(self) -> Option<Command> {
        if self == Self::Grpcio {
            if !Path::new(GRPCIO).exists() {
                skipped("no grpcio for Debian's Python");
                return None;
            }
            let mut command = Command::new(PYTHON);
            command.arg(SCRIPT);
            return Some(command);
        }
        static TONIC: LazyLock<Result<PathBuf, String>> = LazyLock::new(|| {
            // This test is TARGET/PROFILE/deps/weir-HASH.
            let me = std::env::current_exe().unwrap();
            weir_tests::tonic::build(me.ancestors().nth(3).unwrap()).map_err(|unbuilt| unbuilt.0)
        });
        match &*TONIC {
            Ok(program) => Some(Command::new(program)),
            Err(said) => {
                let line = said.lines().find(|line| line.starts_with("error")).unwrap_or(said);
                skipped(&format!("tonic could not be built: {line}"));
                None
            }
        }
    }
}

/// A running program; it ends with its standard input.
struct Program {
    process: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    directory: Directory,
}

impl Program {
    fn start(mut command: Command) -> Self {
        let directory = Directory::new();
        let errors = std::fs::File::create(directory.join("stderr")).unwrap();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors);
        let mut process = command.spawn().unwrap();
        let input = process.stdin.take();
        let output = BufReader::new(process.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { process, input, lines, directory }
    }

    #[track_caller]
    fn line(&self) -> String {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => panic!("no line within {PATIENCE:?}"),
            Err(RecvTimeoutError::Disconnected) => {
                panic!("the program has ended: {}", self.directory.read("stderr"))
            }
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("--- standard error ---\n{}", self.directory.read("stderr"));
        }
        // Some end slowly while calls are under way, and none has anything to lose.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A server, killed on drop.
pub(crate) struct GrpcServer {
    program: Program,
    port: u16,
}

impl GrpcServer {
    /// None, and a skipped test, without the library.
    pub(crate) fn start(library: Library) -> Option<Self> {
        Self::with(library, &[])
    }

    /// By TLS, with a certificate of a folder.
    pub(crate) fn secure(directory: &Directory, certificate: &Certificate) -> Option<Self> {
        let files = [&certificate.certificate, &certificate.key].map(|name| directory.join(name));
        Self::with(Library::Grpcio, &files)
    }

    fn with(library: Library, arguments: &[PathBuf]) -> Option<Self> {
        let mut command = library.program()?;
        command.arg("serve").args(arguments);
        let program = Program::start(command);
        let line = program.line();
        let port = line.strip_prefix("port ").and_then(|port| port.parse().ok());
        Some(Self { port: port.unwrap_or_else(|| panic!("{line:?}")), program })
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Waits until it has said how a call ended.
    #[track_caller]
    pub(crate) fn wait_end(&self, id: &str) -> String {
        loop {
            let line = self.program.line();
            if let Some(end) = line.strip_suffix(id).and_then(|rest| rest.strip_suffix(' ')) {
                return end.to_owned();
            }
        }
    }

    /// Kills it.
    pub(crate) fn kill(mut self) {
        self.program.process.kill().unwrap();
    }
}

/// A client with one channel, killed on drop.
pub(crate) struct GrpcClient {
    program: Program,
}

impl GrpcClient {
    /// A client of the server at `127.0.0.1:PORT`; None, and a skipped test, without the library.
    pub(crate) fn start(library: Library, address: &str) -> Option<Self> {
        let mut command = library.program()?;
        command.args(["call", address]);
        Some(Self { program: Program::start(command) })
    }

    /// By TLS: the server must have this certificate, whose host name is `host`.
    pub(crate) fn secure(address: &str, certificate: &Path, host: &str) -> Option<Self> {
        let mut command = Library::Grpcio.program()?;
        command.args(["call", address]).arg(certificate).arg(host);
        Some(Self { program: Program::start(command) })
    }

    /// The answer to a command.
    #[track_caller]
    pub(crate) fn ask(&mut self, command: &str) -> String {
        let input = self.program.input.as_mut().unwrap();
        if let Err(error) = writeln!(input, "{command}") {
            panic!("{command}: {error}: {}", self.program.directory.read("stderr"));
        }
        self.program.line()
    }

    /// Asks, and compares the answer.
    #[track_caller]
    pub(crate) fn expect(&mut self, command: &str, answer: &str) {
        assert_eq!(self.ask(command), answer, "{command}");
    }
}
