//! The words of the command line: what `-h`, the man page and the completion of shells say.

/// An option of one letter.
pub(crate) struct Letter {
    pub(crate) letter: char,
    /// Other spellings.
    pub(crate) also: &'static [&'static str],
    pub(crate) value: Option<Value>,
    /// What it does, for `-h`.
    pub(crate) about: &'static str,
    /// Further sentences for the man page.
    pub(crate) more: &'static str,
}

/// The value of an option.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value {
    /// A file.
    File,
    /// A folder, named so.
    Folder,
    /// One of the commands to the running master.
    Command,
    /// Any text, named so.
    Text(&'static str),
}

impl Value {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::File => "filename",
            Self::Folder => "prefix",
            Self::Command => "signal",
            Self::Text(name) => name,
        }
    }
}

/// The commands that `-s` sends, with their signals.
pub(crate) const SENT: [(&str, &str); 4] =
    [("stop", "TERM"), ("quit", "QUIT"), ("reopen", "USR1"), ("reload", "HUP")];

const fn flag(letter: char, about: &'static str, more: &'static str) -> Letter {
    Letter { letter, also: &[], value: None, about, more }
}

const fn valued(letter: char, value: Value, about: &'static str, more: &'static str) -> Letter {
    Letter { letter, also: &[], value: Some(value), about, more }
}

/// The options of the server. `@PREFIX@` and the like stand for the paths of the build.
pub(crate) const LETTERS: [Letter; 11] = [
    Letter { also: &["-h", "--help"], ..flag('?', "this help", "") },
    Letter { also: &["--version"], ..flag('v', "show version and exit", "") },
    flag('V', "show version and configure options then exit", "They name the default paths."),
    flag('t', "test configuration and exit", "The exit status is 1 if there is a fault."),
    flag('T', "test configuration, dump it and exit", "All its files go to standard output."),
    flag('q', "suppress non-error messages during configuration testing", ""),
    valued('s', Value::Command, "send signal to a master process: stop, quit, reopen, reload", ""),
    valued('p', Value::Folder, "set prefix path (default: @PREFIX@)", "Relative paths are below."),
    valued(
        'e',
        Value::File,
        "set error log file (default: @ERROR_LOG@)",
        "It is used until the configuration names one; stderr is standard error.",
    ),
    valued('c', Value::File, "set configuration file (default: @CONF@)", ""),
    valued('g', Value::Text("directives"), "set global directives out of configuration file", ""),
];

/// A command: a first word that is no option.
pub(crate) struct Word {
    pub(crate) name: &'static str,
    /// What follows, for the reader.
    pub(crate) synopsis: &'static str,
    pub(crate) about: &'static str,
    /// The words that may follow, with what they do.
    pub(crate) next: &'static [(&'static str, &'static str)],
    /// Long options; `=` at the end of one that has a value.
    pub(crate) options: &'static [(&'static str, &'static str)],
    /// It takes the letters of the server that name files, too.
    pub(crate) letters: bool,
}

/// The commands.
pub(crate) const WORDS: [Word; 5] = [
    Word {
        name: "demo",
        synopsis: "[cluster [seconds]]",
        about: "show two small web servers behind @PROGRAM@, without touching any file",
        next: &[("cluster", "show how a cluster loses, gains and drains servers under load")],
        options: &[],
        letters: false,
    },
    Word {
        name: "ha",
        synopsis: "init|join|leave|forget|peers|status|show|drill",
        about: "the pair of balancers: who holds an address, and a drill",
        next: &[
            ("init", "make this host the first node of a pair"),
            ("join", "make this host a further node"),
            ("leave", "take this host out of the pair"),
            ("forget", "have no links to a node any more"),
            ("peers", "show the known nodes"),
            ("status", "show which node holds each address, since when and why"),
            ("show", "show the configuration of keepalived for this node"),
            ("drill", "prove that another node takes over, and put things back"),
        ],
        options: &[("--json", "status as JSON")],
        letters: true,
    },
    Word {
        name: "adopt",
        synopsis: "[--back] [--dry-run] [--anyway]",
        about: "take this host over from nginx while it serves, or give it back",
        next: &[],
        options: &[
            ("--back", "give the host back to nginx"),
            ("--dry-run", "say what would be done, and do nothing"),
            ("--anyway", "do it though something differs"),
            ("--nginx=", "the program to replace"),
            ("--wait=", "the longest wait in seconds for requests under way"),
        ],
        letters: false,
    },
    Word {
        name: "entrypoint",
        synopsis: "command [argument ...] | --healthy",
        about: "run /docker-entrypoint.d of a container, then the command",
        next: &[],
        options: &[("--healthy", "exit with 0 if the server of the container answers")],
        letters: false,
    },
    Word {
        name: "top",
        synopsis: "[--once] [--interval=seconds] [url]",
        about: "show what happens in a running server, by its API",
        next: &[],
        options: &[
            ("--once", "print one screen and exit"),
            ("--interval=", "the seconds between screens"),
        ],
        letters: false,
    },
];
