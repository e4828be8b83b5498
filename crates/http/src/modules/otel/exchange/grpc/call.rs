//! A call of gRPC: what is sent, what comes back, and what that means.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use weir_wire::field_block::FieldBlock;
use weir_wire::h2::response::{ResponseFields, read_head, read_trailers};
use weir_wire::h2::{Connection, ErrorCode, Event, StreamId};
use weir_wire::header::Headers;
use weir_wire::otlp::grpc::{self, Code};
use weir_wire::otlp::{self, PartialSuccess};

use super::super::{Failure, MAX_BODY, said};

/// Base64 with padding or without, as binary fields of gRPC have it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A call.
pub(super) struct Call<'a> {
    stream: StreamId,
    /// What is left to send.
    rest: &'a [u8],
    /// Whether everything was sent.
    is_sent: bool,
    head: ResponseFields,
    /// The fields of the head, or the trailers once they are there.
    fields: Headers,
    body: Vec<u8>,
    end: Option<End>,
}

/// The end of an answer.
enum End {
    /// It is whole.
    Whole,
    /// The stream was reset.
    Reset { code: ErrorCode, unprocessed: bool },
    /// It is no answer.
    Malformed,
    /// Its body exceeds [`MAX_BODY`].
    TooLong,
}

impl<'a> Call<'a> {
    pub(super) fn new(stream: StreamId, body: &'a [u8]) -> Self {
        Self {
            stream,
            rest: body,
            is_sent: false,
            head: ResponseFields::default(),
            fields: Headers::default(),
            body: Vec::new(),
            end: None,
        }
    }

    /// Whether the answer has ended.
    pub(super) fn is_over(&self) -> bool {
        self.end.is_some()
    }

    /// Sends as much as the collector takes now.
    pub(super) fn push(&mut self, machine: &mut Connection) {
        while !self.is_sent && !self.is_over() {
            while machine.poll_writable().is_some() {}
            let room = machine.room(self.stream).min(self.rest.len());
            if room == 0 {
                return;
            }
            let (now, rest) = self.rest.split_at(room);
            self.is_sent = rest.is_empty();
            machine.send_data(self.stream, now, self.is_sent);
            self.rest = rest;
        }
    }

    /// Takes an event, with the fields of a head or of trailers.
    pub(super) fn handle(&mut self, event: Event<'_>, fields: &mut FieldBlock) {
        if self.is_over() {
            return;
        }
        match event {
            Event::Head { stream, ended, .. } if stream == self.stream => {
                match read_head(fields, &mut self.fields) {
                    Ok(head) if head.is_interim() => {}
                    Ok(head) => {
                        self.head = head;
                        self.end = ended.then_some(End::Whole);
                    }
                    Err(_) => self.end = Some(End::Malformed),
                }
            }
            Event::Data { stream, bytes, ended, .. } if stream == self.stream => {
                self.body.extend_from_slice(bytes);
                if self.body.len() > MAX_BODY {
                    self.end = Some(End::TooLong);
                } else if ended {
                    self.end = Some(End::Whole);
                }
            }
            Event::Trailers { stream, .. } if stream == self.stream => {
                let read = read_trailers(fields, &mut self.fields);
                self.end = Some(read.map_or(End::Malformed, |()| End::Whole));
            }
            Event::Reset { stream, code, unprocessed, .. } if stream == self.stream => {
                self.end = Some(End::Reset { code, unprocessed });
            }
            _ => {}
        }
    }

    /// What the answer means.
    ///
    /// # Errors
    /// There is none: another connection may help.
    pub(super) fn judge(self) -> Result<Result<PartialSuccess, Failure>, Failure> {
        match self.end {
            Some(End::Whole) => Ok(self.judge_whole()),
            Some(End::Reset { code, unprocessed }) => {
                let failure = reset(code, unprocessed);
                if unprocessed { Err(failure) } else { Ok(Err(failure)) }
            }
            Some(End::TooLong) => {
                let reason = "the answer is too long".to_owned();
                Ok(Err(Failure { reason, may_retry: false, wait: None }))
            }
            Some(End::Malformed) | None => Err(Failure::passing("the answer is malformed")),
        }
    }

    fn judge_whole(self) -> Result<PartialSuccess, Failure> {
        let Some(value) = self.fields.get_name(b"grpc-status") else {
            let status = self.head.status;
            let code = if status == 200 { Code::UNKNOWN } else { Code::of_http(status) };
            let reason = format!("the status is {status}, without one of gRPC");
            return Err(Failure { reason, may_retry: code.may_retry(false), wait: None });
        };
        let code = Code::parse(value);
        if code == Code::OK {
            // A message in another form says nothing about refused spans.
            let said = grpc::unframed(&self.body).and_then(otlp::response);
            return Ok(said.unwrap_or_default());
        }
        let details = self.fields.get_name(b"grpc-status-details-bin");
        let details = details.and_then(|value| BASE64.decode(value).ok());
        let wait = details.and_then(|details| grpc::wait(&details));
        let text = grpc::message(self.fields.get_name(b"grpc-message").unwrap_or_default());
        Err(Failure {
            reason: format!("the status is {} {}{}", code.0, code.name(), said(&text)),
            may_retry: code.may_retry(wait.is_some()),
            wait,
        })
    }
}

/// What a reset means (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>, "HTTP2
/// Transport Mapping").
fn reset(code: ErrorCode, unprocessed: bool) -> Failure {
    let status = match code {
        _ if unprocessed => Code::UNAVAILABLE,
        ErrorCode::REFUSED_STREAM => Code::UNAVAILABLE,
        ErrorCode::CANCEL => Code::CANCELLED,
        ErrorCode::ENHANCE_YOUR_CALM => Code::RESOURCE_EXHAUSTED,
        ErrorCode::INADEQUATE_SECURITY => Code::PERMISSION_DENIED,
        _ => Code::INTERNAL,
    };
    let reason = format!("the call was reset with the code {}", code.0);
    Failure { reason, may_retry: status.may_retry(false), wait: None }
}
