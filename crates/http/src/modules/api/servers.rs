//! The servers of a group: their parameters, and changes of them.

use serde_json::{Value, json};
use weir_conf::value::parse_sec;
use weir_engine::url::{Url, UrlOptions, parse_url};
use weir_upstream::{
    Admission, Change, Edit, EditError, Group, Limits, Name, Now, Origin, Server, ServerId,
    ServerView, SlowStart,
};

use super::call::{Answer, Call, escaped};
use super::failure::Failure;
use super::upstreams::named;

mod expected;

use expected::Expected;

/// The number of the server in a path.
const ID: usize = 4;

/// The default port of servers.
const PORT: u16 = 80;

pub(super) fn all(call: &Call) -> Result<Answer, Failure> {
    Ok(Answer::Found(list(named(call)?)))
}

pub(super) fn one(call: &Call) -> Result<Answer, Failure> {
    let group = named(call)?;
    Ok(Answer::Found(show(&server(group, id(call)?)?)))
}

pub(super) fn add(call: &Call) -> Result<Answer, Failure> {
    let group = named(call)?;
    let parameters = Parameters::read(&call.body)?;
    let added = parameters.server()?;
    let id = edit(group, &Edit::Add(added))?.first().copied().unwrap_or_default();
    let at = format!("http/upstreams/{}/servers/{id}", escaped(group.name()));
    Ok(Answer::Created(at, Some(show(&server(group, id)?))))
}

pub(super) fn change(call: &Call) -> Result<Answer, Failure> {
    let (group, id) = (named(call)?, id(call)?);
    server(group, id)?;
    let parameters = Parameters::read(&call.body)?;
    let _alone = parameters.expected.alone();
    let known = server(group, id)?;
    parameters.expected.check(&known, &show(&known))?;
    let change = parameters.change(&known)?;
    if change == Change::default() {
        // There is nothing to write down, and to tell other nodes.
        return Ok(Answer::Found(show(&known)));
    }
    edit(group, &Edit::Change(id, change))?;
    Ok(Answer::Found(show(&server(group, id)?)))
}

pub(super) fn remove(call: &Call) -> Result<Answer, Failure> {
    let group = named(call)?;
    edit(group, &Edit::Remove(id(call)?))?;
    Ok(Answer::Found(list(group)))
}

fn id(call: &Call) -> Result<ServerId, Failure> {
    let invalid = || Failure::bad("UpstreamBadServerId", "invalid server ID");
    let text = call.segment(ID);
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten().map(ServerId).ok_or_else(invalid)
}

fn list(group: &Group) -> Value {
    group.view(Now::current()).servers.iter().map(show).collect()
}

fn server(group: &Group, id: ServerId) -> Result<ServerView, Failure> {
    group.server(id).ok_or_else(|| refusal(&EditError::NotFound(id), group))
}

fn edit(group: &Group, edit: &Edit) -> Result<Vec<ServerId>, Failure> {
    group.edit(edit).map_err(|error| refusal(&error, group))
}

fn refusal(error: &EditError, group: &Group) -> Failure {
    let (status, code) = match error {
        EditError::Static => (400, "UpstreamStatic"),
        EditError::NotFound(_) => (404, "UpstreamServerNotFound"),
        EditError::Immutable(_)
        | EditError::AddressImmutable(_)
        | EditError::BackupImmutable(_) => (400, "UpstreamServerImmutable"),
        EditError::WeightImmutable(_) => (400, "UpstreamServerWeightImmutable"),
        EditError::Exists => (409, "EntryExists"),
        EditError::NoBackup => (400, "UpstreamNoBackup"),
        EditError::NoSlowStart => (400, "UpstreamBadSlowStart"),
        EditError::BadWeight => (400, "UpstreamBadWeight"),
        EditError::BadFailTimeout => (400, "UpstreamBadFailTimeout"),
        EditError::RouteTooLong => (400, "UpstreamBadRoute"),
        EditError::LocalityTooLong => (400, "UpstreamBadLocality"),
        EditError::NoAddress => (400, "UpstreamConfFormatError"),
        EditError::NoResolver => (400, "UpstreamConfNoResolver"),
        EditError::NotSaved(_) => (500, "UpstreamStateError"),
        EditError::Full => (400, "UpstreamOutOfMemory"),
    };
    let text = match error {
        EditError::NoBackup => format!("upstream \"{}\" has no backup", group.name()),
        EditError::Full => format!("upstream \"{}\" memory exhausted: {error}", group.name()),
        other => other.to_string(),
    };
    Failure::new(status, code, text)
}

fn show(server: &ServerView) -> Value {
    let Limits { weight, max_conns, max_fails, fail_timeout, slow_start, admission, .. } =
        server.limits;
    let mut shown = json!({
        "id": server.id.0,
        "server": server.server,
    });
    let mut put = |name: &str, value: Value| shown[name] = value;
    if let Some(service) = &server.service {
        put("service", json!(service));
    }
    put("weight", json!(weight));
    put("max_conns", json!(max_conns));
    put("max_fails", json!(max_fails));
    put("fail_timeout", json!(format!("{fail_timeout}s")));
    put("slow_start", json!(slow_start.to_string()));
    put("route", json!(server.route));
    if let Some(locality) = server.limits.locality.as_deref() {
        put("locality", json!(locality));
    }
    put("backup", json!(server.backup));
    put("down", json!(admission == Admission::Down));
    put("drain", json!(admission == Admission::Draining));
    if let Origin::Resolved(parent) = server.origin {
        put("parent", json!(parent.to_string()));
    }
    if let Some(host) = &server.host {
        put("host", json!(host));
    }
    shown
}

/// The parameters in the body of a call; those that are absent are `None`.
#[derive(Debug, Default)]
pub(super) struct Parameters {
    expected: Expected,
    server: Option<String>,
    service: Option<String>,
    weight: Option<u32>,
    max_conns: Option<u64>,
    max_fails: Option<u64>,
    fail_timeout: Option<i64>,
    slow_start: Option<SlowStart>,
    route: Option<String>,
    locality: Option<String>,
    backup: Option<bool>,
    down: Option<bool>,
    drain: Option<bool>,
}

impl Parameters {
    /// Reads a body.
    ///
    /// # Errors
    /// The refusal.
    pub(super) fn read(body: &[u8]) -> Result<Self, Failure> {
        let value: Value = serde_json::from_slice(body).map_err(|e| Failure::not_json(&e))?;
        let Value::Object(object) = value else { return Err(format_error("object expected")) };
        let mut parameters = Self::default();
        for (name, value) in object {
            if name == "if" {
                parameters.expected = Expected::read(value)?;
                continue;
            }
            if value.is_object() || value.is_array() {
                return Err(format_error("nested object or list"));
            }
            parameters.set(&name, &value)?;
        }
        Ok(parameters)
    }

    fn set(&mut self, name: &str, value: &Value) -> Result<(), Failure> {
        match name {
            "server" => self.server = Some(text(name, value)?),
            "service" => {
                let service = text(name, value)?;
                if service.is_empty() {
                    return Err(Failure::bad("UpstreamBadService", "\"service\" is empty"));
                }
                self.service = Some(service.to_ascii_lowercase());
            }
            "weight" => {
                let weight = number(name, value)?.and_then(|weight| u32::try_from(weight).ok());
                let weight = weight.filter(|&weight| weight > 0);
                self.weight = Some(weight.ok_or_else(|| bad("UpstreamBadWeight", name))?);
            }
            "max_conns" => self.max_conns = Some(count("UpstreamBadMaxConns", name, value)?),
            "max_fails" => self.max_fails = Some(count("UpstreamBadMaxFails", name, value)?),
            "fail_timeout" => {
                let invalid = || bad("UpstreamBadFailTimeout", name);
                let time = parse_sec(text(name, value)?.as_bytes()).ok_or_else(invalid)?;
                self.fail_timeout = Some(i64::try_from(time.as_secs()).map_err(|_| invalid())?);
            }
            "slow_start" => {
                let start = SlowStart::parse(text(name, value)?.as_bytes());
                self.slow_start = Some(start.ok_or_else(|| bad("UpstreamBadSlowStart", name))?);
            }
            "route" => self.route = Some(text(name, value)?),
            "locality" => self.locality = Some(text(name, value)?),
            "backup" => self.backup = Some(flag(name, value)?),
            "down" => self.down = Some(flag(name, value)?),
            "drain" => self.drain = Some(flag(name, value)?),
            _ => return Err(format_error(format!("unknown parameter \"{name}\""))),
        }
        Ok(())
    }

    /// The server to add.
    fn server(self) -> Result<Server, Failure> {
        self.expected.check_none()?;
        let missing = || format_error("missing \"server\" argument");
        let text = self.server.as_deref().filter(|text| !text.is_empty()).ok_or_else(missing)?;
        let url = address(text)?;
        let mut resolve = None;
        if url.addresses.is_empty() {
            let host = url.host.to_ascii_lowercase();
            if self.service.is_some() && url.has_port {
                let text = format!("service upstream \"{host}\" may not have port");
                return Err(Failure::bad("UpstreamBadAddress", text));
            }
            resolve = Some(Name { host, port: url.port, service: self.service.clone() });
        } else if self.service.is_some() {
            let text = format!("service upstream \"{text}\" requires domain name");
            return Err(Failure::bad("UpstreamBadAddress", text));
        }
        let default = Limits::default();
        Ok(Server {
            text: text.to_owned(),
            addresses: url.addresses,
            limits: Limits {
                weight: self.weight.unwrap_or(default.weight),
                max_conns: self.max_conns.unwrap_or(default.max_conns),
                max_fails: self.max_fails.unwrap_or(default.max_fails),
                fail_timeout: self.fail_timeout.unwrap_or(default.fail_timeout),
                slow_start: self.slow_start.unwrap_or(default.slow_start),
                admission: match (self.down, self.drain) {
                    (Some(true), _) => Admission::Down,
                    (_, Some(true)) => Admission::Draining,
                    _ => Admission::Open,
                },
                agent: default.agent,
                locality: self.locality.filter(|name| !name.is_empty()).map(Into::into),
            },
            backup: self.backup.unwrap_or(false),
            route: self.route.filter(|route| !route.is_empty()),
            resolve,
        })
    }

    /// The change of a known server. What cannot change may be repeated as it is.
    fn change(self, known: &ServerView) -> Result<Change, Failure> {
        let immutable = |what: &str| {
            let text = format!("server \"{}\" {what} is immutable", known.id);
            Failure::bad("UpstreamServerImmutable", text)
        };
        if self.backup.is_some_and(|backup| backup != known.backup) {
            return Err(immutable("backup"));
        }
        if self.service.is_some() && self.service != known.service {
            return Err(immutable("service"));
        }
        let address = match self.server {
            None => None,
            Some(text) if text == known.server => None,
            Some(text) => {
                if known.host.is_some() || address(&known.server)?.addresses.is_empty() {
                    return Err(immutable("address"));
                }
                let invalid = || Failure::bad("UpstreamBadAddress", "invalid \"server\" argument");
                let address = address(&text)?.addresses.pop().ok_or_else(invalid)?;
                Some((text, address))
            }
        };
        Ok(Change {
            weight: self.weight,
            max_conns: self.max_conns,
            max_fails: self.max_fails,
            fail_timeout: self.fail_timeout,
            slow_start: self.slow_start,
            down: self.down,
            drain: self.drain,
            route: self.route,
            locality: self.locality,
            address,
            backup: None,
            agent: None,
        })
    }
}

/// The parts of an address; a name is not looked up.
fn address(text: &str) -> Result<Url, Failure> {
    let options = UrlOptions { default_port: PORT, uri_part: false, lookup: None };
    parse_url(text, options).map_err(|error| {
        Failure::bad("UpstreamBadAddress", format!("{error} while parsing \"{text}\""))
    })
}

fn format_error(text: impl Into<String>) -> Failure {
    Failure::bad("UpstreamConfFormatError", text)
}

fn bad(code: &'static str, name: &str) -> Failure {
    Failure::bad(code, format!("invalid \"{name}\""))
}

fn wrong_type(name: &str) -> Failure {
    format_error(format!("invalid \"{name}\" value"))
}

fn text(name: &str, value: &Value) -> Result<String, Failure> {
    let text = value.as_str().filter(|text| !text.contains(char::is_control));
    text.map(str::to_owned).ok_or_else(|| wrong_type(name))
}

fn flag(name: &str, value: &Value) -> Result<bool, Failure> {
    value.as_bool().ok_or_else(|| wrong_type(name))
}

/// A whole number; `None` if it is negative.
fn number(name: &str, value: &Value) -> Result<Option<u64>, Failure> {
    match value.as_u64() {
        None if !value.is_i64() => Err(wrong_type(name)),
        found => Ok(found),
    }
}

/// A number as large as in the configuration.
fn count(code: &'static str, name: &str, value: &Value) -> Result<u64, Failure> {
    let fits = |number: &u64| i64::try_from(*number).is_ok();
    number(name, value)?.filter(fits).ok_or_else(|| bad(code, name))
}

/// Reads a body as a new server, and as a change of one.
#[cfg(any(test, fuzzing))]
pub(super) fn fuzz(body: &[u8]) {
    let Ok(added) = Parameters::read(body).and_then(Parameters::server) else { return };
    assert!(added.limits.weight > 0 && added.resolve.is_some() == added.addresses.is_empty());
    let known = ServerView {
        id: ServerId(0),
        origin: Origin::RunTime,
        server: "10.0.0.1:80".into(),
        service: None,
        host: None,
        limits: added.limits,
        route: String::new(),
        backup: added.backup,
    };
    let _ = show(&known);
    let _ = Parameters::read(body).and_then(|parameters| parameters.change(&known));
}

#[cfg(test)]
mod tests;
