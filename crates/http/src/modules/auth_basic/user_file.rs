//! The user file: lines of `name:hash` or `name:hash:comment`, and comments after `#`.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

/// The maximum length of a line, in bytes. The rest of a longer line is ignored.
const LINE_MAX: u64 = 4096;

/// An error of the user file.
#[derive(Debug)]
pub(super) enum Error {
    /// The file could not be opened.
    Open(io::Error),
    /// The file could not be read.
    Read(io::Error),
}

/// The hash of `user`, from the first line with that name.
pub(super) fn find(path: &Path, user: &[u8]) -> Result<Option<Vec<u8>>, Error> {
    let file = File::open(path).map_err(Error::Open)?;
    let mut reader = BufReader::new(file);
    search(&mut reader, user).map_err(Error::Read)
}

/// As [`find`], in the content of a file.
pub(super) fn search(reader: &mut impl BufRead, user: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    loop {
        line.clear();
        if reader.take(LINE_MAX).read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        if let Some(stored) = hash_of(&line, user) {
            return Ok(Some(stored.to_vec()));
        }
        if line.last() != Some(&b'\n') {
            // Skip the rest of an overlong line.
            reader.skip_until(b'\n')?;
        }
    }
}

fn hash_of<'l>(line: &'l [u8], user: &[u8]) -> Option<&'l [u8]> {
    if matches!(line.first(), Some(b'#' | b'\r')) {
        return None;
    }
    let rest = line.strip_prefix(user)?.strip_prefix(b":")?;
    let end = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r' | b':'));
    Some(&rest[..end.unwrap_or(rest.len())])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_by_name() {
        let text = b"#a:0\r\n\na:1\nab:2:comment\r\nlast:3".as_slice();
        let find = |user: &str| search(&mut { text }, user.as_bytes()).unwrap();
        assert_eq!(find("a").as_deref(), Some(&b"1"[..]));
        assert_eq!(find("ab").as_deref(), Some(&b"2"[..]));
        assert_eq!(find("last").as_deref(), Some(&b"3"[..]));
        assert_eq!(find("#a"), None);
        assert_eq!(find("abc"), None);
    }

    #[test]
    fn the_rest_of_a_too_long_line_is_not_a_line() {
        let text = [vec![b'x'; LINE_MAX as usize], b"a:1\nb:2\n".to_vec()].concat();
        assert_eq!(search(&mut text.as_slice(), b"a").unwrap(), None);
        assert_eq!(search(&mut text.as_slice(), b"b").unwrap().as_deref(), Some(&b"2"[..]));
    }
}
