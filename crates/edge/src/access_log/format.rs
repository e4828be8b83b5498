//! The formats of lines: those of `log_format`, and the two that are there without one.

use std::sync::Arc;

use weir_conf::{Cx, Fault, Node};
use weir_script::Host;
use weir_script::escape::Escape;
use weir_script::json_format::{JsonFormat, Kind};
use weir_script::log_format::LogFormat;
use weir_script::variables::{is_stream, variables};

use super::LoggingWritten;

/// The name of nginx's predefined format of http.
pub(super) const COMBINED_NAME: &str = "combined";

/// Its text.
const COMBINED: &str = "$remote_addr - $remote_user [$time_local] \"$request\" $status \
                        $body_bytes_sent \"$http_referer\" \"$http_user_agent\"";

/// The name of the predefined format in JSON.
const JSON_NAME: &str = "weir_json";

/// Its members and their variables; `docs/howto/logs-and-traces.md` describes them.
const JSON: &[(&str, Kind, &str)] = &[
    ("time", Kind::Text, "weir_time"),
    ("request_id", Kind::Text, "request_id"),
    ("trace_id", Kind::Text, "weir_trace_id"),
    ("connection", Kind::Number, "connection"),
    ("connection_requests", Kind::Number, "connection_requests"),
    ("client", Kind::Text, "remote_addr"),
    ("user", Kind::Text, "remote_user"),
    ("scheme", Kind::Text, "scheme"),
    ("server", Kind::Text, "server_name"),
    ("host", Kind::Text, "host"),
    ("method", Kind::Text, "request_method"),
    ("uri", Kind::Text, "uri"),
    ("request", Kind::Text, "request"),
    ("status", Kind::Number, "status"),
    ("completed", Kind::Flag, "request_completion"),
    ("request_length", Kind::Number, "request_length"),
    ("bytes_sent", Kind::Number, "bytes_sent"),
    ("body_bytes_sent", Kind::Number, "body_bytes_sent"),
    ("request_time", Kind::Number, "request_time"),
    ("upstream", Kind::Texts, "upstream_addr"),
    ("upstream_status", Kind::Numbers, "upstream_status"),
    ("upstream_connect_time", Kind::Numbers, "upstream_connect_time"),
    ("upstream_header_time", Kind::Numbers, "upstream_header_time"),
    ("upstream_response_time", Kind::Numbers, "upstream_response_time"),
    ("cache_status", Kind::Text, "upstream_cache_status"),
    ("tls", Kind::Text, "ssl_protocol"),
    ("referrer", Kind::Text, "http_referer"),
    ("user_agent", Kind::Text, "http_user_agent"),
    ("forwarded_for", Kind::Text, "http_x_forwarded_for"),
];

/// A format.
pub(super) enum Format {
    Text(LogFormat),
    Json(JsonFormat),
}

impl Format {
    /// Appends the line, without a line feed.
    pub(super) fn eval<H: Host + ?Sized>(&self, host: &mut H, out: &mut Vec<u8>) {
        match self {
            Self::Text(format) => format.eval(host, out),
            Self::Json(format) => format.eval(host, out),
        }
    }
}

/// The formats of an assembly, in the order of the text: http's, and stream's.
#[derive(Default)]
pub(super) struct Formats([Vec<(String, Arc<Format>)>; 2]);

impl Formats {
    fn of<'c>(cx: &'c mut Cx<'_>) -> &'c mut Vec<(String, Arc<Format>)> {
        let side = usize::from(is_stream(cx));
        &mut cx.registry::<Self>().0[side]
    }

    /// Finds a format. nginx ignores case here, but not in definitions. Only http has predefined
    /// formats.
    pub(super) fn find(cx: &mut Cx<'_>, name: &str) -> Option<Arc<Format>> {
        if !is_stream(cx) && name.eq_ignore_ascii_case(COMBINED_NAME) {
            let parts = [COMBINED.as_bytes()];
            let format = LogFormat::compile(&parts, Escape::Default, variables(cx));
            return format.ok().map(|format| Arc::new(Format::Text(format)));
        }
        if !is_stream(cx) && name.eq_ignore_ascii_case(JSON_NAME) {
            return Some(Arc::new(Format::Json(JsonFormat::new(JSON, variables(cx)))));
        }
        let known = Self::of(cx);
        let found = known.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, format)| Arc::clone(format))
    }
}

/// Defines a format (`log_format`).
pub(super) fn set_format(
    _: &mut LoggingWritten,
    node: &Node,
    cx: &mut Cx<'_>,
) -> Result<(), Fault> {
    let name = node.args[0].text().into_owned();
    let is_predefined = [COMBINED_NAME, JSON_NAME].contains(&&*name) && !is_stream(cx);
    if is_predefined || Formats::of(cx).iter().any(|(known, _)| *known == name) {
        return Err(Fault::new(format!("duplicate \"log_format\" name \"{name}\"")));
    }
    let parts: Vec<_> = node.args[1..].iter().map(|word| word.value.as_slice()).collect();
    let format = LogFormat::parse(&parts, variables(cx))?;
    Formats::of(cx).push((name, Arc::new(Format::Text(format))));
    Ok(())
}
