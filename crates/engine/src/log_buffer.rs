//! Buffers of access log lines: one per thread and file, so that threads do not contend.

use std::cell::RefCell;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::clock::{self, Instant};
use crate::error_log::{Level, process_log};
use crate::log_files::LogFile;
use crate::os_error::Failed;
use crate::{event_loop, timer};

/// The buffering of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffering {
    /// The size of each thread's buffer in bytes; longer lines bypass it.
    pub size: usize,
    /// The maximum time that a line stays in a buffer.
    pub flush: Option<Duration>,
    /// The compression level, 1 to 9; each write is a gzip member of its own.
    pub gzip: Option<u32>,
}

/// This thread's buffer for one file.
struct Buffer {
    file: Arc<LogFile>,
    how: Buffering,
    lines: Vec<u8>,
    /// The time by which the oldest line must be written.
    due: Instant,
    /// Whether a task waits for that time.
    timed: bool,
}

/// The number of lines in a text.
fn count(lines: &[u8]) -> u64 {
    lines.iter().filter(|&&byte| byte == b'\n').count() as u64
}

thread_local! {
    static BUFFERS: RefCell<Vec<Buffer>> = const { RefCell::new(Vec::new()) };
}

/// Appends lines to a file's buffer, flushing it first if they do not fit.
///
/// # Errors
/// A system error of writing; the unwritten lines are lost.
pub fn append(file: &Arc<LogFile>, how: Buffering, lines: &[u8]) -> io::Result<()> {
    BUFFERS.with_borrow_mut(|buffers| {
        let at = buffers.iter().position(|buffer| Arc::ptr_eq(&buffer.file, file));
        let at = at.unwrap_or_else(|| {
            buffers.push(Buffer::new(Arc::clone(file), how));
            buffers.len() - 1
        });
        buffers[at].append(how, lines)
    })
}

/// Writes all buffers of this thread and drops the files.
pub fn flush() {
    for mut buffer in BUFFERS.take() {
        let written = buffer.write();
        tell(&buffer.file, written);
    }
}

fn tell(file: &LogFile, written: io::Result<()>) {
    if let Err(error) = written
        && file.is_news()
    {
        let what = format!("write() to \"{}\" failed", file.path().display());
        process_log().log(Level::Alert, 0, Failed(&what, &error));
    }
}

impl Buffer {
    fn new(file: Arc<LogFile>, how: Buffering) -> Self {
        Self { file, how, lines: Vec::new(), due: Instant::NEVER, timed: false }
    }

    fn append(&mut self, how: Buffering, lines: &[u8]) -> io::Result<()> {
        self.how = how;
        let mut result = Ok(());
        if self.lines.len() + lines.len() > how.size {
            result = self.write();
        }
        if lines.len() > how.size {
            return result.and(write(&self.file, how, lines));
        }
        if self.lines.is_empty()
            && let Some(flush) = how.flush
        {
            self.due = clock::now() + flush;
            self.wait(flush);
        }
        self.lines.extend_from_slice(lines);
        result
    }

    fn write(&mut self) -> io::Result<()> {
        let result = write(&self.file, self.how, &self.lines);
        self.lines.clear();
        result
    }

    /// Starts the task that flushes in time, unless it is running.
    fn wait(&mut self, flush: Duration) {
        if !std::mem::replace(&mut self.timed, true) {
            event_loop::spawn(flush_in_time(Arc::clone(&self.file), flush));
        }
    }
}

/// Flushes a buffer when its oldest line is due. Ends when the buffer is empty.
async fn flush_in_time(file: Arc<LogFile>, mut wait: Duration) {
    loop {
        timer::sleep(wait).await;
        let next = BUFFERS.with_borrow_mut(|buffers| {
            let buffer = buffers.iter_mut().find(|buffer| Arc::ptr_eq(&buffer.file, &file))?;
            let left = buffer.due.since(clock::precise());
            if !buffer.lines.is_empty() && !left.is_zero() {
                return Some(left);
            }
            let written = buffer.write();
            tell(&buffer.file, written);
            buffer.timed = false;
            None
        });
        match next {
            Some(left) => wait = left,
            None => return,
        }
    }
}

fn write(file: &LogFile, how: Buffering, lines: &[u8]) -> io::Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    match how.gzip {
        None => file.write(lines),
        Some(level) => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::new(level));
            encoder.write_all(lines)?;
            file.write_piece(&encoder.finish()?, &|| count(lines))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> (Arc<LogFile>, std::path::PathBuf) {
        let path = std::env::temp_dir().join(format!("weir-buffer-{}-{name}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        (Arc::new(LogFile::open(&path).unwrap()), path)
    }

    const HOW: Buffering = Buffering { size: 8, flush: None, gzip: None };

    #[test]
    fn lines_wait_until_the_buffer_is_full() {
        let (file, path) = file("full");
        append(&file, HOW, b"abc\n").unwrap();
        append(&file, HOW, b"def\n").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"");
        append(&file, HOW, b"g\n").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"abc\ndef\n");
        append(&file, HOW, b"longer than that\n").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"abc\ndef\ng\nlonger than that\n");
        append(&file, HOW, b"h\n").unwrap();
        flush();
        assert!(std::fs::read(&path).unwrap().ends_with(b"h\n"));
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn lines_wait_no_longer_than_they_may() {
        let (file, path) = file("time");
        let how = Buffering { flush: Some(Duration::from_millis(1)), ..HOW };
        event_loop::block_on(async {
            append(&file, how, b"a\n").unwrap();
            while std::fs::read(&path).unwrap().is_empty() {
                timer::sleep(Duration::from_millis(1)).await;
            }
        });
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn compressed_writes_follow_each_other() {
        let (file, path) = file("gzip");
        let how = Buffering { gzip: Some(1), ..HOW };
        append(&file, how, b"one\n").unwrap();
        append(&file, how, b"and two\n").unwrap();
        flush();
        let bytes = std::fs::read(&path).unwrap();
        let mut text = String::new();
        let mut decoder = flate2::read::MultiGzDecoder::new(&bytes[..]);
        io::Read::read_to_string(&mut decoder, &mut text).unwrap();
        assert_eq!(text, "one\nand two\n");
        std::fs::remove_file(path).unwrap();
    }
}
