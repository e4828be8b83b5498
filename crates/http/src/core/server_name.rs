//! `server_name`: the hosts of a server.

use std::path::Path;

use weir_conf::{Block, Contexts, Cx, Fault, Local, Node, Slot, Word, directives};
use weir_script::CaptureRegex;
use weir_script::variables::variables;

use super::types::table_sizes;

/// The hosts of a server.
pub(crate) static SERVER_NAMES: Slot<Names> = Slot::new();

/// The file with the machine's name.
const HOSTNAME_FILE: &str = "/proc/sys/kernel/hostname";

directives! {
    /// The hosts of a server.
    pub struct Names as NamesWritten in [server] {
        /// The names of a server; the first one is `$server_name`.
        "server_name" [1+]: "name ..." => add_names,
        /// The size of nginx's hash table. Has no effect: tables grow as needed.
        "server_names_hash_max_size" in [http] => hash_max_size: u32 = 512,
        /// The bucket size of nginx's hash table. Has no effect: tables have no such limit.
        "server_names_hash_bucket_size" in [http] => hash_bucket_size: u32 = 64,
        /// The size of nginx's hash table of variables. Has no effect: variables have numbers.
        "variables_hash_max_size" in [http] => variables_hash_max_size: u32 = 1024,
        /// The bucket size of nginx's hash table of variables. Has no effect: variables have
        /// numbers.
        "variables_hash_bucket_size" in [http] => variables_hash_bucket_size: u32 = 64,
        field names: Local<Vec<ServerName>>,
    }
    finish = Names::finish;
}

/// One name of a server.
#[derive(Clone, Debug)]
pub(crate) enum ServerName {
    /// A name in lower case, which may have a wildcard.
    Plain(Vec<u8>),
    /// A regular expression, written with `~`.
    Regex(CaptureRegex),
}

impl Names {
    fn finish(&mut self, _: Option<&Self>, cx: &mut Cx<'_>) -> Result<(), Fault> {
        let (max, bucket) = (self.variables_hash_max_size, self.variables_hash_bucket_size);
        match cx.context() == Contexts::HTTP {
            true => table_sizes("variables", max, bucket),
            false => Ok(()),
        }
    }
}

fn add_names(own: &mut NamesWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    for word in &node.args {
        let name = parse(word, cx).map_err(|fault| fault.at(word))?;
        own.names.get_or_insert_default().push(name);
    }
    Ok(())
}

/// Checks the names of a server that is not served yet.
pub(crate) fn check(node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    node.args
        .iter()
        .try_for_each(|word| parse(word, cx).map(|_| ()).map_err(|fault| fault.at(word)))
}

fn parse(word: &Word, cx: &mut Cx<'_>) -> Result<ServerName, Fault> {
    let (name, text) = (word.value.as_slice(), word.text());
    let star = name.first() == Some(&b'*') && (name.len() < 3 || name[1] != b'.');
    if star || name == b"." {
        return Err(format!("server name \"{text}\" is invalid").into());
    }
    if name.contains(&b'/') {
        cx.warn(format!("server name \"{text}\" has suspicious symbols"));
    }
    if let Some(pattern) = name.strip_prefix(b"~") {
        if pattern.is_empty() {
            return Err(format!("empty regex in server name \"{text}\"").into());
        }
        // Hosts are in lower case, so an upper-case letter in a pattern must match one of those.
        let caseless = pattern.iter().any(u8::is_ascii_uppercase);
        let variables = variables(cx);
        return Ok(ServerName::Regex(CaptureRegex::compile(pattern, caseless, variables)?));
    }
    if name.eq_ignore_ascii_case(b"$hostname") {
        let host = cx.env().read(Path::new(HOSTNAME_FILE)).unwrap_or_default();
        return Ok(ServerName::Plain(host.trim_ascii().to_ascii_lowercase()));
    }
    Ok(ServerName::Plain(name.to_ascii_lowercase()))
}

/// The names of a `server` block; an empty name if it has none.
pub(crate) fn names(server: &Block) -> Vec<ServerName> {
    let names = &server.settings.get(&SERVER_NAMES).names;
    if names.is_empty() { vec![ServerName::Plain(Vec::new())] } else { names.clone() }
}

/// The value of `$server_name`.
pub(crate) fn first(server: &Block) -> Vec<u8> {
    match server.settings.get(&SERVER_NAMES).names.first() {
        None => Vec::new(),
        Some(ServerName::Regex(regex)) => [b"~", regex.pattern()].concat(),
        Some(ServerName::Plain(name)) => name.strip_prefix(b".").unwrap_or(name).to_vec(),
    }
}

/// Whether a server needs the host even where it is the only server: its last regular expression
/// captures.
pub(crate) fn captures(server: &Block) -> bool {
    let names = server.settings.get(&SERVER_NAMES).names.iter().rev();
    let mut groups = names.filter_map(|name| match name {
        ServerName::Regex(regex) => Some(regex.regex().groups()),
        ServerName::Plain(_) => None,
    });
    groups.next().is_some_and(|groups| groups > 0)
}
