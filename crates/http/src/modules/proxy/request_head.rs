//! The fields of a request to an upstream: `proxy_set_header` over nginx's defaults over the
//! client's.

use weir_conf::value::Pair;
use weir_conf::{Cx, Fault};
use weir_script::{Template, Variables};

use crate::request::Request;

/// What is set where `proxy_set_header` says nothing; empty values mean that the client's field
/// is not passed on.
const DEFAULTS: &[(&str, &str)] = &[
    ("Connection", ""),
    ("Proxy-Connection", ""),
    ("Content-Length", "$proxy_internal_body_length"),
    ("Transfer-Encoding", "$proxy_internal_chunked"),
    ("TE", ""),
    ("Keep-Alive", ""),
    ("Expect", ""),
    ("Upgrade", ""),
];

/// The compiled fields of a location.
pub(crate) struct Fields {
    /// `Host`, when it is set.
    pub(crate) host: Option<Template>,
    /// The others that may be written, in order.
    set: Vec<(Box<[u8]>, Value)>,
    /// The names of all that the client's fields of the same name give way to, in lower case.
    names: Vec<Box<[u8]>>,
}

/// How a field's value comes about.
enum Value {
    Template(Template),
    /// The length of the body as it is sent.
    BodyLength,
    /// "chunked" when the body is sent so.
    Chunked,
}

/// How the body goes out, for the fields that say so.
#[derive(Clone, Copy, Default)]
pub(crate) struct BodyPlan {
    /// Its length, when there is a body with a known one.
    pub(crate) length: Option<u64>,
    /// Whether it goes out in chunks.
    pub(crate) chunked: bool,
}

impl Fields {
    /// Compiles the fields of a location.
    pub(crate) fn compile(set: &[Pair], cx: &mut Cx<'_>) -> Result<Self, Fault> {
        let mut fields = Self { host: None, set: Vec::new(), names: vec![Box::from(&b"host"[..])] };
        let vars = cx.registry::<Variables>();
        for pair in set {
            let template = Template::compile(&pair.value.value, vars)?;
            let name = &pair.key.value;
            if name.eq_ignore_ascii_case(b"host") {
                fields.host = Some(template);
                continue;
            }
            fields.names.push(name.to_ascii_lowercase().into());
            if template.literal() != Some(b"") {
                fields.set.push((name.as_slice().into(), Value::Template(template)));
            }
        }
        for (name, value) in DEFAULTS {
            let lower: Box<[u8]> = name.to_ascii_lowercase().as_bytes().into();
            if fields.names.contains(&lower) {
                continue;
            }
            fields.names.push(lower);
            let value = match *value {
                "" => continue,
                "$proxy_internal_chunked" => Value::Chunked,
                _ => Value::BodyLength,
            };
            fields.set.push((name.as_bytes().into(), value));
        }
        Ok(fields)
    }

    /// Writes all fields but `Host`.
    pub(crate) fn write(
        &self,
        request: &mut Request,
        plan: BodyPlan,
        passes_client: bool,
        out: &mut Vec<u8>,
    ) {
        for (name, value) in &self.set {
            let start = out.len();
            out.extend_from_slice(name);
            out.extend_from_slice(b": ");
            let value_start = out.len();
            match value {
                Value::Template(template) => {
                    template.eval(request, out);
                    clean(out, value_start);
                }
                Value::BodyLength => {
                    if let Some(length) = plan.length {
                        out.extend_from_slice(length.to_string().as_bytes());
                    }
                }
                Value::Chunked if plan.chunked => out.extend_from_slice(b"chunked"),
                Value::Chunked => {}
            }
            match out.len() == value_start {
                true => out.truncate(start),
                false => out.extend_from_slice(b"\r\n"),
            }
        }
        if !passes_client {
            return;
        }
        let head = std::rc::Rc::clone(&request.head);
        for (name, value, _) in head.iter() {
            if self.names.iter().any(|own| name.eq_ignore_ascii_case(own)) {
                continue;
            }
            out.extend_from_slice(name);
            out.extend_from_slice(b": ");
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// Replaces what would end a field by a space: a variable must not be able to add fields of its
/// own to a request (a decoded `$uri` can hold a line feed).
pub(super) fn clean(out: &mut [u8], start: usize) {
    for byte in &mut out[start..] {
        if matches!(byte, b'\r' | b'\n' | 0) {
            *byte = b' ';
        }
    }
}
