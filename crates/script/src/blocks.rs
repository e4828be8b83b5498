//! `map`, `geo` and `split_clients` as directives, for http and for stream.

use std::net::IpAddr;
use std::sync::Arc;

use weir_conf::{Arity, Cx, Fault, Node, Value, Word};

use crate::geo::{Geo, GeoBuilder};
use crate::map::Map;
use crate::split_clients::SplitClients;
use crate::variables::{is_stream, variables};
use crate::{Host, Scope, Template, VarId, Variables};

/// `map string $variable { … }`
#[derive(Clone, Debug)]
pub struct MapBlock {
    /// The variable it defines.
    pub name: VarId,
    /// The key to look up.
    pub source: Template,
    /// The rows.
    pub map: Arc<Map<Template>>,
}

impl MapBlock {
    /// Appends the variable's value to `out`: nothing if no row matches.
    pub fn eval<S: Scope + ?Sized>(&self, scope: &mut S, out: &mut Vec<u8>) {
        let start = out.len();
        self.source.eval(scope, out);
        self.map.replace(scope, out, start);
    }
}

impl Value for MapBlock {
    const SYNTAX: &'static str = "string $variable { ... }";
    const ARITY: Arity = Arity::exactly(2);
    const BLOCK: bool = true;

    fn parse(node: &Node, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        let (source, name) = source_and_name(node, cx)?;
        let mut map = Map::default();
        for row in node.block.iter().flatten() {
            cx.row(row);
            map.row(&row_words(row), variables(cx)).map_err(|fault| fault.at(&row.name))?;
        }
        cx.rows_done(node);
        Ok(Self { name, source, map: Arc::new(map) })
    }
}

/// `geo [$address] $variable { … }`
#[derive(Clone, Debug)]
pub struct GeoBlock {
    /// The variable it defines.
    pub name: VarId,
    /// The variable that holds the address; `None` for the client's address.
    pub source: Option<VarId>,
    /// The networks.
    pub geo: Arc<Geo>,
}

impl GeoBlock {
    /// The address to look up: the variable's value, else the client's. `None` if there is none.
    ///
    /// [`Geo::client`] applies the `proxy` rows to it.
    pub fn address<H: Host + ?Sized>(
        &self,
        host: &mut H,
        client: Option<IpAddr>,
        scratch: &mut Vec<u8>,
    ) -> Option<IpAddr> {
        let Some(source) = self.source else { return client };
        scratch.clear();
        host.variable(source, scratch).then_some(())?;
        weir_conf::value::parse_ip(scratch)
    }
}

impl Value for GeoBlock {
    const SYNTAX: &'static str = "[$address] $variable { ... }";
    const ARITY: Arity = Arity::exactly(1).or(Arity::exactly(2));
    const BLOCK: bool = true;

    fn parse(node: &Node, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        let vars = variables(cx);
        let (source, name) = match &node.args[..] {
            [address, name] => (Some(at(address, vars.reference_word(&address.value))?), name),
            args => (None, &args[0]),
        };
        let name = at(name, vars.define_word(&name.value))?;
        let stream = is_stream(cx);
        let mut builder = if stream { GeoBuilder::for_stream() } else { GeoBuilder::default() };
        for row in node.block.iter().flatten() {
            cx.row(row);
            let words = row_words(row);
            builder
                .row(&words, &mut |warning| cx.warn(warning))
                .map_err(|fault| fault.at(&row.name))?;
        }
        cx.rows_done(node);
        Ok(Self { name, source, geo: Arc::new(builder.build()) })
    }
}

/// `split_clients string $variable { … }`
#[derive(Clone, Debug)]
pub struct SplitClientsBlock {
    /// The variable it defines.
    pub name: VarId,
    /// The key to hash.
    pub source: Template,
    /// The shares.
    pub split: Arc<SplitClients<Box<[u8]>>>,
}

impl SplitClientsBlock {
    /// Appends the variable's value to `out`: nothing if the key falls into no share.
    pub fn eval<H: Host + ?Sized>(&self, host: &mut H, out: &mut Vec<u8>) {
        let start = out.len();
        self.source.eval(host, out);
        let value = self.split.find(&out[start..]);
        out.truncate(start);
        out.extend_from_slice(value.map_or(b"", |value| value));
    }
}

impl Value for SplitClientsBlock {
    const SYNTAX: &'static str = "string $variable { ... }";
    const ARITY: Arity = Arity::exactly(2);
    const BLOCK: bool = true;

    fn parse(node: &Node, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        let (source, name) = source_and_name(node, cx)?;
        let mut split = SplitClients::default();
        for row in node.block.iter().flatten() {
            cx.row(row);
            let [value] = &row.args[..] else {
                return Err(Fault::new("invalid number of the split_clients parameters"));
            };
            at(&row.name, split.push(&row.name.value, value.value.clone().into()))?;
        }
        cx.rows_done(node);
        Ok(Self { name, source, split: Arc::new(split.finish()?) })
    }
}

fn source_and_name(node: &Node, cx: &mut Cx<'_>) -> Result<(Template, VarId), Fault> {
    let vars: &mut Variables = variables(cx);
    let source = at(&node.args[0], Template::compile(&node.args[0].value, vars))?;
    let name = at(&node.args[1], vars.define_word(&node.args[1].value))?;
    Ok((source, name))
}

fn at<T>(word: &Word, result: Result<T, Fault>) -> Result<T, Fault> {
    result.map_err(|fault| fault.at(word))
}

/// The bytes of words, as arguments for the compilers of this crate.
pub fn words(words: &[Word]) -> Vec<&[u8]> {
    words.iter().map(|word| &word.value[..]).collect()
}

fn row_words(row: &Node) -> Vec<&[u8]> {
    row.words().map(|word| &word.value[..]).collect()
}

#[cfg(test)]
mod tests;
