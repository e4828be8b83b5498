//! `charset` (<https://nginx.org/en/docs/http/ngx_http_charset_module.html>).

use std::rc::Rc;
use std::sync::{Arc, OnceLock};

use weir_conf::{Cx, Fault, Inherit, Node, Slot, directives};
use weir_engine::error_log::Level;
use weir_script::{VarId, Variables};
use weir_wire::header::Known;

use crate::core::MediaTypes;
use crate::field;
use crate::module::{Module, Prepare};
use crate::rejection::Rejection;
use crate::request::{Request, State};

mod maps;
mod recode;

use maps::{Charsets, List, no_map};
use recode::Recode;

pub(crate) const MODULE: Module = Module {
    name: "charset",
    tables: &[&Charset::table(&CHARSET)],
    header_filter: Some((|_| true, filter)),
    prepare: Some(prepare),
    ..Module::NONE
};

static CHARSET: Slot<Charset> = Slot::new();

/// The charset of the main response, to which included subrequests are converted.
static MAIN: State<Option<Rc<[u8]>>> = State::handed_down(|| None);

/// The moment at which the head of an upstream's response is judged.
const HEAD: &str = "reading response header from upstream";

directives! {
    /// The charset of responses, and conversion between charsets.
    pub struct Charset as CharsetWritten in [http, server, location, location_if] {
        /// The charset in `Content-Type`. Responses in another charset are converted to it.
        "charset" [1]: "charset | off" => set_charset,
        /// The original charset of responses.
        "source_charset" [1]: "charset" => set_source,
        /// Also converts responses of upstreams that have a charset of their own.
        "override_charset" => override_charset: bool = false,
        /// The media types that get a charset.
        "charset_types" in [http, server, location] => types: MediaTypes = MediaTypes::of(&[
            "text/html", "text/xml", "text/plain", "text/vnd.wap.wml", "application/javascript",
            "application/rss+xml",
        ]),
        /// Defines a conversion table between two charsets.
        "charset_map" in [http] block [2]: "charset1 charset2 { … }" => add_map,
        field charset: Inherit<Choice>,
        field source: Inherit<Choice>,
        field is_set: Inherit<bool>,
        field all: Inherit<Option<Arc<OnceLock<List>>>>,
    }
    finish = Charset::finish;
}

/// A charset as a directive names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Choice {
    #[default]
    Off,
    /// An index into the list of charsets.
    Fixed(usize),
    /// The value of a variable.
    Computed(VarId),
}

fn choose(node: &Node, cx: &mut Cx<'_>) -> Result<Choice, Fault> {
    let name = &node.args[0].value;
    if name.first() == Some(&b'$') {
        return Ok(Choice::Computed(cx.registry::<Variables>().reference_word(name)?));
    }
    Ok(Choice::Fixed(cx.registry::<Charsets>().add(name)))
}

fn set_charset(own: &mut CharsetWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    if own.charset.is_some() {
        return Err(Fault::duplicate());
    }
    own.charset = Some(match node.args[0].is("off") {
        true => Choice::Off,
        false => choose(node, cx)?,
    });
    own.is_set = Some(true);
    Ok(())
}

fn set_source(own: &mut CharsetWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    if own.source.is_some() {
        return Err(Fault::duplicate());
    }
    own.source = Some(choose(node, cx)?);
    own.is_set = Some(true);
    Ok(())
}

fn add_map(own: &mut CharsetWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    own.is_set = Some(true);
    maps::add_map(node, cx)
}

impl Charset {
    fn finish(&mut self, _: Option<&Self>, cx: &mut Cx<'_>) -> Result<(), Fault> {
        self.all.get_or_insert_with(|| cx.registry::<Charsets>().shared());
        if let (Choice::Fixed(from), Choice::Fixed(to)) = (self.source, self.charset)
            && from != to
        {
            cx.registry::<Charsets>().want(from, to);
        }
        Ok(())
    }
}

fn prepare(whole: &mut Prepare<'_>) -> Result<(), Fault> {
    whole.registries.take::<Charsets>().finish()
}

/// A charset: its name, and its index if the configuration has it.
struct Named {
    number: Option<usize>,
    name: Vec<u8>,
}

fn filter(request: &mut Request) -> Result<(), Rejection> {
    let location = request.location.clone();
    let settings = location.settings.get(&CHARSET);
    // A level without a charset still converts a subrequest's response to the main one's, and heeds
    // `X-Accel-Charset`.
    let is_meant = settings.is_set
        || !request.response.override_charset.is_empty()
        || request.is_subrequest() && request.state(&MAIN).is_some();
    if !is_meant {
        return Ok(());
    }
    let Some(list) = settings.all.as_ref().and_then(|all| all.get()) else { return Ok(()) };
    let wanted = match request.is_subrequest() {
        true => request.state(&MAIN).clone().map(|name| named(list, &name)),
        false => destination(request, settings, list),
    };
    if let Some(wanted) = wanted {
        recode(request, settings, list, &wanted);
    }
    if !request.is_subrequest() && !request.response.charset.is_empty() {
        *request.state(&MAIN) = Some(request.response.charset.as_slice().into());
    }
    Ok(())
}

/// Sets the charset of the response, and converts the body if it is in another one.
fn recode(request: &mut Request, settings: &Charset, list: &List, wanted: &Named) {
    let Some(source) = source(request, settings, list) else {
        return set_name(request, &wanted.name);
    };
    let same = match (source.number, wanted.number) {
        (Some(from), Some(to)) => from == to,
        (None, None) => source.name.eq_ignore_ascii_case(&wanted.name),
        _ => false,
    };
    if same {
        if wanted.number.is_some() {
            request.response.content_type_text.clear();
        }
        return set_name(request, &wanted.name);
    }
    if source.number.is_some() && wanted.number.is_some() {
        let encoding = request.response.headers.get(Known::ContentEncoding);
        if encoding.is_some_and(|encoding| !encoding.is_empty()) {
            return;
        }
    }
    let numbers = source.number.zip(wanted.number);
    let Some(table) = numbers.and_then(|(from, to)| list.table(from, to)) else {
        let lossy = String::from_utf8_lossy;
        let mut message = no_map(&lossy(&source.name), &lossy(&wanted.name));
        if !request.response.override_charset.is_empty() {
            message = format!("{message} while {HEAD}");
        }
        return request.log(Level::Error, &message);
    };
    request.response.content_type_text.clear();
    set_name(request, &wanted.name);
    if !matches!(**table, recode::Table::Bytes(_)) && !request.is_subrequest() {
        request.response.clear_length();
    }
    request.chain.add(Box::new(Recode::new(Arc::clone(table))));
}

fn named(list: &List, name: &[u8]) -> Named {
    Named { number: list.number(name), name: name.to_vec() }
}

fn chosen(request: &mut Request, list: &List, choice: Choice) -> Option<Named> {
    match choice {
        Choice::Off => None,
        Choice::Fixed(number) => {
            Some(Named { number: Some(number), name: list.name(number).to_vec() })
        }
        Choice::Computed(id) => Some(named(list, &request.variable_bytes(id))),
    }
}

/// The charset to convert to; None leaves the response alone.
fn destination(request: &mut Request, settings: &Charset, list: &List) -> Option<Named> {
    if request.response.content_type.is_empty() {
        return None;
    }
    if !request.response.override_charset.is_empty() {
        let wanted = named(list, &request.response.override_charset);
        if wanted.number.is_some() {
            return Some(wanted);
        }
        let shown = String::from_utf8_lossy(&wanted.name).into_owned();
        let message = format!("unknown charset \"{shown}\" to override while {HEAD}");
        request.log_upstream(Level::Error, &message);
        return None;
    }
    if settings.charset == Choice::Off {
        return None;
    }
    let meant = match request.response.charset.is_empty() {
        true => settings.types.contains(&request.response.content_type),
        false => settings.override_charset,
    };
    if meant { chosen(request, list, settings.charset) } else { None }
}

/// The charset of the response as it is, if known.
fn source(request: &mut Request, settings: &Charset, list: &List) -> Option<Named> {
    if !request.response.charset.is_empty() {
        return Some(named(list, &request.response.charset));
    }
    chosen(request, list, settings.source)
}

fn set_name(request: &mut Request, name: &[u8]) {
    if request.is_subrequest() {
        return;
    }
    // Old browsers applied the charset of a redirect to the page it led to.
    request.response.charset = match request.response.status {
        301 | 302 => Vec::new(),
        _ => name.to_vec(),
    };
    field::clean(&mut request.response.charset, 0);
}
