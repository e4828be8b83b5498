//! `add_header`, `add_trailer` and `expires`
//! (<https://nginx.org/en/docs/http/ngx_http_headers_module.html>).

use weir_conf::{Cx, Fault, Inherit, Local, Node, Settings, Slot, directives, keywords};
use weir_script::{Template, Variables};
use weir_wire::header::Known;

use crate::module::Module;
use crate::rejection::Rejection;
use crate::request::Request;

mod expires;

use expires::Expires;

pub(crate) const MODULE: Module = Module {
    name: "headers",
    tables: &[&Headers::table(&HEADERS)],
    header_filter: Some((enabled, filter)),
    ..Module::NONE
};

static HEADERS: Slot<Headers> = Slot::new();

keywords! {
    /// Inheritance of fields from the level above.
    pub(crate) enum FromAbove {
        /// Nothing is inherited.
        "off" => Off,
        /// Fields are inherited if the level has none of its own.
        "on" => On,
        /// Inherited fields follow the level's own.
        "merge" => Merge,
    }
}

directives! {
    /// Fields added to responses.
    pub(crate) struct Headers as HeadersWritten in [http, server, location, location_if] {
        /// Sets `Expires` and `Cache-Control`.
        "expires" [1, 2]: "[modified] time | epoch | max | off" => set_expires,
        /// Adds a field to successful responses, or with `always` to all.
        "add_header" [2, 3]: "name value [always]" => add_header,
        /// Adds a trailer field to successful responses, or with `always` to all.
        "add_trailer" [2, 3]: "name value [always]" => add_trailer,
        /// How `add_header` is inherited from the level above.
        "add_header_inherit" => headers_from_above: FromAbove = FromAbove::On,
        /// How `add_trailer` is inherited from the level above.
        "add_trailer_inherit" => trailers_from_above: FromAbove = FromAbove::On,
        field expires: Inherit<Expires>,
        field headers: Local<Vec<Added>>,
        field trailers: Local<Vec<Added>>,
    }
    finish = Headers::finish;
}

/// One field to add.
#[derive(Clone, Debug)]
pub(crate) struct Added {
    name: Vec<u8>,
    value: Template,
    /// Added to error responses, too.
    always: bool,
}

impl Headers {
    #[expect(clippy::unnecessary_wraps, reason = "the shape of all finishers")]
    fn finish(&mut self, parent: Option<&Self>, _: &mut Cx<'_>) -> Result<(), Fault> {
        let Some(parent) = parent else { return Ok(()) };
        inherit(&mut self.headers, &parent.headers, self.headers_from_above);
        inherit(&mut self.trailers, &parent.trailers, self.trailers_from_above);
        Ok(())
    }
}

fn inherit(own: &mut Vec<Added>, above: &[Added], rule: FromAbove) {
    match rule {
        FromAbove::On if own.is_empty() => own.extend_from_slice(above),
        FromAbove::Merge => own.extend_from_slice(above),
        _ => {}
    }
}

fn set_expires(own: &mut HeadersWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    if own.expires.is_some() {
        return Err(Fault::duplicate());
    }
    own.expires = Some(Expires::parse_directive(node, cx)?);
    Ok(())
}

fn add_header(own: &mut HeadersWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    let added = Added::parse(node, cx)?;
    own.headers.get_or_insert_default().push(added);
    Ok(())
}

fn add_trailer(own: &mut HeadersWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    let added = Added::parse(node, cx)?;
    own.trailers.get_or_insert_default().push(added);
    Ok(())
}

impl Added {
    fn parse(node: &Node, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        let value = Template::compile(&node.args[1].value, cx.registry::<Variables>())?;
        if let Some(word) = node.args.get(2)
            && !word.is("always")
        {
            return Err(Fault::parameter(word));
        }
        Ok(Self { name: node.args[0].value.clone(), value, always: node.args.len() == 3 })
    }

    fn applies(&self, success: bool) -> bool {
        success || self.always
    }
}

fn enabled(settings: &Settings) -> bool {
    let headers = settings.get(&HEADERS);
    !headers.expires.is_off() || !headers.headers.is_empty() || !headers.trailers.is_empty()
}

fn filter(request: &mut Request) -> Result<(), Rejection> {
    if request.is_subrequest() {
        return Ok(());
    }
    let location = request.location.clone();
    let headers = location.settings.get(&HEADERS);
    let success = is_success(request.response.status);
    if success && !headers.expires.is_off() {
        expires::apply(request, &headers.expires);
    }
    let mut value = Vec::new();
    for added in headers.headers.iter().filter(|added| added.applies(success)) {
        value.clear();
        request.eval_field(&added.value, &mut value);
        add(request, &added.name, &value);
    }
    if headers.trailers.iter().any(|added| added.applies(success)) {
        request.response.expect_trailers = true;
        request.before_last.push(compute_trailers);
    }
    Ok(())
}

/// The statuses for which fields are added without `always`.
fn is_success(status: u16) -> bool {
    matches!(status, 200 | 201 | 204 | 206 | 301..=304 | 307 | 308)
}

/// Adds one field. A singleton field is replaced, or removed by an empty value.
fn add(request: &mut Request, name: &[u8], value: &[u8]) {
    let response = &mut request.response;
    match Known::from_name(name) {
        known @ (Known::ETag | Known::LastModified) => {
            if known == Known::LastModified {
                response.last_modified = weir_wire::date::parse(value);
            }
            if value.is_empty() {
                response.headers.remove(known);
            } else if response.headers.contains(known) {
                response.headers.set(known, value);
            } else {
                response.headers.push_known(known, name, value);
            }
        }
        // The length of an existing body stays.
        Known::ContentLength
            if response.content_length.is_some() && !matches!(response.status, 204 | 304) => {}
        known if !value.is_empty() => response.headers.push_known(known, name, value),
        _ => {}
    }
}

/// Computes the trailers right before the end of the body, since their values may depend on it.
fn compute_trailers(request: &mut Request) {
    if request.response.header_only {
        return;
    }
    let location = request.location.clone();
    let success = is_success(request.response.status);
    let trailers = &location.settings.get(&HEADERS).trailers;
    let mut value = Vec::new();
    for added in trailers.iter().filter(|added| added.applies(success)) {
        value.clear();
        request.eval_field(&added.value, &mut value);
        if !value.is_empty() {
            request.response.trailers.push(&added.name, &value);
        }
    }
}
