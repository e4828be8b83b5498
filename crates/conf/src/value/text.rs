//! Plain words.

use super::Value;
use crate::cx::Cx;
use crate::diagnostic::Fault;
use crate::node::{Node, Word};
use crate::table::arity::Arity;

impl Value for String {
    const SYNTAX: &'static str = "string";
    const ARITY: Arity = Arity::ONE;

    fn parse(node: &Node, _: &mut Cx<'_>) -> Result<Self, Fault> {
        Ok(node.args[0].text().into_owned())
    }

    fn show(&self) -> Option<String> {
        Some(if self.is_empty() { "\"\"".to_owned() } else { self.clone() })
    }
}

impl Value for Word {
    const SYNTAX: &'static str = "string";
    const ARITY: Arity = Arity::ONE;

    fn parse(node: &Node, _: &mut Cx<'_>) -> Result<Self, Fault> {
        Ok(node.args[0].clone())
    }

    fn show(&self) -> Option<String> {
        Some(self.text().into_owned())
    }
}

impl Value for Vec<Word> {
    const SYNTAX: &'static str = "string ...";
    const ARITY: Arity = Arity::at_least(1);

    fn parse(node: &Node, _: &mut Cx<'_>) -> Result<Self, Fault> {
        Ok(node.args.clone())
    }
}

/// Two words, as in `proxy_set_header name value`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pair {
    /// The first.
    pub key: Word,
    /// The second.
    pub value: Word,
}

impl Value for Pair {
    const SYNTAX: &'static str = "name value";
    const ARITY: Arity = Arity::exactly(2);

    fn parse(node: &Node, _: &mut Cx<'_>) -> Result<Self, Fault> {
        Ok(Self { key: node.args[0].clone(), value: node.args[1].clone() })
    }
}
