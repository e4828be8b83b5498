//! Values with the alternative `off`.

use super::Value;
use crate::cx::Cx;
use crate::diagnostic::Fault;
use crate::node::Node;
use crate::table::arity::Arity;

/// `off`, or a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Off<T> {
    /// The word `off`.
    #[default]
    Off,
    /// Anything else.
    On(T),
}

impl<T> Off<T> {
    /// The value, unless it is off.
    pub fn on(&self) -> Option<&T> {
        match self {
            Self::Off => None,
            Self::On(value) => Some(value),
        }
    }
}

impl<T: Value> Value for Off<T> {
    const SYNTAX: &'static str = T::SYNTAX;
    const ARITY: Arity = T::ARITY.or(Arity::ONE);

    fn parse(node: &Node, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        match node.args.as_slice() {
            [only] if only.is("off") => Ok(Self::Off),
            args if T::ARITY.allows(args.len()) => T::parse(node, cx).map(Self::On),
            _ => Err(Fault::bad_count(&node.name)),
        }
    }

    fn show(&self) -> Option<String> {
        self.on().map_or_else(|| Some("off".to_owned()), Value::show)
    }
}
