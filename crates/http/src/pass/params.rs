//! The parameters of requests to applications: those that are set (`fastcgi_param` and its
//! relatives), `HTTP_HOST`, the conditions of a revalidation, then the client's fields as
//! `HTTP_NAME`.

use std::marker::PhantomData;
use std::sync::Arc;

use weir_conf::{Arity, Contexts, Cx, Fault, Node, Value};
use weir_script::{Template, VarId, Variables};
use weir_wire::header::{Known, Seen};
use weir_wire::params::{NullByte, ParamFormat};

use crate::cache::shown::is_condition;
use crate::request::Request;

/// `fastcgi_param` and its relatives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Param {
    name: Arc<[u8]>,
    value: Arc<[u8]>,
    /// Whether an empty value omits the parameter.
    if_not_empty: bool,
}

impl Value for Param {
    const SYNTAX: &'static str = "parameter value [if_not_empty]";
    const ARITY: Arity = Arity::exactly(2).or(Arity::exactly(3));

    fn parse(node: &Node, _: &mut Cx<'_>) -> Result<Self, Fault> {
        let if_not_empty = match node.args.get(2) {
            Some(word) if !word.is("if_not_empty") => return Err(Fault::parameter(word)),
            word => word.is_some(),
        };
        let text = |at: usize| node.args[at].value.as_slice().into();
        Ok(Self { name: text(0), value: text(1), if_not_empty })
    }
}

/// The prefix of the names of parameters that are the client's fields.
const FIELD: &[u8] = b"HTTP_";

/// The compiled parameters of a location, in the format of a protocol.
pub(crate) struct Params<F> {
    computed: Vec<Computed>,
    /// The parameters with constant values after the last computed one, as they are sent.
    last: Vec<u8>,
    /// The names of client fields that are not passed on, as they would be in parameters.
    own: Vec<Box<[u8]>>,
    format: PhantomData<fn() -> F>,
}

/// A parameter whose value is computed.
struct Computed {
    /// Parameters with constant values that precede it, and the beginning of this one.
    before: Box<[u8]>,
    /// The length of that beginning, in bytes.
    begin: usize,
    /// The length of the name, in bytes.
    name: usize,
    value: Computation,
    if_not_empty: bool,
}

/// How a value is computed.
enum Computation {
    /// It is that of a variable.
    Variable(VarId),
    /// It is the length of the body, that of `$content_length`, and 0 of a body that is lost.
    Length(VarId),
    Template(Template),
}

impl<F: ParamFormat> Params<F> {
    /// The parameters of a block, which may be those of its parent. None if the block needs none.
    ///
    /// # Errors
    /// A value that is not a template.
    pub(crate) fn of_block(
        own: &[Param],
        passes: bool,
        parent: Option<(&[Param], &Option<Arc<Self>>)>,
        cx: &mut Cx<'_>,
    ) -> Result<Option<Arc<Self>>, Fault> {
        // Those of `http {}` are compiled in the servers that inherit them.
        if cx.context() == Contexts::HTTP || own.is_empty() && !passes {
            return Ok(None);
        }
        match parent {
            Some((above, Some(compiled))) if above == own => Ok(Some(Arc::clone(compiled))),
            _ => Ok(Some(Arc::new(Self::compile(own, cx)?))),
        }
    }

    fn compile(own: &[Param], cx: &mut Cx<'_>) -> Result<Self, Fault> {
        let mut params =
            Self { computed: Vec::new(), last: Vec::new(), own: Vec::new(), format: PhantomData };
        let vars = cx.registry::<Variables>();
        let length = vars.reference("content_length");
        for param in own {
            let value = Template::compile(&param.value, vars)?;
            params.add(&param.name, value, param.if_not_empty, length);
        }
        if !own.iter().any(|param| param.name.eq_ignore_ascii_case(b"HTTP_HOST")) {
            let host = Template::compile(b"$host$is_request_port$request_port", vars)?;
            params.add(b"HTTP_HOST", host, true, length);
        }
        Ok(params)
    }

    /// Adds a parameter. `length` is `$content_length`.
    fn add(&mut self, name: &[u8], value: Template, if_not_empty: bool, length: VarId) {
        if let Some(field) = name.strip_prefix(FIELD)
            && !field.is_empty()
        {
            self.own.push(field.to_ascii_uppercase().into());
            if value.is_empty() {
                return;
            }
        }
        if let Some(text) = value.literal() {
            if if_not_empty && text.is_empty() {
                return;
            }
            let start = self.last.len();
            if F::put(name, text, &mut self.last).is_ok() {
                return;
            }
            // Each request is told what is wrong.
            self.last.truncate(start);
        }
        let start = self.last.len();
        F::begin(name.len(), |out| out.extend_from_slice(name), &mut self.last);
        self.computed.push(Computed {
            begin: self.last.len() - start,
            before: std::mem::take(&mut self.last).into(),
            name: name.len(),
            value: match value.variable() {
                Some(id) if id == length => Computation::Length(id),
                Some(id) => Computation::Variable(id),
                None => Computation::Template(value),
            },
            if_not_empty,
        });
    }

    /// Appends the parameters of a request, those that are set in order. `passes_client` says
    /// whether the client's fields are among them.
    ///
    /// # Errors
    /// A null byte that the format cannot express.
    pub(crate) fn write(
        &self,
        request: &mut Request,
        passes_client: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), NullByte> {
        let is_lost = request.body.is_lost();
        for Computed { before, begin, name, value, if_not_empty } in &self.computed {
            out.extend_from_slice(before);
            let at = out.len();
            match value {
                Computation::Variable(id) => {
                    request.variable(*id, out);
                }
                Computation::Length(id) => {
                    if request.variable(*id, out) && is_lost {
                        out.truncate(at);
                        out.push(b'0');
                    }
                }
                Computation::Template(template) => template.eval(request, out),
            }
            match *if_not_empty && out.len() == at {
                true => out.truncate(at - begin),
                false => F::end(*name, at, out)?,
            }
        }
        out.extend_from_slice(&self.last);
        if let Some(conditions) = &request.attempts.cache.conditions {
            for (known, value) in conditions.fields() {
                let name = known.name().as_bytes();
                if !self.is_own(name) {
                    let at = begin_field::<F>(name, out);
                    out.extend_from_slice(value);
                    F::end(FIELD.len() + name.len(), at, out)?;
                }
            }
        }
        if passes_client { self.write_fields(request, out) } else { Ok(()) }
    }

    /// Whether the configuration sets the parameter that a field would be.
    fn is_own(&self, field: &[u8]) -> bool {
        self.own.iter().any(|own| {
            own.len() == field.len() && own.iter().zip(field).all(|(&own, &b)| own == in_name(b))
        })
    }

    /// Appends the client's fields, without its conditions if the response may be cached, and
    /// without the framing of a body that is lost. Those of one name are joined in the place of the
    /// first.
    fn write_fields(&self, request: &Request, out: &mut Vec<u8>) -> Result<(), NullByte> {
        let fetches = request.attempts.cache.fetches;
        let is_lost = request.body.is_lost();
        let mut seen = Seen::default();
        for (at, (field, first, known)) in request.head.iter().enumerate() {
            let is_same =
                |other: &[u8], id| id == known && (known != Known::Other || same(other, field));
            let earlier = match known {
                Known::Other => request.head.iter().take(at).any(|(f, _, id)| is_same(f, id)),
                _ => !seen.insert(known),
            };
            let is_left_out = fetches && is_condition(looks_like(field, known))
                || is_lost && matches!(known, Known::ContentLength | Known::TransferEncoding);
            if earlier || is_left_out || self.is_own(field) {
                continue;
            }
            let value = begin_field::<F>(field, out);
            out.extend_from_slice(first);
            let separator = if known == Known::Cookie { b"; " } else { b", " };
            for (other, more, id) in request.head.iter().skip(at + 1) {
                if is_same(other, id) {
                    out.extend_from_slice(separator);
                    out.extend_from_slice(more);
                }
            }
            F::end(FIELD.len() + field.len(), value, out)?;
        }
        Ok(())
    }
}

/// Begins the parameter that a field is. Returns the offset of its value.
fn begin_field<F: ParamFormat>(field: &[u8], out: &mut Vec<u8>) -> usize {
    let write = |out: &mut Vec<u8>| {
        out.extend_from_slice(FIELD);
        out.extend(field.iter().map(|&byte| in_name(byte)));
    };
    F::begin(FIELD.len() + field.len(), write, out);
    out.len()
}

/// The byte of a field's name as in the name of a parameter.
fn in_name(byte: u8) -> u8 {
    if byte == b'-' { b'_' } else { byte.to_ascii_uppercase() }
}

/// The field for which an application takes one: hyphens and underscores are the same to it.
fn looks_like(field: &[u8], known: Known) -> Known {
    if known != Known::Other || !field.contains(&b'_') {
        return known;
    }
    let hyphens = |&byte: &u8| if byte == b'_' { b'-' } else { byte };
    Known::from_name(&field.iter().map(hyphens).collect::<Vec<_>>())
}

fn same(one: &[u8], other: &[u8]) -> bool {
    one.eq_ignore_ascii_case(other)
}
