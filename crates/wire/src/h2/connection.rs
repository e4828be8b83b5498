//! A connection as a machine: bytes and the time come in, events and bytes go out.
//!
//! It does no I/O, knows no clock and holds no bodies: bytes of DATA frames are handed out where
//! they lie in the input, and bytes to be sent are copied once, into the output.
//!
//! ```text
//!            receive ─▶ heads, data, control ─▶ Event
//!   input               │ streams, windows,  │
//!                       │ settings, order    │
//!            output ◀── send, flow, end ◀──────  the user's calls
//! ```
//!
//! Memory: an idle connection that was trimmed holds itself (less than 1 KiB) and the tables of
//! header compression. Beyond that a peer can make it hold an incomplete frame or head (two heads'
//! worth), the unsent output (256 KiB and the heads of open streams), and a stream's entry of 80
//! bytes for twice [`Config::max_streams`].

mod control;
mod data;
mod end;
mod event;
mod flow;
mod heads;
mod receive;
mod send;

pub use event::Event;

use super::budget::Budget;
use super::closed::Closed;
use super::config::{Config, Millis, Role};
use super::frame::PREFACE;
use super::frame::write;
use super::hpack::{Decoder, Encoder};
use super::limits;
use super::order::Order;
use super::output::Output;
use super::priority::Priority;
use super::settings::{self, PeerSettings};
use super::stream::StreamId;
use super::streams::Streams;
use super::window::{INITIAL_WINDOW, MAX_WINDOW, ReceiveWindow, SendWindow};
use crate::field_block::FieldBlock;

use data::Body;
use end::Ending;
use heads::Block;
use receive::Phase;

/// A connection.
#[derive(Debug)]
pub struct Connection {
    config: Config,
    phase: Phase,
    /// The start of an incomplete frame.
    held: Vec<u8>,
    /// The DATA frame under way.
    body: Body,
    /// The head under way.
    block: Block,
    streams: Streams,
    /// Streams of the client that were opened.
    closed: Closed,
    order: Order,
    /// The number of streams whose turn it is to send: each has [`limits::TURN`] of the output.
    turns: u32,
    /// The last one that was told so.
    told: Option<StreamId>,
    /// Whether [`Self::poll_writable`] has returned None since.
    is_told: bool,
    /// Priorities of streams to come (server).
    early: Vec<(u32, Priority)>,
    peer: PeerSettings,
    /// Whether the peer has acknowledged the settings.
    is_acknowledged: bool,
    send_window: SendWindow,
    receive_window: ReceiveWindow,
    decoder: Decoder,
    encoder: Encoder,
    fields: FieldBlock,
    output: Output,
    ending: Ending,
    /// What is left of [`limits::OVERHEAD`].
    overhead: Budget,
    /// What is left of [`limits::RESETS`] (server).
    resets: Budget,
    /// The time of the last call of `receive`.
    now: Millis,
}

/// The size of the tables of header compression, in bytes: what a peer may use before it knows
/// better.
const HEADER_TABLE: u32 = 4096;

impl Connection {
    /// A new connection; its preface and settings are already in the output.
    pub fn new(config: Config) -> Self {
        let mut output = Output::default();
        let out = output.end();
        let mut decoder = Decoder::new(HEADER_TABLE);
        if config.role == Role::Client {
            out.extend_from_slice(PREFACE);
            // Servers that pad so work behind nginx.
            decoder.allow_long_padding();
        }
        write::settings(out, settings::own(&config));
        let window = config.connection_window.clamp(INITIAL_WINDOW, MAX_WINDOW);
        if window > INITIAL_WINDOW {
            write::window_update(out, 0, window - INITIAL_WINDOW);
        }
        Self {
            config,
            phase: Phase::first(config.role),
            held: Vec::new(),
            body: Body::NONE,
            block: Block::default(),
            streams: Streams::new(),
            closed: Closed::default(),
            order: Order::new(),
            turns: 0,
            told: None,
            is_told: false,
            early: Vec::new(),
            peer: PeerSettings::initial(),
            is_acknowledged: false,
            send_window: SendWindow::new(INITIAL_WINDOW),
            receive_window: ReceiveWindow::new(window, window),
            decoder,
            encoder: Encoder::new(HEADER_TABLE),
            fields: FieldBlock::default(),
            output,
            ending: Ending::default(),
            overhead: Budget::new(limits::OVERHEAD, limits::OVERHEAD_PER_SECOND),
            resets: Budget::new(limits::RESETS, limits::RESETS_PER_SECOND),
            now: 0,
        }
    }

    /// The fields of the last head or trailers. May be taken by `std::mem::take` or swapped for
    /// another one with memory.
    pub fn fields(&mut self) -> &mut FieldBlock {
        &mut self.fields
    }

    /// The bytes to send. Empty if there is nothing to do.
    pub fn output(&self) -> &[u8] {
        self.output.bytes()
    }

    /// Removes sent bytes from the front of the output.
    pub fn sent(&mut self, bytes: usize) {
        self.output.remove(bytes);
    }

    /// Lends memory for the output, which is used if it has none.
    pub fn lend(&mut self, memory: Vec<u8>) {
        self.output.lend(memory);
    }

    /// Takes the memory of the output, if it is empty.
    pub fn take_back(&mut self) -> Option<Vec<u8>> {
        self.output.take_back()
    }

    /// Whether the peer is to be listened to. False while it does not read what it has caused: then
    /// only the output is to be sent.
    pub fn takes_input(&self) -> bool {
        self.output.len() <= limits::OUTPUT_TOTAL
    }

    /// The number of streams that have not been forgotten.
    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    /// The side.
    pub fn role(&self) -> Role {
        self.config.role
    }

    /// Whether a part of a frame or of a head was received.
    pub fn holds_part(&self) -> bool {
        !self.held.is_empty() || self.block.is_under_way() || self.body.is_under_way()
    }

    /// Whether a part of a head, or of another short frame, was received that is waited for.
    pub fn holds_part_of_head(&self) -> bool {
        (!self.held.is_empty() || self.block.is_under_way()) && !self.block.is_late()
    }

    /// Whether the peer offers extended CONNECT (RFC 8441).
    pub fn peer_takes_extended_connect(&self) -> bool {
        self.peer.extended_connect
    }

    /// Frees the memory that an idle connection does not need.
    pub fn trim(&mut self) {
        if self.held.is_empty() {
            self.held = Vec::new();
        }
        self.block.trim();
        self.streams.trim();
        self.output.trim();
        self.early.shrink_to_fit();
        self.fields = FieldBlock::default();
    }
}

#[cfg(test)]
mod tests;
