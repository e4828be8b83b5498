//! `geo` (<https://nginx.org/en/docs/http/ngx_http_geo_module.html>).

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use weir_conf::{Cx, Fault, Node, Slot, Value, directives};
use weir_script::{GeoBlock, Variables};

use crate::module::Module;
use crate::request::Request;
use crate::variables::definitions::Definitions;

pub(crate) const MODULE: Module =
    Module { name: "geo", tables: &[&Geos::table(&GEOS)], ..Module::NONE };

static GEOS: Slot<Geos> = Slot::new();

directives! {
    /// Variables that depend on the client address.
    pub(crate) struct Geos as GeosWritten in [http] {
        /// Defines a variable by a list of networks and values. Besides these, a line may be
        /// `default` and a value, `include` and a file, `delete` and a network, `proxy` and a
        /// network of trusted proxies, `proxy_recursive`, `volatile`, or, as the first one,
        /// `ranges`: the networks are then ranges of addresses.
        "geo" block [1, 2]: "[$address] $variable { … }" => add_geo,
    }
}

fn add_geo(_: &mut GeosWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    let block = GeoBlock::parse(node, cx)?;
    let name = cx.registry::<Variables>().name(block.name).to_owned();
    let cached = !block.geo.is_volatile();
    let compute = Arc::new(move |request: &mut Request, out: &mut Vec<u8>| {
        let address = address(&block, request);
        out.extend_from_slice(block.geo.find(address));
        true
    });
    cx.registry::<Definitions>().compute(&name, cached, compute)
}

/// The address to look up: the client's, or the one from `X-Forwarded-For` behind trusted proxies.
fn address(block: &GeoBlock, request: &mut Request) -> Option<IpAddr> {
    let client = request.remote.ip();
    let address = block.address(request, client, &mut Vec::new())?;
    if !block.geo.has_proxies() {
        return Some(address);
    }
    let head = Rc::clone(&request.head);
    let mut lines: Vec<&[u8]> = head
        .iter()
        .filter(|(name, ..)| name.eq_ignore_ascii_case(b"x-forwarded-for"))
        .map(|(_, value, _)| value)
        .collect();
    lines.reverse();
    Some(block.geo.client(address, lines))
}
