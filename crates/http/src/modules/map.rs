//! `map` (<https://nginx.org/en/docs/http/ngx_http_map_module.html>).

use std::sync::Arc;

use weir_conf::{Cx, Fault, Node, Slot, Value, directives};
use weir_script::{MapBlock, Variables};

use crate::module::Module;
use crate::request::Request;
use crate::variables::definitions::Definitions;

pub(crate) const MODULE: Module =
    Module { name: "map", tables: &[&Maps::table(&MAPS)], ..Module::NONE };

static MAPS: Slot<Maps> = Slot::new();

directives! {
    /// Variables that depend on other variables.
    pub(crate) struct Maps as MapsWritten in [http] {
        /// Defines a variable by a list of source values and results. Besides these, a line may be
        /// `default` and a result, `include` and a file, `hostnames` (source values with masks such
        /// as `*.example.com`), or `volatile` (nothing is remembered).
        "map" block [2]: "string $variable { … }" => add_map,
        /// The size of nginx's hash tables. Has no effect: tables grow as needed.
        "map_hash_max_size" => hash_max_size: u32 = 2048,
        /// The bucket size of nginx's hash tables. Has no effect: tables have no such limit.
        "map_hash_bucket_size" => hash_bucket_size: u32 = 64,
    }
}

fn add_map(_: &mut MapsWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    let block = MapBlock::parse(node, cx)?;
    let name = cx.registry::<Variables>().name(block.name).to_owned();
    let cached = !block.map.is_volatile();
    let compute = Arc::new(move |request: &mut Request, out: &mut Vec<u8>| {
        block.eval(request, out);
        true
    });
    cx.registry::<Definitions>().compute(&name, cached, compute)
}
