//! Unsupported directives that would serve the content of a location.
//!
//! A location with such a directive answers 500, because its files are not meant to be sent as they
//! are.

use std::sync::Arc;

use weir_conf::{Cx, Fault, Local, Node, Settings, Slot, directives};
use weir_engine::url::{UrlOptions, parse_url};
use weir_script::{Template, Variables};
use weir_upstream::{Side, Upstreams};

/// Unsupported directives that would serve the content of a location.
pub(super) static PENDING_CONTENT: Slot<Content> = Slot::new();

/// The unsupported directive that would serve the content of a block, if there is one.
pub(crate) fn of(settings: &Settings) -> Option<Arc<str>> {
    settings.get(&PENDING_CONTENT).content.clone()
}

directives! {
    /// Unsupported directives that would serve the content of a location.
    pub struct Content as ContentWritten in [location] {
        "grpc_pass" in [location, location_if] [1]: "address" => set_pass,
        field content: Local<Option<Arc<str>>>,
        // The directives seen, to detect duplicates.
        field seen: Local<Vec<String>>,
    }
}

/// The schemes of addresses, by directive.
const SCHEMES: &[(&str, &str)] = &[("grpc_pass", "grpc://"), ("grpc_pass", "grpcs://")];

const URL: UrlOptions<'static> = UrlOptions { default_port: 0, uri_part: false, lookup: None };

fn set_pass(own: &mut ContentWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    let (name, word) = (node.text(), &node.args[0]);
    let seen = own.seen.get_or_insert_default();
    if seen.iter().any(|before| *before == name) {
        return Err(Fault::duplicate());
    }
    seen.push(name.clone().into_owned());
    if word.value.contains(&b'$') {
        Template::compile(&word.value, cx.registry::<Variables>())?;
    } else {
        let text = word.text();
        let starts = |scheme: &str| {
            let start = text.get(..scheme.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(scheme))
        };
        let scheme = SCHEMES.iter().find(|(of, scheme)| *of == name && starts(scheme));
        let address = &text[scheme.map_or(0, |(_, scheme)| scheme.len())..];
        let url = parse_url(address, URL)
            .map_err(|why| Fault::new(format!("{why} in upstream \"{address}\"")).at(word))?;
        let place = cx.span();
        cx.registry::<Upstreams>().refer(Side::Http, &url, place)?;
    }
    set_content(own, node, cx)
}

fn set_content(own: &mut ContentWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    let name = node.text();
    cx.no_effect(format!(
        "\"{name}\" directive is not supported yet, requests are answered with 500"
    ));
    own.content = Some(Some((*name).into()));
    Ok(())
}
