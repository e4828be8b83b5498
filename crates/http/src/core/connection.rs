//! How connections to clients are kept, fed and closed.

use std::time::Duration;

use weir_conf::value::{Msec, Sec, Size, parse_msec, parse_sec};
use weir_conf::{Arity, Cx, Fault, Node, Slot, Value, bitmask, directives, keywords};

/// How connections to clients are kept, fed and closed.
pub static CONNECTION: Slot<Connection> = Slot::new();

keywords! {
    /// When what a client still sends is read before the connection is closed.
    pub enum Lingering {
        /// Never.
        "off" => Off,
        /// When there seems to be more.
        "on" => On,
        /// Always.
        "always" => Always,
    }
}

bitmask! {
    /// Browsers whose connections are not kept.
    pub struct KeepaliveDisable {
        "none" => NONE = 2,
        "msie6" => MSIE6 = 4,
        "safari" => SAFARI = 8,
    }
}

directives! {
    /// How connections to clients are kept, fed and closed.
    pub struct Connection in [http, server, location] {
        /// How long a connection is kept for its next request, and what the client is told.
        "keepalive_timeout" => keepalive_timeout: KeepaliveTimeout,
        /// How long a connection is kept at least, even when connections are short.
        "keepalive_min_timeout" => keepalive_min_timeout: Msec,
        /// How long requests may come over one connection.
        "keepalive_time" => keepalive_time: Msec = Msec::minutes(60),
        /// How many requests may come over one connection.
        "keepalive_requests" => keepalive_requests: u32 = 1000,
        /// Browsers whose connections are not kept.
        "keepalive_disable" => keepalive_disable: KeepaliveDisable = KeepaliveDisable::MSIE6,
        /// When what a client still sends is read before the connection is closed.
        "lingering_close" => lingering_close: Lingering = Lingering::On,
        /// How long that may take as a whole.
        "lingering_time" => lingering_time: Msec = Msec::seconds(30),
        /// How long it may pause.
        "lingering_timeout" => lingering_timeout: Msec = Msec::seconds(5),
        /// Resets connections that timed out or end with status 444, which frees their memory.
        "reset_timedout_connection" => reset_timedout_connection: bool = false,
        /// Sends full packets only, together with sendfile.
        "tcp_nopush" => tcp_nopush: bool = false,
        /// Sends small packets at once.
        "tcp_nodelay" => tcp_nodelay: bool = true,
        /// Ignored on Linux, as nginx does.
        "send_lowat" => send_lowat: SendLowat,
        /// Holds data back until there is so much of it, if possible.
        "postpone_output" => postpone_output: Size = Size::bytes(1460),
        /// Allows chunked encoding in answers to HTTP/1.1.
        "chunked_transfer_encoding" => chunked_transfer_encoding: bool = true,
    }
}

/// `keepalive_timeout 75s [60s]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepaliveTimeout {
    /// How long a connection may be idle; zero: it is not kept.
    pub idle: Duration,
    /// Seconds for the field `Keep-Alive: timeout=`, if it is sent.
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

/// A size that Linux has no use for.
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
