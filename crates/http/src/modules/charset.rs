//! `charset` (<https://nginx.org/en/docs/http/ngx_http_charset_module.html>).

use std::rc::Rc;
use std::sync::{Arc, OnceLock};

use weir_conf::{Cx, Fault, Inherit, Node, Settings, Slot, directives};
use weir_engine::error_log::Level;
use weir_script::{VarId, Variables};
use weir_wire::header::Known;

use crate::core::MediaTypes;
use crate::field;
use crate::module::Module;
use crate::request::{Request, State};
use crate::snapshot::Prepare;

mod maps;
mod recode;

use maps::{Charsets, List, no_map};
use recode::Recode;

pub(crate) const MODULE: Module = Module {
    name: "charset",
    tables: &[&Charset::table(&CHARSET)],
    header_filter: Some((is_used, filter)),
    prepare: Some(prepare),
    ..Module::NONE
};

static CHARSET: Slot<Charset> = Slot::new();

/// The charset of the main request's response, for the parts that subrequests put into it.
static MAIN: State<Option<Rc<[u8]>>> = State::handed_down(|| None);

directives! {
    /// Names the charset of responses, and recodes them.
    pub struct Charset as CharsetWritten in [http, server, location, location_if] {
        /// The charset that is added to `Content-Type`, and that responses are recoded to.
        "charset" [1]: "charset | off" => set_charset,
        /// The charset that responses are in.
        "source_charset" [1]: "charset" => set_source,
        /// Recodes responses of upstreams that name a charset themselves.
        "override_charset" => override_charset: bool = false,
        /// The media types of the responses that are meant.
        "charset_types" in [http, server, location] => types: MediaTypes = MediaTypes::of(&[
            "text/html", "text/xml", "text/plain", "text/vnd.wap.wml", "application/javascript",
            "application/rss+xml",
        ]),
        /// What the bytes of one charset are in another.
        "charset_map" in [http] block [2]: "charset1 charset2 { … }" => add_map,
        field charset: Inherit<Choice>,
        field source: Inherit<Choice>,
        field all: Inherit<Option<Arc<OnceLock<List>>>>,
    }
    finish = Charset::finish;
}

/// A charset as a directive names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Choice {
    #[default]
    Off,
    /// By its number.
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
    own.all = Some(Some(cx.registry::<Charsets>().shared()));
    Ok(())
}

fn set_source(own: &mut CharsetWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    if own.source.is_some() {
        return Err(Fault::duplicate());
    }
    own.source = Some(choose(node, cx)?);
    own.all = Some(Some(cx.registry::<Charsets>().shared()));
    Ok(())
}

fn add_map(own: &mut CharsetWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    own.all = Some(Some(cx.registry::<Charsets>().shared()));
    maps::add_map(node, cx)
}

impl Charset {
    fn finish(&mut self, _: Option<&Self>, cx: &mut Cx<'_>) -> Result<(), Fault> {
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

/// Whether charsets are spoken of at all; then even a level that names none may have to recode
/// what a subrequest brings.
fn is_used(settings: &Settings) -> bool {
    settings.get(&CHARSET).all.is_some()
}

/// A charset by its number, if the configuration knows it, and its name.
struct Named {
    number: Option<usize>,
    name: Vec<u8>,
}

fn filter(request: &mut Request) -> Result<(), u16> {
    let location = request.location.clone();
    let settings = location.settings.get(&CHARSET);
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

/// Names the charset of the response, and recodes its body if it is in another.
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
        let message = no_map(&lossy(&source.name), &lossy(&wanted.name));
        return request.log(Level::Error, &message);
    };
    set_name(request, &wanted.name);
    if !matches!(**table, recode::Table::Bytes(_)) && !request.is_subrequest() {
        request.response.clear_length();
    }
    request.response.chain.add(Box::new(Recode::new(Arc::clone(table))));
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

/// The charset that the response shall have; None leaves it alone.
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
        request.log(Level::Error, &format!("unknown charset \"{shown}\" to override"));
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

/// The charset that the response is in, as far as that is known.
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
    // Old browsers took the charset of a redirect for that of the next page.
    request.response.charset = match request.response.status {
        301 | 302 => Vec::new(),
        _ => name.to_vec(),
    };
    field::clean(&mut request.response.charset, 0);
}
