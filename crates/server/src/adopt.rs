//! `weir adopt`: takes a Debian host over from nginx while it serves, and gives it back.
//!
//! Weir takes the place of nginx's program, by a diversion of dpkg, so that the unit, the log
//! rotation, scripts and package updates of nginx go on working. A [`Record`] says that it stands
//! there, and with which paths. The running master is replaced as by an upgrade of its binary.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use weir_conf::Layout;
use weir_sys::user;

use crate::console::{Console, say, say_line};

mod check;
mod handover;
mod hindrance;
mod nginx;
mod program;
pub(crate) mod record;

use handover::Handover;
use nginx::Nginx;
use record::Record;

/// The program that is replaced, unless another is given.
const PROGRAM: &str = "/usr/sbin/nginx";

/// The longest wait for the requests of the old program, unless another is given.
const WAIT: Duration = Duration::from_secs(30);

/// The word behind `adopt` with which this program tests a configuration with nginx's paths.
const AS: &str = "--as=";

const USAGE: &str = "Usage: weir adopt [--dry-run] [--anyway] [--nginx=PROGRAM] [--wait=SECONDS]
       weir adopt --back [--dry-run] [--anyway] [--wait=SECONDS]
Takes this host over from nginx, with its configuration and while it serves; --back gives it back.
--dry-run  says what would be done, and does nothing
--anyway   does it though something differs
--nginx    the program to replace (default: /usr/sbin/nginx)
--wait     the longest wait for the requests that the old program has under way (default: 30)
";

/// Why a step was not taken, for the user; empty for a wrong use of the command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Reason(String);

impl From<&str> for Reason {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<String> for Reason {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    back: bool,
    dry_run: bool,
    anyway: bool,
    program: PathBuf,
    wait: Duration,
}

/// The arguments of `configure` of the nginx to stand in for during a test of its configuration.
pub(crate) fn tested(word: Option<&OsString>) -> Option<String> {
    word?.to_str()?.strip_prefix(AS).map(str::to_owned)
}

/// Runs the command, whose words follow `weir adopt`. Returns the exit code.
pub(crate) fn run(program: Option<&OsStr>, words: &[OsString]) -> i32 {
    let console = Console::for_command(program);
    let done = wanted(words).and_then(|wanted| match wanted.back {
        true => give_back(&wanted),
        false => adopt(&wanted),
    });
    match done {
        Ok(()) => 0,
        Err(reason) if reason == Reason::default() => {
            say(USAGE);
            1
        }
        Err(reason) => {
            console.print(reason);
            1
        }
    }
}

fn wanted(words: &[OsString]) -> Result<Wanted, Reason> {
    let mut wanted =
        Wanted { back: false, dry_run: false, anyway: false, program: PROGRAM.into(), wait: WAIT };
    for word in words {
        let word = word.to_str().ok_or_else(Reason::default)?;
        match word.split_once('=') {
            None if word == "--back" => wanted.back = true,
            None if word == "--dry-run" => wanted.dry_run = true,
            None if word == "--anyway" => wanted.anyway = true,
            Some(("--nginx", path)) if path.starts_with('/') => wanted.program = path.into(),
            Some(("--wait", seconds)) => {
                let seconds = seconds.parse().map_err(|_| Reason::default())?;
                wanted.wait = Duration::from_secs(seconds);
            }
            _ => return Err(Reason::default()),
        }
    }
    Ok(wanted)
}

/// Takes the host over, or goes on with that.
fn adopt(wanted: &Wanted) -> Result<(), Reason> {
    let weir = program::own()?;
    let begun = Record::read();
    hindrance::none_of_packages(&wanted.program)?;
    let nginx = match &begun {
        None => Nginx::at(&wanted.program)?,
        Some(record) if program::is_gone(record, &weir) => return Err(adopted(record)),
        Some(record) => Nginx::kept(record)?,
    };
    let handover = Handover::wanted(&nginx, &weir, true)?;
    match &begun {
        Some(record) if program::is_taken(record, &weir) && !handover.is_open() => {
            return Err(adopted(record));
        }
        Some(_) => say_line("An adoption, or its end, was interrupted. It goes on."),
        None => {}
    }
    say_checked(&nginx);
    let differences = check::differences(&nginx, &weir)?;
    report(&differences, wanted)?;
    if let Handover::Whole(master) = handover {
        hindrance::none_of_master(&nginx, master)?;
    }
    let record = Record::of(&nginx, program::kept(&nginx.program));
    say_line("To do:");
    say_line(format_args!("  {} is kept as {}", record.program.display(), record.kept.display()));
    say_line(format_args!("  {} leads to {}", record.program.display(), weir.display()));
    say_handover(&nginx, ["nginx", "Weir"], handover);
    if wanted.dry_run {
        return Ok(());
    }
    needs_root()?;
    handover::wait_for_predecessor(&nginx, handover, wanted.wait)?;
    program::take(&record, &weir)?;
    if let Err(reason) = handover.run(&nginx, &weir, wanted.wait) {
        program::give_back(&record, &weir)?;
        Record::remove()?;
        return Err(format!("{reason}. Nothing has changed").into());
    }
    say_line("Done. \"weir adopt --back\" gives the host back.");
    Ok(())
}

fn adopted(record: &Record) -> Reason {
    let program = record.program.display();
    Reason(format!("{program} is Weir already; \"weir adopt --back\" undoes that"))
}

/// Gives the host back to nginx, or goes on with that.
fn give_back(wanted: &Wanted) -> Result<(), Reason> {
    let record = Record::read().ok_or("this host has not been adopted")?;
    let weir = program::own()?;
    if program::is_gone(&record, &weir) {
        return forget(&record, &weir, wanted);
    }
    hindrance::none_of_packages(&record.program)?;
    let kept = Nginx::kept(&record)?;
    say_checked(&kept);
    match check::accepts(&kept) {
        Ok(_) => say_line("  it accepts the configuration"),
        Err(reason) => report(&[reason.to_string()], wanted)?,
    }
    let handover = Handover::wanted(&kept, &weir, false)?;
    if let Handover::Whole(master) = handover {
        hindrance::none_of_master(&kept, master)?;
    }
    say_line("To do:");
    say_line(format_args!("  {} is nginx again", record.program.display()));
    say_handover(&kept, ["Weir", "nginx"], handover);
    if wanted.dry_run {
        return Ok(());
    }
    needs_root()?;
    handover::wait_for_predecessor(&kept, handover, wanted.wait)?;
    program::give_back(&record, &weir)?;
    if let Err(reason) = handover.run(&kept, &record.program, wanted.wait) {
        program::take(&record, &weir)?;
        return Err(format!("{reason}. Nothing has changed").into());
    }
    Record::remove()?;
    say_line("Done.");
    Ok(())
}

/// Ends the adoption of an nginx whose package has been removed.
fn forget(record: &Record, weir: &Path, wanted: &Wanted) -> Result<(), Reason> {
    let program = record.program.display();
    say_line("Checked:");
    say_line(format_args!("  {} is gone: nginx has been removed", record.kept.display()));
    say_line("To do:");
    say_line(format_args!("  {program} no longer leads to Weir; what runs by that name goes on"));
    if wanted.dry_run {
        return Ok(());
    }
    needs_root()?;
    program::give_back(record, weir)?;
    Record::remove()?;
    say_line("Done.");
    Ok(())
}

fn say_checked(nginx: &Nginx) {
    let Nginx { file, version, conf, .. } = nginx;
    say_line("Checked:");
    say_line(format_args!("  {} is {version} with {}", file.display(), conf.display()));
}

/// Says what becomes of the running master, from one program to the other.
fn say_handover(nginx: &Nginx, [from, to]: [&str; 2], handover: Handover) {
    match handover {
        Handover::NotRunning => {
            say_line(format_args!(
                "  {from} is not running: what starts it starts {to} from now on"
            ));
        }
        Handover::Done => say_line(format_args!("  {to} serves already")),
        Handover::Whole(master) => {
            if let Some(pid) = handover::predecessor(nginx, master) {
                say_line(format_args!(
                    "  process {pid}, whose place {master} has taken, is waited for"
                ));
            }
            say_line(format_args!(
                "  {from}'s master process {master} hands its sockets over and ends"
            ));
        }
        Handover::Rest { old, new } => say_line(format_args!(
            "  {from}'s master process {old} ends, beside which {new} serves already"
        )),
        Handover::Return { old, new } => say_line(format_args!(
            "  {to}'s master process {old} serves again, and {from}'s {new} ends"
        )),
    }
    for other in hindrance::other_masters(nginx) {
        say_line(format_args!(
            "  master process {other}, which has another configuration, goes on until its next start"
        ));
    }
}

/// Tells what differs, which stops the command unless it is to go on anyway.
fn report(differences: &[String], wanted: &Wanted) -> Result<(), Reason> {
    if differences.is_empty() {
        say_line("  nothing differs");
        return Ok(());
    }
    say_line("What differs:");
    for difference in differences {
        say_line(format_args!("  {difference}"));
    }
    match wanted.anyway {
        true => Ok(()),
        false => Err("stopped; --anyway goes on though this differs".into()),
    }
}

fn needs_root() -> Result<(), Reason> {
    if user::is_root() { Ok(()) } else { Err("this needs root".into()) }
}

/// Has this process stand in for the nginx that it replaces, if it was called by that name.
pub(crate) fn stand_in(program: Option<&OsString>) {
    let Some(record) = program.and_then(|called| Record::of_program(called)) else { return };
    Layout::stand_in_for(record.configure);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Wanted, Reason> {
        wanted(&words.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn words_are_understood_or_explained() {
        let wanted = parse(&["--back", "--wait=5", "--dry-run"]).unwrap();
        assert!(wanted.back && wanted.dry_run && !wanted.anyway);
        assert_eq!(wanted.wait, Duration::from_secs(5));
        assert_eq!(parse(&["--nginx=/opt/nginx"]).unwrap().program, PathBuf::from("/opt/nginx"));
        for wrong in ["back", "--nginx=nginx", "--wait=x", "--back=1"] {
            assert_eq!(parse(&[wrong]), Err(Reason::default()), "{wrong}");
        }
    }
}
