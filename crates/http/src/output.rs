//! Sending a response: the head through header filters, the body through body filters.

use std::io;

use crate::filter::{After, Part};
use crate::module::Verdict;
use crate::piece::Piece;
use crate::request::Request;
use crate::response::Sent;

impl Request {
    /// Sends the head through the header filters and queues it for the client.
    ///
    /// # Errors
    /// The status that a filter demands instead (416, 412). Nothing has been queued.
    pub fn send_head(&mut self) -> Result<(), u16> {
        if self.response.sent != Sent::Nothing {
            return Ok(());
        }
        if self.error_status != 0 {
            self.response.status = self.error_status;
            self.response.status_line = None;
        }
        self.discard_body()?;
        self.response.before_last.clear();
        let location = self.location.clone();
        for filter in &location.handlers.header_filters {
            filter(self)?;
        }
        // The filters treat HEAD like GET, so that the heads are equal.
        if self.method == weir_wire::h1::Method::Head
            || matches!(self.response.status, 204 | 304)
            || self.response.status < 200
        {
            self.response.header_only = true;
        }
        self.response.sent = Sent::Head;
        if self.is_subrequest() {
            crate::include::limit_capture(self);
        } else {
            self.settle_rate();
            self.queue_head();
        }
        Ok(())
    }

    /// For a response that does not wait for the request body: tells a waiting client to continue,
    /// and checks the received part of the body (nginx: `ngx_http_discard_request_body`).
    ///
    /// # Errors
    /// The response status, if the received part breaks the framing.
    pub(crate) fn discard_body(&mut self) -> Result<(), u16> {
        if self.is_subrequest() || self.body.is_streamed {
            return Ok(());
        }
        self.queue_continue();
        if self.body.is_done() {
            return Ok(());
        }
        let Self { body, client, .. } = self;
        let Some(exchange) = client.exchange() else { return Ok(()) };
        if let Err(error) = body.discard_received(exchange) {
            body.abandon();
            return Err(self.body_failed(error));
        }
        Ok(())
    }

    /// Pushes a piece of the body through the filters into the client's queue.
    ///
    /// # Errors
    /// A filter failed. The connection must be closed.
    pub fn push(&mut self, piece: Piece) -> io::Result<()> {
        self.run_chain(Some(piece), After::More)
    }

    /// Makes the filters push the bytes that they hold.
    ///
    /// # Errors
    /// As [`Request::push`].
    pub fn push_flush(&mut self) -> io::Result<()> {
        self.run_chain(None, After::Flush)
    }

    /// Ends the body.
    ///
    /// # Errors
    /// As [`Request::push`].
    pub fn push_last(&mut self, piece: Option<Piece>) -> io::Result<()> {
        if self.response.sent == Sent::All {
            return Ok(());
        }
        for compute in std::mem::take(&mut self.response.before_last) {
            compute(self);
        }
        self.run_chain(piece, After::Finish)
    }

    /// Ends the body and waits until everything has been sent.
    ///
    /// # Errors
    /// The client is gone, or takes nothing for `send_timeout`.
    pub async fn send_last(&mut self, piece: Option<Piece>) -> io::Result<()> {
        self.push_last(piece)?;
        self.flush().await
    }

    /// Sends a response with a body in memory.
    pub async fn send_all(&mut self, status: u16, content_type: &[u8], body: Vec<u8>) -> Verdict {
        self.response.status = status;
        self.response.content_type = content_type.to_vec();
        self.response.content_length = Some(body.len() as u64);
        if let Err(status) = self.send_head() {
            return Verdict::Status(status);
        }
        match self.send_last(Some(Piece::copy(&body))).await {
            Ok(()) => Verdict::Done,
            Err(_) => Verdict::Abort,
        }
    }

    fn run_chain(&mut self, piece: Option<Piece>, after: After) -> io::Result<()> {
        if self.response.header_only {
            if after == After::Finish {
                self.response.sent = Sent::All;
            }
            return Ok(());
        }
        if self.response.chain.is_empty() {
            if let Some(piece) = piece {
                self.queue(piece);
            }
            if after == After::Finish {
                self.response.sent = Sent::All;
                if !self.is_subrequest() {
                    self.queue_end();
                }
            }
            return Ok(());
        }
        let mut chain = std::mem::take(&mut self.response.chain);
        let pieces = chain.run(self, Part::Own, piece, after);
        self.response.chain = chain;
        self.join(pieces?, after)
    }
}
