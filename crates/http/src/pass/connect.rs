//! The start of the choice of a peer, and the options of the connection to it.

use weir_conf::value::parse_ip_port;
use weir_engine::connection::connect::ConnectOptions;
use weir_engine::error_log::Level;
use weir_upstream::Pick;

use super::course::Pass;
use super::sticky;
use crate::request::Request;

/// Starts the choice of a peer.
pub(crate) fn start<'a>(request: &mut Request, pass: &Pass<'a>) -> Pick<'a> {
    let plan = pass.target.upstream().map(|upstream| &upstream.plan);
    let key = match plan.and_then(|plan| plan.key.as_ref()) {
        Some(template) => request.eval(template),
        None => Vec::new(),
    };
    let sticky = match plan.and_then(|plan| plan.sticky.as_ref()) {
        Some(config) => sticky::wanted(request, pass.target.group(), config),
        None => Vec::new(),
    };
    let localities: Vec<Vec<u8>> = match plan {
        Some(plan) if !plan.localities.is_empty() => {
            plan.localities.iter().map(|name| request.eval(name)).collect()
        }
        _ => Vec::new(),
    };
    pass.target.group().start(weir_upstream::Request {
        client: request.remote.ip(),
        key: &key,
        sticky: &sticky,
        localities: &localities,
    })
}

/// Whether [`connect_options`] differ from the default.
pub(crate) fn has_options(pass: &Pass<'_>) -> bool {
    let settings = pass.settings;
    settings.bind.is_some() || settings.socket_keepalive || settings.socket_rcvbuf.is_some()
}

/// The options of a connection for this request: `proxy_bind` and socket options. A computed
/// address that is invalid is logged and ignored.
pub(crate) fn connect_options(request: &mut Request, pass: &Pass<'_>) -> ConnectOptions {
    let settings = pass.settings;
    let mut options = ConnectOptions {
        keepalive: settings.socket_keepalive,
        rcvbuf: settings.socket_rcvbuf.map(|size| size.0 as usize),
        ..ConnectOptions::default()
    };
    let Some(bind) = settings.bind.as_ref().and_then(|bind| bind.on()) else {
        return options;
    };
    let value = request.eval(&bind.address);
    if value.is_empty() {
        return options;
    }
    let text = weir_wire::shown(&value);
    match parse_ip_port(&value) {
        Some(address) => {
            options.bind = Some(address);
            options.transparent = bind.transparent;
        }
        None => request.log(Level::Error, &format!("invalid local address \"{text}\"")),
    }
    options
}
