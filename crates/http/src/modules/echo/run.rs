//! Running the commands of a location.

use std::future::poll_fn;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use weir_engine::clock::{self, Instant};
use weir_engine::error_log::Level;
use weir_engine::timer::Deadline;
use weir_script::Template;

use super::ECHO;
use super::command::{Command, Text};
use super::subrequest::{exec, subrequest};
use crate::module::{Pending, Verdict};
use crate::piece::Piece;
use crate::request::{Request, State};
use crate::response::Sent;

/// The number of queued bytes above which a command waits for the client.
const QUEUE_LIMIT: u64 = 64 * 1024;

/// The longest piece of an `echo_duplicate`, in bytes, unless the text is longer.
const DUPLICATE_PIECE: usize = 32 * 1024;

/// The state of the commands of a request.
#[derive(Default)]
pub(super) struct Progress {
    /// The parts of the current repetition, and the one in turn.
    pub(super) parts: Vec<Vec<u8>>,
    pub(super) part: usize,
    /// The number of the first command that is repeated.
    first: usize,
    /// When the timer was reset.
    pub(super) timer: Option<Instant>,
}

pub(super) static PROGRESS: State<Progress> = State::new(Progress::default);

/// The result of a command: the next may run, or the request ends.
pub(super) type Next = Result<(), Verdict>;

pub(super) fn handle(request: &mut Request) -> Pending<'_, Verdict> {
    Box::pin(async move {
        let location = request.location.clone();
        let commands = &location.settings.get(&ECHO).commands;
        let mut at = 0;
        while let Some(command) = commands.get(at) {
            at += 1;
            let next = match &**command {
                Command::Foreach(by, text) => {
                    repeat(request, by, text, at).map(|goes| match goes {
                        ControlFlow::Continue(()) => at,
                        ControlFlow::Break(()) => behind_end(commands, at),
                    })
                }
                Command::End => Ok(again(request, at)),
                command => run(request, command).await.map(|()| at),
            };
            match next {
                Ok(next) => at = next,
                Err(verdict) => return verdict,
            }
        }
        match begin(request) {
            Ok(()) => {}
            Err(verdict) => return verdict,
        }
        match request.send_last(None).await {
            Ok(()) => Verdict::Done,
            Err(_) => Verdict::Abort,
        }
    })
}

async fn run(request: &mut Request, command: &Command) -> Next {
    match command {
        Command::Echo(text) => {
            let bytes = evaluate(request, text);
            begin(request)?;
            if bytes.is_empty() { Ok(()) } else { send(request, Piece::copy(&bytes)).await }
        }
        Command::Duplicate(count, text) => duplicate(request, count, text).await,
        Command::Flush => flush(request).await,
        Command::Sleep(time) => sleep(request, time).await,
        Command::ResetTimer => {
            request.state(&PROGRESS).timer = Some(clock::precise());
            Ok(())
        }
        Command::ReadBody => request.read_body().await.map_err(Verdict::from),
        Command::Body => body(request).await,
        Command::Subrequest(wanted) => subrequest(request, wanted).await,
        Command::Exec(target) => Err(exec(request, target)),
        Command::Foreach(..) | Command::End => Ok(()),
    }
}

/// The value of a text.
pub(super) fn value(request: &mut Request, template: &Template) -> Vec<u8> {
    let mut out = Vec::new();
    template.eval(request, &mut out);
    out
}

/// The words with spaces between them.
pub(super) fn evaluate(request: &mut Request, text: &Text) -> Vec<u8> {
    let mut out = Vec::new();
    for (at, word) in text.words.iter().enumerate() {
        if at > 0 {
            out.push(b' ');
        }
        word.eval(request, &mut out);
    }
    if text.ends_line {
        out.push(b'\n');
    }
    out
}

/// The end of a request that has failed: an error page, or the end of the connection if the head
/// has been sent.
pub(super) fn fail(request: &mut Request, status: u16) -> Verdict {
    if request.response.sent == Sent::Nothing {
        return Verdict::Status(status);
    }
    // A head alone is complete.
    let completes = request.response.header_only;
    if completes && request.push_last(None).is_ok() { Verdict::Done } else { Verdict::Abort }
}

/// Sends the head, unless it has been sent.
pub(super) fn begin(request: &mut Request) -> Next {
    if request.response.sent != Sent::Nothing {
        return Ok(());
    }
    request.response.status = request.get(&ECHO).status.0;
    request.set_content_type();
    request.response.clear_length();
    request.response.clear_ranges();
    let location = request.location.clone();
    let reads = |one: &Arc<Command>| matches!(**one, Command::ReadBody | Command::Subrequest(_));
    if request.body.is_ready() || !location.settings.get(&ECHO).commands.iter().any(reads) {
        return request.send_head().map_err(Verdict::from);
    }
    // A head discards the body that nobody has read; here it may still be read.
    request.body.expects_continue = false;
    request.body.is_streamed = true;
    let sent = request.send_head().map_err(Verdict::from);
    request.body.is_streamed = false;
    sent
}

async fn send(request: &mut Request, piece: Piece) -> Next {
    request.push(piece).map_err(|_| Verdict::Abort)?;
    if request.queued() > QUEUE_LIMIT {
        request.flush().await.map_err(|_| Verdict::Abort)?;
    }
    Ok(())
}

async fn duplicate(request: &mut Request, count: &Template, text: &Template) -> Next {
    let (count, text) = (value(request, count), value(request, text));
    let digits: Vec<u8> = count.iter().copied().filter(|&byte| byte != b'_').collect();
    let Some(mut left) = weir_conf::value::parse_number(&digits) else {
        let count = weir_wire::shown(&count);
        request.log(Level::Error, &format!("invalid size specified: \"{count}\""));
        return Err(fail(request, 500));
    };
    begin(request)?;
    if text.is_empty() || request.response.header_only {
        return Ok(());
    }
    let most = (DUPLICATE_PIECE / text.len()).max(1) as u64;
    while left > 0 {
        let count = left.min(most);
        send(request, Piece::copy(&text.repeat(count as usize))).await?;
        left -= count;
    }
    Ok(())
}

async fn flush(request: &mut Request) -> Next {
    begin(request)?;
    request.push_flush().map_err(|_| Verdict::Abort)?;
    poll_fn(|cx| match request.poll_flush(cx) {
        Poll::Ready(sent) => Poll::Ready(sent),
        // Running subrequests are not waited for.
        Poll::Pending => Poll::Ready(Ok(())),
    })
    .await
    .map_err(|_| Verdict::Abort)
}

/// The longest pause.
const LONGEST: u64 = 24 * 60 * 60 * 1000;

/// A time in seconds with up to three decimals, in milliseconds.
fn milliseconds(text: &[u8]) -> Option<u64> {
    let (whole, decimals) = match text.iter().position(|&byte| byte == b'.') {
        Some(dot) => (&text[..dot], &text[dot + 1..]),
        None => (text, &[][..]),
    };
    let is_number = |text: &[u8]| text.iter().all(u8::is_ascii_digit);
    if text.is_empty() || decimals.len() > 3 || !is_number(whole) || !is_number(decimals) {
        return None;
    }
    let digits = whole.iter().chain(decimals).chain(&b"000"[decimals.len()..]);
    digits.copied().try_fold(0_u64, |sum, digit| {
        sum.checked_mul(10)?.checked_add(u64::from(digit - b'0')).filter(|&sum| sum <= LONGEST)
    })
}

async fn sleep(request: &mut Request, time: &Template) -> Next {
    let text = value(request, time);
    let Some(time) = milliseconds(&text) else {
        let text = weir_wire::shown(&text);
        request.log(Level::Error, &format!("invalid sleep duration \"{text}\""));
        return Err(fail(request, 400));
    };
    let mut deadline = Deadline::new();
    deadline.after(Duration::from_millis(time));
    let mut sent = false;
    let woken = poll_fn(|cx| {
        // What is there goes out meanwhile, and subrequests run.
        if !sent && let Poll::Ready(flushed) = request.poll_flush(cx) {
            sent = true;
            if let Err(error) = flushed {
                return Poll::Ready(Err(error));
            }
        }
        if let Poll::Ready(error) = request.client.poll_gone(cx) {
            return Poll::Ready(Err(error));
        }
        deadline.poll(cx).map(Ok)
    });
    woken.await.map_err(|_| Verdict::Abort)
}

async fn body(request: &mut Request) -> Next {
    let Some(content) = request.body.content.clone().filter(|content| content.len > 0) else {
        return Ok(());
    };
    begin(request)?;
    let (memory, length) = (content.memory.len(), content.len);
    match content.file.clone() {
        Some(file) => send(request, Piece::File(file, 0..length)).await,
        None => send(request, Piece::Content(content, 0..memory)).await,
    }
}

/// Begins a repetition, whose first command has this number. Breaks if there is nothing to repeat.
fn repeat(
    request: &mut Request,
    by: &Template,
    text: &Template,
    first: usize,
) -> Result<ControlFlow<()>, Verdict> {
    let (by, text) = (value(request, by), value(request, text));
    if by.is_empty() {
        request.log(Level::Error, "empty delimiter of \"echo_foreach_split\"");
        return Err(fail(request, 500));
    }
    let parts = split(&text, &by);
    let is_empty = parts.is_empty();
    let progress = request.state(&PROGRESS);
    (progress.parts, progress.part, progress.first) = (parts, 0, first);
    Ok(if is_empty { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
}

/// The parts of a text between delimiters, without empty ones.
fn split(text: &[u8], by: &[u8]) -> Vec<Vec<u8>> {
    let (mut parts, mut rest) = (Vec::new(), text);
    loop {
        let found = rest.windows(by.len()).position(|window| window == by);
        let part = &rest[..found.unwrap_or(rest.len())];
        if !part.is_empty() {
            parts.push(part.to_vec());
        }
        match found {
            Some(found) => rest = &rest[found + by.len()..],
            None => return parts,
        }
    }
}

/// The end of a repetition: the number of the next command, if the one behind has the number `at`.
fn again(request: &mut Request, at: usize) -> usize {
    let progress = request.state(&PROGRESS);
    progress.part += 1;
    if progress.part < progress.parts.len() {
        return progress.first;
    }
    progress.parts.clear();
    at
}

/// The number of the command behind the end of a repetition.
fn behind_end(commands: &[Arc<Command>], at: usize) -> usize {
    let end = commands[at..].iter().position(|command| matches!(**command, Command::End));
    end.map_or(commands.len(), |end| at + end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_decimals() {
        for (text, expected) in [
            ("0", Some(0)),
            ("1.5", Some(1500)),
            (".25", Some(250)),
            ("2.", Some(2000)),
            ("0.0001", None),
            ("1.2.3", None),
            ("", None),
            ("-1", None),
            ("1s", None),
            ("86400", Some(86_400_000)),
            ("86401", None),
            ("99999999999999999999999999", None),
        ] {
            assert_eq!(milliseconds(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn texts_are_split() {
        let parts = |text: &str, by: &str| {
            split(text.as_bytes(), by.as_bytes())
                .into_iter()
                .map(|part| String::from_utf8(part).expect("it was"))
                .collect::<Vec<_>>()
        };
        assert_eq!(parts("a,b,,c", ","), ["a", "b", "c"]);
        assert_eq!(parts("cat-a-dog-a--a-mouse", "-a-"), ["cat", "dog", "mouse"]);
        assert_eq!(parts(",,", ","), [""; 0]);
        assert_eq!(parts("", ","), [""; 0]);
        assert_eq!(parts("ab", "abc"), ["ab"]);
    }
}
