//! `server ADDRESS PARAMETERS` in an `upstream` block.

use weir_conf::{
    Cx, Fault, Node, Word,
    value::{parse_number, parse_sec},
};
use weir_engine::url::{Url, UrlOptions, parse_url};

use crate::{
    server::{Admission, MAX_ROUTE, Name, Server},
    settings::{UpstreamWritten, side},
    upstreams::Side,
};

pub(super) fn set_server(
    upstream: &mut UpstreamWritten,
    node: &Node,
    cx: &mut Cx<'_>,
) -> Result<(), Fault> {
    // A refused server still makes the block non-empty.
    upstream.servers.get_or_insert_default();
    let backup_known = match &upstream.method {
        Some(Some(chosen)) => chosen.method.0.knows_backup(),
        _ => true,
    };
    let side = side(cx);
    let mut server = Server::default();
    let mut run_time = RunTime::default();
    for word in &node.args[1..] {
        parameter(&mut server, &mut run_time, word, backup_known, side)?;
    }
    let word = &node.args[0];
    let text = word.text().into_owned();
    if run_time.service.is_some() && !run_time.resolve {
        return Err(Fault::new(format!(
            "service upstream \"{text}\" requires \"resolve\" parameter"
        ))
        .at(word));
    }
    let default_port = if side == Side::Stream { 0 } else { 80 };
    let lookup = (!run_time.resolve).then(|| cx.env());
    let url = parse_url(&text, UrlOptions { default_port, uri_part: false, lookup })
        .map_err(|fault| Fault::new(format!("{fault} in upstream \"{text}\"")).at(word))?;
    if side == Side::Stream && !url.has_port && !url.is_unix() && run_time.service.is_none() {
        return Err(Fault::new(format!("no port in upstream \"{text}\"")).at(word));
    }
    run_time.settle(&mut server, url, &text).map_err(|fault| fault.at(word))?;
    server.text = text;
    upstream.servers.get_or_insert_default().push(server);
    Ok(())
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
    backup_known: bool,
    side: Side,
) -> Result<(), Fault> {
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
    } else if word.is("backup") {
        if !backup_known {
            return Err(Fault::new(format!(
                "balancing method does not support parameter \"{}\"",
                word.text()
            ))
            .at(word));
        }
        server.backup = true;
    } else if word.is("down") {
        limits.admission = Admission::Down;
    } else if word.is("drain") && side == Side::Http {
        limits.admission = Admission::Draining;
    } else if let (Some(value), Side::Http) = (word.after("route="), side) {
        server.route = Some(route(value).map_err(|fault| fault.at(word))?);
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

fn route(value: &[u8]) -> Result<String, Fault> {
    if value.is_empty() {
        return Err(Fault::new("route is empty"));
    }
    if value.len() > MAX_ROUTE {
        return Err(Fault::new(format!("route is longer than {MAX_ROUTE}")));
    }
    Ok(String::from_utf8_lossy(value).into_owned())
}
