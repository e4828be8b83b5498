//! Places in a configuration: files, byte ranges, lines and columns.

use std::sync::{Arc, OnceLock};

/// A file (or the text of `-g`) of one assembly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u32);

/// A range of bytes in a file; `end` is exclusive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The file.
    pub file: FileId,
    /// Offset of the first byte.
    pub start: u32,
    /// Offset after the last byte.
    pub end: u32,
}

impl Span {
    /// The offset of the last byte; nginx takes its line as the directive's.
    pub fn last(self) -> u32 {
        self.end.saturating_sub(1).max(self.start)
    }
}

/// The origin of a text: a file, or the argument of `-g`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A file, under the name that nginx prints.
    File(String),
    /// The command line.
    CommandLine,
}

/// One text with its name.
#[derive(Debug)]
pub struct Source {
    /// Where it comes from.
    pub origin: Origin,
    /// The bytes as read.
    pub text: Arc<[u8]>,
    lines: OnceLock<Vec<u32>>,
}

impl Source {
    /// The offsets of the line feeds, computed once.
    fn lines(&self) -> &[u32] {
        self.lines
            .get_or_init(|| memchr::memchr_iter(b'\n', &self.text).map(|at| at as u32).collect())
    }
}

/// Every text that an assembly has read, in order.
#[derive(Debug, Default)]
pub struct SourceMap {
    sources: Vec<Source>,
}

impl SourceMap {
    /// Adds a text.
    pub fn add(&mut self, origin: Origin, text: Arc<[u8]>) -> FileId {
        self.sources.push(Source { origin, text, lines: OnceLock::new() });
        FileId(self.sources.len() as u32 - 1)
    }

    /// The text of an id from this map.
    pub fn source(&self, file: FileId) -> &Source {
        &self.sources[file.0 as usize]
    }

    /// All texts in reading order; a file included twice occurs twice.
    pub fn iter(&self) -> impl Iterator<Item = &Source> {
        self.sources.iter()
    }

    /// The first use of a variable outside comments, as `$name` or `${name}`.
    pub fn variable(&self, name: &str) -> Option<Span> {
        self.sources.iter().enumerate().find_map(|(at, source)| {
            let text = &source.text;
            memchr::memchr_iter(b'$', text).find_map(|dollar| {
                let braced = text.get(dollar + 1) == Some(&b'{');
                let start = dollar + 1 + usize::from(braced);
                let end = start + name.len();
                let here = text.get(start..end)?.eq_ignore_ascii_case(name.as_bytes());
                let inner = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
                let whole = !text.get(end).is_some_and(inner);
                if !here || !whole || is_comment(text, dollar) {
                    return None;
                }
                let end = end + usize::from(braced);
                Some(Span { file: FileId(at as u32), start: dollar as u32, end: end as u32 })
            })
        })
    }

    /// The file's path, or `command line`.
    pub fn name(&self, file: FileId) -> &str {
        match &self.source(file).origin {
            Origin::File(path) => path,
            Origin::CommandLine => "command line",
        }
    }

    /// The line of an offset, from 1: one more than the line feeds before it.
    pub fn line(&self, file: FileId, offset: u32) -> usize {
        self.source(file).lines().partition_point(|&feed| feed < offset) + 1
    }

    /// The column of an offset in bytes, from 1.
    pub fn column(&self, file: FileId, offset: u32) -> usize {
        let lines = self.source(file).lines();
        let before = lines.partition_point(|&feed| feed < offset);
        let start = before.checked_sub(1).map_or(0, |at| lines[at] + 1);
        (offset - start) as usize + 1
    }

    /// The file of a directive, and the line that [`SourceMap::place`] names.
    pub fn file_and_line(&self, span: Span) -> (&str, usize) {
        (self.name(span.file), self.line(span.file, span.last()))
    }

    /// ` in FILE:LINE` as nginx writes it at the end of a message.
    pub fn place(&self, span: Span) -> String {
        match &self.source(span.file).origin {
            Origin::File(path) => format!(" in {path}:{}", self.line(span.file, span.last())),
            Origin::CommandLine => " in command line".to_owned(),
        }
    }
}

/// The names and lines of every text of an assembly, without the texts: what is left to say where
/// a setting was written once the configuration serves.
#[derive(Debug, Default)]
pub struct Places {
    files: Vec<(Box<str>, Box<[u32]>)>,
}

impl SourceMap {
    /// The names and lines of all texts.
    pub fn places(&self) -> Places {
        let file = |(at, source): (usize, &Source)| {
            let name = self.name(FileId(at as u32));
            (name.into(), source.lines().into())
        };
        Places { files: self.sources.iter().enumerate().map(file).collect() }
    }
}

impl Places {
    /// `FILE:LINE`, with the line that nginx names; None for a span of another assembly.
    pub fn of(&self, span: Span) -> Option<String> {
        let (name, feeds) = self.files.get(span.file.0 as usize)?;
        let line = feeds.partition_point(|&feed| feed < span.last()) + 1;
        Some(format!("{name}:{line}"))
    }
}

/// Whether the line of an offset is a comment.
fn is_comment(text: &[u8], at: usize) -> bool {
    let start = memchr::memrchr(b'\n', &text[..at]).map_or(0, |feed| feed + 1);
    text[start..at].trim_ascii_start().starts_with(b"#")
}
