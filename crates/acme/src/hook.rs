//! `dns_hook`: a program that sets and removes records in DNS.

use std::io::{Read, Seek};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use weir_engine::digest::sha256;
use weir_engine::temp_file;

use crate::error::AcmeError;
use crate::jws::encode;
use crate::settings::IssuerConfig;

/// The pause between two looks whether the program has ended.
const LOOK: Duration = Duration::from_millis(20);

/// The longest text of the program that is logged, in bytes.
const LONGEST_TEXT: u64 = 1000;

/// A record that the program has set; it is removed when this is dropped.
pub(crate) struct Presented(Option<Call>);

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
    // Even a failed program may have set a record.
    let presented = Presented(Some(call.clone()));
    let (tell, told) = tokio::sync::oneshot::channel();
    // A thread of its own: a slow program must not delay other work.
    let run = move || drop(tell.send(call.run("present")));
    let started = std::thread::Builder::new().name("weir-dns-hook".to_owned()).spawn(run);
    started.map_err(|error| AcmeError::new(format!("pthread_create() failed: {error}")))?;
    match told.await {
        Ok(done) => done.map(|()| presented),
        Err(_) => Err(AcmeError::new("the thread of \"dns_hook\" has ended")),
    }
}

impl Drop for Presented {
    fn drop(&mut self) {
        let Some(call) = self.0.take() else { return };
        let run = move || drop(call.run("cleanup"));
        let _ = std::thread::Builder::new().name("weir-dns-hook".to_owned()).spawn(run);
    }
}

impl Call {
    /// Runs the program to its end.
    fn run(&self, act: &str) -> Result<(), AcmeError> {
        let program = &self.words[0];
        let failed = |what: String| AcmeError::new(format!("\"dns_hook\" {program} {act}: {what}"));
        let io = |error: std::io::Error| failed(error.to_string());
        let mut said = temp_file::create(&std::env::temp_dir()).map_err(io)?;
        let name = format!("_acme-challenge.{}", self.domain);
        let child = Command::new(program)
            .args(&self.words[1..])
            .args([act, &self.domain, &name, &self.value])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said.try_clone().map_err(io)?)
            .process_group(0)
            .spawn();
        let status = wait(child.map_err(io)?, self.timeout).map_err(io)?;
        let Some(status) = status else {
            return Err(failed(format!("was killed after {} s", self.timeout.as_secs())));
        };
        if status.success() {
            return Ok(());
        }
        let mut text = Vec::new();
        let _ = said.rewind();
        let _ = said.take(LONGEST_TEXT).read_to_end(&mut text);
        let text = String::from_utf8_lossy(&text);
        let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        Err(failed(format!("{status} {}", text.trim())))
    }
}

/// Waits for the end of a program, with all that it has started; `None` if it had to be killed.
fn wait(mut child: Child, timeout: Duration) -> std::io::Result<Option<ExitStatus>> {
    let until = Instant::now() + timeout;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= until {
            if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
                let _ = kill_process_group(group, Signal::KILL);
            }
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(LOOK);
    }
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
}
