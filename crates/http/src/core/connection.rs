//! Connections to clients: keepalive, sending and lingering close.

use std::time::Duration;

use weir_conf::value::{Msec, Sec, Size, parse_msec, parse_sec};
use weir_conf::{Arity, Cx, Fault, Node, Slot, Value, bitmask, directives, keywords};

/// Connections to clients: keepalive, sending and lingering close.
pub(crate) static CONNECTION: Slot<Connection> = Slot::new();

keywords! {
    /// When to read a client's remaining data before closing the connection.
    pub enum Lingering {
        /// Never.
        "off" => Off,
        /// If more data is likely.
        "on" => On,
        /// Always.
        "always" => Always,
    }
}

bitmask! {
    /// Browsers for which keepalive is disabled.
    pub struct KeepaliveDisable {
        "none" => NONE = 2,
        "msie6" => MSIE6 = 4,
        "safari" => SAFARI = 8,
    }
}

directives! {
    /// Connections to clients: keepalive, sending and lingering close.
    pub struct Connection in [http, server, location] {
        /// The idle timeout of keepalive connections, and optionally the one sent in `Keep-Alive`.
        "keepalive_timeout" => keepalive_timeout: KeepaliveTimeout,
        /// The minimum time that an idle connection is kept, even on shutdown.
        "keepalive_min_timeout" => keepalive_min_timeout: Msec,
        /// The maximum time during which a connection accepts requests.
        "keepalive_time" => keepalive_time: Msec = Msec::minutes(60),
        /// The maximum number of requests over one connection.
        "keepalive_requests" => keepalive_requests: u32 = 1000,
        /// Browsers for which keepalive is disabled.
        "keepalive_disable" => keepalive_disable: KeepaliveDisable = KeepaliveDisable::MSIE6,
        /// When to read a client's remaining data before closing the connection.
        "lingering_close" => lingering_close: Lingering = Lingering::On,
        /// The maximum total time of a lingering close.
        "lingering_time" => lingering_time: Msec = Msec::seconds(30),
        /// The timeout between two reads of a lingering close.
        "lingering_timeout" => lingering_timeout: Msec = Msec::seconds(5),
        /// Resets connections that time out or are closed with status 444, which frees their
        /// memory.
        "reset_timedout_connection" => reset_timedout_connection: bool = false,
        /// Sends only full packets while `sendfile` is in use.
        "tcp_nopush" => tcp_nopush: bool = false,
        /// Sends small packets without delay.
        "tcp_nodelay" => tcp_nodelay: bool = true,
        /// Has no effect on Linux, as in nginx.
        "send_lowat" => send_lowat: SendLowat,
        /// Delays output until it has this many bytes, if possible.
        "postpone_output" => postpone_output: Size = Size::bytes(1460),
        /// Allows chunked transfer encoding in HTTP/1.1 responses.
        "chunked_transfer_encoding" => chunked_transfer_encoding: bool = true,
    }
}

/// `keepalive_timeout 75s [60s]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepaliveTimeout {
    /// The idle timeout; zero disables keepalive.
    pub idle: Duration,
    /// The timeout for `Keep-Alive: timeout=` in seconds, if it is sent.
    pub header: Option<u64>,
}

impl Default for KeepaliveTimeout {
    fn default() -> Self {
        Self { idle: Duration::from_secs(75), header: None }
    }
}

impl Value for KeepaliveTimeout {
    const SYNTAX: &'static str = "timeout [header_timeout]";
    const ARITY: Arity = Arity::exactly(1).or(Arity::exactly(2));

    fn parse(node: &Node, _: &mut Cx<'_>) -> Result<Self, Fault> {
        let bad = |at: usize| Fault::bad_value().at(&node.args[at]);
        let idle = parse_msec(&node.args[0].value).ok_or_else(|| bad(0))?;
        let header = match node.arg(1) {
            Some(word) => parse_sec(&word.value).ok_or_else(|| bad(1))?.as_secs(),
            None => 0,
        };
        Ok(Self { idle, header: (header > 0).then_some(header) })
    }

    fn show(&self) -> Option<String> {
        Sec(self.idle).show()
    }
}

/// A size without effect on Linux.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendLowat;

impl Value for SendLowat {
    const SYNTAX: &'static str = "size";
    const ARITY: Arity = Arity::ONE;

    fn parse(node: &Node, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        Size::parse(node, cx)?;
        cx.warn("\"send_lowat\" is not supported, ignored");
        Ok(Self)
    }
}
