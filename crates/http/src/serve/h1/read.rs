//! Reading the head of a request.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use weir_engine::buffer;
use weir_engine::os_error::Failed;
use weir_engine::timer::Deadline;
use weir_wire::h1::RequestParser;

use crate::client::exchange::h1::Link;
use crate::request::connection_info::ConnectionInfo;
use crate::route::Endpoint;
use crate::serve::choose::Choice;
use crate::serve::fault::{HeadFault, LINE};
use crate::snapshot::Held;

/// The result of reading a head.
pub(super) enum Head {
    /// A complete head of this many bytes.
    Complete(usize),
    /// A fault.
    Faulty(Box<HeadFault>),
}

/// The maximum length of one read, in bytes. A usual head fits.
pub(in crate::serve) const READ: usize = 8 * 1024;

/// Reads until the head is complete. It must be when the deadline comes.
pub(super) async fn head<'a>(
    link: &mut Link,
    parser: &mut RequestParser,
    endpoint: &'a Held<Endpoint>,
    info: &'a ConnectionInfo,
    deadline: &mut Deadline,
) -> (Choice<'a>, Head) {
    let mut choice = Choice::new(endpoint, info);
    let limits = choice.limits();
    let result = loop {
        match parser.advance_with(&link.input, &limits, |host| choice.host(host)) {
            Ok(Some(length)) => match choice.end(&parser.head().host) {
                Ok(()) => break Head::Complete(length),
                Err(fault) => break Head::Faulty(fault),
            },
            Ok(None) => {}
            Err(error) => break Head::Faulty(HeadFault::of(&error, &link.input, reading(parser))),
        }
        match poll_fn(|cx| poll_more(cx, link, deadline)).await {
            Ok(1..) => {}
            Ok(0) => {
                break Head::Faulty(HeadFault::gone(
                    reading(parser),
                    "client prematurely closed connection",
                ));
            }
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                break Head::Faulty(HeadFault::timed_out(reading(parser)));
            }
            Err(error) => {
                let what = Failed("recv() failed", &error).to_string();
                break Head::Faulty(HeadFault::gone(reading(parser), &what));
            }
        }
    };
    (choice, result)
}

fn poll_more(
    cx: &mut std::task::Context<'_>,
    link: &mut Link,
    deadline: &mut Deadline,
) -> Poll<io::Result<usize>> {
    if link.input.capacity() == 0 {
        link.input = buffer::take(READ);
    }
    match link.conn.poll_recv(cx, &mut link.input, READ) {
        Poll::Pending => deadline.poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into())),
        done => done,
    }
}

fn reading(parser: &RequestParser) -> &'static str {
    match parser.is_in_line() {
        true => LINE,
        false => "reading client request headers",
    }
}
