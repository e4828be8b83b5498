//! Sending a response: the head through header filters, the body through body filters.

use std::io;

use weir_wire::h1::{Method, Version};

use crate::client::head::Reply;
use crate::filter::{After, Part};
use crate::module::Verdict;
use crate::piece::Piece;
use crate::recorder::notes::Kind;
use crate::rejection::Rejection;
use crate::request::Request;
use crate::response::Sent;

impl Request {
    /// Sends the head through the header filters and queues it for the client.
    ///
    /// # Errors
    /// The status that a filter demands instead (416, 412). Nothing has been queued.
    pub fn send_head(&mut self) -> Result<(), Rejection> {
        if self.response.sent != Sent::Nothing {
            return Ok(());
        }
        if self.error_status != 0 {
            self.response.status = self.error_status;
            self.response.status_line = None;
        }
        self.discard_body()?;
        self.before_last.clear();
        let location = self.location.clone();
        for filter in &location.handlers.header_filters {
            filter(self)?;
        }
        // The filters treat HEAD like GET, so that the heads are equal.
        let is_head = self.method == Method::Head && self.head.version != Version::HTTP_09;
        if is_head || matches!(self.response.status, 204 | 304) || self.response.status < 200 {
            self.response.header_only = true;
        }
        self.response.sent = Sent::Head;
        self.note(Kind::Head, |step, _| step.status = self.response.status);
        if self.is_subrequest() {
            crate::subrequest::include::limit_capture(self);
        } else {
            self.settle_rate();
            self.queue_head();
        }
        Ok(())
    }

    /// Queues the head unchanged.
    pub(crate) fn queue_head(&mut self) {
        if self.keepalive && self.snapshot.is_draining() {
            self.keepalive = false;
        }
        self.client.queue_head(Reply {
            response: &mut self.response,
            keepalive: &mut self.keepalive,
            method: self.method,
            version: self.head.version,
            upgraded: self.upgraded,
            host: &self.head.host,
            server_name: &self.server.name,
            info: &self.info,
            connection: &self.location.usual.connection,
            redirect: &self.location.usual.redirect,
        });
    }

    /// Tells a waiting client to continue with its body (RFC 9110 section 10.1.1).
    pub(crate) fn queue_continue(&mut self) {
        if std::mem::take(&mut self.body.expects_continue) {
            self.client.queue_continue();
        }
    }

    /// Resets the response to its initial state.
    pub(crate) fn reset_response(&mut self) {
        self.response.reset();
        self.chain.clear();
        self.before_last.clear();
    }

    /// Removes the body of an unsent response, and the fields that describe it
    /// (`ngx_http_clean_header`).
    pub fn forget_response_body(&mut self) {
        self.response.forget_body();
        self.chain.clear();
        self.before_last.clear();
    }

    /// For a response that does not wait for the request body: tells a waiting client to continue,
    /// and checks the received part of the body (nginx: `ngx_http_discard_request_body`).
    ///
    /// # Errors
    /// A rejection, if the received part breaks the framing.
    pub(crate) fn discard_body(&mut self) -> Result<(), Rejection> {
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
        // What is asked further on for this request has no body.
        body.refuse();
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
        if !self.before_last.is_empty() {
            for compute in std::mem::take(&mut self.before_last) {
                compute(self);
            }
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
        self.response.set_content_type(content_type);
        self.response.content_length = Some(body.len() as u64);
        if let Err(rejection) = self.send_head() {
            return rejection.into();
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
        // A subrequest, and what follows it, goes in line.
        let lines_up = matches!(piece, Some(Piece::Include(_))) || !self.line.is_empty();
        if self.chain.is_empty() && !lines_up {
            if let Some(piece) = piece {
                self.client.queue(&self.response, piece);
            }
            if after == After::Finish {
                self.response.sent = Sent::All;
                if !self.is_subrequest() {
                    self.client.queue_end(&self.response);
                }
            }
            return Ok(());
        }
        let mut chain = std::mem::take(&mut self.chain);
        let pieces = chain.run(self, Part::Own, piece, after);
        self.chain = chain;
        self.join(pieces?, after)
    }
}
