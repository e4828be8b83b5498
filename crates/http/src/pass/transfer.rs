//! The settings that `proxy_`, `fastcgi_`, `uwsgi_`, `scgi_` and `grpc_` share: one table under
//! several prefixes (<https://nginx.org/en/docs/http/ngx_http_proxy_module.html>).

use weir_conf::layout::TempFolder;
use weir_conf::value::{Bufs, Msec, Off, Size, parse_ip_port, parse_number};
use weir_conf::{Arity, Contexts, Cx, Fault, Local, Many, Node, Value, directives};
use weir_edge::value::SizeTemplate;
use weir_script::Template;
use weir_script::variables::variables;
use weir_upstream::{Causes, RetryBudget};

use super::hidden::{Hidden, Ignored, Usual};
use super::store::Store;
use crate::core::temp_path::TempPath;
use crate::core::value::Rights;

directives! {
    /// Passing of requests to upstreams, and of their responses to clients.
    pub struct Transfer as TransferWritten in [http, server, location] {
        /// Reads responses as fast as upstreams send them, whatever the client's pace.
        "buffering" => buffering: bool = true,
        /// Reads the whole request body before passing the request on.
        "request_buffering" => request_buffering: bool = true,
        /// Continues with the upstream after the client has left.
        "ignore_client_abort" => ignore_client_abort: bool = false,
        /// The local address of connections to upstreams.
        "bind" => bind: Option<Off<Bind>>,
        /// Enables TCP keepalive on connections to upstreams.
        "socket_keepalive" => socket_keepalive: bool = false,
        /// The receive buffer size of connections to upstreams.
        "socket_rcvbuf" => socket_rcvbuf: Option<Size>,
        /// The send buffer size of connections to upstreams.
        "socket_sndbuf" => socket_sndbuf: Option<Size>,
        /// The timeout for connecting to an upstream.
        "connect_timeout" => connect_timeout: Msec = Msec::seconds(60),
        /// The timeout between two writes to an upstream.
        "send_timeout" => send_timeout: Msec = Msec::seconds(60),
        /// The timeout between two reads from an upstream.
        "read_timeout" => read_timeout: Msec = Msec::seconds(60),
        /// Has no effect: the kernel decides when a connection is writable.
        "send_lowat" => send_lowat: Size = Size::bytes(0),
        /// Applies `error_page` to responses with status 300 or greater.
        "intercept_errors" => intercept_errors: bool = false,
        /// Passes on the fields of the client's request.
        "pass_request_headers" => pass_request_headers: bool = true,
        /// Passes on the body of the client's request.
        "pass_request_body" => pass_request_body: bool = true,
        /// Passes on the trailers of responses.
        "pass_trailers" => pass_trailers: bool = false,
        /// Passes on the trailers of requests, except fields that are set or never passed on. Many
        /// upstreams expect none: some close the connection.
        "pass_request_trailers" => pass_request_trailers: bool = false,
        /// The size of the buffer for the head of a response.
        "buffer_size" => buffer_size: Size = Size::k(4),
        /// The number and size of buffers for a response.
        "buffers" => buffers: Bufs = Bufs::new(8, 4096),
        /// The maximum number of bytes queued for the client before reading pauses.
        "busy_buffers_size" => busy_buffers_size: Option<Size>,
        /// Allows ranges of any response, whatever the upstream says.
        "force_ranges" => force_ranges: bool = false,
        /// The maximum rate of reading from an upstream, in bytes per second; 0 means no limit.
        "limit_rate" => limit_rate: Option<SizeTemplate>,
        /// The folder for responses that exceed memory.
        "temp_path" => temp_path: Option<TempPath>,
        /// The maximum size of a temporary file; 0 disables them.
        "max_temp_file_size" => max_temp_file_size: Option<Size>,
        /// The number of bytes written to a temporary file at once.
        "temp_file_write_size" => temp_file_write_size: Option<Size>,
        /// Stores responses with status 200 as files: under the path of the URI by `root` or
        /// `alias`, or under this name. Missing folders are created. The client may leave
        /// meanwhile. Nothing is stored where `buffering` is off.
        "store" => store: Store = Store::Off,
        /// The permissions of stored files, and of the folders created for them, for `user`,
        /// `group` and `all`.
        "store_access" => store_access: Rights = Rights::OURS,
        /// The failures after which another server is tried.
        "next_upstream" => next_upstream: NextUpstream = NextUpstream(Causes::DEFAULT),
        /// Counts a response that the server breaks off or does not continue in time as a failure
        /// for `max_fails`. Otherwise, a response with a valid head is a success.
        "count_broken" => count_broken: bool = false,
        /// The maximum number of servers tried; 0 means no limit.
        "next_upstream_tries" => next_upstream_tries: u32 = 0,
        /// The time limit for trying servers; 0 means no limit.
        "next_upstream_timeout" => next_upstream_timeout: Msec,
        /// The time limit for one server, until the head of its response has come; 0 means no
        /// limit. It ends an attempt only if another server can take the request, which is safe to
        /// repeat, and counts as a `timeout`; later, as soon as one can.
        "next_upstream_try_timeout" => next_upstream_try_timeout: Msec,
        /// Limits the retries under way in the group of servers to this percentage of its active
        /// requests, but not below `min`. Beyond the limit a failure is passed on as if no other
        /// server were left, and the log says so once a second. A request counts from its first
        /// retry to the head of its response. A kept connection that the server had closed needs
        /// no budget the first time.
        "next_upstream_budget" => next_upstream_budget: Budget = Budget(Some(RetryBudget::DEFAULT)),
        /// Passes on a response field that is hidden by default.
        "pass_header" => pass_header: Many<String>,
        /// Hides a response field.
        "hide_header" => hide_header: Many<String>,
        /// Response fields that are passed on but not acted upon.
        "ignore_headers" => ignore_headers: Ignored,
        // The default folder for temporary files, if there is one.
        field temp_folder: Local<Option<TempFolder>>,
        // The fields that the protocol hides.
        field usual_hidden: Local<Usual>,
        // The result of `pass_header` and `hide_header`.
        field hidden: Local<Hidden>,
        // Whether a 404 is always replaced by our own.
        field intercept_missing: Local<bool>,
        // Whether the transfer continues when the client leaves.
        field outlasts_client: Local<bool>,
    }
    finish = Transfer::finish;
}

impl Transfer {
    fn finish(&mut self, parent: Option<&Self>, cx: &mut Cx<'_>) -> Result<(), Fault> {
        let above = parent.and_then(|parent| parent.temp_path.as_ref());
        TempPath::settle(&mut self.temp_path, above, self.temp_folder, cx)?;
        self.hidden = Hidden::new(&self.hide_header, &self.pass_header, self.usual_hidden);
        self.outlasts_client = self.ignore_client_abort || self.store.is_on();
        self.check_sizes(cx)
    }

    /// Checks the relations between sizes that nginx requires. Settings of `http {}` are checked in
    /// combination with those of the servers.
    fn check_sizes(&self, cx: &Cx<'_>) -> Result<(), Fault> {
        if cx.context() == Contexts::HTTP {
            return Ok(());
        }
        self.relations(cx.prefix())
    }

    fn relations(&self, prefix: &str) -> Result<(), Fault> {
        if self.buffers.count < 2 {
            return Err(Fault::new(format!("there must be at least 2 \"{prefix}buffers\"")));
        }
        let largest = self.buffer_size.0.max(self.buffers.size);
        let buffers = || {
            format!(
                "the maximum of the value of \"{prefix}buffer_size\" and one of the \
                 \"{prefix}buffers\""
            )
        };
        let all = self.buffers.total();
        let busy = self.busy_buffers_size.map_or(largest.saturating_mul(2), |size| size.0);
        if busy < largest {
            let buffers = buffers();
            return Err(Fault::new(format!(
                "\"{prefix}busy_buffers_size\" must be equal to or greater than {buffers}"
            )));
        }
        if busy > all - self.buffers.size {
            return Err(Fault::new(format!(
                "\"{prefix}busy_buffers_size\" must be less than the size of all \
                 \"{prefix}buffers\" minus one buffer"
            )));
        }
        if self.temp_file_write_size.is_some_and(|size| size.0 < largest) {
            let buffers = buffers();
            return Err(Fault::new(format!(
                "\"{prefix}temp_file_write_size\" must be equal to or greater than {buffers}"
            )));
        }
        if self.max_temp_file_size.is_some_and(|size| size.0 != 0 && size.0 < largest) {
            let buffers = buffers();
            return Err(Fault::new(format!(
                "\"{prefix}max_temp_file_size\" must be equal to zero to disable temporary files \
                 usage or must be equal to or greater than {buffers}"
            )));
        }
        Ok(())
    }

    /// The maximum number of bytes queued for the client: by default twice the larger buffer.
    pub fn busy(&self) -> u64 {
        self.busy_buffers_size.map_or(2 * self.buffer_size.0.max(self.buffers.size), |size| size.0)
    }

    /// The maximum size of a response's temporary file, in bytes.
    pub fn file_max(&self) -> u64 {
        self.max_temp_file_size.map_or(DEFAULT_FILE_MAX, |size| size.0)
    }

    /// The maximum length of the read that brings the head. Body bytes that come with it count for
    /// the buffers, or go to a file if the client is slow.
    pub fn first_read(&self) -> usize {
        let head = self.buffer_size.0;
        if !self.buffering || self.limit_rate.is_some() {
            return head as usize;
        }
        let room = head.saturating_add(self.buffers.total()).saturating_add(self.file_max());
        room.min(LARGEST_READ.max(head)) as usize
    }
}

/// The maximum length of a read from an upstream, unless the buffer for heads is larger.
pub const LARGEST_READ: u64 = 128 * 1024;

/// The default of `max_temp_file_size`: 1 GiB.
const DEFAULT_FILE_MAX: u64 = 1024 * 1024 * 1024;

/// `proxy_next_upstream`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextUpstream(pub Causes);

impl Value for NextUpstream {
    const SYNTAX: &'static str = "error | timeout | invalid_header | http_500 | http_502 | \
        http_503 | http_504 | http_403 | http_404 | http_429 | non_idempotent | off ...";
    const ARITY: Arity = Arity::at_least(1);

    fn parse(node: &Node, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        let mut none = Self(Causes::default());
        none.again(node, cx)?;
        Ok(none)
    }

    fn again(&mut self, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
        let directive = node.text();
        let words = Causes::WORDS.iter().filter(|(name, _)| is_said(&directive, name));
        self.0 = add_causes(self.0, node, words.copied(), cx)?;
        Ok(())
    }

    fn show(&self) -> Option<String> {
        (self.0 == Causes::DEFAULT).then(|| "error timeout".to_owned())
    }
}

/// `proxy_next_upstream_budget`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget(pub Option<RetryBudget>);

impl Default for Budget {
    fn default() -> Self {
        Self(Some(RetryBudget::DEFAULT))
    }
}

impl Value for Budget {
    const SYNTAX: &'static str = "percent% [min=number] | off";
    const ARITY: Arity = Arity::exactly(1).or(Arity::exactly(2));

    fn parse(node: &Node, _: &mut Cx<'_>) -> Result<Self, Fault> {
        let word = &node.args[0];
        if word.is("off") && node.args.len() == 1 {
            return Ok(Self(None));
        }
        let percent = word.value.strip_suffix(b"%").and_then(parse_number);
        let percent = percent.filter(|&percent| percent <= 100);
        let mut budget = RetryBudget {
            percent: percent.ok_or_else(|| Fault::invalid(word))?,
            ..RetryBudget::DEFAULT
        };
        if let Some(word) = node.args.get(1) {
            let min = word.after("min=").and_then(parse_number);
            budget.min = min.ok_or_else(|| Fault::parameter(word))?;
        }
        Ok(Self(Some(budget)))
    }

    fn show(&self) -> Option<String> {
        let budget = self.0?;
        Some(format!("{}% min={}", budget.percent, budget.min))
    }
}

/// Adds the causes that a `…_next_upstream` names, in the words of its protocol.
///
/// # Errors
/// In nginx's words.
pub(crate) fn add_causes(
    mut causes: Causes,
    node: &Node,
    words: impl Iterator<Item = (&'static str, Causes)> + Clone,
    cx: &mut Cx<'_>,
) -> Result<Causes, Fault> {
    for word in &node.args {
        let named = |(name, _): &(&str, _)| word.value.eq_ignore_ascii_case(name.as_bytes());
        let Some((name, cause)) = words.clone().find(named) else {
            return Err(Fault::new(format!("invalid value \"{}\"", word.text())).at(word));
        };
        if causes.contains(cause) {
            cx.warn(format!("duplicate value \"{name}\""));
        }
        causes |= cause;
    }
    Ok(causes.settled())
}

/// Whether a directive has a cause. Some protocols have fewer.
pub(crate) fn is_said(directive: &str, cause: &str) -> bool {
    match directive.split('_').next() {
        Some("fastcgi" | "uwsgi" | "scgi") => !matches!(cause, "http_502" | "http_504"),
        Some("grpc" | "tunnel") => cause != "updating",
        _ => true,
    }
}

/// Whether a `bind … transparent` needs raw sockets, for which the worker keeps its capability.
#[derive(Clone, Copy, Debug, Default)]
pub struct RawSockets(pub bool);

/// `proxy_bind`: an address, which may have variables and may be foreign.
#[derive(Clone, Debug)]
pub struct Bind {
    /// The address. If it is empty, the kernel chooses one.
    pub address: Template,
    /// `transparent`.
    pub transparent: bool,
}

impl Value for Bind {
    const SYNTAX: &'static str = "address [transparent] | off";
    const ARITY: Arity = Arity::exactly(1).or(Arity::exactly(2));

    fn parse(node: &Node, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        let address = Template::compile(&node.args[0].value, variables(cx))?;
        if let Some(literal) = address.literal()
            && parse_ip_port(literal).is_none()
        {
            let text = String::from_utf8_lossy(literal);
            return Err(Fault::new(format!("invalid address \"{text}\"")).at(&node.args[0]));
        }
        let transparent = match node.args.get(1) {
            None => false,
            Some(word) if word.is("transparent") => true,
            Some(word) => return Err(Fault::parameter(word)),
        };
        if transparent {
            cx.registry::<RawSockets>().0 = true;
        }
        Ok(Self { address, transparent })
    }
}
