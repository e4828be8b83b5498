//! The place of a request in a trace: the span that it is, and its parent in another program.
//! <https://www.w3.org/TR/trace-context/>

use std::rc::Rc;

use weir_engine::random::unguessable;
use weir_wire::header::Known;
use weir_wire::trace_context::TraceParent;

use crate::request::{Request, State};

/// The place of a request, if it has been asked for. Subrequests and redirected requests have that
/// of the client's request.
static TRACE: State<Option<Trace>> = State::handed_down(|| None);

/// The place of a request in a trace.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trace {
    /// The request's own span. It is sampled if it is to be recorded.
    pub(crate) own: TraceParent,
    /// The span of the sender, if the request continues its trace.
    pub(crate) parent: Option<TraceParent>,
    /// `tracestate` as received.
    pub(crate) state: Vec<u8>,
}

impl Trace {
    /// A span of a new trace, or with `extract` of the client's.
    fn begin(request: &Request, extract: bool) -> Self {
        let parent = extract.then(|| received(request)).flatten();
        let state = if parent.is_some() { received_state(request) } else { Vec::new() };
        // Of one call.
        let random: [u8; 24] = unguessable();
        let (of_trace, of_span) = random.split_at(16);
        let number = |bytes: &[u8]| bytes.iter().fold(0, |sum, &byte| sum << 8 | u128::from(byte));
        let trace = parent.map_or(number(of_trace).max(1), |parent| parent.trace);
        let span = (number(of_span) as u64).max(1);
        Self { own: TraceParent { trace, span, sampled: false }, parent, state }
    }
}

impl Request {
    /// The place of the request in a trace, determined once, with the sender's by `extract`.
    pub(crate) fn trace(&mut self, extract: bool) -> &mut Trace {
        if self.state(&TRACE).is_none() {
            let trace = Trace::begin(self, extract);
            *self.state(&TRACE) = Some(trace);
        }
        self.state(&TRACE).get_or_insert_default()
    }

    /// The place in a trace, if it has been determined.
    pub(crate) fn known_trace(&self) -> Option<&Trace> {
        self.state_if(&TRACE)?.as_ref()
    }

    /// The id of the trace for logs: that of the request's span, or else of the sender's.
    pub(crate) fn trace_id(&self) -> Option<String> {
        let trace = match self.known_trace() {
            Some(known) => known.own.trace,
            None => received(self)?.trace,
        };
        Some(format!("{trace:032x}"))
    }

    /// Tells the next program of the request's span, in place of the fields that have come.
    pub(crate) fn inject_trace(&mut self) {
        let Some(trace) = self.known_trace() else { return };
        let (parent, state) = (trace.own.text(), trace.state.clone());
        // Requests that this one has made keep theirs.
        let head = Rc::make_mut(&mut self.head);
        let state = (!state.is_empty()).then_some(&*state);
        for (name, known, value) in [
            (&b"traceparent"[..], Known::Traceparent, Some(parent.as_bytes())),
            (b"tracestate", Known::Tracestate, state),
        ] {
            if !head.set_where(value, |_, found| found == known)
                && let Some(value) = value
            {
                head.push(name, value);
            }
        }
    }
}

/// The sender's span. Several fields are as none, because nobody knows which one is right.
fn received(request: &Request) -> Option<TraceParent> {
    let mut fields = fields(request, Known::Traceparent);
    let parent = fields.next()?;
    match fields.next() {
        Some(_) => None,
        None => TraceParent::parse(parent),
    }
}

/// `tracestate`, whose lists add up.
fn received_state(request: &Request) -> Vec<u8> {
    let lists: Vec<_> =
        fields(request, Known::Tracestate).filter(|value| !value.is_empty()).collect();
    lists.join(&b","[..])
}

fn fields(request: &Request, meant: Known) -> impl Iterator<Item = &[u8]> {
    request.head.iter().filter(move |&(_, _, known)| known == meant).map(|(_, value, _)| value)
}
