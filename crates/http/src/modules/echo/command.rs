//! The commands, as written.

use std::path::PathBuf;
use std::sync::Arc;

use weir_conf::{Cx, Fault, Node, Word};
use weir_script::{Template, Variables};

/// A command.
#[derive(Debug)]
pub(super) enum Command {
    /// `echo`.
    Echo(Text),
    /// `echo_duplicate`: the count and the text.
    Duplicate(Template, Template),
    /// `echo_flush`.
    Flush,
    /// `echo_sleep`.
    Sleep(Template),
    /// `echo_reset_timer`.
    ResetTimer,
    /// `echo_read_request_body`.
    ReadBody,
    /// `echo_request_body`.
    Body,
    /// `echo_location`, `echo_subrequest` and their twins.
    Subrequest(Subrequest),
    /// `echo_exec`.
    Exec(Target),
    /// `echo_foreach_split`: the delimiter and the text.
    Foreach(Template, Template),
    /// `echo_end`.
    End,
}

/// A URI, with arguments in place of its own.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) uri: Template,
    pub(super) args: Option<Template>,
}

/// A subrequest.
#[derive(Debug)]
pub(super) struct Subrequest {
    /// The method; none means GET.
    pub(super) method: Option<Template>,
    pub(super) target: Target,
    pub(super) text: Option<Template>,
    /// A file with the body, relative to the folder.
    pub(super) file: Option<(Template, PathBuf)>,
    /// Whether the commands behind it wait for its end.
    pub(super) waits: bool,
}

/// Words for the client.
#[derive(Debug)]
pub(super) struct Text {
    pub(super) words: Vec<Template>,
    /// Whether a line feed follows.
    pub(super) ends_line: bool,
}

fn compile(word: &Word, cx: &mut Cx<'_>) -> Result<Template, Fault> {
    Template::compile(&word.value, cx.registry::<Variables>())
}

/// The words behind the options, and the first option. Options come first, have no variables, and
/// end with `--`.
fn behind_options(words: &[Word]) -> (&[Word], Option<&[u8]>) {
    let mut first = None;
    for (at, word) in words.iter().enumerate() {
        match &word.value[..] {
            [b'-', b'-', ..] => return (&words[at + 1..], first),
            [b'-', option @ ..] if !option.is_empty() && !option.contains(&b'$') => {
                first = first.or(Some(option));
            }
            _ => return (&words[at..], first),
        }
    }
    (&[], first)
}

/// Exactly so many words behind the options. More are dropped, as by the module.
fn operands<const N: usize>(node: &Node) -> Result<[&Word; N], Fault> {
    let (words, _) = behind_options(&node.args);
    let found: Vec<&Word> = words.iter().take(N).collect();
    found.try_into().map_err(|_| {
        Fault::directive("takes two words behind its options; use \"--\" before a word with \"-\"")
    })
}

impl Text {
    pub(super) fn parse(words: &[Word], cx: &mut Cx<'_>) -> Result<Self, Fault> {
        let (words, option) = behind_options(words);
        let words = words.iter().map(|word| compile(word, cx)).collect::<Result<_, _>>()?;
        Ok(Self { words, ends_line: option != Some(b"n") })
    }
}

impl Command {
    pub(super) fn parse(node: &Node, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        let name = node.text();
        let target = |words: &[Word], cx: &mut Cx<'_>| {
            let args = words.get(1).map(|word| compile(word, cx)).transpose()?;
            Ok::<_, Fault>(Target { uri: compile(&words[0], cx)?, args })
        };
        let two = |cx: &mut Cx<'_>| {
            let [one, two] = operands(node)?;
            Ok::<_, Fault>((compile(one, cx)?, compile(two, cx)?))
        };
        Ok(match &*name {
            "echo" => Self::Echo(Text::parse(&node.args, cx)?),
            "echo_duplicate" => two(cx).map(|(count, text)| Self::Duplicate(count, text))?,
            "echo_flush" => Self::Flush,
            "echo_sleep" => Self::Sleep(compile(&node.args[0], cx)?),
            "echo_reset_timer" => Self::ResetTimer,
            "echo_read_request_body" => Self::ReadBody,
            "echo_request_body" => Self::Body,
            "echo_location" | "echo_location_async" => Self::Subrequest(Subrequest {
                method: None,
                target: target(&node.args, cx)?,
                text: None,
                file: None,
                waits: name == "echo_location",
            }),
            "echo_subrequest" | "echo_subrequest_async" => {
                Self::Subrequest(Subrequest::parse(&node.args, name == "echo_subrequest", cx)?)
            }
            "echo_exec" => Self::Exec(target(&node.args, cx)?),
            "echo_foreach_split" => two(cx).map(|(by, text)| Self::Foreach(by, text))?,
            _ => Self::End,
        })
    }

    /// Checks a command against those before it: repetitions are closed, and not nested.
    pub(super) fn check_nesting(&self, before: &[Arc<Self>]) -> Result<(), Fault> {
        let last = before.iter().rfind(|one| matches!(***one, Self::Foreach(..) | Self::End));
        let is_open = last.is_some_and(|one| matches!(**one, Self::Foreach(..)));
        match self {
            Self::Foreach(..) if is_open => {
                Err(Fault::directive("cannot stand inside another, close that with \"echo_end\""))
            }
            Self::End if !is_open => Err(Fault::directive("has no \"echo_foreach_split\" before")),
            _ => Ok(()),
        }
    }
}

impl Subrequest {
    fn parse(words: &[Word], waits: bool, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        let mut this = Self {
            method: Some(compile(&words[0], cx)?),
            target: Target { uri: compile(&words[1], cx)?, args: None },
            text: None,
            file: None,
            waits,
        };
        for pair in words[2..].chunks(2) {
            let option = &pair[0];
            let value = pair.get(1).ok_or_else(|| Fault::invalid(option))?;
            let template = compile(value, cx)?;
            match &option.value[..] {
                b"-q" => this.target.args = Some(template),
                b"-b" => this.text = Some(template),
                b"-f" => this.file = Some((template, cx.prefix_path(""))),
                _ => return Err(Fault::invalid(option)),
            }
        }
        Ok(this)
    }
}
