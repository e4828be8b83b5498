//! Reading a request's body: whole, in advance or as it arrives.

use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll};

use weir_engine::buffer::Buf;

use super::collect::Collector;
use super::{BodyError, BodyStep};
use crate::core::temp_path::TempFileError;
use crate::h2::settings::HTTP2;
use crate::rejection::Rejection;
use crate::request::Request;

/// The number of unread bytes that a client may have under way if its body is read whole, and the
/// protocol has a limit. What does not fit the buffer goes to a file, so it only bounds what comes
/// in one turn of the loop, or during a write.
const WHOLE_BODY_WINDOW: u64 = 1024 * 1024;

/// How bytes of a body reached the collector.
enum Came {
    Step(BodyStep),
    /// Directly into its memory; this many.
    Direct(u64),
}

impl Came {
    /// The step that is left to the caller.
    fn step(self, collector: &mut Collector) -> Option<BodyStep> {
        match self {
            Self::Step(step) => Some(step),
            Self::Direct(count) => {
                collector.received(count);
                None
            }
        }
    }
}

impl Request {
    /// Reads the whole body into memory or a file. A client that waits is sent `100 Continue`.
    ///
    /// # Errors
    /// The rejection of the request, whose reason has been logged.
    pub async fn read_body(&mut self) -> Result<(), Rejection> {
        if self.body.is_ready() {
            return Ok(());
        }
        self.ask_for_body().await?;
        if !self.body.chunked && self.body.content_length.is_none() {
            return Ok(());
        }
        let wait = self.begin_wait("request_body");
        self.client.allow_body(WHOLE_BODY_WINDOW);
        let received = self.client.unread().unwrap_or_default();
        let mut collector = Collector::new(self, received as u64);
        loop {
            let step = std::future::poll_fn(|cx| match collector.room() {
                Some(room) => self.poll_body_into(cx, room),
                None => self.poll_body(cx).map_ok(Came::Step),
            });
            match step.await.map(|came| came.step(&mut collector)) {
                Ok(None) => {}
                Ok(Some(BodyStep::Data(data))) => {
                    collector.add(self, &data).map_err(|error| self.body_file_failed(&error))?;
                    let written = collector.written(false).await;
                    written.map_err(|error| self.body_file_failed(&error))?;
                }
                Ok(Some(BodyStep::End)) => break,
                Err(error) => {
                    self.end_wait(wait);
                    return Err(self.body_failed(error));
                }
            }
        }
        self.end_wait(wait);
        let content = collector.finish(self).await;
        let content = content.map_err(|error| self.body_file_failed(&error))?;
        self.body.content_length = Some(content.len);
        self.body.content = Some(Rc::new(content));
        Ok(())
    }

    /// Reads the received part of a body that is to be streamed. A body that has arrived in full
    /// counts as read whole (ngx_http_read_client_request_body).
    ///
    /// # Errors
    /// The rejection of the request, whose reason has been logged.
    pub async fn read_body_ahead(&mut self) -> Result<(), Rejection> {
        if self.body.content.is_some() || !self.body.is_expected() {
            return Ok(());
        }
        self.ask_for_body().await?;
        let most = self.get(&crate::core::LIMITS).client_body_buffer_size.0;
        let preread = self.server.settings.get(&HTTP2).body_preread_size.0;
        self.client.allow_body(most.max(preread.into()));
        let (mut ahead, mut length) = (VecDeque::new(), 0);
        while length < most {
            let step = std::future::poll_fn(|cx| match self.poll_body(cx) {
                Poll::Ready(step) => Poll::Ready(Some(step)),
                Poll::Pending => Poll::Ready(None),
            });
            match step.await {
                None => break,
                Some(Ok(BodyStep::Data(data))) => {
                    length += data.len() as u64;
                    ahead.push_back(data);
                }
                Some(Ok(BodyStep::End)) => return self.all_is_there(&ahead).await,
                Some(Err(error)) => return Err(self.body_failed(error)),
            }
            if self.body.is_done() {
                return self.all_is_there(&ahead).await;
            }
        }
        self.body.ahead = ahead;
        Ok(())
    }

    async fn all_is_there(&mut self, pieces: &VecDeque<Buf>) -> Result<(), Rejection> {
        let received = pieces.iter().map(|data| data.len() as u64).sum();
        let mut collector = Collector::of_received(self, received);
        for data in pieces {
            collector.add(self, data).map_err(|error| self.body_file_failed(&error))?;
        }
        let content = collector.finish(self).await;
        let content = content.map_err(|error| self.body_file_failed(&error))?;
        self.body.content_length = Some(content.len);
        self.body.content = Some(Rc::new(content));
        self.body.is_streamed = false;
        Ok(())
    }

    /// The next bytes of the body.
    pub fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<BodyStep, BodyError>> {
        let Self { body, client, .. } = self;
        body.is_streamed = true;
        match client.exchange() {
            Some(exchange) => body.poll_step(cx, exchange),
            None => Poll::Ready(Ok(BodyStep::End)),
        }
    }

    /// Like [`Request::poll_body`], but receives a body of known length directly into `room`.
    fn poll_body_into(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Buf,
    ) -> Poll<Result<Came, BodyError>> {
        let Self { body, client, .. } = self;
        match client.exchange() {
            Some(exchange) if body.is_plain(exchange) => {
                body.is_streamed = true;
                body.poll_append(cx, exchange, room).map_ok(Came::Direct)
            }
            _ => self.poll_body(cx).map_ok(Came::Step),
        }
    }

    /// Sends `100 Continue` if the client waits for it.
    ///
    /// # Errors
    /// Status 499, if the client is gone.
    pub async fn ask_for_body(&mut self) -> Result<(), Rejection> {
        if self.body.expects_continue {
            self.queue_continue();
            self.client.flush().await.map_err(|_| Rejection::CLIENT_GONE)?;
        }
        Ok(())
    }

    /// Logs why the body could not be read.
    pub fn body_failed(&mut self, error: BodyError) -> Rejection {
        use weir_engine::error_log::Level;
        self.keepalive = false;
        self.blame(error.cause());
        match error {
            BodyError::TooLarge => {
                let message = format!(
                    "client intended to send too large chunked body: {}+{} bytes",
                    self.body.received, self.body.announced
                );
                self.log(Level::Error, &message);
                self.response.lingers = true;
            }
            BodyError::Malformed => self.log(Level::Error, "client sent invalid chunked body"),
            BodyError::TooLong => {
                self.body.abandon();
                self.log(Level::Info, "client intended to send body data larger than declared");
            }
            BodyError::TooShort => {
                let message = format!(
                    "client prematurely closed stream: only {} out of {} bytes of request body \
                     received",
                    self.body.received,
                    self.body.content_length.unwrap_or_default()
                );
                self.body.abandon();
                self.log(Level::Info, &message);
            }
            BodyError::Closed => {
                self.body.abandon();
                self.client.broken = true;
                self.log(Level::Info, "client prematurely closed connection");
            }
            BodyError::TimedOut => {
                self.body.abandon();
                self.client.timed_out = true;
            }
            BodyError::File => {}
            BodyError::Untranslatable(what) => {
                self.log(Level::Info, &format!("client sent {what}"));
            }
        }
        self.body.refuse();
        error.rejection()
    }

    fn body_file_failed(&mut self, error: &TempFileError) -> Rejection {
        self.log(weir_engine::error_log::Level::Crit, &error.to_string());
        Rejection::INTERNAL
    }
}
