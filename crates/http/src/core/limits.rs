//! How large and how slow requests and responses may be.

use weir_conf::value::{Bufs, Msec, Offset, Size};
use weir_conf::{Cx, Fault, Slot, directives, keywords};
use weir_wire::h1::Limits as HeadLimits;

use super::temp_path::TempPath;
use super::value::{Predicates, SizeTemplate};

/// How large and how slow requests and responses may be.
pub static LIMITS: Slot<Limits> = Slot::new();

keywords! {
    /// Whether bodies are written to files as a whole.
    pub enum BodyInFile {
        /// Only what does not fit into the buffer.
        "off" => Off,
        /// Always, and the file stays.
        "on" => On,
        /// Always, and the file goes with the request.
        "clean" => Clean,
    }
}

directives! {
    /// How large and how slow requests and responses may be.
    pub struct Limits in [http, server, location] {
        /// How long a client may take to send the head of a request.
        "client_header_timeout" in [http, server] => client_header_timeout: Msec = Msec::seconds(60),
        /// The buffer that most heads fit into.
        "client_header_buffer_size" in [http, server] => client_header_buffer_size: Size = Size::k(1),
        /// The buffers for heads that do not; a line must fit into one.
        "large_client_header_buffers" in [http, server] => large_client_header_buffers: Bufs
            = Bufs::new(4, 8192),
        /// How many fields a head may have.
        "max_headers" in [http, server] => max_headers: u32 = 1000,
        /// Drops fields whose names have characters that names should not have.
        "ignore_invalid_headers" in [http, server] => ignore_invalid_headers: bool = true,
        /// Takes underscores in names of fields as valid.
        "underscores_in_headers" in [http, server] => underscores_in_headers: bool = false,
        /// Makes one slash of several in a URI.
        "merge_slashes" in [http, server] => merge_slashes: bool = true,
        /// The memory that nginx takes for a connection at once; at least 112, a multiple of 16.
        "connection_pool_size" in [http, server] => connection_pool_size: PoolSize = PoolSize(512),
        /// The memory that nginx takes for a request at once; at least 112, a multiple of 16.
        "request_pool_size" in [http, server] => request_pool_size: PoolSize = PoolSize(4096),
        /// Reads the body before the location's handler asks for it, when one of the values holds.
        "client_body_early_read" in [http, server] => client_body_early_read: Predicates,
        /// The largest body that is accepted; 0 is no limit.
        "client_max_body_size" => client_max_body_size: Offset = Offset::m(1),
        /// Bodies up to this size stay in memory.
        "client_body_buffer_size" => client_body_buffer_size: Size = Size::k(8),
        /// How long a client may pause while it sends a body.
        "client_body_timeout" => client_body_timeout: Msec = Msec::seconds(60),
        /// Where bodies go that do not stay in memory, with up to three levels of folders.
        "client_body_temp_path" => client_body_temp_path: Option<TempPath>,
        /// Writes every body to a file.
        "client_body_in_file_only" => client_body_in_file_only: BodyInFile = BodyInFile::Off,
        /// Keeps a body that stays in memory in one piece.
        "client_body_in_single_buffer" => client_body_in_single_buffer: bool = false,
        /// How long a client may pause while it takes a response.
        "send_timeout" => send_timeout: Msec = Msec::seconds(60),
        /// Bytes a second that a response is sent with; 0 is no limit.
        "limit_rate" in [http, server, location, location_if] => limit_rate: Option<SizeTemplate>,
        /// Bytes that are sent before the limit counts.
        "limit_rate_after" in [http, server, location, location_if]
            => limit_rate_after: Option<SizeTemplate>,
        /// The most that a response in memory of a subrequest may be.
        "subrequest_output_buffer_size" => subrequest_output_buffer_size: Size = Size::k(4),
        /// How many ranges one request may ask for.
        "max_ranges" => max_ranges: u32 = i32::MAX as u32,
    }
    finish = Limits::finish;
}

impl Limits {
    /// The rules for the heads of requests.
    pub fn head_limits(&self) -> HeadLimits {
        let bytes = |size: u64| u32::try_from(size).unwrap_or(u32::MAX);
        HeadLimits {
            header_buffer_size: bytes(self.client_header_buffer_size.0),
            large_buffers: bytes(self.large_client_header_buffers.count),
            large_buffer_size: bytes(self.large_client_header_buffers.size),
            max_headers: self.max_headers,
            underscores: self.underscores_in_headers,
            ignore_invalid: self.ignore_invalid_headers,
            ..HeadLimits::default()
        }
    }

    fn finish(&mut self, parent: Option<&Self>, cx: &mut Cx<'_>) -> Result<(), Fault> {
        TempPath::settle(
            &mut self.client_body_temp_path,
            parent.and_then(|parent| parent.client_body_temp_path.as_ref()),
            Some(weir_conf::Layout::built().client_body_temp),
            cx,
        )?;
        if self.large_client_header_buffers.size < self.connection_pool_size.0 {
            return Err(Fault::new(
                "the \"large_client_header_buffers\" size must be equal to or greater than \
                 \"connection_pool_size\"",
            ));
        }
        Ok(())
    }
}

/// The size of one of nginx's memory pools. We have none, but check what nginx checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolSize(pub u64);

impl weir_conf::Value for PoolSize {
    const SYNTAX: &'static str = "size";
    const ARITY: weir_conf::Arity = weir_conf::Arity::ONE;

    fn parse(node: &weir_conf::Node, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        const LEAST: u64 = 112;
        const ALIGNMENT: u64 = 16;
        let Size(bytes) = <Size as weir_conf::Value>::parse(node, cx)?;
        if bytes < LEAST {
            return Err(format!("the pool size must be no less than {LEAST}").into());
        }
        if bytes % ALIGNMENT != 0 {
            return Err(format!("the pool size must be a multiple of {ALIGNMENT}").into());
        }
        Ok(Self(bytes))
    }

    fn show(&self) -> Option<String> {
        Some(self.0.to_string())
    }
}
