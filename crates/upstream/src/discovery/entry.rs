//! One entry of a list: the line of a server, or an object in the shape of the API.

use serde_json::{Map, Value};
use weir_conf::{FileId, Word, parser};
use weir_engine::url::{UrlOptions, parse_url};

use crate::discovery::SourceError;
use crate::{
    config::GroupConfig,
    quoted::quoted,
    server::{Name, Server},
    settings::{Reading, Supported, read_server},
    upstreams::Side,
};

/// The entry that allows a list to have no servers.
const NONE: &str = "none";

/// The parameters of objects that have a number or a time as the value.
const VALUES: &[&str] = &[
    "weight",
    "max_conns",
    "max_fails",
    "fail_timeout",
    "slow_start",
    "route",
    "locality",
    "service",
    "agent_addr",
    "agent_port",
];

/// The parameters of objects that are true or false.
const FLAGS: &[&str] = &["backup", "down", "drain"];

/// An entry of a list: a server, or the word that allows the list to have none.
pub(crate) type Entry = Option<Server>;

/// What a group can take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader {
    side: Side,
    supported: Supported,
    /// Whether it has a resolver for names.
    resolves: bool,
}

impl Reader {
    pub(crate) fn of(config: &GroupConfig) -> Self {
        Self {
            side: config.side(),
            supported: Supported::of(&config.method.0),
            resolves: config.resolver.as_ref().is_some_and(|(it, _)| !it.servers.is_empty()),
        }
    }

    /// Reads a line or an object.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn text(self, text: &[u8]) -> Result<Entry, SourceError> {
        let text = std::str::from_utf8(text).map_err(|_| "it is not UTF-8".to_owned())?;
        if text.trim_start().starts_with('{') {
            let value = serde_json::from_str(text).map_err(|error| error.to_string())?;
            return self.value(&value);
        }
        self.line(text)
    }

    /// Reads the arguments of a `server` directive, or the directive.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn line(self, text: &str) -> Result<Entry, SourceError> {
        let text = text.trim().trim_end_matches(';').trim_end();
        if text == NONE {
            return Ok(None);
        }
        let bare = text.strip_prefix("server").filter(|rest| rest.starts_with([' ', '\t']));
        let directive = format!("server {}\n;", bare.unwrap_or(text));
        let parsed = parser::parse(directive.as_bytes(), FileId(0));
        match &parsed.nodes[..] {
            [node] if node.block.is_none() && parsed.faults().next().is_none() => {
                self.server(&node.args).map(Some)
            }
            _ => Err("invalid syntax".into()),
        }
    }

    /// Reads an object in the shape of the API, or `none`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn value(self, value: &Value) -> Result<Entry, SourceError> {
        match value {
            Value::String(text) if text == NONE => Ok(None),
            Value::Object(object) => self.line(&line_of(object)?),
            _ => Err("an object expected".into()),
        }
    }

    fn server(self, args: &[Word]) -> Result<Server, SourceError> {
        let reading = Reading { side: self.side, supported: self.supported, env: None };
        let server = read_server(args, reading);
        let mut server = server.map_err(|fault| fault.diagnose("server", None).message)?;
        if server.addresses.is_empty() && server.resolve.is_none() {
            let options = UrlOptions { default_port: 80, uri_part: false, lookup: None };
            let url = parse_url(&server.text, options)?;
            let (host, port) = (url.host.to_ascii_lowercase(), url.port);
            server.resolve = Some(Name { host, port, service: None });
        }
        if server.resolve.is_some() && !self.resolves {
            return Err(format!("no resolver defined to resolve \"{}\"", server.text).into());
        }
        Ok(server)
    }
}

/// An object as the arguments of a `server` directive.
fn line_of(object: &Map<String, Value>) -> Result<String, SourceError> {
    let server = object.get("server").ok_or("missing \"server\"")?;
    let server = server.as_str().ok_or("invalid \"server\"")?;
    let mut words = vec![plain("server", server)?];
    for (name, value) in object {
        let invalid = || format!("invalid \"{name}\"");
        let is = |names: &[&str]| names.contains(&name.as_str());
        if is(VALUES) {
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Number(number) => number.to_string(),
                _ => return Err(invalid().into()),
            };
            if text.is_empty() && is(&["route", "locality"]) {
                continue;
            }
            words.push(plain(name, &format!("{name}={text}"))?);
            if name == "service" {
                words.push("resolve".to_owned());
            }
        } else if is(FLAGS) {
            let flag = value.as_bool().ok_or_else(invalid)?;
            words.extend(flag.then(|| name.clone()));
        } else if !is(&["server", "id"]) {
            return Err(format!("unknown parameter \"{name}\"").into());
        }
    }
    Ok(words.join(" "))
}

/// A word of the configuration.
fn plain(name: &str, text: &str) -> Result<String, SourceError> {
    if text.is_empty() || text.contains(char::is_control) {
        return Err(format!("invalid \"{name}\"").into());
    }
    Ok(quoted(text))
}
