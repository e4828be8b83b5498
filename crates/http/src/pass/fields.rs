//! The fields of a request to an upstream: what is set (`proxy_set_header`) over the protocol's
//! defaults over the client's. What says where the body ends is always true: what is set decides
//! only where `Content-Length` and `Transfer-Encoding` stand, and whether an empty body is told of.

use weir_conf::value::Pair;
use weir_conf::{Cx, Fault};
use weir_script::{Template, Variables};
use weir_wire::header::NameSet;

use crate::field::clean;
use crate::request::Request;

/// What becomes of fields that the configuration says nothing about. The client's others are passed
/// on.
pub(crate) type Defaults = [(&'static str, Unset)];

/// What becomes of a field that is not set.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Unset {
    /// It is left out.
    Dropped,
    /// It says how long the body is as it goes out.
    BodyLength,
    /// It says that the body goes out in chunks.
    Chunked,
}

/// The compiled fields of a location.
pub(crate) struct Fields {
    /// `Host`, when it is set.
    pub(crate) host: Option<Template>,
    /// The others that may be written, in order.
    set: Vec<Field>,
    /// The names whose fields of the client give way.
    own: NameSet,
}

/// A field to be written.
struct Field {
    /// The name, with what stands between it and the value.
    start: Box<[u8]>,
    value: Value,
    /// It is `Upgrade`: the request asks for another protocol.
    upgrades: bool,
}

/// How a field's value comes about.
enum Value {
    /// It is known already, with the end of the line.
    Fixed(Box<[u8]>),
    Template(Template),
    /// The length of the body as it is sent. If there is none, it is 0 where what is set says so.
    BodyLength(Option<Template>),
    /// "chunked" when the body is sent so.
    Chunked,
}

/// How the body goes out, for the fields that say so.
#[derive(Clone, Copy)]
pub(crate) struct BodyPlan {
    /// Its length, when there is a body with a known one.
    pub(crate) length: Option<u64>,
    /// Whether it goes out in chunks.
    pub(crate) chunked: bool,
}

impl Fields {
    /// Compiles the fields of a location.
    pub(crate) fn compile(
        set: &[Pair],
        defaults: &Defaults,
        cx: &mut Cx<'_>,
    ) -> Result<Self, Fault> {
        let mut fields = Self { host: None, set: Vec::new(), own: NameSet::default() };
        fields.own.insert(b"host");
        let vars = cx.registry::<Variables>();
        for pair in set {
            let template = Template::compile(&pair.value.value, vars)?;
            let name = &pair.key.value;
            if name.eq_ignore_ascii_case(b"host") {
                fields.host = Some(template);
                continue;
            }
            let is_first = fields.own.insert(name);
            if name.eq_ignore_ascii_case(b"content-length") {
                if is_first {
                    fields.add(name, Value::BodyLength(Some(template)));
                }
                continue;
            }
            if name.eq_ignore_ascii_case(b"transfer-encoding") {
                if is_first {
                    fields.add(name, Value::Chunked);
                }
                continue;
            }
            match template.literal() {
                Some(b"") => {}
                Some(text) => {
                    let mut line = text.to_vec();
                    clean(&mut line, 0);
                    line.extend_from_slice(b"\r\n");
                    fields.add(name, Value::Fixed(line.into()));
                }
                None => fields.add(name, Value::Template(template)),
            }
        }
        for (name, unset) in defaults {
            if !fields.own.insert(name.as_bytes()) {
                continue;
            }
            match unset {
                Unset::Dropped => {}
                Unset::BodyLength => fields.add(name.as_bytes(), Value::BodyLength(None)),
                Unset::Chunked => fields.add(name.as_bytes(), Value::Chunked),
            }
        }
        Ok(fields)
    }

    fn add(&mut self, name: &[u8], value: Value) {
        let upgrades = name.eq_ignore_ascii_case(b"upgrade");
        self.set.push(Field { start: [name, b": "].concat().into(), value, upgrades });
    }

    /// Writes all fields but `Host`. Whether they ask for another protocol.
    pub(crate) fn write(
        &self,
        request: &mut Request,
        plan: BodyPlan,
        passes_client: bool,
        out: &mut Vec<u8>,
    ) -> bool {
        let mut upgrade = false;
        for field in &self.set {
            upgrade |= field.write(request, plan, out) && field.upgrades;
        }
        if passes_client {
            for (name, value, known) in request.head.iter() {
                if !self.own.contains(name, known) {
                    for part in [name, b": ", value, b"\r\n"] {
                        out.extend_from_slice(part);
                    }
                }
            }
        }
        upgrade
    }
}

impl Field {
    /// Writes the line, unless its value is empty; whether it was written.
    fn write(&self, request: &mut Request, plan: BodyPlan, out: &mut Vec<u8>) -> bool {
        let text = match &self.value {
            Value::Fixed(line) => {
                out.extend_from_slice(&self.start);
                out.extend_from_slice(line);
                return true;
            }
            Value::Template(template) => return self.write_template(template, request, out),
            Value::BodyLength(set) => match plan.length {
                Some(0) if set.as_ref().is_some_and(|set| request.eval(set).is_empty()) => {
                    return false;
                }
                Some(length) => length.to_string(),
                None => return false,
            },
            Value::Chunked if plan.chunked => "chunked".to_owned(),
            Value::Chunked => return false,
        };
        for part in [&self.start, text.as_bytes(), b"\r\n"] {
            out.extend_from_slice(part);
        }
        true
    }

    fn write_template(&self, value: &Template, request: &mut Request, out: &mut Vec<u8>) -> bool {
        let start = out.len();
        out.extend_from_slice(&self.start);
        let value_start = out.len();
        value.eval(request, out);
        if out.len() == value_start {
            out.truncate(start);
            return false;
        }
        clean(out, value_start);
        out.extend_from_slice(b"\r\n");
        true
    }
}
