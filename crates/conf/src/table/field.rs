//! Field types: the setter, the repetition and the inheritance of a directive.

use super::arity::Arity;
use crate::cx::Cx;
use crate::diagnostic::Fault;
use crate::node::Node;
use crate::value::Value;
use std::marker::PhantomData;

/// A field of a table's struct.
pub trait Field {
    /// The type of the field in the finished struct, and of the setter's target.
    type Plain: Clone + Send + Sync + 'static;
    /// Whether a child block starts from the default instead of its parent's value.
    const LOCAL: bool = false;

    /// The written value, else the parent's, else the default.
    fn merge(
        own: Option<Self::Plain>,
        parent: Option<&Self::Plain>,
        default: fn() -> Self::Plain,
    ) -> Self::Plain {
        let above = if Self::LOCAL { None } else { parent };
        own.or_else(|| above.cloned()).unwrap_or_else(default)
    }
}

/// A field with a row of its own.
pub trait RowField: Field {
    /// The syntax of its arguments.
    const SYNTAX: &'static str;
    /// The number of its arguments.
    const ARITY: Arity;
    /// Whether a block follows.
    const BLOCK: bool;
    /// Sets it from a directive.
    fn set(own: &mut Option<Self::Plain>, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault>;
    /// The value as written in a configuration.
    fn show(value: &Self::Plain) -> Option<String>;
}

impl<T: Value> Field for T {
    type Plain = T;
}

impl<T: Value> RowField for T {
    const SYNTAX: &'static str = T::SYNTAX;
    const ARITY: Arity = T::ARITY;
    const BLOCK: bool = T::BLOCK;

    fn set(own: &mut Option<T>, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
        match own {
            Some(value) => value.again(node, cx),
            None => {
                *own = Some(T::parse(node, cx)?);
                Ok(())
            }
        }
    }

    fn show(value: &T) -> Option<String> {
        value.show()
    }
}

/// A repeatable directive; a child block with its own directives replaces the whole list. The field
/// is a `Vec<T>`.
#[derive(Debug)]
pub struct Many<T>(PhantomData<T>);

impl<T: Clone + Send + Sync + 'static> Field for Many<T> {
    type Plain = Vec<T>;
}

impl<T: Value> RowField for Many<T> {
    const SYNTAX: &'static str = T::SYNTAX;
    const ARITY: Arity = T::ARITY;
    const BLOCK: bool = T::BLOCK;

    fn set(own: &mut Option<Vec<T>>, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
        let value = T::parse(node, cx)?;
        own.get_or_insert_default().push(value);
        Ok(())
    }

    fn show(_: &Vec<T>) -> Option<String> {
        None
    }
}

/// Never inherited. The field is a `T`.
#[derive(Debug)]
pub struct Local<T>(PhantomData<T>);

impl<T: Clone + Send + Sync + 'static> Field for Local<T> {
    type Plain = T;
    const LOCAL: bool = true;
}

impl<T: Value> RowField for Local<T> {
    const SYNTAX: &'static str = T::SYNTAX;
    const ARITY: Arity = T::ARITY;
    const BLOCK: bool = T::BLOCK;

    fn set(own: &mut Option<T>, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
        <T as RowField>::set(own, node, cx)
    }

    fn show(value: &T) -> Option<String> {
        value.show()
    }
}

/// Inherited, of a type that is not a `Value`: for fields that only setters write.
#[derive(Debug)]
pub struct Inherit<T>(PhantomData<T>);

impl<T: Clone + Send + Sync + 'static> Field for Inherit<T> {
    type Plain = T;
}
