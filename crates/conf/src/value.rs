//! What the arguments of one directive are.

mod keyword;
mod number;
mod off;
mod path;
mod size;
mod text;
mod time;

pub use number::parse_number;
pub use off::Off;
pub use path::{ConfPath, PrefixPath};
pub use size::{Bufs, Offset, Size, parse_offset, parse_size};
pub use text::Pair;
pub use time::{Msec, Sec, parse_msec, parse_sec};

use crate::cx::Cx;
use crate::diagnostic::Fault;
use crate::node::Node;
use crate::table::Arity;

/// A type that reads itself from a directive.
///
/// ```
/// use weir_conf::{Arity, Cx, Fault, Node, Value};
///
/// #[derive(Clone, Default)]
/// struct Proportion(f64);
///
/// impl Value for Proportion {
///     const SYNTAX: &'static str = "number%";
///     const ARITY: Arity = Arity::ONE;
///     fn parse(node: &Node, _: &mut Cx<'_>) -> Result<Self, Fault> {
///         let text = node.args[0].text();
///         let number = text.strip_suffix('%').and_then(|number| number.parse().ok());
///         number.map(Self).ok_or_else(|| Fault::bad_value().at(&node.args[0]))
///     }
/// }
/// ```
pub trait Value: Sized + Clone + Send + Sync + 'static {
    /// How the arguments are written, for the reference.
    const SYNTAX: &'static str;
    /// How many there are; checked before `parse`.
    const ARITY: Arity;
    /// Whether a raw block follows, which `parse` finds in `node.block`, its `include`s resolved.
    const BLOCK: bool = false;

    /// Reads the value.
    fn parse(node: &Node, cx: &mut Cx<'_>) -> Result<Self, Fault>;

    /// The directive stands a second time in the block.
    fn again(&mut self, _: &Node, _: &mut Cx<'_>) -> Result<(), Fault> {
        Err(Fault::duplicate())
    }

    /// The value as it would be written, for the reference.
    fn show(&self) -> Option<String> {
        None
    }
}

/// A value that may be absent: without a directive it is `None`.
impl<T: Value> Value for Option<T> {
    const SYNTAX: &'static str = T::SYNTAX;
    const ARITY: Arity = T::ARITY;
    const BLOCK: bool = T::BLOCK;

    fn parse(node: &Node, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        T::parse(node, cx).map(Some)
    }

    fn again(&mut self, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
        match self {
            Some(value) => value.again(node, cx),
            None => Err(Fault::duplicate()),
        }
    }

    fn show(&self) -> Option<String> {
        self.as_ref()?.show()
    }
}
