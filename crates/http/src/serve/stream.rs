//! One request whose head comes as fields, on an exchange that is for nothing else: a client in
//! memory, or a stream of a connection that has many.

use std::rc::Rc;

use weir_engine::buffer;
use weir_engine::clock;
use weir_engine::stats;
use weir_wire::request::{RequestError, RequestFields, Version};

use super::Service;
use super::answer::{answer, refuse};
use super::choose::Choice;
use super::close;
use super::fault::Fault;
use super::unended::Unended;
use crate::client::Exchange;
use crate::phase;
use crate::request::Request;
use crate::request::connection_info::ConnectionInfo;

/// What is asked: a head as fields, the pseudo-fields first.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The version that the request is shown with.
    pub version: Version,
    /// Names and values.
    pub fields: &'a [(&'a [u8], &'a [u8])],
    /// Whether no body follows.
    pub ended: bool,
}

/// Room for the text of a usual head.
const USUAL_HEAD: usize = 1024;

/// What a fault was met in, for the log.
const READING: &str = "reading client request headers";

impl Service {
    /// Serves a request of a client that has come to `listener`, from its head to the log. False
    /// where nobody listens there.
    pub async fn serve(
        &self,
        listener: &str,
        info: &Rc<ConnectionInfo>,
        ask: Ask<'_>,
        exchange: Exchange,
    ) -> bool {
        let snapshot = self.snapshot();
        let Some(endpoint) = snapshot.endpoint(listener, info) else { return false };
        let mut gauge = stats::Gauged::new(stats::Gauge::Reading);
        stats::count_request();
        let start = clock::now();
        let mut choice = Choice::new(&endpoint, info);
        let (mut fields, mut text) = (RequestFields::new(ask.version), buffer::take(USUAL_HEAD));
        let fault = match build(&mut fields, &mut text, ask, &mut choice) {
            Ok(()) => choice.end(&fields.head().host).err(),
            Err(error) => Some(Fault::of(&error, &text, READING)),
        };
        gauge.set(stats::Gauge::Writing);
        let server = choice.server();
        let captures = choice.captures;
        let request = Request::next(snapshot, server, info, exchange);
        let mut request = Unended::new(request);
        request.take_head(text, |head| *head = fields.take_head());
        request.start = start;
        if let Some(matched) = captures {
            matched.apply(&mut *request);
        }
        match fault {
            None => answer(&mut request, &endpoint, false).await,
            Some(fault) => Box::pin(refuse(&mut request, &endpoint, &fault)).await,
        }
        phase::log(&mut request).await;
        close(request.ended(), Some(gauge)).await;
        true
    }
}

fn build(
    fields: &mut RequestFields,
    text: &mut Vec<u8>,
    ask: Ask<'_>,
    choice: &mut Choice<'_>,
) -> Result<(), RequestError> {
    let limits = choice.limits();
    for (name, value) in ask.fields {
        fields.push(text, name, value, &limits, |host| choice.host(host))?;
    }
    fields.finish(text, &limits, ask.ended, |host| choice.host(host))
}
