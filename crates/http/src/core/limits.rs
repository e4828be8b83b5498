//! Limits on the size and the speed of requests and responses.

use weir_conf::value::{Bufs, Msec, Offset, Size};
use weir_conf::{Cx, Fault, Slot, directives, keywords};
use weir_edge::value::SizeTemplate;
use weir_wire::h1::Limits as HeadLimits;

use super::temp_path::TempPath;
use super::value::Predicates;

/// Limits on the size and the speed of requests and responses.
pub(crate) static LIMITS: Slot<Limits> = Slot::new();

keywords! {
    /// Whether request bodies are written to files.
    pub enum BodyInFile {
        /// Only those that exceed the buffer.
        "off" => Off,
        /// All; the files are kept.
        "on" => On,
        /// All; the files are removed with their requests.
        "clean" => Clean,
    }
}

directives! {
    /// Limits on the size and the speed of requests and responses.
    pub struct Limits in [http, server, location] {
        /// The timeout for receiving the head of a request.
        "client_header_timeout" in [http, server] => client_header_timeout: Msec = Msec::seconds(60),
        /// The size of the buffer that fits most request heads.
        "client_header_buffer_size" in [http, server] => client_header_buffer_size: Size = Size::k(1),
        /// The number and size of buffers for larger heads. A line must fit into one.
        "large_client_header_buffers" in [http, server] => large_client_header_buffers: Bufs
            = Bufs::new(4, 8192),
        /// The maximum number of fields in a head.
        "max_headers" in [http, server] => max_headers: u32 = 1000,
        /// Drops fields with invalid names.
        "ignore_invalid_headers" in [http, server] => ignore_invalid_headers: bool = true,
        /// Allows underscores in field names.
        "underscores_in_headers" in [http, server] => underscores_in_headers: bool = false,
        /// Merges adjacent slashes in URIs.
        "merge_slashes" in [http, server] => merge_slashes: bool = true,
        /// The size of nginx's connection pools: at least 112, a multiple of 16. Has no effect.
        "connection_pool_size" in [http, server] => connection_pool_size: PoolSize = PoolSize(512),
        /// The size of nginx's request pools: at least 112, a multiple of 16. Has no effect.
        "request_pool_size" in [http, server] => request_pool_size: PoolSize = PoolSize(4096),
        /// Reads the body before the location's handler runs, if any value is neither empty nor
        /// `0`.
        "client_body_early_read" in [http, server] => client_body_early_read: Predicates,
        /// The maximum size of a request body; 0 means no limit.
        "client_max_body_size" => client_max_body_size: Offset = Offset::m(1),
        /// The maximum size of a request body in memory. Larger ones go to a file.
        "client_body_buffer_size" => client_body_buffer_size: Size = Size::k(8),
        /// The timeout between two reads of a request body.
        "client_body_timeout" => client_body_timeout: Msec = Msec::seconds(60),
        /// The folder for request bodies in files, with up to three levels of subfolders.
        "client_body_temp_path" => client_body_temp_path: Option<TempPath>,
        /// Writes all request bodies to files.
        "client_body_in_file_only" => client_body_in_file_only: BodyInFile = BodyInFile::Off,
        /// Has no effect: a request body in memory has as many parts as it came in.
        "client_body_in_single_buffer" => client_body_in_single_buffer: bool = false,
        /// The timeout between two writes of a response.
        "send_timeout" => send_timeout: Msec = Msec::seconds(60),
        /// The maximum rate of a response, in bytes per second; 0 means no limit.
        "limit_rate" in [http, server, location, location_if] => limit_rate: Option<SizeTemplate>,
        /// The number of bytes that are sent before the rate limit applies.
        "limit_rate_after" in [http, server, location, location_if]
            => limit_rate_after: Option<SizeTemplate>,
        /// The maximum size of a subrequest's response in memory.
        "subrequest_output_buffer_size" => subrequest_output_buffer_size: Size = Size::k(4),
        /// The maximum number of ranges in a request.
        "max_ranges" => max_ranges: u32 = i32::MAX as u32,
    }
    finish = Limits::finish;
}

impl Limits {
    /// The limits for request heads.
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

/// The size of an nginx memory pool. Only nginx's checks apply to it.
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
