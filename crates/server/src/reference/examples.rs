//! The examples of directives: paragraphs of `docs/examples/<page>.conf`, which are whole
//! configurations that `-t` accepts.
//!
//! A paragraph is a run of lines without an empty one. A block with an empty line in it is only a
//! frame for its paragraphs; any other block is a part of its paragraph.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::Path;

/// Blocks that an example does without, since the context of its directives says it all.
const UNSAID_FRAMES: [&str; 2] = ["http", "server"];

/// The examples of a page by the name of a directive.
pub(super) struct Examples(HashMap<String, String>);

impl Examples {
    /// Reads the examples of a page. A page without a file has none.
    pub(super) fn read(folder: &Path, page: &str) -> io::Result<Self> {
        match fs::read_to_string(folder.join(format!("{page}.conf"))) {
            Ok(text) => Ok(Self::of(&text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self(HashMap::new())),
            Err(error) => Err(error),
        }
    }

    /// The examples in a configuration. The first paragraph with a directive is its example.
    fn of(text: &str) -> Self {
        let lines: Vec<_> = text.lines().collect();
        let mut found = Self(HashMap::new());
        found.paragraphs(&lines, None);
        found
    }

    /// The example of a directive.
    pub(super) fn get(&self, directive: &str) -> Option<&str> {
        self.0.get(directive).map(String::as_str)
    }

    /// Takes in the paragraphs between the lines of a frame.
    fn paragraphs(&mut self, lines: &[&str], frame: Option<&str>) {
        let mut paragraph = Vec::new();
        let mut at = 0;
        while let Some(&line) = lines.get(at) {
            let end = block_end(lines, at);
            let block = &lines[at..end];
            if block.iter().any(|line| line.trim().is_empty()) && block.len() > 1 {
                self.note(&paragraph, frame);
                paragraph.clear();
                self.paragraphs(&block[1..block.len() - 1], Some(line));
                self.frame(line);
            } else if line.trim().is_empty() {
                self.note(&paragraph, frame);
                paragraph.clear();
            } else {
                paragraph.extend_from_slice(block);
            }
            at = end;
        }
        self.note(&paragraph, frame);
    }

    /// Notes a paragraph as the example of its directives.
    fn note(&mut self, paragraph: &[&str], frame: Option<&str>) {
        if paragraph.is_empty() {
            return;
        }
        let frame = frame.filter(|head| !UNSAID_FRAMES.contains(&name_of(head)));
        let text = match frame {
            None => dedented(paragraph, ""),
            Some(head) => format!("{}\n{}}}\n", head.trim(), dedented(paragraph, "    ")),
        };
        for line in paragraph {
            self.0.entry(name_of(line).to_owned()).or_insert_with(|| text.clone());
        }
    }

    /// Notes a frame as an example of its own directive.
    fn frame(&mut self, head: &str) {
        let text = || format!("{}\n    # ...\n}}\n", head.trim());
        self.0.entry(name_of(head).to_owned()).or_insert_with(text);
    }
}

/// The first word of a line.
fn name_of(line: &str) -> &str {
    line.trim().split([' ', ';']).next().unwrap_or_default()
}

/// The index behind the block that begins at a line, or behind that line if none does.
fn block_end(lines: &[&str], from: usize) -> usize {
    let mut depth = 0_usize;
    for (at, line) in lines.iter().enumerate().skip(from) {
        let line = line.trim();
        if line.ends_with('{') {
            depth += 1;
        } else if line.starts_with('}') {
            depth = depth.saturating_sub(1);
        }
        if depth == 0 {
            return at + 1;
        }
    }
    lines.len()
}

/// The lines with this indentation in place of what they have in common.
fn dedented(lines: &[&str], indentation: &str) -> String {
    let width = |line: &&str| line.len() - line.trim_start().len();
    let common = lines.iter().map(width).min().unwrap_or_default();
    lines.iter().map(|line| format!("{indentation}{}\n", &line[common..])).collect()
}

#[cfg(test)]
mod tests {
    use super::Examples;

    const TEXT: &str = "events {}\n\nhttp {\n    # The sizes.\n    client_max_body_size 1m;\n\n    \
        server {\n        location / {\n            sub_filter a b;\n        }\n\n        \
        location /x {\n\n            sub_filter_once off;\n        }\n    }\n}\n";

    #[test]
    fn an_example_is_a_paragraph() {
        let examples = Examples::of(TEXT);
        let size = examples.get("client_max_body_size");
        assert_eq!(size, Some("# The sizes.\nclient_max_body_size 1m;\n"));
        let inner = examples.get("sub_filter");
        assert_eq!(inner, Some("location / {\n    sub_filter a b;\n}\n"));
        assert_eq!(examples.get("location"), inner);
    }

    #[test]
    fn a_frame_is_shown_around_its_paragraphs() {
        let examples = Examples::of(TEXT);
        let framed = examples.get("sub_filter_once");
        assert_eq!(framed, Some("location /x {\n    sub_filter_once off;\n}\n"));
        assert_eq!(examples.get("http"), Some("http {\n    # ...\n}\n"));
        assert_eq!(examples.get("events"), Some("events {}\n"));
        assert_eq!(examples.get("root"), None);
    }
}
