//! One request whose head comes as fields, on an exchange of its own: a client in memory, or a
//! stream of a multiplexed connection.

use std::rc::Rc;

use weir_engine::buffer;
use weir_engine::clock;
use weir_engine::stats;
use weir_wire::field_block::FieldBlock;
use weir_wire::request::{RequestFields, Version};

use super::Service;
use super::answer::{answer, refuse};
use super::choose::Choice;
use super::close;
use super::fault::HeadFault;
use super::unended::Unended;
use crate::client::Exchange;
use crate::phase;
use crate::request::Request;
use crate::request::connection_info::ConnectionInfo;

/// The head of a request as fields, with the pseudo-fields first.
#[derive(Debug)]
pub struct Ask<'a> {
    /// The version that is shown for the request.
    pub version: Version,
    /// Names and values; empty afterwards.
    pub fields: &'a mut FieldBlock,
    /// Whether there is no body.
    pub ended: bool,
}

/// The initial capacity for the text of a head, in bytes.
const USUAL_HEAD: usize = 1024;

/// The action in which faults are logged.
const READING: &str = "reading client request headers";

impl Service {
    /// Serves a request of a client of `listener`, from its head to the log. False if there is no
    /// such listener.
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
        let limits = choice.limits();
        let built =
            fields.build(ask.fields, &mut text, &limits, ask.ended, |host| choice.host(host));
        let fault = match built {
            Ok(()) => choice.end(&fields.head().host).err(),
            Err(error) => Some(HeadFault::of(&error, &text, READING)),
        };
        gauge.set(stats::Gauge::Writing);
        let server = choice.server();
        let captures = choice.captures;
        let request = Request::next(snapshot, server, info, exchange);
        let mut request = Unended::new(request);
        request.take_head(text, |head| fields.swap_head(head));
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
