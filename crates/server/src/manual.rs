//! `weir --manual FOLDER`: writes the man pages `weir(8)` and `weir.conf(5)` and the completion of
//! bash, zsh and fish, from the words of the command line and the tables of directives, with the
//! paths of this build.

#![allow(clippy::print_stderr, reason = "a tool for packages, without a log")]

use std::fmt::Write;
use std::path::Path;

use weir_conf::reference::manual;

use crate::cli::with_places;
use crate::cli::words::{LETTERS, SENT, Value, WORDS};
use crate::reference;

mod completion;

/// Writes the files and returns the exit code.
pub(crate) fn run(folder: &Path) -> i32 {
    let written = std::fs::create_dir_all(folder).and_then(|()| {
        files().into_iter().try_for_each(|(name, text)| std::fs::write(folder.join(name), text))
    });
    match written {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("weir: {}: {error}", folder.display());
            1
        }
    }
}

/// The files by name.
fn files() -> [(&'static str, String); 5] {
    [
        ("weir.8", with_places(&program(), "weir")),
        ("weir.conf.5", with_places(&configuration(), "weir")),
        ("weir.bash", completion::bash()),
        ("_weir", with_places(&completion::zsh(), "weir")),
        ("weir.fish", with_places(&completion::fish(), "weir")),
    ]
}

/// The man page of the program; what is not in the table is in `packaging/weir.8`.
fn program() -> String {
    let page = include_str!("../../../packaging/weir.8");
    page.replace("@SYNOPSIS@", &synopsis()).replace("@OPTIONS@", &options())
}

/// Text for troff: a hyphen is a minus, a backslash itself.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-")
}

// Writing to a String cannot fail, below.

fn synopsis() -> String {
    let mut out = ".SH SYNOPSIS\n.B weir\n".to_owned();
    let flags = LETTERS.iter().filter(|option| option.value.is_none());
    let flags: String = flags.map(|option| option.letter).collect();
    let _ = writeln!(out, ".RB [ \\-{flags} ]");
    for option in &LETTERS {
        if let Some(value) = option.value {
            let _ = writeln!(out, ".RB [ \\-{}\n.IR {} ]", option.letter, value.name());
        }
    }
    for word in &WORDS {
        let _ = writeln!(out, ".br\n.B weir {}\n{}", word.name, escaped(word.synopsis));
    }
    out
}

fn options() -> String {
    let mut out = ".SH OPTIONS\n".to_owned();
    for option in &LETTERS {
        let _ = write!(out, ".TP\n\\fB\\-{}\\fR", option.letter);
        for also in option.also {
            let _ = write!(out, ", \\fB{}\\fR", escaped(also));
        }
        if let Some(value) = option.value {
            let _ = write!(out, " \\fI{}\\fR", value.name());
        }
        let _ = writeln!(out, "\n{}", sentence(option.about));
        if !option.more.is_empty() {
            let _ = writeln!(out, "{}", escaped(option.more));
        }
        if option.value == Some(Value::Command) {
            let list: Vec<_> =
                SENT.iter().map(|(name, sent)| format!("{name} is {sent}")).collect();
            let _ = writeln!(out, "As a signal, {}.", list.join(", "));
        }
    }
    out.push_str(".SH COMMANDS\n");
    for word in &WORDS {
        let synopsis = escaped(word.synopsis);
        let _ = writeln!(out, ".TP\n\\fB{}\\fR {synopsis}\n{}", word.name, sentence(word.about));
        for (name, about) in word.next.iter().chain(word.options) {
            let name = format!("{} {name}", word.name);
            let _ = writeln!(out, ".TP\n\\fB{}\\fR\n{}", escaped(&name), sentence(about));
        }
    }
    out
}

fn sentence(about: &str) -> String {
    let mut letters = about.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    let text: String = first.into_iter().chain(letters).collect();
    format!("{}.", escaped(&text))
}

/// The man page of the configuration: every directive.
fn configuration() -> String {
    let mut out = ".TH WEIR.CONF 5 \"\" \"Weir @VERSION@\" \"File Formats\"\n\
        .SH NAME\nweir.conf \\- the configuration of weir, in the language of nginx.conf\n\
        .SH DESCRIPTION\n\
        .B weir\n\
        reads nginx's configuration files; its own is\n.IR @CONF@ .\n\
        A simple directive is a name with parameters, and ends with a semicolon. A block\n\
        directive ends with more directives in braces. Text behind a # is a comment.\n\
        Sizes are in bytes or end with k, m or g.\n\
        Times are in seconds or end with ms, s, m, h, d, w, M or y.\n\
        .SH FILES\n.I @CONF@\n"
        .to_owned();
    for (name, tables) in reference::groups() {
        let title = name.trim_start_matches("http_").to_uppercase().replace('_', " ");
        let rows = manual(&tables);
        if !rows.is_empty() {
            let _ = write!(out, ".SH DIRECTIVES: {title}\n{rows}");
        }
    }
    out.push_str(".SH SEE ALSO\n.BR weir (8)\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_place_is_left_open() {
        for (name, text) in files() {
            assert!(!text.contains("@P") && !text.contains("@C"), "{name}: {text}");
        }
    }

    #[test]
    fn the_pages_have_the_tables() {
        let page = program();
        for word in &WORDS {
            assert!(page.contains(&format!("\\fB{}\\fR", word.name)), "{}", word.name);
        }
        let page = configuration();
        for name in ["proxy_pass", "worker_processes", "least_time", "brotli_static"] {
            assert!(page.contains(&format!("\\fB{name}\\fR")), "{name}");
        }
    }
}
