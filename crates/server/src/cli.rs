//! The command line, parsed as in nginx: letters combine (`-tq`), a value follows directly
//! (`-cFILE`) or as the next argument (`-c FILE`), and the first error ends parsing.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use weir_conf::Layout;

pub(crate) mod words;

use words::{LETTERS, WORDS};

/// The argument of `-s`: a command to the running master.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Command {
    Stop,
    Quit,
    Reopen,
    Reload,
}

impl Command {
    fn from_name(name: &[u8]) -> Option<Self> {
        match name {
            b"stop" => Some(Self::Stop),
            b"quit" => Some(Self::Quit),
            b"reopen" => Some(Self::Reopen),
            b"reload" => Some(Self::Reload),
            _ => None,
        }
    }
}

/// The parsed command line.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// `-?`, `-h`.
    pub(crate) help: bool,
    /// `-v`, also implied by other options.
    pub(crate) version: bool,
    /// Help or version was requested by a word, such as `--help`, which nginx does not have; the
    /// output goes to standard output.
    pub(crate) spelled_out: bool,
    /// `-V`.
    pub(crate) configure: bool,
    /// `-t`, also implied by other options.
    pub(crate) test: bool,
    /// `-T`.
    pub(crate) dump: bool,
    /// `-q`.
    pub(crate) quiet: bool,
    /// `-s`.
    pub(crate) command: Option<Command>,
    /// `-p`.
    pub(crate) prefix: Option<OsString>,
    /// `-e`; empty for standard error.
    pub(crate) error_log: Option<OsString>,
    /// `-c`.
    pub(crate) conf: Option<OsString>,
    /// `-g`.
    pub(crate) globals: Option<OsString>,
}

/// A fault of the command line, in nginx's words.
#[derive(Debug)]
pub(crate) struct UsageError(String);

impl UsageError {
    fn invalid(option: impl fmt::Display) -> Self {
        Self(format!("invalid option: \"{option}\""))
    }
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Options {
    /// Parses the arguments after the program's name.
    ///
    /// # Errors
    /// A word or letter that is no option, or lacks its value.
    pub(crate) fn parse(args: &[OsString]) -> Result<Self, UsageError> {
        let mut options = Self::default();
        match args {
            [word] if word == "--help" || word == "help" => {
                (options.version, options.help, options.spelled_out) = (true, true, true);
                return Ok(options);
            }
            [word] if word == "--version" => {
                (options.version, options.spelled_out) = (true, true);
                return Ok(options);
            }
            _ => {}
        }
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let Some(letters) = arg.as_bytes().strip_prefix(b"-") else {
                return Err(UsageError::invalid(arg.to_string_lossy()));
            };
            options.letters(letters, &mut args)?;
        }
        Ok(options)
    }

    /// The directives of `-g`.
    pub(crate) fn globals_text(&self) -> Option<String> {
        self.globals.as_ref().map(|text| text.to_string_lossy().into_owned())
    }

    /// Parses one argument's letters, the rest of which may be a value.
    fn letters<'a>(
        &mut self,
        letters: &[u8],
        args: &mut impl Iterator<Item = &'a OsString>,
    ) -> Result<(), UsageError> {
        for (at, &letter) in letters.iter().enumerate() {
            match letter {
                b'?' | b'h' => (self.version, self.help) = (true, true),
                b'v' => self.version = true,
                b'V' => (self.version, self.configure) = (true, true),
                b't' => self.test = true,
                b'T' => (self.test, self.dump) = (true, true),
                b'q' => self.quiet = true,
                b'p' | b'e' | b'c' | b'g' | b's' => {
                    let rest = &letters[at + 1..];
                    let value = if rest.is_empty() {
                        args.next().cloned()
                    } else {
                        Some(OsString::from_vec(rest.to_vec()))
                    };
                    return self.value(letter, value);
                }
                _ => return Err(UsageError::invalid(char::from(letter))),
            }
        }
        Ok(())
    }

    fn value(&mut self, letter: u8, value: Option<OsString>) -> Result<(), UsageError> {
        let Some(value) = value else {
            let what = match letter {
                b'p' => "directory name",
                b'e' | b'c' => "file name",
                _ => "parameter",
            };
            let text = format!("option \"-{}\" requires {what}", char::from(letter));
            return Err(UsageError(text));
        };
        match letter {
            b'p' => self.prefix = Some(value),
            b'e' if value == OsStr::new("stderr") => self.error_log = Some(OsString::new()),
            b'e' => self.error_log = Some(value),
            b'c' => self.conf = Some(value),
            b'g' => self.globals = Some(value),
            _ => {
                let command = Command::from_name(value.as_bytes());
                self.command = Some(command.ok_or_else(|| {
                    UsageError::invalid(format_args!("-s {}", value.to_string_lossy()))
                })?);
            }
        }
        Ok(())
    }
}

/// The text of `-h`.
pub(crate) fn help(program: &str) -> String {
    let indent = " ".repeat("Usage: ".len() + program.len() + 1);
    let mut text = format!(
        "Usage: {program} [-?hvVtTq] [-s signal] [-p prefix]
{indent}[-e filename] [-c filename] [-g directives]\n"
    );
    for word in &WORDS {
        text.push_str(&format!("       {program} {} {}\n", word.name, word.synopsis));
    }
    text.push_str("\nOptions:\n");
    for option in &LETTERS {
        let value = option.value.map(|value| format!(" {}", value.name())).unwrap_or_default();
        let spellings = option.also.iter().map(|also| format!(",{also}")).collect::<String>();
        let option_text = format!("-{}{spellings}{value}", option.letter);
        text.push_str(&format!("  {option_text:<14}: {}\n", option.about));
    }
    text.push('\n');
    for word in &WORDS {
        text.push_str(&format!("  {:<14}: {}\n", word.name, word.about));
        if word.name == "demo" {
            for (next, about) in word.next {
                text.push_str(&format!("  {:<14}: {about}\n", format!("{} {next}", word.name)));
            }
        }
    }
    text.push('\n');
    with_places(&text, program)
}

/// A text with the program's name and the paths of this build.
pub(crate) fn with_places(text: &str, program: &str) -> String {
    let layout = Layout::built();
    text.replace("@PROGRAM@", program)
        .replace("@PREFIX@", &format!("{}/", layout.prefix))
        .replace("@ERROR_LOG@", layout.error_log_path)
        .replace("@ACCESS_LOG@", layout.http_log_path)
        .replace("@PID@", layout.pid_path)
        .replace("@CONF@", layout.conf_path)
        .replace("@VERSION@", env!("CARGO_PKG_VERSION"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Options, UsageError> {
        Options::parse(&args.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn letters_combine_and_values_may_follow_at_once() {
        let options = parse(&["-tqcx.conf", "-p", "/p", "-e", "stderr", "-gpid x;"]).unwrap();
        assert!(options.test && options.quiet && !options.dump);
        assert_eq!(options.conf.as_deref(), Some(OsStr::new("x.conf")));
        assert_eq!(options.prefix.as_deref(), Some(OsStr::new("/p")));
        assert_eq!(options.error_log.as_deref(), Some(OsStr::new("")));
        assert_eq!(options.globals.as_deref(), Some(OsStr::new("pid x;")));
        assert_eq!(parse(&["-squit"]).unwrap().command, Some(Command::Quit));
        assert_eq!(parse(&["-"]).unwrap(), Options::default());
    }

    /// `-h`, the man page and the completion know what is parsed, and no more.
    #[test]
    fn the_table_has_every_option() {
        for letter in ('!'..='~').filter(|letter| *letter != '-') {
            let known = LETTERS.iter().find(|option| {
                option.letter == letter || option.also.contains(&format!("-{letter}").as_str())
            });
            let value = match known.and_then(|option| option.value) {
                Some(words::Value::Command) => "quit",
                Some(_) => "x",
                None => "",
            };
            assert_eq!(parse(&[&format!("-{letter}{value}")]).is_ok(), known.is_some(), "{letter}");
            if known.is_some_and(|option| option.value.is_some()) {
                assert!(parse(&[&format!("-{letter}")]).is_err(), "-{letter} takes no value");
            }
        }
        for (command, _) in words::SENT {
            assert!(Command::from_name(command.as_bytes()).is_some(), "{command}");
        }
    }

    #[test]
    fn words_ask_for_help_and_version() {
        for word in ["--help", "help"] {
            let options = parse(&[word]).unwrap();
            assert!(options.help && options.spelled_out, "{word}");
        }
        let options = parse(&["--version"]).unwrap();
        assert!(options.version && !options.help && options.spelled_out);
        assert_eq!(parse(&["--verbose"]).unwrap_err().0, "invalid option: \"-\"");
    }

    #[test]
    fn options_imply_others() {
        assert!(parse(&["-T"]).unwrap().test);
        assert!(parse(&["-V"]).unwrap().version);
        assert!(parse(&["-?"]).unwrap().help);
    }

    #[test]
    fn faults_read_as_in_nginx() {
        let fault = |args: &[&str]| parse(args).unwrap_err().0;
        assert_eq!(fault(&["foo"]), "invalid option: \"foo\"");
        assert_eq!(fault(&[""]), "invalid option: \"\"");
        assert_eq!(fault(&["-tx"]), "invalid option: \"x\"");
        assert_eq!(fault(&["-c"]), "option \"-c\" requires file name");
        assert_eq!(fault(&["-e"]), "option \"-e\" requires file name");
        assert_eq!(fault(&["-p"]), "option \"-p\" requires directory name");
        assert_eq!(fault(&["-g"]), "option \"-g\" requires parameter");
        assert_eq!(fault(&["-s"]), "option \"-s\" requires parameter");
        assert_eq!(fault(&["-sfoo"]), "invalid option: \"-s foo\"");
    }
}
