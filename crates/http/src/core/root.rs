//! `root` and `alias`: the folder of a location's files.

use weir_conf::{Cx, Fault, Inherit, Node, Slot, directives};
use weir_script::{Template, Variables};

use super::blocks::LOCATION;
use super::location::Kind;

/// The folder of a location's files.
pub(crate) static ROOT: Slot<RootDir> = Slot::new();

/// The default root, relative to the prefix.
const DEFAULT_ROOT: &str = "html";

directives! {
    /// The folder of a location's files.
    pub struct RootDir as RootWritten in [http, server, location] {
        /// The folder that URIs are appended to.
        "root" in [http, server, location, location_if] [1]: "path" => set_root,
        /// The path that replaces the location's name.
        "alias" in [location] [1]: "path" => set_alias,
        field root: Inherit<Root>,
    }
    finish = RootDir::finish;
}

/// A folder, and the mapping of URIs to paths in it.
#[derive(Clone, Debug)]
pub(crate) struct Root {
    /// The path, absolute unless it starts with a variable: it may then be relative to the prefix.
    pub path: Template,
    /// The mapping of URIs to paths.
    pub alias: Alias,
}

/// The mapping of a URI to a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alias {
    /// The URI is appended to the root.
    No,
    /// The path replaces this many bytes, the name of the location.
    Prefix(usize),
    /// The path replaces the whole URI: the location is a regular expression.
    Whole,
}

impl Default for Root {
    fn default() -> Self {
        Self { path: Template::from_literal(DEFAULT_ROOT.as_bytes()), alias: Alias::No }
    }
}

impl RootDir {
    /// Makes the default root absolute.
    fn finish(&mut self, parent: Option<&Self>, cx: &mut Cx<'_>) -> Result<(), Fault> {
        if parent.is_none() && self.root.path.literal() == Some(DEFAULT_ROOT.as_bytes()) {
            let path = cx.prefix_path(DEFAULT_ROOT);
            self.root.path = Template::from_literal(path.as_os_str().as_encoded_bytes());
        }
        Ok(())
    }
}

fn set_root(own: &mut RootWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    check(own, node)?;
    let path = &node.args[0].value;
    let path = path.strip_suffix(b"/").unwrap_or(path);
    own.root = Some(Root::new(path, Alias::No, cx)?);
    Ok(())
}

fn set_alias(own: &mut RootWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    check(own, node)?;
    let alias = match &cx.written(&LOCATION).pattern {
        Some(Some(pattern)) => match pattern.kind {
            Kind::Named => {
                return Err(
                    "the \"alias\" directive cannot be used inside the named location".into()
                );
            }
            Kind::Regex { .. } => Alias::Whole,
            _ => Alias::Prefix(pattern.name.len()),
        },
        _ => Alias::Prefix(0),
    };
    own.root = Some(Root::new(&node.args[0].value, alias, cx)?);
    Ok(())
}

fn check(own: &RootWritten, node: &Node) -> Result<(), Fault> {
    let name = node.text();
    if let Some(earlier) = &own.root {
        let before = if earlier.alias == Alias::No { "root" } else { "alias" };
        if before == name {
            return Err(Fault::duplicate());
        }
        return Err(format!(
            "\"{name}\" directive is duplicate, \"{before}\" directive was specified earlier"
        )
        .into());
    }
    let text = node.args[0].text();
    for variable in ["document_root", "realpath_root"] {
        if text.contains(&format!("${variable}")) || text.contains(&format!("${{{variable}}}")) {
            return Err(Fault::new(format!(
                "the ${variable} variable cannot be used in the \"{name}\" directive"
            ))
            .at(&node.args[0]));
        }
    }
    Ok(())
}

impl Root {
    fn new(path: &[u8], alias: Alias, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        let full;
        let path = if matches!(path.first(), Some(b'$' | b'/')) {
            path
        } else {
            full = [cx.prefix_path("").as_os_str().as_encoded_bytes(), path].concat();
            &full
        };
        let path = Template::compile(path, cx.registry::<Variables>())?;
        Ok(Self { path, alias })
    }
}
