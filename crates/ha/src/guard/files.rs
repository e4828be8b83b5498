//! The guard's files, and what it reads from keepalived line by line.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::Mode;
use weir_engine::{ErrorLog, Level};

use crate::keepalived::{EVENTS_FILE, READY_FILE};

/// The limit of a line of keepalived.
const LONGEST_LINE: usize = 1024;

/// Writes whether the node may hold addresses. The one byte is overwritten in place, which works on
/// a full disk, and keepalived notices the end of writing.
pub(super) fn write_ready(folder: &Path, ready: bool) -> io::Result<()> {
    let path = folder.join(READY_FILE);
    let file = File::options().write(true).create(true).truncate(false).open(path)?;
    file.write_all_at(if ready { b"0\n" } else { b"1\n" }, 0)
}

/// Makes and opens keepalived's pipe. Opened for both directions, it never ends.
pub(super) fn open_events(folder: &Path) -> io::Result<File> {
    let path = folder.join(EVENTS_FILE);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mode = Mode::RUSR | Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0)?;
    let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    File::options().read(true).write(true).custom_flags(nonblocking).open(path)
}

/// Passes a line of keepalived on to the error log, without its time.
pub(super) fn tell(log: &ErrorLog, line: &str) {
    let said = line.split_once(": ").map_or(line, |(_, said)| said);
    let lower = said.to_ascii_lowercase();
    let is_bad = ["error", "fail", "invalid", "unknown", "warning", "cannot", "unable"]
        .iter()
        .any(|word| lower.contains(word));
    let level = if is_bad { Level::Warn } else { Level::Info };
    log.log(level, 0, format_args!("ha: keepalived: {said}"));
}

/// The beginning of a line whose end has not come.
#[derive(Debug, Default)]
pub(super) struct LineBuffer(Vec<u8>);

impl LineBuffer {
    /// The complete lines that have come.
    pub(super) fn read(&mut self, from: &mut impl Read) -> Vec<String> {
        /// The limit of bytes in one step.
        const AT_ONCE: usize = 16;
        let mut lines = Vec::new();
        let mut bytes = [0; 4096];
        for _ in 0..AT_ONCE {
            match from.read(&mut bytes) {
                Ok(count @ 1..) => self.take(&bytes[..count], &mut lines),
                _ => break,
            }
        }
        lines
    }

    fn take(&mut self, bytes: &[u8], lines: &mut Vec<String>) {
        for &byte in bytes {
            if byte == b'\n' {
                lines.push(String::from_utf8_lossy(&self.0).replace(char::is_control, " "));
                self.0.clear();
            } else if self.0.len() < LONGEST_LINE {
                self.0.push(byte);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_sys::process;

    #[test]
    fn lines_come_whole_and_have_a_limit() {
        let mut buffer = LineBuffer::default();
        assert!(buffer.read(&mut &b"INSTANCE"[..]).is_empty());
        assert_eq!(buffer.read(&mut &b" x\nnext"[..]), ["INSTANCE x"]);
        let long = [b'y'; 3000];
        buffer.read(&mut &long[..]);
        let lines = buffer.read(&mut &b"\n"[..]);
        assert_eq!(lines[0].len(), LONGEST_LINE);
    }

    #[test]
    fn the_track_file_is_overwritten_in_place() {
        let folder = std::env::temp_dir().join(format!("weir-ready-{}", process::id()));
        std::fs::create_dir(&folder).unwrap();
        for (ready, text) in [(false, "1\n"), (true, "0\n"), (false, "1\n")] {
            write_ready(&folder, ready).unwrap();
            assert_eq!(std::fs::read_to_string(folder.join(READY_FILE)).unwrap(), text);
        }
        std::fs::remove_dir_all(folder).unwrap();
    }
}
