//! The completion of shells.

use std::fmt::Write;

use crate::cli::words::{LETTERS, SENT, Value, WORDS, Word};

/// All spellings of the options.
fn spellings() -> Vec<String> {
    let of = |option: &'static crate::cli::words::Letter| {
        let also = option.also.iter().map(|also| (*also).to_owned());
        std::iter::once(format!("-{}", option.letter)).chain(also)
    };
    LETTERS.iter().flat_map(of).collect()
}

fn letters_of(wanted: impl Fn(Value) -> bool) -> Vec<String> {
    let fits = LETTERS.iter().filter(|option| option.value.is_some_and(&wanted));
    fits.map(|option| format!("-{}", option.letter)).collect()
}

/// What may follow a command.
fn behind(word: &Word) -> String {
    let mut words: Vec<&str> =
        word.next.iter().chain(word.options).map(|(name, _)| *name).collect();
    if word.letters {
        words.extend(["-c", "-p", "-e", "-g"]);
    }
    words.join(" ")
}

// Writing to a String cannot fail, below.

/// For bash, without the functions of bash-completion.
pub(super) fn bash() -> String {
    let sent: Vec<&str> = SENT.iter().map(|(name, _)| *name).collect();
    let commands: Vec<&str> = WORDS.iter().map(|word| word.name).collect();
    let mut out = format!(
        r#"# bash completion for weir

_weir() {{
    local word=$2 before=$3 words=
    COMPREPLY=()
    # The shell takes "=" for the end of a word.
    case $before in
        {files}) mapfile -t COMPREPLY < <(compgen -f -- "$word"); return ;;
        {folders}) mapfile -t COMPREPLY < <(compgen -d -- "$word"); return ;;
        {commands_of}) mapfile -t COMPREPLY < <(compgen -W "{sent}" -- "$word"); return ;;
        {texts}|=) return ;;
    esac
    case ${{COMP_WORDS[1]}} in
"#,
        files = letters_of(|value| value == Value::File).join("|"),
        folders = letters_of(|value| value == Value::Folder).join("|"),
        commands_of = letters_of(|value| value == Value::Command).join("|"),
        texts = letters_of(|value| matches!(value, Value::Text(_))).join("|"),
        sent = sent.join(" "),
    );
    for word in &WORDS {
        let _ = writeln!(out, "        {}) words=\"{}\" ;;", word.name, behind(word));
    }
    let _ = write!(
        out,
        r#"        *) words="{options}" ;;
    esac
    if [ "$COMP_CWORD" -eq 1 ]; then words="{options} {commands}"; fi
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
    # A value follows at once.
    if [[ ${{#COMPREPLY[@]}} -eq 1 && ${{COMPREPLY[0]}} == *= ]]; then compopt -o nospace; fi
}}
complete -o filenames -F _weir weir
"#,
        options = spellings().join(" "),
        commands = commands.join(" "),
    );
    out
}

/// A text in single quotes of zsh and fish, which differ in how a quote is escaped: there is none.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', ""))
}

/// For zsh.
pub(super) fn zsh() -> String {
    let mut out = "#compdef weir\n\n_weir() {\n    local -a commands options\n".to_owned();
    out.push_str("    commands=(\n");
    for word in &WORDS {
        let entry = format!("{}:{}", word.name, word.about.replace(':', "\\:"));
        let _ = writeln!(out, "        {}", quoted(&entry));
    }
    out.push_str("    )\n    options=(\n");
    for option in &LETTERS {
        let about = option.about.replace([':', '[', ']'], " ");
        let value = match option.value {
            None => String::new(),
            Some(Value::File) => ":file:_files".to_owned(),
            Some(Value::Folder) => ":folder:_files -/".to_owned(),
            Some(Value::Command) => {
                let names: Vec<&str> = SENT.iter().map(|(name, _)| *name).collect();
                format!(":signal:({})", names.join(" "))
            }
            Some(Value::Text(name)) => format!(":{name}:"),
        };
        let also = option.also.iter().map(|also| (*also).to_owned());
        for name in std::iter::once(format!("-{}", option.letter)).chain(also) {
            let _ = writeln!(out, "        {}", quoted(&format!("{name}[{about}]{value}")));
        }
    }
    out.push_str("    )\n    case $words[2] in\n");
    for word in &WORDS {
        let next = word.next.iter().chain(word.options);
        let list: Vec<_> = next
            .map(|(name, about)| quoted(&format!("{name}:{}", about.replace(':', "\\:"))))
            .collect();
        let (name, list) = (word.name, list.join(" "));
        let _ = writeln!(
            out,
            "        {name}) (( CURRENT > 2 )) && {{ commands=({list}); \
             _describe word commands; return }} ;;"
        );
    }
    out.push_str("    esac\n    (( CURRENT == 2 )) && _describe command commands\n");
    out.push_str("    _arguments $options\n}\n\n_weir \"$@\"\n");
    out
}

/// For fish.
pub(super) fn fish() -> String {
    let mut out = "# fish completion for weir\ncomplete -c weir -f\n".to_owned();
    for option in &LETTERS {
        let value = match option.value {
            None => String::new(),
            Some(Value::File) => " -rF".to_owned(),
            Some(Value::Folder) => " -x -a '(__fish_complete_directories)'".to_owned(),
            Some(Value::Command) => {
                let names: Vec<&str> = SENT.iter().map(|(name, _)| *name).collect();
                format!(" -x -a '{}'", names.join(" "))
            }
            Some(Value::Text(_)) => " -x".to_owned(),
        };
        let mut names = format!(" -s {}", quoted(&option.letter.to_string()));
        for also in option.also {
            let _ = match also.strip_prefix("--") {
                Some(long) => write!(names, " -l {long}"),
                None => write!(names, " -s {}", also.trim_start_matches('-')),
            };
        }
        let _ = writeln!(out, "complete -c weir{names}{value} -d {}", quoted(option.about));
    }
    for word in &WORDS {
        let (name, about) = (word.name, quoted(word.about));
        let _ = writeln!(out, "complete -c weir -n __fish_use_subcommand -a {name} -d {about}");
        let seen = format!("-n '__fish_seen_subcommand_from {name}'");
        for (next, about) in word.next {
            let _ = writeln!(out, "complete -c weir {seen} -a {next} -d {}", quoted(about));
        }
        for (option, about) in word.options {
            let long = option.trim_start_matches('-');
            let value = if long.ends_with('=') { " -x" } else { "" };
            let long = long.trim_end_matches('=');
            let _ = writeln!(out, "complete -c weir {seen} -l {long}{value} -d {}", quoted(about));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// What bash offers behind these words.
    fn offered(words: &[&str]) -> Vec<String> {
        let (last, before) = (words[words.len() - 1], words[words.len() - 2]);
        let list: Vec<_> = words.iter().map(|word| format!("'{word}'")).collect();
        let script = format!(
            "{}\ncompopt() {{ :; }}\nCOMP_WORDS=({}); COMP_CWORD={}; _weir weir '{last}' '{before}'\n\
             printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            bash(),
            list.join(" "),
            words.len() - 1
        );
        let output = Command::new("bash").args(["-uc", &script]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && said.is_empty(), "{said}");
        String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
    }

    #[test]
    fn bash_completes() {
        assert_eq!(offered(&["weir", "d"]), ["demo"]);
        assert_eq!(offered(&["weir", "demo", ""]), ["cluster"]);
        assert_eq!(offered(&["weir", "ha", "s"]), ["status", "show"]);
        assert_eq!(offered(&["weir", "ha", "status", "--"]), ["--json"]);
        assert_eq!(offered(&["weir", "-s", "re"]), ["reopen", "reload"]);
        assert_eq!(offered(&["weir", "-t", "--v"]), ["--version"]);
        assert_eq!(offered(&["weir", "adopt", "--d"]), ["--dry-run"]);
        assert_eq!(offered(&["weir", "top", "--i"]), ["--interval="]);
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        assert_eq!(offered(&["weir", "-c", &file[..file.len() - 1]]), [file]);
        assert_eq!(offered(&["weir", "-p", "/usr/sbi"]), ["/usr/sbin"]);
        assert_eq!(offered(&["weir", "-g", ""]), [""]);
        assert!(offered(&["weir", ""]).contains(&"top".to_owned()));
    }
}
