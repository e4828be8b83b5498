//! The body of a response on its way from the upstream to the client.
//!
//! With buffering, the upstream is read as fast as it sends, into memory up to `buffers` and then
//! into a file, while the client takes its time. Without, a piece is read when the one before it
//! has gone out.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use weir_engine::buffer::{self, Buf};
use weir_engine::error_log::Level;
use weir_upstream::Pick;

use weir_wire::h1::Chunked;
use weir_wire::header::Headers;

use super::attempt::{Exchange, Watch, io_failed};
use super::body::BodyReader;
use super::{Pass, pool, release};
use crate::module::Verdict;
use crate::piece::Piece;
use crate::request::Request;

/// What one read takes at first; a fast upstream gets larger ones.
const FIRST_READ: usize = 16 * 1024;

/// What one read takes at most.
const LARGEST_READ: usize = 128 * 1024;

/// Relays the body and ends the response.
pub async fn run(
    request: &mut Request,
    pass: &Pass<'_>,
    pick: &mut Pick<'_>,
    slot: &mut Option<Exchange>,
) -> Verdict {
    let Some(exchange) = slot else { return Verdict::Status(502) };
    if let Err(status) = request.send_head() {
        release(request, pass, pick);
        return Verdict::Status(status);
    }
    let end = match request.response.header_only {
        true => End::Complete,
        false => body(request, pass, exchange).await,
    };
    if matches!(end, End::Complete) {
        if let BodyReader::Chunked(chunked) = &exchange.head.body
            && pass.settings.pass_trailers
        {
            trailers(request, pass, chunked);
        }
        keep(pass, pick, slot.take());
    }
    release(request, pass, pick);
    match end {
        End::Complete => match request.send_last(None).await {
            Ok(()) => Verdict::Done,
            Err(_) => Verdict::Abort,
        },
        End::Broken => {
            // What came before the break goes out; the missing end tells the client.
            request.keepalive = false;
            let _ = request.flush().await;
            Verdict::Abort
        }
        End::ClientGone => Verdict::Abort,
    }
}

/// Relays the body. What came with the head is often all of it.
async fn body(request: &mut Request, pass: &Pass<'_>, exchange: &mut Exchange) -> End {
    if let Some(attempt) = request.attempts.current() {
        attempt.body += exchange.input.len() as u64;
    }
    let (first, ended) = match take(request, exchange) {
        Ok(taken) => taken,
        Err(end) => return end,
    };
    match first {
        Some(first) if ended && pass.settings.buffering => match request.push(first.into()) {
            Ok(()) => End::Complete,
            Err(_) => End::Broken,
        },
        None if ended => End::Complete,
        first => {
            Box::pin(async {
                let mut relay = Relay::new(request, pass, exchange, ended);
                relay.run(request, first).await
            })
            .await
        }
    }
}

/// Takes what belongs to the body out of what was received, and whether it has ended.
fn take(request: &mut Request, exchange: &mut Exchange) -> Result<(Option<Buf>, bool), End> {
    let Exchange { head, input, .. } = exchange;
    let mut piece = None;
    let ended = match head.body.take(input, |buf| piece = Some(buf)) {
        Ok(ended) => ended,
        Err(message) => {
            let message = format!("{message} while {READING}");
            request.log_upstream(Level::Error, &message);
            return Err(End::Broken);
        }
    };
    if ended && !input.is_empty() {
        let message = "upstream sent more data than specified in \"Content-Length\" header while \
                       reading upstream";
        request.log_upstream(Level::Warn, message);
        head.reusable = false;
        input.clear();
    }
    Ok((piece, ended))
}

/// Passes on what came behind the body.
fn trailers(request: &mut Request, pass: &Pass<'_>, chunked: &Chunked) {
    let mut found = Headers::new();
    if chunked.trailers(&mut found).is_err() {
        return;
    }
    let hidden = &pass.settings.hidden;
    for (name, value, known) in found.iter() {
        if !hidden.has(name, known) {
            request.response.trailers.push(name, value);
        }
    }
    request.attempts.trailers = found;
}

/// Keeps the connection if it can serve another request.
fn keep(pass: &Pass<'_>, pick: &Pick<'_>, exchange: Option<Exchange>) {
    let Some(Exchange { conn, usage, input, head, sender }) = exchange else { return };
    let usable = head.reusable && head.body.is_done() && input.is_empty() && sender.is_done();
    if let Some(peer) = pick.peer()
        && usable
    {
        pool::put(peer, pass, conn, usage);
    }
}

/// How a relay ended.
enum End {
    Complete,
    /// The upstream broke off.
    Broken,
    /// The client is gone.
    ClientGone,
}

struct Relay<'a> {
    pass: &'a Pass<'a>,
    exchange: &'a mut Exchange,
    /// Decoded pieces that the client's queue has no room for yet.
    waiting: VecDeque<Piece>,
    waiting_memory: u64,
    file: Option<Rc<std::fs::File>>,
    file_len: u64,
    buffering: bool,
    /// How much may wait in memory.
    memory: u64,
    /// How much may wait in the file.
    file_max: u64,
    /// How much may be with the client before more is handed on (`busy_buffers_size`).
    busy: u64,
    read_size: usize,
    ended: bool,
    rate: Option<crate::client::Rate>,
    received: u64,
    watch: Watch,
}

impl<'a> Relay<'a> {
    fn new(
        request: &mut Request,
        pass: &'a Pass<'a>,
        exchange: &'a mut Exchange,
        ended: bool,
    ) -> Self {
        let settings = pass.settings;
        let overrides = request.state_if(&super::headers::OVERRIDES);
        let buffering = overrides.and_then(|o| o.buffering).unwrap_or(settings.buffering);
        let rate = super::target::limit_rate(request, pass);
        Self {
            pass,
            ended,
            exchange,
            waiting: VecDeque::new(),
            waiting_memory: 0,
            file: None,
            file_len: 0,
            buffering,
            memory: settings.buffers.total(),
            file_max: settings.max_temp_file_size.map_or(DEFAULT_FILE_MAX, |size| size.0),
            busy: settings.busy(),
            read_size: FIRST_READ,
            rate,
            received: 0,
            watch: Watch::new(settings.ignore_client_abort),
        }
    }

    async fn run(&mut self, request: &mut Request, first: Option<Buf>) -> End {
        if let Some(first) = first
            && let Err(end) = self.hold(request, first)
        {
            return end;
        }
        self.exchange.conn.end_wait();
        let timeout = self.pass.settings.read_timeout.0;
        loop {
            if let Err(end) = self.hand_on(request) {
                return end;
            }
            if self.ended && self.waiting.is_empty() {
                return End::Complete;
            }
            let event = poll_fn(|cx| self.poll_event(cx, request, timeout)).await;
            let result = match event {
                Event::Drained => Ok(()),
                Event::ClientGone => Err(self.client_gone(request)),
                Event::Received(Ok(0)) => self.closed(request),
                Event::Received(Ok(n)) => {
                    self.exchange.conn.end_wait();
                    self.received += n as u64;
                    if let Some(attempt) = request.attempts.current() {
                        attempt.received += n as u64;
                        attempt.body += n as u64;
                    }
                    self.take_input(request)
                }
                Event::Received(Err(error)) => {
                    io_failed(request, &error, READING, "recv() failed");
                    Err(End::Broken)
                }
                Event::TimedOut => {
                    let error = io::ErrorKind::TimedOut.into();
                    io_failed(request, &error, READING, "");
                    Err(End::Broken)
                }
            };
            if let Err(end) = result {
                return end;
            }
        }
    }

    /// Waits for whatever comes first: bytes from the upstream, or room with the client.
    fn poll_event(
        &mut self,
        cx: &mut Context<'_>,
        request: &mut Request,
        timeout: std::time::Duration,
    ) -> Poll<Event> {
        let reads = self.may_read(request);
        if !self.exchange.sender.is_done() {
            let Exchange { sender, conn, .. } = &mut *self.exchange;
            if let Poll::Ready(Err(_)) = sender.poll(cx, request, conn) {
                sender.abandon();
                self.exchange.head.reusable = false;
            }
        }
        if reads {
            match self.poll_read(cx) {
                Poll::Ready(result) => return Poll::Ready(Event::Received(result)),
                Poll::Pending => {}
            }
        }
        let before = request.queued();
        match request.poll_flush(cx) {
            Poll::Ready(Ok(())) if before > 0 => return Poll::Ready(Event::Drained),
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) => return Poll::Ready(Event::ClientGone),
            Poll::Pending if self.moved(request, before) => return Poll::Ready(Event::Drained),
            Poll::Pending => {}
        }
        if self.watch.is_gone(cx, request) {
            return Poll::Ready(Event::ClientGone);
        }
        if reads {
            self.exchange.conn.begin_wait(timeout);
            return self.exchange.conn.poll_wait(cx).map(|()| Event::TimedOut);
        }
        Poll::Pending
    }

    /// Whether the client took so much that more can be handed on.
    fn moved(&self, request: &Request, before: u64) -> bool {
        !self.waiting.is_empty() && before > self.busy && request.queued() <= self.busy
    }

    /// Whether there is room for more from the upstream.
    fn may_read(&self, request: &Request) -> bool {
        if self.ended {
            return false;
        }
        let held = self.waiting_memory + request.queued();
        match self.buffering {
            true => held < self.memory || self.file_len < self.file_max,
            false => held == 0,
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut want = self.read_size;
        if let Some(rate) = &mut self.rate {
            let budget = std::task::ready!(rate.poll_budget(cx, self.received));
            want = want.min(budget as usize);
        }
        if let Some(left) = self.exchange.head.body.left() {
            // One byte more shows what an upstream sends beyond its own length.
            want = want.min(usize::try_from(left).unwrap_or(usize::MAX).saturating_add(1));
        }
        let Exchange { conn, input, .. } = &mut *self.exchange;
        if input.capacity() == 0 {
            *input = buffer::take(want);
        }
        let result = std::task::ready!(conn.poll_recv(cx, input, want));
        if let Ok(n) = result
            && n == self.read_size
            && self.buffering
        {
            self.read_size = (self.read_size * 2).min(LARGEST_READ);
        }
        Poll::Ready(result)
    }

    /// Takes the body out of what was received.
    fn take_input(&mut self, request: &mut Request) -> Result<(), End> {
        let (piece, ended) = take(request, self.exchange)?;
        self.ended = ended;
        piece.map_or(Ok(()), |piece| self.hold(request, piece))
    }

    /// Puts a piece in line, in the file if memory is used up.
    fn hold(&mut self, request: &mut Request, buf: Buf) -> Result<(), End> {
        let held = self.waiting_memory + request.queued();
        let spills = self.buffering && held >= self.memory && self.file_len < self.file_max;
        if !spills && self.waiting.is_empty() && request.queued() <= self.busy {
            return request.push(buf.into()).map_err(|_| End::Broken);
        }
        if !spills {
            self.waiting_memory += buf.len() as u64;
            self.waiting.push_back(buf.into());
            return Ok(());
        }
        let start = self.file_len;
        match self.write_file(&buf) {
            Ok(file) => {
                if start == 0 {
                    let message = "an upstream response is buffered to a temporary file";
                    request.log_upstream(Level::Warn, message);
                }
                self.waiting.push_back(Piece::File(file, start..self.file_len));
                Ok(())
            }
            Err(error) => {
                let message =
                    weir_engine::os_error::Failed("writing a temporary file failed", &error);
                request.log(Level::Crit, &message.to_string());
                Err(End::Broken)
            }
        }
    }

    fn write_file(&mut self, bytes: &[u8]) -> io::Result<Rc<std::fs::File>> {
        use std::os::unix::fs::FileExt;
        let file = match &self.file {
            Some(file) => Rc::clone(file),
            None => {
                let file = Rc::new(weir_engine::temp_file::create(&self.pass.settings.folder())?);
                self.file = Some(Rc::clone(&file));
                file
            }
        };
        file.write_all_at(bytes, self.file_len)?;
        self.file_len += bytes.len() as u64;
        Ok(file)
    }

    /// Hands pieces to the client's queue while there is room.
    fn hand_on(&mut self, request: &mut Request) -> Result<(), End> {
        while let Some(piece) = self.waiting.pop_front() {
            if piece.bytes().is_some() {
                self.waiting_memory -= piece.len();
            }
            request.push(piece).map_err(|_| End::Broken)?;
            if request.queued() > self.busy {
                break;
            }
        }
        if !self.buffering {
            request.push_flush().map_err(|_| End::Broken)?;
        }
        Ok(())
    }

    /// The upstream closed its connection.
    fn closed(&mut self, request: &mut Request) -> Result<(), End> {
        self.exchange.head.reusable = false;
        if matches!(self.exchange.head.body, BodyReader::Close) {
            self.ended = true;
            return Ok(());
        }
        let message = "upstream prematurely closed connection while reading upstream";
        request.log_upstream(Level::Error, message);
        // What there is goes out before the connection ends.
        while let Some(piece) = self.waiting.pop_front() {
            request.push(piece).map_err(|_| End::Broken)?;
        }
        Err(End::Broken)
    }

    fn client_gone(&self, request: &mut Request) -> End {
        let message = "client prematurely closed connection, so upstream connection is closed too \
                       while reading upstream";
        request.log_upstream(Level::Info, message);
        request.keepalive = false;
        End::ClientGone
    }
}

/// `max_temp_file_size` where nothing is said: 1 GiB.
const DEFAULT_FILE_MAX: u64 = 1024 * 1024 * 1024;

const READING: &str = "reading upstream";

enum Event {
    Received(io::Result<usize>),
    /// The client took something.
    Drained,
    ClientGone,
    TimedOut,
}
