//! Fields of requests and responses are set and cleared: the directives of OpenResty's
//! headers-more (<https://github.com/openresty/headers-more-nginx-module>).

use std::sync::Arc;

use weir_conf::{Cx, Fault, Local, Node, Settings, Slot, Word, directives};
use weir_script::{Template, Variables};
use weir_wire::header::Known;

use crate::module::{Handler, Module, Phase, PhaseHandler};

mod input;
mod output;

pub(crate) const MODULE: Module = Module {
    name: "headers_more",
    tables: &[&HeadersMore::table(&HEADERS_MORE)],
    handlers: &[PhaseHandler {
        phase: Phase::PostRewrite,
        enabled: |settings: &Settings| !settings.get(&HEADERS_MORE).input.is_empty(),
        handler: Handler::Sync(input::handle),
    }],
    header_filter: Some((
        |settings: &Settings| !settings.get(&HEADERS_MORE).output.is_empty(),
        output::filter,
    )),
    ..Module::NONE
};

static HEADERS_MORE: Slot<HeadersMore> = Slot::new();

directives! {
    /// Fields of requests and responses that are set and cleared.
    pub(crate) struct HeadersMore as HeadersMoreWritten in [http, server, location, location_if] {
        /// Sets fields of responses, of any status (`-s`) and type (`-t`) unless some are given.
        /// Existing fields are replaced, except with `-a`.
        "more_set_headers" [1+]: "[-t types]... [-s statuses]... [-a] field ..." => set_output,
        /// Removes fields of responses. A `*` at the end of a name stands for any end.
        "more_clear_headers" [1+]: "[-t types]... [-s statuses]... name ..." => clear_output,
        /// Sets fields of requests, after the `rewrite` directives; with `-r` only existing ones.
        "more_set_input_headers" [1+]: "[-r] [-t types]... field ..." => set_input,
        /// Removes fields of requests. A `*` at the end of a name stands for any end.
        "more_clear_input_headers" [1+]: "[-r] [-t types]... name ..." => clear_input,
        field output: Local<Vec<Arc<Command>>>,
        field input: Local<Vec<Arc<Command>>>,
    }
    finish = HeadersMore::finish;
}

/// One directive.
#[derive(Debug, Default)]
pub(crate) struct Command {
    fields: Vec<Field>,
    /// The media types to which it applies; none means all.
    types: Vec<Vec<u8>>,
    /// The statuses to which it applies; none means all.
    statuses: Vec<u16>,
    /// Whether fields are added to existing ones (`-a`).
    appends: bool,
    /// Whether only existing fields are set (`-r`).
    replaces: bool,
}

/// One field to set, or to remove if the value is empty.
#[derive(Debug)]
struct Field {
    /// The name; without the `*` of a prefix.
    name: Vec<u8>,
    known: Known,
    is_prefix: bool,
    value: Template,
}

impl HeadersMore {
    /// The directives of the levels above come before a level's own.
    #[expect(clippy::unnecessary_wraps, reason = "the shape of all finishers")]
    fn finish(&mut self, parent: Option<&Self>, _: &mut Cx<'_>) -> Result<(), Fault> {
        if let Some(parent) = parent {
            self.output.splice(0..0, parent.output.iter().cloned());
            self.input.splice(0..0, parent.input.iter().cloned());
        }
        Ok(())
    }
}

fn set_output(own: &mut HeadersMoreWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    let command = Command::parse(node, b"tsa", cx)?;
    own.output.get_or_insert_default().push(command.into());
    Ok(())
}

fn clear_output(own: &mut HeadersMoreWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    let command = Command::parse(node, b"ts", cx)?.without_values();
    own.output.get_or_insert_default().push(command.into());
    Ok(())
}

fn set_input(own: &mut HeadersMoreWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    let command = Command::parse(node, b"tr", cx)?;
    own.input.get_or_insert_default().push(command.into());
    Ok(())
}

fn clear_input(own: &mut HeadersMoreWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    let command = Command::parse(node, b"tr", cx)?.without_values();
    own.input.get_or_insert_default().push(command.into());
    Ok(())
}

impl Command {
    /// Parses the arguments; `options` are the letters of those that are allowed.
    fn parse(node: &Node, options: &[u8], cx: &mut Cx<'_>) -> Result<Self, Fault> {
        let directive = node.text();
        let mut command = Self::default();
        let mut words = node.args.iter();
        while let Some(word) = words.next() {
            let option = match &word.value[..] {
                [] => continue,
                [b'-', option] if options.contains(option) => *option,
                [b'-', ..] => {
                    let text = format!("{directive}: invalid option name: \"{}\"", word.text());
                    return Err(Fault::new(text).at(word));
                }
                _ => {
                    command.fields.push(Field::parse(&directive, word, cx)?);
                    continue;
                }
            };
            let mut list = || {
                let text =
                    format!("{directive}: option -{} takes an argument.", char::from(option));
                words.next().ok_or_else(|| Fault::new(text).at(word))
            };
            match option {
                b't' => command.add_types(list()?),
                b's' => command.add_statuses(&directive, list()?)?,
                b'a' => command.appends = true,
                _ => command.replaces = true,
            }
        }
        command.check_appended(&directive)?;
        Ok(command)
    }

    fn add_types(&mut self, list: &Word) {
        let is_between = |byte: &u8| byte.is_ascii_whitespace() || *byte == b';';
        let types = list.value.split(is_between).filter(|name| !name.is_empty());
        self.types.extend(types.map(<[u8]>::to_vec));
    }

    fn add_statuses(&mut self, directive: &str, list: &Word) -> Result<(), Fault> {
        let words = list.value.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        for word in words {
            if let Some(&wrong) = word.iter().find(|byte| !byte.is_ascii_digit()) {
                let (wrong, list_text) = (char::from(wrong), list.text());
                return Err(Fault::new(format!(
                    "{directive}: invalid digit \"{wrong}\" found in the status code list \
                     \"{list_text}\""
                ))
                .at(list));
            }
            // A number that is no status matches none.
            let status = weir_conf::value::parse_number(word).and_then(|n| u16::try_from(n).ok());
            self.statuses.push(status.unwrap_or(u16::MAX));
        }
        Ok(())
    }

    fn check_appended(&self, directive: &str) -> Result<(), Fault> {
        let single = |field: &&Field| output::SINGLE.contains(&field.known);
        match self.fields.iter().find(single) {
            Some(field) if self.appends => Err(Fault::new(format!(
                "{directive}: can not append builtin headers \"{}\"",
                weir_wire::shown(&field.name)
            ))),
            _ => Ok(()),
        }
    }

    fn without_values(mut self) -> Self {
        for field in &mut self.fields {
            field.value = Template::default();
        }
        self
    }
}

impl Field {
    /// Parses `Name: value`, `Name:` or `Name`. Spaces may take the place of the colon.
    fn parse(directive: &str, word: &Word, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        let is_between = |byte: &u8| byte.is_ascii_whitespace() || *byte == b':';
        let text = word.value.trim_ascii_start();
        let end = text.iter().position(is_between).unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        let fault = |why: &str| Fault::new(format!("{directive}: {why}: {}", word.text())).at(word);
        if name.is_empty() {
            return Err(fault("no key found in the header argument"));
        }
        if !name.iter().all(u8::is_ascii_graphic) {
            return Err(fault("invalid key in the header argument"));
        }
        let value = &rest[rest.iter().take_while(|byte| is_between(byte)).count()..];
        let is_prefix = name.ends_with(b"*");
        if is_prefix && name.len() == 1 {
            return Err(fault("wildcard key too short"));
        }
        let name = name[..name.len() - usize::from(is_prefix)].to_vec();
        let known = if is_prefix { Known::Other } else { Known::from_name(&name) };
        let value = Template::compile(value, cx.registry::<Variables>())?;
        Ok(Self { name, known, is_prefix, value })
    }

    /// Whether a field of this name and id is meant.
    fn means(&self, name: &[u8], known: Known) -> bool {
        match (self.is_prefix, self.known) {
            (true, _) => name
                .get(..self.name.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(&self.name)),
            (false, Known::Other) => name.eq_ignore_ascii_case(&self.name),
            (false, meant) => known == meant,
        }
    }
}

#[cfg(test)]
mod tests;
