//! The output of `-T`.

use crate::source::{Origin, SourceMap};
use std::collections::HashSet;

/// Each file once, after a line with its name, followed by an empty line.
pub fn dump(sources: &SourceMap) -> Vec<u8> {
    let mut out = Vec::new();
    let mut seen = HashSet::new();
    for source in sources.iter() {
        if let Origin::File(path) = &source.origin
            && seen.insert(path)
        {
            out.extend_from_slice(format!("# configuration file {path}:\n").as_bytes());
            out.extend_from_slice(&source.text);
            out.push(b'\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn files_are_dumped_once_and_the_command_line_never() {
        let mut sources = SourceMap::default();
        let text = |text: &str| Arc::<[u8]>::from(text.as_bytes());
        sources.add(Origin::CommandLine, text("daemon off;"));
        sources.add(Origin::File("/a".to_owned()), text("include b;\ninclude b;\n"));
        sources.add(Origin::File("/b".to_owned()), text("x"));
        sources.add(Origin::File("/b".to_owned()), text("x"));
        let expected =
            "# configuration file /a:\ninclude b;\ninclude b;\n\n# configuration file /b:\nx\n";
        assert_eq!(String::from_utf8(dump(&sources)).unwrap(), expected);
    }
}
