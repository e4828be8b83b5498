//! The directive `…_store`.

use weir_conf::{Arity, BlockId, Cx, Fault, Node, Value};
use weir_script::{Template, Variables};

/// `proxy_store`: whether responses are stored, and under which name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Store {
    /// Not stored.
    #[default]
    Off,
    /// Stored under the path of the URI by `root` or `alias`.
    Mapped,
    /// Stored under this path.
    Named(Template),
}

impl Value for Store {
    const SYNTAX: &'static str = "on | off | string";
    const ARITY: Arity = Arity::ONE;

    fn parse(node: &Node, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        let word = &node.args[0];
        if word.is("off") {
            return Ok(Self::Off);
        }
        if word.value.is_empty() {
            return Err(Fault::new("empty path").at(word));
        }
        exclude(node, cx, "store", "cache")?;
        if word.is("on") {
            return Ok(Self::Mapped);
        }
        let name = Template::compile(&word.value, cx.registry::<Variables>())?;
        Ok(Self::Named(name))
    }

    fn show(&self) -> Option<String> {
        match self {
            Self::Off => Some("off".to_owned()),
            Self::Mapped => Some("on".to_owned()),
            Self::Named(name) => name.show(),
        }
    }
}

impl Store {
    /// Whether responses are stored.
    pub fn is_on(&self) -> bool {
        !matches!(self, Self::Off)
    }
}

/// The blocks that store or cache responses, with the name of the directive.
#[derive(Default)]
struct Keepers(Vec<(BlockId, String)>);

/// Records that a block has a directive `node` whose name ends in `own`, and excludes the one of
/// the same protocol that ends in `other`.
///
/// # Errors
/// nginx's message, if the block has the other directive.
pub(crate) fn exclude(node: &Node, cx: &mut Cx<'_>, own: &str, other: &str) -> Result<(), Fault> {
    let name = node.text().into_owned();
    let other = format!("{}{other}", name.strip_suffix(own).unwrap_or_default());
    let block = cx.block_id();
    let Keepers(keepers) = cx.registry();
    if keepers.iter().any(|(place, keeper)| *place == block && *keeper == other) {
        return Err(Fault::directive(format!("is incompatible with \"{other}\"")));
    }
    keepers.push((block, name));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pass::transfer::Transfer;
    use weir_conf::{Assembly, Slot, Table, assemble_text};

    use crate::cache::settings::Caching;
    use crate::core::value::Rights;

    static TRANSFER: Slot<Transfer> = Slot::new();
    static TABLE: Table = Transfer::table(&TRANSFER).prefix("proxy_");
    static CACHE: Slot<Caching> = Slot::new();
    static CACHE_TABLE: Table = Caching::table(&CACHE).prefix("proxy_");

    fn assembled(http: &str) -> Assembly {
        let others = crate::core::TABLES.iter().copied().chain(crate::pending::tables());
        let tables: Vec<_> = [&TABLE, &CACHE_TABLE].into_iter().chain(others).collect();
        assemble_text(&tables, &format!("http {{\n{http}\n}}\n"))
    }

    /// The settings in force in the one server of `http`.
    fn in_force(http: &str) -> (Store, Rights, bool) {
        let assembly = assembled(http);
        assert_eq!(assembly.one_lines(), Vec::<String>::new(), "{http}");
        let transfer = assembly.root.blocks[0].blocks[0].settings.get(&TRANSFER);
        (transfer.store.clone(), transfer.store_access, transfer.outlasts_client)
    }

    #[test]
    fn the_directives_are_inherited_separately() {
        let named = || Store::Named(Template::from_literal(b"/a"));
        let cases = [
            ("server { }", (Store::Off, 0o600, false)),
            ("proxy_store on; server { }", (Store::Mapped, 0o600, true)),
            ("proxy_store on; server { proxy_store off; }", (Store::Off, 0o600, false)),
            ("proxy_store on; server { proxy_store /a; }", (named(), 0o600, true)),
            ("proxy_store /a; server { proxy_store_access group:r; }", (named(), 0o640, true)),
            (
                "proxy_store_access user:r all:rw; server { proxy_store on; }",
                (Store::Mapped, 0o406, true),
            ),
            ("proxy_ignore_client_abort on; server { }", (Store::Off, 0o600, true)),
        ];
        for (http, (store, mode, outlasts)) in cases {
            assert_eq!(in_force(http), (store, Rights(mode), outlasts), "{http}");
        }
    }

    #[test]
    fn faults_have_nginxs_messages() {
        let cases = [
            ("proxy_store \"\";", "empty path"),
            ("proxy_store off; proxy_store off;", "\"proxy_store\" directive is duplicate"),
            ("proxy_store $;", "invalid variable name"),
            ("proxy_store_access user:rwx;", "invalid value \"user:rwx\""),
            ("proxy_store_access group:r other:r;", "invalid value \"other:r\""),
            (
                "proxy_store on; proxy_cache a;",
                "\"proxy_cache\" directive is incompatible with \"proxy_store\"",
            ),
            (
                "proxy_cache a; proxy_store /a;",
                "\"proxy_store\" directive is incompatible with \"proxy_cache\"",
            ),
        ];
        for (http, words) in cases {
            let lines = assembled(http).one_lines();
            let told = format!("[emerg] {words} in /nginx.conf:2");
            assert_eq!(lines.last(), Some(&told), "{http}");
        }
        for http in ["proxy_cache a; proxy_store off;", "proxy_cache off; proxy_store on;"] {
            let lines = assembled(http).one_lines();
            assert!(lines.iter().all(|line| line.starts_with("[warn]")), "{lines:?}");
        }
    }
}
