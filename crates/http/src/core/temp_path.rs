//! Folders for temporary files: `client_body_temp_path`, `proxy_temp_path` and the like.

use std::path::PathBuf;

use weir_conf::environment::errno_text;
use weir_conf::value::parse_number;
use weir_conf::{Arity, Cx, Fault, Node, Value};

/// The most digits that the levels of folders may take from a file's name.
const MAX_LEVEL_DIGITS: u64 = 10;

/// A folder, and how the names of the files in it are spread over folders below.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TempPath {
    /// The folder.
    pub path: PathBuf,
    /// How many digits of a file's number name the folder of each level.
    pub levels: Vec<u8>,
}

impl Value for TempPath {
    const SYNTAX: &'static str = "path [level1 [level2 [level3]]]";
    const ARITY: Arity =
        Arity::exactly(1).or(Arity::exactly(2)).or(Arity::exactly(3)).or(Arity::exactly(4));

    fn parse(node: &Node, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        let text = node.args[0].text();
        let path = cx.prefix_path(text.strip_suffix('/').unwrap_or(&text));
        let mut levels = Vec::new();
        for word in &node.args[1..] {
            let level =
                parse_number(&word.value).filter(|level| (1..=MAX_LEVEL_DIGITS).contains(level));
            levels.push(level.ok_or_else(|| Fault::bad_value().at(word))? as u8);
        }
        if levels.iter().map(|&level| u64::from(level)).sum::<u64>() > MAX_LEVEL_DIGITS {
            return Err(Fault::bad_value());
        }
        Ok(Self { path, levels })
    }
}

impl TempPath {
    /// In a table's `finish`: takes the default below the prefix if nothing was said, and creates
    /// the folder if this block is the one that names it.
    pub fn settle(
        own: &mut Option<Self>,
        parent: Option<&Self>,
        default: &str,
        cx: &mut Cx<'_>,
    ) -> Result<(), Fault> {
        if !cx.context().intersects(weir_conf::contexts!(http, server, location)) {
            return Ok(());
        }
        let path =
            own.get_or_insert_with(|| Self { path: cx.prefix_path(default), levels: Vec::new() });
        if parent.is_some_and(|parent| parent.path == path.path) {
            return Ok(());
        }
        cx.env().create_dir(&path.path).map_err(|error| {
            let why = errno_text(&error);
            Fault::new(format!("mkdir() \"{}\" failed {why}", path.path.display())).nowhere()
        })
    }
}
