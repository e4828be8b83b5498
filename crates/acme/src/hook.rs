//! `dns_hook`: a program that sets and removes records in DNS.

use std::io::{ErrorKind, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use weir_engine::digest::sha256;
use weir_sys::signal;

use crate::error::AcmeError;
use crate::jws::encode;
use crate::settings::IssuerConfig;

/// The longest text of the program that is logged, in bytes.
const LONGEST_TEXT: usize = 1000;

/// The programs that run at once. Orders of many names end with as many calls.
const MOST_AT_ONCE: usize = 8;

/// The pause between two looks whether the program has ended, on a kernel without pidfd_open(2).
const LOOK: Duration = Duration::from_millis(20);

/// A record that the program has set; it is removed when this is dropped.
pub(crate) struct Presented {
    /// The thread of the record waits for its end.
    _end: mpsc::Sender<()>,
}

/// A call of the program.
#[derive(Clone, Debug)]
struct Call {
    words: Vec<String>,
    domain: String,
    value: String,
    timeout: Duration,
}

/// Has the program set the record that proves control over a domain.
pub(crate) async fn present(
    config: &IssuerConfig,
    domain: &str,
    authorization: &str,
) -> Result<Presented, AcmeError> {
    let words = config.hook.clone().ok_or_else(|| AcmeError::new("there is no \"dns_hook\""))?;
    let value = encode(sha256(&[authorization.as_bytes()]));
    let call = Call { words, domain: domain.to_owned(), value, timeout: config.hook_timeout };
    let (end, ended) = mpsc::channel();
    let (tell, told) = tokio::sync::oneshot::channel();
    // A thread of its own: a slow program must not delay other work, and a record is removed only
    // once the program has set it, even if nobody waits for that any more.
    let run = move || {
        let _ = tell.send(call.run("present"));
        let _ = ended.recv();
        // Even a failed program may have set a record.
        let _ = call.run("cleanup");
    };
    let started = thread::Builder::new().name("weir-dns-hook".to_owned()).spawn(run);
    started.map_err(|error| AcmeError::new(format!("pthread_create() failed: {error}")))?;
    let presented = Presented { _end: end };
    match told.await {
        Ok(done) => done.map(|()| presented),
        Err(_) => Err(AcmeError::new("the thread of \"dns_hook\" has ended")),
    }
}

/// A program's turn, of [`MOST_AT_ONCE`].
struct Turn;

static RUNNING: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());

impl Turn {
    fn wait() -> Self {
        let (running, ends) = &RUNNING;
        let mut running = running.lock().unwrap_or_else(PoisonError::into_inner);
        while *running >= MOST_AT_ONCE {
            running = ends.wait(running).unwrap_or_else(PoisonError::into_inner);
        }
        *running += 1;
        Self
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let (running, ends) = &RUNNING;
        *running.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        ends.notify_one();
    }
}

impl Call {
    /// Runs the program to its end.
    fn run(&self, act: &str) -> Result<(), AcmeError> {
        let _turn = Turn::wait();
        let program = &self.words[0];
        let failed = |what: String| AcmeError::new(format!("\"dns_hook\" {program} {act}: {what}"));
        let io = |error: std::io::Error| failed(error.to_string());
        let name = format!("_acme-challenge.{}", self.domain);
        let mut command = Command::new(program);
        command
            .args(&self.words[1..])
            .args([act, &self.domain, &name, &self.value])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0);
        // The worker's own are.
        signal::unblock_in(&mut command);
        let (status, said) = wait(command.spawn().map_err(io)?, self.timeout).map_err(io)?;
        match status {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(failed(format!("{status} {}", one_line(&said)))),
            None => {
                let seconds = self.timeout.as_secs();
                Err(failed(format!("was killed after {seconds} s {}", one_line(&said))))
            }
        }
    }
}

/// A text of the program for the log.
fn one_line(said: &[u8]) -> String {
    let text = String::from_utf8_lossy(said);
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    text.trim().to_owned()
}

/// Waits for the end of a program. Returns its status, `None` if it had to be killed with all that
/// it has started, and the beginning of what it has said. What is said beyond that is read, so that
/// the program does not wait for it.
fn wait(mut child: Child, timeout: Duration) -> std::io::Result<(Option<ExitStatus>, Vec<u8>)> {
    let until = Instant::now() + timeout;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let ends = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    let mut errors = child.stderr.take();
    if let Some(errors) = &errors {
        rustix::io::ioctl_fionbio(errors, true)?;
    }
    let mut said = Vec::new();
    loop {
        if errors.as_mut().is_some_and(|errors| listen(errors, &mut said)) {
            errors = None;
        }
        if let Some(status) = child.try_wait()? {
            if let Some(errors) = &mut errors {
                listen(errors, &mut said);
            }
            return Ok((Some(status), said));
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            if let Some(group) = pid {
                let _ = kill_process_group(group, Signal::KILL);
            }
            child.wait()?;
            return Ok((None, said));
        }
        let mut events = Vec::new();
        events.extend(ends.as_ref().map(|ends| PollFd::new(ends, PollFlags::IN)));
        events.extend(errors.as_ref().map(|errors| PollFd::new(errors, PollFlags::IN)));
        let left = if ends.is_some() { left } else { left.min(LOOK) };
        // Whatever comes of it, the next round looks.
        let _ = poll(&mut events, Timespec::try_from(left).ok().as_ref());
    }
}

/// The most reads in a row: a program that never stops talking has a time limit, too.
const MOST_READS: usize = 16;

/// Reads what is there. Returns whether there will be no more.
fn listen(errors: &mut ChildStderr, said: &mut Vec<u8>) -> bool {
    let mut piece = [0; 4096];
    for _ in 0..MOST_READS {
        match errors.read(&mut piece) {
            Ok(0) => return true,
            Ok(length) => {
                let room = LONGEST_TEXT - said.len();
                said.extend_from_slice(&piece[..length.min(room)]);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return error.kind() != ErrorKind::WouldBlock,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(script: &str, timeout: Duration) -> Call {
        let words = ["/bin/sh", "-c", script, "sh"].map(str::to_owned).to_vec();
        Call { words, domain: "a.test".to_owned(), value: "v".to_owned(), timeout }
    }

    #[test]
    fn the_program_gets_the_record() {
        let long = Duration::from_secs(60);
        let script = "test \"$*\" = 'present a.test _acme-challenge.a.test v'";
        assert_eq!(call(script, long).run("present"), Ok(()));
        let error = call("echo no such zone >&2; exit 3", long).run("present").unwrap_err();
        assert!(error.what.ends_with("exit status: 3 no such zone"), "{error}");
        let gone = Call { words: vec!["/no/such".to_owned()], ..call("", long) };
        assert!(gone.run("present").is_err());
    }

    #[test]
    fn a_program_that_does_not_end_is_killed_with_its_children() {
        let begun = Instant::now();
        let error = call("sleep 1000 & sleep 1000", Duration::from_millis(50)).run("present");
        assert!(error.unwrap_err().what.contains("was killed"));
        assert!(begun.elapsed() < Duration::from_secs(500));
    }

    #[test]
    fn a_program_may_say_much_and_anything() {
        let long = Duration::from_secs(60);
        // More than a pipe takes, on both.
        let script = "yes | head -c 300000; yes | head -c 300000 >&2; exit 1";
        let error = call(script, long).run("present").unwrap_err();
        assert!((900..1200).contains(&error.what.len()), "{}", error.what.len());
        let error = call("printf '\\377\\0\\n\\033[2J' >&2; exit 1", long).run("cleanup");
        let error = error.unwrap_err().what;
        assert!(error.ends_with("exit status: 1 \u{fffd}   [2J"), "{error:?}");
        let error = call("kill -9 $$", long).run("present").unwrap_err();
        assert!(error.what.contains("signal: 9 (SIGKILL)"), "{error}");
        // One that talks for ever ends in time.
        let error = call("yes >&2", Duration::from_millis(50)).run("present").unwrap_err();
        assert!(error.what.contains("was killed"), "{error}");
    }

    /// What it leaves behind may go on, and is not waited for.
    #[test]
    fn children_that_hold_the_output_are_not_waited_for() {
        let mark = std::env::temp_dir().join(format!("weir-hook-{}", std::process::id()));
        let script = format!("(read line < {}; echo) & exit 0", mark.display());
        let _ = std::fs::remove_file(&mark);
        assert!(Command::new("mkfifo").arg(&mark).status().unwrap().success());
        assert_eq!(call(&script, Duration::from_secs(60)).run("present"), Ok(()));
        std::fs::write(&mark, "\n").unwrap();
        std::fs::remove_file(&mark).unwrap();
    }

    #[test]
    fn signals_are_not_blocked() {
        let script = "test \"$(sed -n 's/^SigBlk:.//p' /proc/self/status)\" = 0000000000000000";
        let blocked = thread::spawn(move || {
            let _blocked = signal::Signals::block(&[15]).unwrap();
            call(script, Duration::from_secs(60)).run("present")
        });
        assert_eq!(blocked.join().unwrap(), Ok(()));
    }
}
