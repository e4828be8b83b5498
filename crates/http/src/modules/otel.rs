//! OpenTelemetry traces, with the directives of nginx's own module
//! (<https://nginx.org/en/docs/ngx_otel_module.html>).
//!
//! A request whose trace is sampled is written as a span in its log phase ([`span`]), into a buffer
//! of its thread ([`queue`]). A duty sends what has come together ([`export`]), so that no request
//! waits for a collector. The request's place in its trace is [`crate::trace`]'s.

use std::any::Any;
use std::sync::Arc;

use weir_conf::{Contexts, Cx, Fault, Inherit, Local, Many, Node, Settings, Slot};
use weir_conf::{Value, directives, keywords};
use weir_engine::duty::Duty;
use weir_script::Template;
use weir_script::variables::variables;
use weir_upstream::Registry;

use crate::module::{Handler, Module, Phase, PhaseHandler, Verdict};
use crate::request::Request;
use crate::snapshot::Configuration;
use crate::variables::VariableRow;

mod endpoint;
mod exchange;
mod export;
mod exporter;
mod queue;
mod span;

use exporter::{Exporter, Lines};

pub(crate) const MODULE: Module = Module {
    name: "otel",
    tables: &[&Otel::table(&OTEL)],
    variables: &[
        VariableRow::new(
            "otel_trace_id",
            "The identifier of the request's trace, 32 hexadecimal digits.",
            |request, _, out| {
                let id = trace(request).own.trace;
                hex(&format!("{id:032x}"), out)
            },
        ),
        VariableRow::new(
            "otel_span_id",
            "The identifier of the request's span, 16 hexadecimal digits.",
            |request, _, out| {
                let id = trace(request).own.span;
                hex(&format!("{id:016x}"), out)
            },
        ),
        VariableRow::new(
            "otel_parent_id",
            "The identifier of the client's span, if the request continues its trace.",
            |request, _, out| match trace(request).parent {
                Some(parent) => hex(&format!("{:016x}", parent.span), out),
                None => false,
            },
        ),
        VariableRow::new(
            "otel_parent_sampled",
            "`1` if the client records the trace that the request continues, or else `0`.",
            |request, _, out| {
                let sampled = trace(request).parent.is_some_and(|parent| parent.sampled);
                hex(if sampled { "1" } else { "0" }, out)
            },
        ),
    ],
    handlers: &[
        PhaseHandler {
            phase: Phase::Rewrite,
            enabled: |settings| settings.get(&OTEL).is_on(),
            handler: Handler::Sync(begin),
        },
        PhaseHandler {
            phase: Phase::Log,
            // An internal redirect may have left the location that decided.
            enabled: |settings| settings.get(&OTEL).exporter.is_some(),
            handler: Handler::Sync(end),
        },
    ],
    duties: Some(duties),
    ..Module::NONE
};

static OTEL: Slot<Otel> = Slot::new();

keywords! {
    /// What happens to the fields of trace contexts.
    pub enum Propagation {
        /// They are left alone.
        "ignore" => Ignore,
        /// The request continues the client's trace.
        "extract" => Extract,
        /// The fields are replaced by the request's own.
        "inject" => Inject,
        /// Both.
        "propagate" => Propagate,
    }
}

impl Propagation {
    fn extracts(self) -> bool {
        matches!(self, Self::Extract | Self::Propagate)
    }

    fn injects(self) -> bool {
        matches!(self, Self::Inject | Self::Propagate)
    }
}

directives! {
    /// Traces for OpenTelemetry.
    pub(crate) struct Otel as OtelWritten in [http, server, location] {
        /// Where spans are sent and how: `endpoint [(http|https)://]host:port` by OTLP over gRPC,
        /// `endpoint (http|https)://host:port/path` by OTLP over HTTP,
        /// `protocol grpc | http/protobuf` in place of what the endpoint says,
        /// `trusted_certificate file`, `header name value`, `interval time` (5s),
        /// `batch_size number` (512), `batch_count number` (4).
        /// docs/howto/logs-and-traces.md describes them.
        "otel_exporter" in [http] block [0]: "{ … }" => set_exporter,
        /// The name of the service in the resource that spans belong to.
        "otel_service_name" in [http] [1]: "name" => set_service_name,
        /// An attribute of the resource that spans belong to.
        "otel_resource_attr" in [http] [2]: "name value" => add_resource_attribute,
        /// Whether requests are recorded; with a variable, those for which its value is `on` or
        /// `1`. The location of the client's request decides, also for error pages and other
        /// internal redirects.
        "otel_trace" as "on | off | $variable" => trace: Option<Template>,
        /// Whether a request continues the trace that the client's `traceparent` and `tracestate`
        /// name, and whether these fields are set for upstreams.
        "otel_trace_context" => context: Propagation = Propagation::Ignore,
        /// The name of spans, by default that of the location, or the method where there is none.
        "otel_span_name" => name: Option<Template>,
        /// Adds an attribute to spans.
        "otel_span_attr" => attributes: Many<SpanAttribute>,
        field written: Local<Lines>,
        field exporter: Inherit<Option<Arc<Exporter>>>,
    }
    finish = Otel::finish;
}

/// `otel_span_attr`.
#[derive(Clone, Debug)]
pub(crate) struct SpanAttribute {
    name: Vec<u8>,
    value: Template,
}

impl Value for SpanAttribute {
    const SYNTAX: &'static str = "name value";
    const ARITY: weir_conf::Arity = weir_conf::Arity::exactly(2);

    fn parse(node: &Node, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        let value = Template::compile(&node.args[1].value, variables(cx));
        let value = value.map_err(|fault| fault.at(&node.args[1]))?;
        Ok(Self { name: node.args[0].value.clone(), value })
    }
}

fn set_exporter(own: &mut OtelWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    own.written.get_or_insert_default().set_exporter(node, cx)
}

fn set_service_name(own: &mut OtelWritten, node: &Node, _: &mut Cx<'_>) -> Result<(), Fault> {
    own.written.get_or_insert_default().set_service(&node.args[0])
}

fn add_resource_attribute(own: &mut OtelWritten, node: &Node, _: &mut Cx<'_>) -> Result<(), Fault> {
    let (name, value) = (node.args[0].value.clone(), node.args[1].value.clone());
    own.written.get_or_insert_default().attributes.insert(name, value);
    Ok(())
}

impl Otel {
    fn finish(&mut self, _: Option<&Self>, cx: &mut Cx<'_>) -> Result<(), Fault> {
        if cx.context() == Contexts::HTTP {
            self.exporter = self.written.exporter()?.map(Arc::new);
        }
        if self.trace.is_some() && self.exporter.is_none() {
            return Err(Fault::new("\"otel_exporter\" block is missing"));
        }
        Ok(())
    }

    fn is_on(&self) -> bool {
        self.trace.is_some() || self.context != Propagation::Ignore
    }
}

fn hex(text: &str, out: &mut Vec<u8>) -> bool {
    out.extend_from_slice(text.as_bytes());
    true
}

/// The request's place in a trace, as its location has it.
fn trace(request: &mut Request) -> &mut crate::trace::Trace {
    let extracts = request.get(&OTEL).context.extracts();
    request.trace(extracts)
}

/// Decides whether a client's request is recorded, and tells the upstream of its span.
fn begin(request: &mut Request) -> Verdict {
    if request.internal || request.is_subrequest() {
        return Verdict::Next;
    }
    let location = request.location.clone();
    let settings = location.settings.get(&OTEL);
    let mut scratch = Vec::new();
    let sampled = match &settings.trace {
        Some(template) => matches!(request.eval_into(template, &mut scratch), b"on" | b"1"),
        None => false,
    };
    if !sampled && settings.context == Propagation::Ignore {
        return Verdict::Next;
    }
    trace(request).own.sampled = sampled;
    if settings.context.injects() {
        request.inject_trace();
    }
    Verdict::Next
}

/// Records a request that is sampled.
fn end(request: &mut Request) -> Verdict {
    let is_sampled = request.known_trace().is_some_and(|trace| trace.own.sampled);
    if is_sampled && !request.is_subrequest() {
        let location = request.location.clone();
        let settings = location.settings.get(&OTEL);
        if let Some(exporter) = &settings.exporter {
            queue::add(exporter, |out| span::write(request, settings, out));
        }
    }
    Verdict::Next
}

/// The duty to send spans.
fn duties(
    configuration: &Arc<Configuration>,
    _: &Arc<Registry>,
    _: &Arc<dyn Any + Send + Sync>,
) -> Vec<Duty> {
    let exporter = |settings: &Settings| settings.get(&OTEL).exporter.clone();
    // All of http have the same.
    let mut exporters = configuration.locations().filter_map(|(_, it)| exporter(&it.settings));
    exporters.next().map(export::duty).into_iter().collect()
}
