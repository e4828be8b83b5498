//! The parameters of requests to applications: those that are set (`fastcgi_param` and its
//! relatives), `HTTP_HOST`, the conditions of a revalidation, then the client's fields as
//! `HTTP_NAME`.

use std::sync::Arc;

use weir_conf::{Arity, Contexts, Cx, Fault, Node, Value};
use weir_engine::buffer;
use weir_script::{Template, Variables};
use weir_wire::header::{Known, Seen};

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

/// The initial capacity for a name or a value, in bytes.
const USUAL: usize = 1024;

/// The compiled parameters of a location.
pub(crate) struct Params {
    set: Vec<Compiled>,
    /// The names of client fields that are not passed on, as they would be in parameters.
    own: Vec<Box<[u8]>>,
}

/// A parameter that is set.
struct Compiled {
    name: Arc<[u8]>,
    value: Template,
    if_not_empty: bool,
}

impl Params {
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
        let mut params = Self { set: Vec::new(), own: Vec::new() };
        let vars = cx.registry::<Variables>();
        for param in own {
            let value = Template::compile(&param.value, vars)?;
            params.add(&param.name, value, param.if_not_empty);
        }
        if !own.iter().any(|param| param.name.eq_ignore_ascii_case(b"HTTP_HOST")) {
            let host = Template::compile(b"$host$is_request_port$request_port", vars)?;
            params.add(b"HTTP_HOST", host, true);
        }
        Ok(params)
    }

    fn add(&mut self, name: &[u8], value: Template, if_not_empty: bool) {
        if let Some(field) = name.strip_prefix(FIELD)
            && !field.is_empty()
        {
            self.own.push(field.to_ascii_uppercase().into());
            if value.is_empty() {
                return;
            }
        }
        self.set.push(Compiled { name: name.into(), value, if_not_empty });
    }

    /// Passes the name and the value of each parameter to `put`, in order.
    pub(crate) fn each(
        &self,
        request: &mut Request,
        passes_client: bool,
        mut put: impl FnMut(&[u8], &[u8]),
    ) {
        let (mut name, mut value) = (buffer::take(USUAL), buffer::take(USUAL));
        for param in &self.set {
            let value = match param.value.literal() {
                Some(text) => text,
                None => {
                    value.clear();
                    param.value.eval(request, &mut value);
                    &value
                }
            };
            if !(param.if_not_empty && value.is_empty()) {
                put(&param.name, value);
            }
        }
        if let Some(conditions) = &request.attempts.cache.conditions {
            for (known, value) in conditions.fields() {
                name.clear();
                write_name(known.name().as_bytes(), &mut name);
                if !self.is_own(&name) {
                    put(&name, value);
                }
            }
        }
        if passes_client {
            self.each_field(request, &mut name, &mut value, put);
        }
    }

    /// Whether the configuration sets the parameter that a field would be.
    fn is_own(&self, name: &[u8]) -> bool {
        self.own.iter().any(|own| **own == name[FIELD.len()..])
    }

    /// Passes the client's fields on, without its conditions if the response may be cached. Those
    /// of one name are
    /// joined in the place of the first.
    fn each_field(
        &self,
        request: &Request,
        name: &mut Vec<u8>,
        value: &mut Vec<u8>,
        mut put: impl FnMut(&[u8], &[u8]),
    ) {
        let fetches = request.attempts.cache.fetches;
        let mut seen = Seen::default();
        for (at, (field, first, known)) in request.head.iter().enumerate() {
            let is_same =
                |other: &[u8], id| id == known && (known != Known::Other || same(other, field));
            let earlier = match known {
                Known::Other => request.head.iter().take(at).any(|(f, _, id)| is_same(f, id)),
                _ => !seen.insert(known),
            };
            if earlier || fetches && is_condition(looks_like(field, known)) {
                continue;
            }
            name.clear();
            write_name(field, name);
            if self.is_own(name) {
                continue;
            }
            value.clear();
            value.extend_from_slice(first);
            let separator = if known == Known::Cookie { b"; " } else { b", " };
            for (other, more, id) in request.head.iter().skip(at + 1) {
                if is_same(other, id) {
                    value.extend_from_slice(separator);
                    value.extend_from_slice(more);
                }
            }
            put(name, value);
        }
    }
}

/// The name of the parameter that a field is.
fn write_name(field: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(FIELD);
    out.extend(field.iter().map(|&byte| match byte {
        b'-' => b'_',
        byte => byte.to_ascii_uppercase(),
    }));
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
