//! The `events` block: the number of connections per thread, and how they are accepted.

use weir_conf::value::Msec;
use weir_conf::{Arity, Cx, Fault, Node, Slot, Table, Value, directives};
use weir_engine::event_loop;
use weir_script::cidr::Cidr;

pub(crate) static BLOCK: Slot<EventsBlock> = Slot::new();
pub(crate) const BLOCK_TABLE: Table = EventsBlock::table(&BLOCK);

directives! {
    /// The mandatory block.
    pub(crate) struct EventsBlock as EventsBlockWritten in [main] {
        /// Contains the directives about connections.
        "events" opens events [0]: "{ ... }" => open_events,
        // Whether the block is present.
        field present: bool,
    }
}

fn open_events(block: &mut EventsBlockWritten, _: &Node, _: &mut Cx<'_>) -> Result<(), Fault> {
    match block.present.replace(true) {
        None => Ok(()),
        Some(_) => Err(Fault::duplicate()),
    }
}

pub(crate) static EVENTS: Slot<Events> = Slot::new();
pub(crate) const TABLE: Table = Events::table(&EVENTS);

directives! {
    /// The handling of connections.
    pub(crate) struct Events as EventsWritten in [events] {
        /// The maximum number of simultaneous connections of each thread, to clients and servers
        /// together.
        "worker_connections" => connections: Connections = Connections(512),
        /// The event method: `epoll` or `io_uring`. io_uring needs Linux 6.1; where it is
        /// unavailable, epoll is used with a warning. `select` and `poll`, which nginx may be built
        /// with, mean epoll, with a warning.
        "use" => method: Method = Method(event_loop::Method::Epoll),
        /// Accepts all waiting connections at once instead of one at a time.
        "multi_accept" => multi_accept: bool = false,
        /// Serializes accepting. Has no effect and causes a warning when on: threads of one process
        /// share sockets without it.
        "accept_mutex" => accept_mutex: AcceptMutex = AcceptMutex(false),
        /// The delay between attempts to take the mutex. Has no effect, as in nginx while
        /// `accept_mutex` is off.
        "accept_mutex_delay" => accept_mutex_delay: Msec = Msec::millis(500),
        /// Enables the debug log for chosen clients. Has no effect, as in an nginx built without
        /// `--with-debug`.
        "debug_connection" [1]: "address | CIDR | unix:" => set_debug_connection,
        /// The maximum number of pending asynchronous file operations per thread. Has no effect:
        /// that kernel interface is not used.
        "worker_aio_requests" => aio_requests: AioRequests = AioRequests(32),
    }
}

/// A number of connections.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Connections(pub(crate) u64);

impl Value for Connections {
    const SYNTAX: &'static str = "number";
    const ARITY: Arity = Arity::ONE;

    fn parse(node: &Node, _: &mut Cx<'_>) -> Result<Self, Fault> {
        let word = &node.args[0];
        let number = super::core::number(&word.value);
        let fault = || Fault::new(format!("invalid number \"{}\"", word.text())).at(word);
        number.map(Self).ok_or_else(fault)
    }

    fn show(&self) -> Option<String> {
        Some(self.0.to_string())
    }
}

/// The event method.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Method(pub(crate) event_loop::Method);

impl Value for Method {
    const SYNTAX: &'static str = "method";
    const ARITY: Arity = Arity::ONE;

    fn parse(node: &Node, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        let word = &node.args[0];
        match word.str() {
            Some("epoll") => Ok(Self(event_loop::Method::Epoll)),
            Some("io_uring") => Ok(Self(event_loop::Method::IoUring)),
            Some(name @ ("select" | "poll")) => {
                cx.warn(format!("event type \"{name}\" is not supported, using \"epoll\""));
                Ok(Self(event_loop::Method::Epoll))
            }
            _ => Err(Fault::new(format!("invalid event type \"{}\"", word.text())).at(word)),
        }
    }

    fn show(&self) -> Option<String> {
        Some(self.0.to_string())
    }
}

super::core::idle_switch! {
    /// `accept_mutex`
    AcceptMutex, "threads of one process accept without it"
}

/// A number without effect; a given value causes a warning.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AioRequests(u64);

impl Value for AioRequests {
    const SYNTAX: &'static str = "number";
    const ARITY: Arity = Arity::ONE;

    fn parse(node: &Node, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        let number = super::core::number(&node.args[0].value);
        let number = number.ok_or_else(|| Fault::directive("invalid number"))?;
        cx.no_effect("\"worker_aio_requests\" has no effect");
        Ok(Self(number))
    }

    fn show(&self) -> Option<String> {
        Some(self.0.to_string())
    }
}

fn set_debug_connection(_: &mut EventsWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    let word = &node.args[0];
    let text = word.text();
    let known = text == "unix:" || Cidr::parse(&word.value).is_some();
    if !known && !cx.env().lookup(&text).is_ok_and(|found| !found.is_empty()) {
        let message = format!("host not found in debug_connection \"{}\"", word.shown());
        return Err(Fault::new(message).at(word));
    }
    cx.warn(
        "\"debug_connection\" is ignored, you need to rebuild nginx using --with-debug option to \
         enable it",
    );
    Ok(())
}
