//! Variables of the connection and of the server itself.

use weir_engine::TcpInfo;
use weir_wire::proxy_protocol::TlvName;

use crate::client::head;
use crate::request::Request;

fn found(value: &[u8], out: &mut Vec<u8>) -> bool {
    out.extend_from_slice(value);
    true
}

fn number_of(value: Option<u64>, out: &mut Vec<u8>) -> bool {
    value.map(|value| head::number(out, value, 1)).is_some()
}

/// `$binary_remote_addr`.
pub(super) fn binary_remote_addr(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    request.remote.write_binary(out);
    true
}

/// `$remote_addr`.
pub(super) fn remote_addr(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    request.remote.write_ip(out);
    true
}

/// `$remote_port`.
pub(super) fn remote_port(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    port(request.remote.port().unwrap_or(0), out)
}

/// A part of the PROXY protocol header.
fn proxied(
    request: &Request,
    out: &mut Vec<u8>,
    part: impl Fn(&weir_wire::proxy_protocol::ProxyHeader, &mut Vec<u8>) -> bool,
) -> bool {
    request.info.proxy_protocol.as_ref().is_some_and(|header| part(header, out))
}

/// A port; 0 is an empty value, not "not found".
fn port(port: u16, out: &mut Vec<u8>) -> bool {
    port == 0 || number_of(Some(port.into()), out)
}

/// `$proxy_protocol_addr`.
pub(super) fn proxy_protocol_addr(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    proxied(request, out, |header, out| found(header.source.as_bytes(), out))
}

/// `$proxy_protocol_port`.
pub(super) fn proxy_protocol_port(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    proxied(request, out, |header, out| port(header.source_port, out))
}

/// `$proxy_protocol_server_addr`.
pub(super) fn proxy_protocol_server_addr(
    request: &mut Request,
    _: &str,
    out: &mut Vec<u8>,
) -> bool {
    proxied(request, out, |header, out| found(header.destination.as_bytes(), out))
}

/// `$proxy_protocol_server_port`.
pub(super) fn proxy_protocol_server_port(
    request: &mut Request,
    _: &str,
    out: &mut Vec<u8>,
) -> bool {
    proxied(request, out, |header, out| port(header.destination_port, out))
}

/// `$proxy_protocol_tlv_NAME`.
pub(super) fn proxy_protocol_tlv(request: &mut Request, name: &str, out: &mut Vec<u8>) -> bool {
    proxied(request, out, |header, out| {
        TlvName::parse(name).is_some_and(|tlv| header.tlv(tlv, out).unwrap_or(false))
    })
}

/// `$server_addr`.
pub(super) fn server_addr(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    request.info.local.write_ip(out);
    true
}

/// `$server_port`.
pub(super) fn server_port(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    port(request.info.local.port().unwrap_or(0), out)
}

/// `$server_name`.
pub(super) fn server_name(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    found(&request.server.name, out)
}

/// `$connection`.
pub(super) fn number(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    number_of(Some(request.info.id), out)
}

/// `$connection_requests`.
pub(super) fn requests(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    number_of(Some(request.number), out)
}

/// `$connection_time`, seconds with milliseconds.
pub(super) fn time(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    super::response::seconds(request.info.start.elapsed(), out);
    true
}

/// A field of the kernel's `TCP_INFO`.
fn tcp_info(request: &Request, out: &mut Vec<u8>, part: impl Fn(&TcpInfo) -> u32) -> bool {
    let info = request.client.tcp_info();
    number_of(info.map(|info| part(&info).into()), out)
}

/// `$tcpinfo_rtt`, microseconds.
pub(super) fn tcpinfo_rtt(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    tcp_info(request, out, |info| info.rtt)
}

/// `$tcpinfo_rttvar`, microseconds.
pub(super) fn tcpinfo_rttvar(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    tcp_info(request, out, |info| info.rttvar)
}

/// `$tcpinfo_snd_cwnd`.
pub(super) fn tcpinfo_snd_cwnd(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    tcp_info(request, out, |info| info.snd_cwnd)
}

/// `$tcpinfo_rcv_space`.
pub(super) fn tcpinfo_rcv_space(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    tcp_info(request, out, |info| info.rcv_space)
}

/// `$hostname`.
pub(super) fn hostname(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    found(request.snapshot.hostname().as_bytes(), out)
}

/// `$nginx_version`: the release that Weir follows.
pub(super) fn nginx_version(_: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    found(crate::server_name::NGINX_VERSION.as_bytes(), out)
}

/// `$pid`: the id of the worker process.
pub(super) fn pid(_: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    number_of(Some(std::process::id().into()), out)
}
