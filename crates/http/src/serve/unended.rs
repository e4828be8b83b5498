//! Requests that do not come to their end. After a panic, the request is answered nevertheless,
//! and only its exchange ends. A thread that waits no longer (`worker_shutdown_timeout`) drops its
//! tasks: their requests are logged as they are.

use std::ops::{Deref, DerefMut};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::{Context, Waker};

use weir_engine::error_log::Level;
use weir_engine::panics;

use super::close;
use crate::module::Verdict;
use crate::phase;
use crate::request::Request;
use crate::response::Sent;

/// Holds a request while it is handled. If a panic drops it, a task of its own answers 500 unless
/// something was sent, logs the request, and releases what it held.
pub(super) struct Unended {
    request: Option<Box<Request>>,
    next: Rescue,
}

/// The next attempt to answer after a panic.
#[derive(Clone, Copy)]
enum Rescue {
    /// The error page, or the built-in one.
    Page,
    /// A head without any module, after another panic.
    Head,
    /// No attempt.
    None,
}

impl Unended {
    pub(super) fn new(request: Box<Request>) -> Self {
        Self { request: Some(request), next: Rescue::Page }
    }

    /// The request, which has ended normally.
    pub(super) fn ended(mut self) -> Box<Request> {
        self.request.take().expect("a request is held until it has ended")
    }
}

impl Deref for Unended {
    type Target = Request;

    fn deref(&self) -> &Request {
        self.request.as_ref().expect("a request is held until it has ended")
    }
}

impl DerefMut for Unended {
    fn deref_mut(&mut self) -> &mut Request {
        self.request.as_mut().expect("a request is held until it has ended")
    }
}

impl Drop for Unended {
    fn drop(&mut self) {
        let Some(request) = self.request.take() else { return };
        match std::thread::panicking() {
            // Another panic here would abort the process.
            true => drop(catch_unwind(AssertUnwindSafe(|| rescue(request, self.next)))),
            false => log_cut(request),
        }
    }
}

/// Logs a request whose task was dropped. nginx gives it no status in HTTP/1 if it had none, and
/// that of a client that is gone in HTTP/2.
fn log_cut(mut request: Box<Request>) {
    (request.keepalive, request.client.broken) = (false, true);
    if request.response.sent == Sent::Nothing {
        request.response.status = if request.client.is_h1() { 0 } else { 499 };
    }
    // Writing the log waits for nothing.
    let _ = pin!(phase::log(&mut request)).poll(&mut Context::from_waker(Waker::noop()));
}

fn rescue(request: Box<Request>, how: Rescue) {
    if let Some(said) = panics::take() {
        request.log(Level::Alert, &said);
    }
    match how {
        Rescue::Page => drop(weir_engine::spawn(answer(request, how, Rescue::Head))),
        Rescue::Head => drop(weir_engine::spawn(answer(request, how, Rescue::None))),
        Rescue::None => {}
    }
}

/// Ends the request in the state that it is in.
async fn answer(request: Box<Request>, how: Rescue, next: Rescue) {
    let mut request = Unended { request: Some(request), next };
    request.keepalive = false;
    request.abandon_line();
    if request.response.sent == Sent::Nothing {
        request.reset_response();
        request.error_status = 0;
        request.response.status = 500;
        match how {
            Rescue::Page => phase::finalize(&mut request, Verdict::Status(500)).await,
            _ => bare(&mut request).await,
        }
    } else {
        phase::finalize(&mut request, Verdict::Abort).await;
    }
    phase::log(&mut request).await;
    close(request.ended(), None).await;
}

/// Sends a head only.
async fn bare(request: &mut Request) {
    request.response.content_length = Some(0);
    request.response.header_only = true;
    request.response.sent = Sent::All;
    request.queue_head();
    // The error of a client that is gone does not matter.
    let _ = request.flush().await;
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read};
    use std::os::unix::net::UnixStream;
    use std::rc::Rc;

    use weir_engine::event_loop::{block_on, spawn_joined, yield_now};
    use weir_engine::{Addr, Conn};
    use weir_upstream::Registry;

    use super::*;
    use crate::client::exchange::h1::Link;
    use crate::client::{Client, Exchange, Sink};
    use crate::fixture::{LISTENER, connection, server, snapshot};
    use crate::snapshot::Held;

    /// A request to a server with the content `conf`, and the client's end of its connection.
    fn request(conf: &str) -> (Box<Request>, UnixStream) {
        let snapshot = snapshot(&server(conf), &Registry::default());
        let info = connection();
        let endpoint = snapshot.endpoint(LISTENER, &info).expect("it listens");
        let server = Held::map(&endpoint, |endpoint| &*endpoint.default);
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        theirs.set_nonblocking(true).unwrap();
        let conn = Conn::from_fd(ours.into(), Addr::Unix(None));
        let client = Client::new(Sink::Client(Exchange::H1(Link::new(conn))));
        let mut head = crate::request::head::Head::default();
        head.replace(Default::default(), |found| {
            found.version = weir_wire::h1::Version::HTTP_11;
        });
        let request = Request::new(snapshot, server, info, Rc::new(head), client);
        (Box::new(request), theirs)
    }

    /// The response to a request whose handling panics after `begin`.
    fn answer_to(conf: &str, begin: fn(&mut Request)) -> String {
        block_on(async {
            let (request, mut client) = request(conf);
            let broken = spawn_joined(async move {
                let mut request = Unended::new(request);
                request.keepalive = true;
                begin(&mut request);
                panic!("expected by the test");
            });
            assert!(broken.await.is_err());
            let mut answer = Vec::new();
            while client.read_to_end(&mut answer).is_err_and(|e| e.kind() == ErrorKind::WouldBlock)
            {
                yield_now().await;
            }
            String::from_utf8(answer).expect("a head and a page")
        })
    }

    #[test]
    fn a_panic_is_answered() {
        let answer = answer_to("", |_| {});
        assert!(answer.starts_with("HTTP/1.1 500 Internal Server Error\r\n"), "{answer}");
        assert!(answer.contains("Connection: close\r\n"), "{answer}");
        assert!(answer.contains("<h1>500 Internal Server Error</h1>"), "{answer}");
    }

    #[test]
    fn a_begun_response_is_not_answered_again() {
        let answer = answer_to("", |request| request.response.sent = Sent::Head);
        assert_eq!(answer, "");
    }

    #[test]
    fn a_page_has_its_turn() {
        let conf = "error_page 500 /page; location = /page { return 200 sorry; }";
        let answer = answer_to(conf, |_| {});
        assert!(answer.starts_with("HTTP/1.1 500 Internal Server Error\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\nsorry"), "{answer}");
    }
}
