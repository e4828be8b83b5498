//! OTLP over gRPC: a call on a connection of HTTP/2, whose frames are answered between calls, too.
//!
//! ```text
//!   exchange ─▶ a stream: head, the message ─▶ head, message, trailers ─▶ judge
//!   attend   ─▶ PING, SETTINGS and GOAWAY of a connection without a call
//! ```

mod call;

use std::future::poll_fn;
use std::io::IoSlice;
use std::task::{Context, Poll};

use weir_engine::{Conn, clock};
use weir_wire::h2::{Config, Connection, Event, Role};
use weir_wire::otlp::grpc;

use super::super::exporter::Exporter;
use super::{Failure, MAX_BODY, MAX_HEAD, READ, USER_AGENT};
use call::Call;

/// The protocol, as ALPN names it.
pub(in super::super) const ALPN: &[u8] = b"h2";

/// The maximum payload of frames, received and sent: the default of HTTP/2.
const FRAME: u32 = 16 << 10;

/// The maximum number of fields in an answer's head: a dozen is usual.
const MOST_FIELDS: u32 = 100;

/// The number of reads in a row before other tasks of the loop have their turn.
const READS_AT_ONCE: usize = 16;

/// How the time for a call is written to the collector, which need not work for longer; that of
/// [`super::TIMEOUT`].
const DEADLINE: &[u8] = b"10S";

/// A connection.
pub(in super::super) struct Line {
    conn: Conn,
    machine: Connection,
    /// Received bytes.
    raw: Vec<u8>,
    /// The collector accepts no more calls.
    leaving: bool,
}

impl Line {
    /// Starts to speak HTTP/2.
    ///
    /// # Errors
    /// The collector has not agreed to HTTP/2 in the TLS handshake, which gRPC requires.
    pub(super) fn new(conn: Conn) -> Result<Self, Failure> {
        if conn.tls().is_some_and(|tls| tls.alpn.as_deref() != Some(ALPN)) {
            let what = "the collector does not offer HTTP/2, which gRPC needs, by ALPN";
            return Err(Failure::passing(what));
        }
        let window = 2 * MAX_BODY as u32;
        let machine = Connection::new(Config {
            role: Role::Client,
            max_streams: 1,
            stream_window: window,
            connection_window: window,
            max_frame: FRAME,
            chunk: FRAME,
            max_head: MAX_HEAD as u32,
            max_fields: MOST_FIELDS,
            extended_connect: false,
        });
        Ok(Self { conn, machine, raw: Vec::new(), leaving: false })
    }

    pub(super) fn is_alive(&mut self) -> bool {
        !self.leaving && self.machine.can_open() && !self.conn.is_closed()
    }

    /// Calls the collector with a message.
    ///
    /// # Errors
    /// There is no answer.
    pub(super) async fn exchange(
        mut self: Box<Self>,
        exporter: &Exporter,
        message: &[u8],
    ) -> Result<super::Answer, Failure> {
        let body = grpc::framed(message);
        let endpoint = &exporter.endpoint;
        let stream = self.machine.open(false, |head| {
            head.other(b":method", b"POST");
            head.other(b":scheme", if endpoint.is_tls { b"https" } else { b"http" });
            head.other(b":path", grpc::PATH);
            head.other(b":authority", endpoint.authority.as_bytes());
            head.field(b"te", b"trailers");
            head.field(b"content-type", b"application/grpc");
            head.field(b"grpc-timeout", DEADLINE);
            for (name, value) in exporter.fields(USER_AGENT) {
                // They may be credentials.
                head.sensitive(name.as_bytes(), value.as_bytes());
            }
        });
        let mut call = Call::new(stream, &body);
        let answered = poll_fn(|cx| self.poll_call(cx, &mut call)).await;
        if !call.is_over() {
            answered?;
        }
        self.machine.forget(stream);
        let judgement = call.judge()?;
        let keeps = !self.leaving && self.machine.can_open();
        Ok(super::Answer { judgement, line: keeps.then_some(super::Line::Grpc(self)) })
    }

    /// Answers the collector's frames until the connection is of no more use.
    pub(super) async fn attend(&mut self) {
        poll_fn(|cx| {
            for _ in 0..READS_AT_ONCE {
                if self.leaving {
                    return Poll::Ready(());
                }
                match self.poll_step(cx, None) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(_)) => self.leaving = true,
                }
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    fn poll_call(
        &mut self,
        cx: &mut Context<'_>,
        call: &mut Call<'_>,
    ) -> Poll<Result<(), Failure>> {
        for _ in 0..READS_AT_ONCE {
            call.push(&mut self.machine);
            if call.is_over() {
                return Poll::Ready(Ok(()));
            }
            match self.poll_step(cx, Some(call)) {
                Poll::Ready(Ok(())) => {}
                other => return other,
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Sends and receives what is possible at once. Pending if nothing is.
    fn poll_step(
        &mut self,
        cx: &mut Context<'_>,
        call: Option<&mut Call<'_>>,
    ) -> Poll<Result<(), Failure>> {
        let mut sent = Ok(false);
        while !self.machine.output().is_empty() {
            match self.conn.poll_send(cx, &[IoSlice::new(self.machine.output())]) {
                Poll::Ready(Ok(bytes)) => {
                    self.machine.sent(bytes);
                    sent = Ok(true);
                }
                // What the collector said before is still worth reading.
                Poll::Ready(Err(error)) => {
                    self.leaving = true;
                    sent = Err(Failure::of_send(&error));
                    break;
                }
                Poll::Pending => break,
            }
        }
        if let Poll::Ready(Err(error)) = self.conn.poll_flush(cx) {
            sent = Err(Failure::of_send(&error));
        }
        if self.machine.takes_input() || sent.is_err() {
            match self.conn.poll_recv(cx, &mut self.raw, READ) {
                Poll::Ready(Ok(0)) => {
                    return Poll::Ready(Err(sent.err().unwrap_or_else(Failure::closed)));
                }
                Poll::Ready(Ok(_)) => return Poll::Ready(self.process(call)),
                Poll::Ready(Err(error)) => {
                    let failure = sent.err().unwrap_or_else(|| Failure::of_recv(&error));
                    return Poll::Ready(Err(failure));
                }
                Poll::Pending => {}
            }
        }
        match sent {
            Ok(true) => Poll::Ready(Ok(())),
            Ok(false) => Poll::Pending,
            Err(failure) => Poll::Ready(Err(failure)),
        }
    }

    /// Processes what was received.
    fn process(&mut self, mut call: Option<&mut Call<'_>>) -> Result<(), Failure> {
        let raw = std::mem::take(&mut self.raw);
        let mut input = &raw[..];
        loop {
            let event = match self.machine.receive(&mut input, clock::now().millis()) {
                Ok(Some(event)) => event,
                Ok(None) => return Ok(()),
                Err(error) => {
                    return Err(not_spoken(&raw, self.machine.knows_settings(), error.reason));
                }
            };
            match event {
                Event::GoAway { .. } => self.leaving = true,
                Event::Data { stream, bytes, framing, .. } => {
                    self.machine.release(stream, bytes.len() + framing as usize);
                }
                _ => {}
            }
            if let Some(call) = call.as_deref_mut() {
                call.handle(event, self.machine.fields());
            }
        }
    }
}

/// A failure to speak HTTP/2 with a collector.
fn not_spoken(raw: &[u8], has_spoken: bool, reason: &str) -> Failure {
    Failure::passing(match raw.starts_with(b"HTTP/1.") && !has_spoken {
        true => "the collector speaks HTTP/1, not gRPC: for OTLP over HTTP, \"endpoint\" needs a \
                 path such as \"/v1/traces\""
            .to_owned(),
        false => format!("the answer is not gRPC: {reason}"),
    })
}
