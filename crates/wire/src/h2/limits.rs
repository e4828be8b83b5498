//! Limits for what a peer can cause, beside those of [`super::Config`].

use super::config::Millis;

/// The number of unsent bytes of output up to which bodies are written: about what a socket takes
/// at once, and a stream's first window with the heads of its frames. What waits beyond that only
/// makes late what comes after it.
pub const OUTPUT_LIMIT: usize = 65 << 10;

/// The number of free bytes in the output from which a stream that waits is told, so that it need
/// not write small frames; and what it may write before it is another one's turn.
pub(crate) const TURN: usize = OUTPUT_LIMIT / 2;

/// The number of unsent bytes above which the connection takes no input. Bodies stay below
/// [`OUTPUT_LIMIT`]; the rest are heads, and replies that a peer can ask for without an end if it
/// never reads them.
pub(crate) const OUTPUT_TOTAL: usize = 256 << 10;

/// The size of DATA frames, in bytes, below which their heads count, too.
pub(crate) const SMALL_CHUNK: usize = 1024;

/// The maximum number of CONTINUATION frames of one head. Senders split at 16 KiB, or at the least
/// at some 4 KiB, so that a head of 64 KiB has no more.
pub(crate) const CONTINUATIONS: u32 = 16;

/// The same for a head of an upstream, which may have 1 MiB (`proxy_buffer_size`).
pub(crate) const CONTINUATIONS_OF_UPSTREAMS: u32 = 64;

/// The bytes that compression may add to a head: the representation of a field has at most so many
/// bytes beside its name and value, if a sender does not lengthen integers on purpose.
pub(crate) const FIELD_OVERHEAD: u32 = 8;

/// The maximum length of frames other than DATA, HEADERS, CONTINUATION and unknown ones, in bytes,
/// whatever SETTINGS_MAX_FRAME_SIZE is: they are held until they are complete.
pub(crate) const CONTROL_FRAME: u32 = 16 << 10;

/// A stream counts until it is forgotten, which is a little after its end, while the peer may
/// already open another one. So there may be so many times the maximum of open streams.
pub(crate) const PLACES_PER_STREAM: usize = 2;

/// The number of requests that a client sends before it knows how many it may: RFC 9113 section
/// 6.5.2 recommends that servers allow as many.
pub(crate) const STREAMS_BEFORE_SETTINGS: u32 = 100;

/// The number of priorities that are kept for streams to come. A client whose frames arrive in
/// order has one.
pub(crate) const EARLY_PRIORITIES: usize = 16;

/// The maximum number of nodes in the tree of priorities of RFC 7540, the root included. Streams
/// beyond it have none, and come after those that have one.
pub(crate) const TREE_NODES: usize = 256;

/// The maximum number of these nodes whose streams are idle or closed: groups, and streams on which
/// others may still depend. Firefox had six groups.
pub(crate) const UNUSED_TREE_NODES: usize = 64;

/// The number of streams that a peer may let fail within their first second before it is refused. A
/// browser that leaves a page cancels a hundred at once.
pub(crate) const RESETS: u32 = 1000;

/// The number of such streams that are forgiven in each second.
pub(crate) const RESETS_PER_SECOND: u32 = 33;

/// The age from which a stream's failure is no longer counted: the maximum of streams bounds how
/// many become that old.
pub(crate) const YOUNG: Millis = 1000;

/// The cost of frames without use that a peer may send at once: see [`cost`]. A download of gRPC
/// measures the way by a PING in each round trip.
pub(crate) const OVERHEAD: u32 = 10_000;

/// The cost that is forgiven in each second.
pub(crate) const OVERHEAD_PER_SECOND: u32 = 1000;

/// The increment of a window, in bytes, below which it costs more if a stream waits for it: no
/// honest peer asks for a body in such pieces.
pub(crate) const SMALL_INCREMENT: u32 = 128;

/// The number of bytes of a DATA frame on a stream that is no more from which it costs nothing:
/// many may have been under way, and their sender has paid for them.
pub(crate) const BULK: u32 = 64;

/// What frames cost of [`OVERHEAD`]. A head, and a DATA frame with content in either
/// direction, earn 1, so that a peer may send one control frame for each of them.
pub(crate) mod cost {
    /// PING, WINDOW_UPDATE, RST_STREAM, unknown types: little more than to receive it.
    pub(crate) const FRAME: u32 = 1;
    /// PRIORITY: up to 2 µs in a tree of the greatest depth; a browser sends some for a page.
    pub(crate) const PRIORITY: u32 = 5;
    /// SETTINGS: adjusts the window of each stream, and is answered.
    pub(crate) const SETTINGS: u32 = 10;
    /// A DATA frame without content or end, a CONTINUATION, a very small increment: no sender needs
    /// them.
    pub(crate) const POINTLESS: u32 = 10;
    /// An interim response: seldom more than one for a request.
    pub(crate) const INTERIM: u32 = 10;
    /// A head that exceeds a limit: decoded, but of no use.
    pub(crate) const LARGE_HEAD: u32 = 100;
}
