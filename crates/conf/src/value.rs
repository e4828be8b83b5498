//! Values: the types of directives' arguments.

mod address;
mod keyword;
mod number;
mod off;
mod path;
mod size;
mod text;
mod time;

pub use address::{parse_ip, parse_ip_port, parse_ipv4, parse_port};
pub use number::parse_number;
pub use off::Off;
pub use path::{ConfPath, PrefixPath};
pub use size::{Bufs, Offset, Size, parse_offset, parse_size};
pub use text::Pair;
pub use time::{Msec, Sec, parse_msec, parse_sec};

use crate::cx::Cx;
use crate::diagnostic::Fault;
use crate::node::Node;
use crate::table::arity::Arity;

/// A type that parses itself from a directive.
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
    /// The syntax of the arguments, for the reference.
    const SYNTAX: &'static str;
    /// The number of arguments, checked before `parse`.
    const ARITY: Arity;
    /// Whether a raw block follows; `parse` finds it in `node.block`, with its `include`s resolved.
    const BLOCK: bool = false;

    /// Parses the value.
    fn parse(node: &Node, cx: &mut Cx<'_>) -> Result<Self, Fault>;

    /// Handles a repetition of the directive in the block.
    fn again(&mut self, _: &Node, _: &mut Cx<'_>) -> Result<(), Fault> {
        Err(Fault::duplicate())
    }

    /// The value as written in a configuration, for the reference.
    fn show(&self) -> Option<String> {
        None
    }
}

/// An optional value: `None` without a directive.
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
