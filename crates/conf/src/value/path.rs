//! File names, made absolute.

use super::Value;
use crate::cx::Cx;
use crate::diagnostic::Fault;
use crate::node::{Node, Word};
use crate::table::arity::Arity;
use std::path::PathBuf;

/// A path relative to the directory of the main configuration file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ConfPath(pub PathBuf);

/// A path relative to the prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PrefixPath(pub PathBuf);

fn path(word: &Word) -> Result<&str, Fault> {
    word.str().ok_or_else(|| Fault::bad_value().at(word).hint("file names must be UTF-8"))
}

impl Value for ConfPath {
    const SYNTAX: &'static str = "file";
    const ARITY: Arity = Arity::ONE;

    fn parse(node: &Node, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        Ok(Self(cx.conf_path(path(&node.args[0])?)))
    }

    fn show(&self) -> Option<String> {
        Some(self.0.display().to_string())
    }
}

impl Value for PrefixPath {
    const SYNTAX: &'static str = "path";
    const ARITY: Arity = Arity::ONE;

    fn parse(node: &Node, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        Ok(Self(cx.prefix_path(path(&node.args[0])?)))
    }

    fn show(&self) -> Option<String> {
        Some(self.0.display().to_string())
    }
}
