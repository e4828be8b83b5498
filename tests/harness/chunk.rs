//! The chunked coding as tests read it: apart from the server's, whose mistakes it must not share.

use std::ops::Range;

/// A chunk at the start of some bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    /// Where its data lies. The last chunk has none.
    pub(crate) data: Range<usize>,
    /// The end of the chunk. The last one includes trailers.
    pub(crate) end: usize,
}

/// The chunk at the start of `bytes`; `None` if it is incomplete, its size line if that is bad.
pub(crate) fn chunk(bytes: &[u8]) -> Result<Option<Chunk>, String> {
    let line_end = |from: usize| {
        let found = bytes[from..].windows(2).position(|pair| pair == b"\r\n");
        found.map(|at| from + at)
    };
    let Some(end) = line_end(0) else { return Ok(None) };
    let line = String::from_utf8_lossy(&bytes[..end]);
    let digits = line.split(';').next().unwrap_or_default().trim();
    let size = usize::from_str_radix(digits, 16).map_err(|_| line.to_string())?;
    let start = end + 2;
    if size > 0 {
        let Some(end) = size.checked_add(start + 2) else { return Err(line.to_string()) };
        return Ok((end <= bytes.len()).then_some(Chunk { data: start..start + size, end }));
    }
    let mut line = start;
    while let Some(end) = line_end(line) {
        if end == line {
            return Ok(Some(Chunk { data: start..start, end: end + 2 }));
        }
        line = end + 2;
    }
    Ok(None)
}
