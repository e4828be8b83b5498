//! Real applications behind both sides: PHP and uwsgi, each started once, and the notation of the
//! requests that they get.

use std::fmt::Write;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::messages::shorten;
use super::text::show;
use crate::harness::{Directory, Signal, send_signal, until};

/// The script that serves all requests to PHP; it lies in the prefix of each side.
pub(crate) const SCRIPT: &str = include_str!("applications/index.php");

/// The application that uwsgi runs.
const MODULE: &str = include_str!("applications/app.py");

/// The processes of each application: more than both sides keep connections.
const PROCESSES: usize = 24;

/// The protocol of an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http,
    FastCgi,
    Uwsgi,
}

/// Running applications, ended on drop.
#[derive(Debug)]
pub(crate) struct Applications {
    directory: Directory,
    children: Vec<Child>,
}

impl Applications {
    /// Starts PHP and uwsgi; none of them if one is not installed.
    pub(crate) fn start() -> Option<Self> {
        let php = program(&["/usr/sbin", "/usr/local/sbin"], "php-fpm")?;
        let uwsgi = program(&["/usr/bin", "/usr/local/bin"], "uwsgi")?;
        let directory = Directory::new();
        let path = directory.path().display();
        let conf = format!(
            "[global]\nerror_log = {path}/fpm.log\ndaemonize = no\n[www]\nlisten = {path}/php\n\
             listen.mode = 0777\nuser = nobody\ngroup = nogroup\npm = static\n\
             pm.max_children = {PROCESSES}\n"
        );
        let conf = directory.write("fpm.conf", conf);
        directory.write("app.py", MODULE);
        let mut fpm = Command::new(php);
        fpm.args(["-F", "-n", "-d", "expose_php=0", "-d", "log_errors=1", "-y"]).arg(conf);
        let mut python = Command::new(uwsgi);
        python
            .args(["--plugin", "python3", "--chmod-socket=777", "--need-app", "--master"])
            .args(["--die-on-term", "--buffer-size=65535", "--module", "app", "--listen=100"])
            .args(["--processes=2", &format!("--threads={}", PROCESSES / 2)])
            .arg("--chdir")
            .arg(directory.path())
            .arg("--socket")
            .arg(directory.join("uwsgi"));
        let spawn = |command: &mut Command| {
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
        };
        let children = vec![spawn(&mut fpm).ok()?, spawn(&mut python).ok()?];
        let applications = Self { directory, children };
        for protocol in [Protocol::FastCgi, Protocol::Uwsgi] {
            let socket = applications.socket(protocol);
            until("an application", || UnixStream::connect(&socket).is_ok());
        }
        Some(applications)
    }

    /// The socket of an application.
    pub(crate) fn socket(&self, protocol: Protocol) -> PathBuf {
        self.directory.join(if protocol == Protocol::FastCgi { "php" } else { "uwsgi" })
    }
}

impl Drop for Applications {
    fn drop(&mut self) {
        for child in &mut self.children {
            send_signal(child.id(), Signal::TERM);
            let _ = child.wait();
        }
    }
}

/// The first program in the folders whose name starts so.
fn program(folders: &[&str], name: &str) -> Option<PathBuf> {
    let in_folder = |folder: &&str| {
        let mut entries: Vec<PathBuf> =
            Path::new(folder).read_dir().ok()?.flatten().map(|entry| entry.path()).collect();
        entries.sort();
        let is_it = |path: &PathBuf| {
            path.file_name().is_some_and(|own| own.to_string_lossy().starts_with(name))
        };
        entries.into_iter().find(is_it)
    };
    folders.iter().find_map(in_folder)
}

/// What an application got on a connection, as text: a parameter a line, bodies joined.
pub(crate) fn render(protocol: Protocol, bytes: &[u8]) -> String {
    let shown = match protocol {
        Protocol::Http => None,
        Protocol::FastCgi => fastcgi(bytes),
        Protocol::Uwsgi => uwsgi(bytes),
    };
    shown.unwrap_or_else(|| format!("not readable: {}\n", show(bytes)))
}

/// The requests of a FastCGI connection. Boundaries of records are left out: a body's depend on
/// timing.
fn fastcgi(mut bytes: &[u8]) -> Option<String> {
    const BEGIN: u8 = 1;
    const PARAMS: u8 = 4;
    const STDIN: u8 = 5;
    let mut out = String::new();
    let (mut params, mut body) = (Vec::new(), Vec::new());
    while !bytes.is_empty() {
        let header = bytes.get(..8)?;
        let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
        // Of the last record, only a part may have come.
        let end = bytes.len().min(8 + length);
        let content = &bytes[8..end];
        match (header[1], length) {
            (BEGIN, _) => writeln!(out, "begin {content:?}").ok()?,
            (PARAMS, 0) => {
                pairs(&params, &mut out)?;
                params.clear();
            }
            (PARAMS, _) => params.extend_from_slice(content),
            (STDIN, 0) => {
                writeln!(out, "body {}: {}", body.len(), shorten(&body)).ok()?;
                body.clear();
            }
            (STDIN, _) => body.extend_from_slice(content),
            (other, _) => writeln!(out, "record {other}").ok()?,
        }
        bytes = bytes.get(8 + length + usize::from(header[6])..).unwrap_or_default();
    }
    if !params.is_empty() || !body.is_empty() {
        writeln!(out, "cut off after {} and {} bytes", params.len(), body.len()).ok()?;
    }
    Some(out)
}

fn pairs(mut params: &[u8], out: &mut String) -> Option<()> {
    while !params.is_empty() {
        let mut length = || {
            let (length, rest) = match params {
                [short @ ..=127, rest @ ..] => (usize::from(*short), rest),
                [a, b, c, d, rest @ ..] => {
                    (u32::from_be_bytes([a & 0x7f, *b, *c, *d]) as usize, rest)
                }
                _ => return None,
            };
            params = rest;
            Some(length)
        };
        let lengths = [length()?, length()?];
        let [name, value] = lengths.map(|length| {
            let (text, rest) = params.split_at(length.min(params.len()));
            params = rest;
            show(text)
        });
        writeln!(out, "{name}={value}").ok()?;
    }
    Some(())
}

/// The request of a uwsgi connection, which has only one.
fn uwsgi(bytes: &[u8]) -> Option<String> {
    let header = bytes.get(..4)?;
    let length = usize::from(u16::from_le_bytes([header[1], header[2]]));
    let mut text = bytes.get(4..4 + length)?;
    let mut out = format!("modifiers {} {}\n", header[0], header[3]);
    let mut word = || {
        let length = usize::from(u16::from_le_bytes(text.get(..2)?.try_into().ok()?));
        let word = show(text.get(2..2 + length)?);
        text = &text[2 + length..];
        Some(word)
    };
    while let Some(name) = word() {
        writeln!(out, "{name}={}", word()?).ok()?;
    }
    let body = &bytes[4 + length..];
    writeln!(out, "body {}: {}", body.len(), shorten(body)).ok()?;
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_shown_by_parameters() {
        let record = |kind: u8, content: &[u8]| {
            [&[1, kind, 0, 1, 0, content.len() as u8, 0, 0], content].concat()
        };
        let parts = [(1, &b"\0\x01\0\0\0\0\0\0"[..]), (4, b"\x01\x02Abc"), (4, b"")];
        let body = [(5, &b"bo"[..]), (5, b"dy"), (5, b"")];
        let bytes: Vec<u8> =
            parts.iter().chain(&body).flat_map(|(kind, content)| record(*kind, content)).collect();
        let expected = "begin [0, 1, 0, 0, 0, 0, 0, 0]\nA=bc\nbody 4: body\n";
        assert_eq!(render(Protocol::FastCgi, &bytes), expected);
        let uwsgi = render(Protocol::Uwsgi, b"\0\x07\0\0\x01\0A\x02\0bcbody");
        assert_eq!(uwsgi, "modifiers 0 0\nA=bc\nbody 4: body\n");
        assert!(render(Protocol::Uwsgi, b"\0").starts_with("not readable"));
        let cut = "begin [0, 1, 0, 0, 0, 0, 0, 0]\nA=bc\ncut off after 0 and 3 bytes\n";
        assert_eq!(render(Protocol::FastCgi, &bytes[..bytes.len() - 9]), cut);
    }
}
