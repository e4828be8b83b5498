//! `split_clients` (<https://nginx.org/en/docs/http/ngx_http_split_clients_module.html>).

use std::sync::Arc;

use weir_conf::{Cx, Fault, Node, Slot, Value, directives};
use weir_script::{SplitClientsBlock, Variables};

use crate::module::Module;
use crate::request::Request;
use crate::variables::definitions::Definitions;

pub(crate) const MODULE: Module =
    Module { name: "split_clients", tables: &[&Splits::table(&SPLITS)], ..Module::NONE };

static SPLITS: Slot<Splits> = Slot::new();

directives! {
    /// Variables that divide requests by percentages.
    pub(crate) struct Splits as SplitsWritten in [http] {
        /// Defines a variable whose value depends on a hash of the string, with a share for each
        /// value.
        "split_clients" block [2]: "string $variable { … }" => add_split,
    }
}

fn add_split(_: &mut SplitsWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    let block = SplitClientsBlock::parse(node, cx)?;
    let name = cx.registry::<Variables>().name(block.name).to_owned();
    let compute = Arc::new(move |request: &mut Request, out: &mut Vec<u8>| {
        block.eval(request, out);
        true
    });
    cx.registry::<Definitions>().compute(&name, true, compute)
}
