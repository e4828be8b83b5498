//! Entry point of a fuzz target and tests. It panics if the cutter asks for bytes outside of the
//! file, never ends, or gives a result that is inconsistent or takes too much memory.

use super::{Cut, Cutter, Limits, Step};

/// Cuts a file. The first 12 bytes of `data` say how.
pub fn fuzz_cut(data: &[u8]) {
    let Some((words, file)) = data.split_first_chunk::<12>() else { return };
    let word = |at: usize| u64::from(u16::from_be_bytes([words[at], words[at + 1]]));
    let cut =
        Cut { start: word(0) << (words[10] & 15), length: word(2), key_frame: words[11] & 1 == 1 };
    let limits = Limits { buffer: word(4), moov: word(6) << 4 };
    let mut cutter = Cutter::new(file.len() as u64, cut, limits);
    let mut reads = 0;
    loop {
        match cutter.step() {
            Ok(Step::Read(range)) => {
                assert!(range.start < range.end && range.end <= file.len() as u64);
                cutter.give(file[range.start as usize..range.end as usize].to_vec());
                reads += 1;
                assert!(reads <= file.len() + 2, "it never ends");
            }
            Ok(Step::Whole) => return assert_eq!((cut.start, cut.length), (0, 0)),
            Ok(Step::Cut(head, span)) => {
                assert!(span.start < span.end && span.end <= file.len() as u64);
                // Edit lists and rows of `stsc` come on top of what was there.
                assert!(head.len() <= 2 * file.len() + 1024, "{}", head.len());
                return check_sizes(&head, span.end - span.start);
            }
            Err(error) => return drop(error.message("name")),
        }
    }
}

/// Checks that the atoms of a head fill it, with data of this length behind.
fn check_sizes(head: &[u8], data: u64) {
    let (mut rest, mut names) = (head, Vec::new());
    while rest.len() > 16 || rest.get(4..8).is_some_and(|name| name != b"mdat") {
        let (size, name) = (&rest[..4], &rest[4..8]);
        let size = u32::from_be_bytes([size[0], size[1], size[2], size[3]]) as usize;
        names.push(name);
        rest = &rest[size..];
    }
    assert!(matches!(&names[..], [b"moov"] | [b"ftyp", b"moov"]), "{names:?}");
    assert_eq!(&rest[4..8], b"mdat");
    assert_eq!(u32::from_be_bytes([rest[0], rest[1], rest[2], rest[3]]) as u64, data + 8);
}
