//! What would differ: both programs test the configuration, and their messages are compared.

use std::path::Path;
use std::process::{Command, Output};

use super::nginx::Nginx;
use super::{AS, Reason};

/// The messages of levels that tell of a difference.
const LEVELS: [&str; 4] = ["[emerg]", "[alert]", "[crit]", "[warn]"];

/// What Weir would do otherwise than nginx, in its own words.
pub(super) fn differences(nginx: &Nginx, weir: &Path) -> Result<Vec<String>, Reason> {
    let theirs = messages(&accepts(nginx)?);
    let mut command = Command::new(weir);
    command.arg("adopt").arg(format!("{AS}{}", nginx.configure));
    nginx.arguments(&mut command);
    let output =
        command.output().map_err(|error| Reason(format!("{}: {error}", weir.display())))?;
    let mut ours = messages(&output);
    ours.retain(|message| !theirs.contains(message));
    if !output.status.success() && ours.is_empty() {
        ours.push(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(ours)
}

/// The messages of nginx's own test, which must pass.
pub(super) fn accepts(nginx: &Nginx) -> Result<Output, Reason> {
    let output =
        nginx.test().map_err(|error| Reason(format!("{}: {error}", nginx.file.display())))?;
    match output.status.success() {
        true => Ok(output),
        false => {
            Err(format!("nginx itself refuses the configuration: {}", messages(&output).join("; "))
                .into())
        }
    }
}

/// The messages of a test, without the time or the name of the program before them.
fn messages(output: &Output) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stderr);
    let told = text.lines().filter_map(|line| {
        let start = LEVELS.iter().filter_map(|level| line.find(level)).min()?;
        let line = &line[start..];
        // "[warn] 12#12: ", where nginx logs as it does in a running process.
        Some(match line.split_once("#") {
            Some((head, rest)) if head.rsplit(' ').next().is_some_and(is_number) => {
                let (level, _) = head.split_once(' ').unwrap_or((head, ""));
                let rest = rest.split_once(": ").map_or(rest, |(_, rest)| rest);
                format!("{level} {rest}")
            }
            _ => line.to_owned(),
        })
    });
    told.collect()
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    use super::*;

    #[test]
    fn messages_are_compared_without_their_heads() {
        let text = "nginx: [warn] conflicting server name \"a\"\n\
            2026/12/02 14:37:08 [emerg] 28404#28404: bind() failed\nsyntax is ok\n";
        let status = ExitStatus::from_raw(0);
        let output = Output { status, stdout: Vec::new(), stderr: text.into() };
        let expected = ["[warn] conflicting server name \"a\"", "[emerg] bind() failed"];
        assert_eq!(messages(&output), expected);
    }
}
