//! A group from the text of its `upstream` block.

use std::{path::Path, sync::Arc};

use weir_conf::{Slot, assemble, directives, environment::Memory};
use weir_upstream::{Group, Registry, Side, Upstreams};

static ROOT: Slot<Root> = Slot::new();

directives! {
    /// The enclosing block.
    struct Root as RootWritten in [main] {
        /// http
        "http" opens http [0]: "{ … }",
    }
}

pub(crate) fn group(block: &str) -> Arc<Group> {
    static TABLE: weir_conf::Table = Root::table(&ROOT);
    let text = format!("http {{ {block} }}");
    let env = Memory::default().with("/F", &*text);
    let mut tables = weir_upstream::tables();
    tables.push(&TABLE);
    let mut assembly = assemble(&tables, Path::new("/F"), Path::new("/"), None, &env);
    let upstreams: Upstreams = assembly.registries.take();
    let plan = upstreams.plans(Side::Http, &assembly, None, &env).pop().flatten();
    let plan = plan.unwrap_or_else(|| panic!("{text}")).unwrap_or_else(|_| panic!("{text}"));
    Registry::default().group(&plan.group)
}
