//! `server ADDRESS PARAMETERS` in an `upstream` block.

use std::sync::Arc;

use weir_conf::{
    Cx, Environment, Fault, Node, Word,
    value::{parse_number, parse_sec},
};
use weir_engine::url::{Url, UrlOptions, parse_url};

use crate::{
    balance::method::Method,
    locality::MAX_LOCALITY,
    server::{Admission, MAX_ROUTE, Name, Server, SlowStart},
    settings::{UpstreamWritten, load::port, side},
    upstreams::Side,
};

pub(super) fn set_server(
    upstream: &mut UpstreamWritten,
    node: &Node,
    cx: &mut Cx<'_>,
) -> Result<(), Fault> {
    // A refused server still makes the block non-empty.
    upstream.servers.get_or_insert_default();
    if upstream.state.is_some() {
        return Err(super::state::not_both());
    }
    let reading =
        Reading { side: side(cx), supported: Supported::by(upstream), env: Some(cx.env()) };
    let server = read_server(&node.args, reading)?;
    upstream.servers.get_or_insert_default().push(server);
    Ok(())
}

/// The parameters that a balancing method supports.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Supported {
    backup: bool,
    slow_start: bool,
}

impl Supported {
    /// All of them.
    pub(crate) const ALL: Self = Self { backup: true, slow_start: true };

    /// Those of the method chosen so far.
    pub(super) fn by(upstream: &UpstreamWritten) -> Self {
        let Some(Some(chosen)) = &upstream.method else { return Self::ALL };
        Self::of(&chosen.method.0)
    }

    /// Those of a method.
    pub(crate) fn of(method: &Method) -> Self {
        Self { backup: method.knows_backup(), slow_start: method.knows_slow_start() }
    }

    /// Refuses a parameter that is not supported.
    fn check(supported: bool, word: &Word) -> Result<(), Fault> {
        if supported {
            return Ok(());
        }
        let text = word.text();
        let message = format!("balancing method does not support parameter \"{text}\"");
        Err(Fault::new(message).at(word))
    }
}

/// The surroundings of a `server` directive.
#[derive(Clone, Copy)]
pub(crate) struct Reading<'a> {
    /// Its side.
    pub(crate) side: Side,
    /// The parameters that depend on the balancing method.
    pub(crate) supported: Supported,
    /// Looks names up; without it they are left alone.
    pub(crate) env: Option<&'a dyn Environment>,
}

/// Reads the arguments of a `server` directive.
///
/// # Errors
/// nginx's messages.
pub(crate) fn read_server(args: &[Word], reading: Reading<'_>) -> Result<Server, Fault> {
    let Reading { side, env, .. } = reading;
    let (word, parameters) =
        args.split_first().ok_or_else(|| Fault::new("server has no address"))?;
    let mut server = Server::default();
    let mut run_time = RunTime::default();
    for word in parameters {
        parameter(&mut server, &mut run_time, word, reading)?;
    }
    let text = word.text().into_owned();
    if run_time.service.is_some() && !run_time.resolve {
        return Err(Fault::new(format!(
            "service upstream \"{text}\" requires \"resolve\" parameter"
        ))
        .at(word));
    }
    let default_port = if side == Side::Stream { 0 } else { 80 };
    let lookup = env.filter(|_| !run_time.resolve);
    let url = parse_url(&text, UrlOptions { default_port, uri_part: false, lookup })
        .map_err(|fault| Fault::new(format!("{fault} in upstream \"{text}\"")).at(word))?;
    if side == Side::Stream && !url.has_port && !url.is_unix() && run_time.service.is_none() {
        return Err(Fault::new(format!("no port in upstream \"{text}\"")).at(word));
    }
    run_time.settle(&mut server, url, &text).map_err(|fault| fault.at(word))?;
    server.text = text;
    Ok(server)
}

/// The parameters `resolve` and `service=`.
#[derive(Default)]
struct RunTime {
    resolve: bool,
    service: Option<String>,
}

impl RunTime {
    fn settle(self, server: &mut Server, url: Url, text: &str) -> Result<(), Fault> {
        if self.service.is_some() && url.has_port {
            return Err(Fault::new(format!("service upstream \"{text}\" may not have port")));
        }
        if self.service.is_some() && !url.addresses.is_empty() {
            return Err(Fault::new(format!("service upstream \"{text}\" requires domain name")));
        }
        if self.resolve && url.addresses.is_empty() {
            let (host, port) = (url.host.to_ascii_lowercase(), url.port);
            server.resolve = Some(Name { host, port, service: self.service });
        }
        server.addresses = url.addresses;
        Ok(())
    }
}

fn parameter(
    server: &mut Server,
    run_time: &mut RunTime,
    word: &Word,
    reading: Reading<'_>,
) -> Result<(), Fault> {
    let Reading { side, supported, .. } = reading;
    let invalid = || Fault::parameter(word);
    let limits = &mut server.limits;
    if let Some(value) = word.after("weight=") {
        let weight = parse_number(value).and_then(|number| u32::try_from(number).ok());
        limits.weight = weight.filter(|&weight| weight > 0).ok_or_else(invalid)?;
    } else if let Some(value) = word.after("max_conns=") {
        limits.max_conns = parse_number(value).ok_or_else(invalid)?;
    } else if let Some(value) = word.after("max_fails=") {
        limits.max_fails = parse_number(value).ok_or_else(invalid)?;
    } else if let Some(value) = word.after("fail_timeout=") {
        let time = parse_sec(value).ok_or_else(invalid)?;
        limits.fail_timeout = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    } else if let Some(value) = word.after("slow_start=") {
        Supported::check(supported.slow_start, word)?;
        limits.slow_start = SlowStart::parse(value).ok_or_else(invalid)?;
    } else if word.is("backup") {
        Supported::check(supported.backup, word)?;
        server.backup = true;
    } else if word.is("down") {
        limits.admission = Admission::Down;
    } else if word.is("drain") && side == Side::Http {
        limits.admission = Admission::Draining;
    } else if let (Some(value), Side::Http) = (word.after("route="), side) {
        server.route = Some(route(value).map_err(|fault| fault.at(word))?);
    } else if let (Some(value), Side::Http) = (word.after("agent_port="), side) {
        limits.agent.port = Some(port(value).ok_or_else(invalid)?);
    } else if let (Some(value), Side::Http) = (word.after("agent_addr="), side) {
        let ip = str::from_utf8(value).ok().and_then(|text| text.parse().ok());
        limits.agent.ip = Some(ip.ok_or_else(invalid)?);
    } else if let Some(value) = word.after("locality=") {
        limits.locality = Some(locality(value).map_err(|fault| fault.at(word))?);
    } else if word.is("resolve") {
        run_time.resolve = true;
    } else if let Some(value) = word.after("service=") {
        if value.is_empty() {
            return Err(Fault::new("service is empty").at(word));
        }
        run_time.service = Some(String::from_utf8_lossy(value).to_ascii_lowercase());
    } else {
        return Err(invalid());
    }
    Ok(())
}

fn locality(value: &[u8]) -> Result<Arc<str>, Fault> {
    if value.is_empty() {
        return Err(Fault::new("locality is empty"));
    }
    let text = String::from_utf8_lossy(value);
    if text.len() > MAX_LOCALITY {
        return Err(Fault::new(format!("locality is longer than {MAX_LOCALITY}")));
    }
    Ok(text.into())
}

fn route(value: &[u8]) -> Result<String, Fault> {
    if value.is_empty() {
        return Err(Fault::new("route is empty"));
    }
    // As it is written to state files, where a byte that is no UTF-8 takes three.
    let text = String::from_utf8_lossy(value);
    if text.len() > MAX_ROUTE {
        return Err(Fault::new(format!("route is longer than {MAX_ROUTE}")));
    }
    Ok(text.into_owned())
}
