//! The formats of listings, byte for byte as in nginx, because scripts parse them.

use std::io::Write;

use weir_wire::date::{Civil, http};
use weir_wire::uri::{Escape, escape, escape_html};

/// The kind of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Folder,
    File,
    Other,
}

/// An entry of a listing.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: Vec<u8>,
    pub(super) kind: Kind,
    /// The modification time, in seconds since the epoch.
    pub(super) modified: i64,
    /// The size in bytes.
    pub(super) size: u64,
}

/// The settings of an HTML listing.
pub(super) struct Listing<'a> {
    pub(super) uri: &'a [u8],
    /// Whether widths are counted in characters instead of bytes.
    pub(super) utf8: bool,
    /// The offset of the displayed times, in seconds east of UTC.
    pub(super) offset: i64,
    pub(super) exact_size: bool,
}

/// The width of the name column, in characters.
const NAME_WIDTH: usize = 50;

/// The length of a truncated name before its `..>`.
const CUT_WIDTH: usize = NAME_WIDTH - 3;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

impl Listing<'_> {
    pub(super) fn html(&self, entries: &[Entry], out: &mut Vec<u8>) {
        out.extend_from_slice(b"<html>\r\n<head><title>Index of ");
        escape_html(self.uri, out);
        out.extend_from_slice(b"</title></head>\r\n<body>\r\n<h1>Index of ");
        escape_html(self.uri, out);
        out.extend_from_slice(b"</h1><hr><pre><a href=\"../\">../</a>\r\n");
        for entry in entries {
            self.row(entry, out);
        }
        out.extend_from_slice(b"</pre><hr></body>\r\n</html>\r\n");
    }

    fn row(&self, entry: &Entry, out: &mut Vec<u8>) {
        let folder = entry.kind == Kind::Folder;
        out.extend_from_slice(b"<a href=\"");
        escape(Escape::UriComponent, &entry.name, out);
        out.extend_from_slice(if folder { b"/\">" } else { b"\">" });
        let width = self.width(&entry.name);
        if width > NAME_WIDTH {
            escape_html(self.cut(&entry.name), out);
            out.extend_from_slice(b"..&gt;</a>");
        } else {
            escape_html(&entry.name, out);
            let slash = folder && width < NAME_WIDTH;
            out.extend_from_slice(if slash { b"/</a>" } else { b"</a>" });
            out.resize(out.len() + NAME_WIDTH - width - usize::from(slash), b' ');
        }
        let t = Civil::from_unix(entry.modified.saturating_add(self.offset));
        let month = MONTHS[usize::from(t.month - 1)];
        // Writing to a vector does not fail.
        let _ = write!(out, " {:02}-{month}-{} {:02}:{:02} ", t.day, t.year, t.hour, t.minute);
        let _ = match (self.exact_size, folder) {
            (true, true) => write!(out, "{:>19}", '-'),
            (true, false) => write!(out, "{:19}", entry.size),
            (false, true) => write!(out, "{:>7}", '-'),
            (false, false) => write!(out, "{}", short_size(entry.size)),
        };
        out.extend_from_slice(b"\r\n");
    }

    fn text<'n>(&self, name: &'n [u8]) -> Option<&'n str> {
        std::str::from_utf8(name).ok().filter(|_| self.utf8)
    }

    fn width(&self, name: &[u8]) -> usize {
        self.text(name).map_or(name.len(), |text| text.chars().count())
    }

    fn cut<'n>(&self, name: &'n [u8]) -> &'n [u8] {
        let end = match self.text(name) {
            Some(text) => text.char_indices().nth(CUT_WIDTH).map_or(name.len(), |(at, _)| at),
            None => CUT_WIDTH.min(name.len()),
        };
        &name[..end]
    }
}

/// A size, rounded to at most four digits and a unit.
fn short_size(size: u64) -> String {
    const K: u64 = 1 << 10;
    const M: u64 = 1 << 20;
    const G: u64 = 1 << 30;
    let rounded = |unit: u64| size / unit + u64::from(size % unit > unit / 2 - 1);
    match size {
        G.. => format!("{:6}G", rounded(G)),
        M.. => format!("{:6}M", rounded(M)),
        10_000.. => format!("{:6}K", rounded(K)),
        _ => format!(" {size:6}"),
    }
}

pub(super) fn json(entries: &[Entry], out: &mut Vec<u8>) {
    out.push(b'[');
    for (at, entry) in entries.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        out.extend_from_slice(b"\r\n{ \"name\":\"");
        let start = out.len();
        out.extend_from_slice(&entry.name);
        weir_script::escape::Escape::Json.apply(out, start);
        let _ = write!(out, "\", \"type\":\"{}\", \"mtime\":\"", entry.kind.name());
        http(entry.modified, out);
        out.push(b'"');
        if entry.kind == Kind::File {
            let _ = write!(out, ", \"size\":{}", entry.size);
        }
        out.extend_from_slice(b" }");
    }
    out.extend_from_slice(b"\r\n]");
}

pub(super) fn jsonp(entries: &[Entry], callback: &[u8], out: &mut Vec<u8>) {
    // The comment keeps the client's text from the beginning of the script.
    out.extend_from_slice(b"/* callback */\r\n");
    out.extend_from_slice(callback);
    out.push(b'(');
    json(entries, out);
    out.extend_from_slice(b");");
}

pub(super) fn xml(entries: &[Entry], out: &mut Vec<u8>) {
    out.extend_from_slice(b"<?xml version=\"1.0\"?>\r\n<list>\r\n");
    for entry in entries {
        let kind = entry.kind.name();
        let t = Civil::from_unix(entry.modified);
        let _ = write!(
            out,
            "<{kind} mtime=\"{:4}-{:02}-{:02}T{:02}:{:02}:{:02}Z\"",
            t.year, t.month, t.day, t.hour, t.minute, t.second
        );
        if entry.kind == Kind::File {
            let _ = write!(out, " size=\"{}\"", entry.size);
        }
        out.push(b'>');
        escape_html(&entry.name, out);
        let _ = write!(out, "</{kind}>\r\n");
    }
    out.extend_from_slice(b"</list>\r\n");
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Folder => "directory",
            Self::File => "file",
            Self::Other => "other",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, kind: Kind, size: u64) -> Entry {
        Entry { name: name.into(), kind, modified: 784_111_777, size }
    }

    fn text(write: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn rows_of_a_page() {
        let listing = Listing { uri: b"/", utf8: true, offset: 0, exact_size: true };
        let row = |name: &str, kind| text(|out| listing.row(&entry(name, kind, 5), out));
        let size = format!("{:19}\r\n", 5);
        let date = "06-Nov-1994 08:49 ";
        let pad = " ".repeat(49);
        assert_eq!(row("a", Kind::File), format!("<a href=\"a\">a</a>{pad} {date}{size}"));
        let pad = " ".repeat(48);
        let none = format!("{:>19}\r\n", "-");
        assert_eq!(row("a", Kind::Folder), format!("<a href=\"a/\">a/</a>{pad} {date}{none}"));
        let long = "é".repeat(51);
        let shown = format!("{}..&gt;</a> {date}", "é".repeat(47));
        assert!(row(&long, Kind::File).contains(&shown));
        assert!(row("<&>", Kind::File).contains(">&lt;&amp;&gt;</a>"));
    }

    #[test]
    fn sizes_in_short() {
        for (size, shown) in [
            (0, "      0"),
            (9999, "   9999"),
            (10_000, "    10K"),
            (1_048_575, "  1024K"),
            (1_572_863, "     1M"),
            (1_572_864, "     2M"),
            (1 << 30, "     1G"),
        ] {
            assert_eq!(short_size(size), shown);
        }
    }

    #[test]
    fn other_formats() {
        let list = [entry("d", Kind::Folder, 0), entry("a\"\n\u{1}", Kind::File, 7)];
        let mtime = "\"mtime\":\"Sun, 06 Nov 1994 08:49:37 GMT\"";
        let expected = format!(
            "[\r\n{{ \"name\":\"d\", \"type\":\"directory\", {mtime} }},\r\n\
             {{ \"name\":\"a\\\"\\n\\u0001\", \"type\":\"file\", {mtime}, \"size\":7 }}\r\n]"
        );
        assert_eq!(text(|out| json(&list, out)), expected);
        assert_eq!(text(|out| json(&[], out)), "[\r\n]");
        assert_eq!(text(|out| jsonp(&[], b"f", out)), "/* callback */\r\nf([\r\n]);");
        let expected = "<?xml version=\"1.0\"?>\r\n<list>\r\n\
                        <directory mtime=\"1994-11-06T08:49:37Z\">d</directory>\r\n</list>\r\n";
        assert_eq!(text(|out| xml(&list[..1], out)), expected);
    }
}
