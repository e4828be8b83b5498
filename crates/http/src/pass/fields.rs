//! The fields of a request to an upstream: those that are set (`proxy_set_header`) override the
//! protocol's defaults, which override the client's. The fields about framing are always true:
//! setting them decides only on the position of `Content-Length` and `Transfer-Encoding`, and on
//! announcing an empty body.

use std::sync::Arc;

use weir_conf::value::Pair;
use weir_conf::{Contexts, Cx, Fault};
use weir_script::{Template, Variables};
use weir_wire::header::{Headers, Known, NameSet};

use super::http2;
use super::protocol::TrailerRules;
use crate::cache::shown::{Conditions, is_condition};
use crate::field::clean;
use crate::request::Request;

/// The defaults of fields that the configuration does not set. The client's other fields are passed
/// on.
pub(crate) type Defaults = [(&'static str, Unset)];

/// The default of a field.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Unset {
    /// No field.
    Dropped,
    /// The length of the body as it is sent.
    BodyLength,
    /// "chunked", if the body is sent so.
    Chunked,
    /// "trailers", if the client accepts them.
    Trailers,
}

/// The compiled fields of a location.
pub(crate) struct Fields {
    /// `Host`, if it is set.
    pub(crate) host: Option<Template>,
    /// The other fields to write, in order.
    set: Vec<Field>,
    /// The names of client fields that are not passed on.
    own: NameSet,
}

/// A field to write.
struct Field {
    /// The name and the separator.
    start: Box<[u8]>,
    value: Value,
    /// Whether it is `Upgrade`, which asks for another protocol.
    upgrades: bool,
}

/// The source of a field's value.
enum Value {
    /// A constant, with the end of the line.
    Fixed(Box<[u8]>),
    Template(Template),
    /// The length of the body as it is sent. An empty value omits the field for an empty body.
    BodyLength(Option<Template>),
    /// "chunked", if the body is sent so.
    Chunked,
    /// "trailers", if the client accepts them.
    Trailers,
}

/// The framing of the body, for the fields that announce it.
#[derive(Clone, Copy)]
pub(crate) struct BodyPlan {
    /// Its length, if there is a body of known length.
    pub(crate) length: Option<u64>,
    /// Whether it is chunked.
    pub(crate) chunked: bool,
}

/// The client's fields that are passed on unless the configuration sets them.
#[derive(Clone, Copy)]
pub(crate) enum OfClient<'a> {
    /// None.
    Nothing,
    /// All.
    All,
    /// All, with this `Content-Type` in place of theirs, and as if the client accepted trailers:
    /// the request is translated from another protocol.
    Translated(&'a [u8]),
}

impl OfClient<'_> {
    /// All or none, as a setting says.
    pub(crate) fn all_if(passes: bool) -> Self {
        if passes { Self::All } else { Self::Nothing }
    }
}

impl Fields {
    /// The fields of a level, which passes requests on or not. `parent` is what is set above, with
    /// the fields made of it. Where nothing is passed, fields are compiled to report faults; those
    /// of `http {}` are compiled in the servers that inherit them.
    pub(crate) fn settle(
        passes: bool,
        set: &[Pair],
        parent: Option<(&[Pair], Option<&Arc<Self>>)>,
        defaults: &Defaults,
        cx: &mut Cx<'_>,
    ) -> Result<Option<Arc<Self>>, Fault> {
        let same = parent.filter(|&(above, _)| above == set);
        if passes {
            return match same.and_then(|(_, fields)| fields) {
                Some(fields) => Ok(Some(Arc::clone(fields))),
                None => Self::compile(set, defaults, cx).map(|fields| Some(Arc::new(fields))),
            };
        }
        if cx.context() == Contexts::SERVER || parent.is_some() && same.is_none() {
            Self::compile(set, defaults, cx)?;
        }
        Ok(None)
    }

    /// Compiles the fields of a location.
    fn compile(set: &[Pair], defaults: &Defaults, cx: &mut Cx<'_>) -> Result<Self, Fault> {
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
                Unset::Trailers => fields.add(name.as_bytes(), Value::Trailers),
                Unset::Chunked => fields.add(name.as_bytes(), Value::Chunked),
            }
        }
        Ok(fields)
    }

    fn add(&mut self, name: &[u8], value: Value) {
        let upgrades = name.eq_ignore_ascii_case(b"upgrade");
        self.set.push(Field { start: [name, b": "].concat().into(), value, upgrades });
    }

    /// Writes all fields but `Host`. Returns whether they ask for another protocol.
    pub(crate) fn write(
        &self,
        request: &mut Request,
        plan: BodyPlan,
        of_client: OfClient<'_>,
        out: &mut Vec<u8>,
    ) -> bool {
        let mut upgrade = false;
        let translated = match of_client {
            OfClient::Translated(content_type) => Some(content_type),
            OfClient::Nothing | OfClient::All => None,
        };
        for field in &self.set {
            upgrade |= field.write(request, plan, translated.is_some(), out) && field.upgrades;
        }
        let fetches = request.attempts.cache.fetches;
        if !matches!(of_client, OfClient::Nothing) {
            for (name, value, known) in request.head.iter() {
                let value = match translated {
                    Some(translated) if known == Known::ContentType => translated,
                    _ => value,
                };
                let is_own = self.own.contains(name, known);
                if !is_own && (!fetches || !is_condition(known)) {
                    for part in [name, b": ", value, b"\r\n"] {
                        out.extend_from_slice(part);
                    }
                }
            }
        }
        if let Some(conditions) = &request.attempts.cache.conditions {
            self.write_conditions(conditions, out);
        }
        upgrade
    }

    /// Writes the conditions under which a cached response has not changed, unless the
    /// configuration sets them.
    #[cold]
    fn write_conditions(&self, conditions: &Conditions, out: &mut Vec<u8>) {
        for (known, value) in conditions.fields() {
            let name = known.name().as_bytes();
            if !self.own.contains(name, known) {
                for part in [name, b": ", value, b"\r\n"] {
                    out.extend_from_slice(part);
                }
            }
        }
    }
}

impl TrailerRules for Fields {
    /// Those that a request with the same field would pass on in its head, so that an upstream that
    /// takes trailers for fields learns nothing that a head could not say.
    fn lines(&self, found: &Headers) -> Vec<u8> {
        let mut lines = Vec::new();
        for (name, value, known) in found.iter() {
            if !self.own.contains(name, known) && !Known::NOT_IN_TRAILERS.contains(known) {
                for part in [name, b": ", value, b"\r\n"] {
                    lines.extend_from_slice(part);
                }
            }
        }
        lines
    }
}

impl Field {
    /// Writes the field, unless its value is empty. Returns whether it was written.
    /// `trailers`: it is sent as if the client accepted them.
    fn write(
        &self,
        request: &mut Request,
        plan: BodyPlan,
        trailers: bool,
        out: &mut Vec<u8>,
    ) -> bool {
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
            Value::Trailers if trailers || http2::accepts_trailers(request) => {
                "trailers".to_owned()
            }
            Value::Trailers => return false,
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
