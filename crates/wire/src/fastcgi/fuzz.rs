//! Entry point of a fuzz target and tests. It panics if a result depends on how the input was
//! split, or points outside it.

use super::{Part, RecordError, Records};

/// A response: its content, its messages, and its marks in order.
#[derive(Debug, Default, PartialEq, Eq)]
struct Response {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    /// The marks, each with the length of the content before it.
    marks: Vec<(Part, usize)>,
    error: Option<RecordError>,
    done: bool,
    /// The number of bytes used.
    used: usize,
}

impl Response {
    /// Decodes `bytes`, which continue the response.
    fn feed(&mut self, records: &mut Records, bytes: &[u8]) {
        let mut at = 0;
        while self.error.is_none() {
            let before = at;
            match records.next(bytes, &mut at) {
                Ok(Some(Part::Stdout(range))) => {
                    assert!(!range.is_empty() && range.start >= before && range.end == at);
                    self.stdout.extend_from_slice(&bytes[range]);
                }
                Ok(Some(Part::Stderr(range))) => {
                    assert!(!range.is_empty() && range.start >= before && range.end == at);
                    self.stderr.extend_from_slice(&bytes[range]);
                }
                Ok(Some(mark)) => self.marks.push((mark, self.stdout.len())),
                Ok(None) => {
                    assert!(at == bytes.len() || records.is_done());
                    break;
                }
                Err(error) => self.error = Some(error),
            }
        }
        self.done = records.is_done();
        self.used += at;
    }
}

/// Decodes a response at once, byte by byte, and with parts of the content given back.
pub fn fuzz_records(data: &[u8]) {
    let mut whole = Response::default();
    whole.feed(&mut Records::new(), data);
    let mut split = Response::default();
    let mut records = Records::new();
    for byte in data {
        split.feed(&mut records, std::slice::from_ref(byte));
    }
    assert_eq!(split, whole);
    if let Some(error) = whole.error {
        drop(error.message());
    }
    let (mut records, mut at, mut stdout) = (Records::new(), 0, Vec::new());
    while let Ok(Some(part)) = records.next(data, &mut at) {
        let Part::Stdout(range) = part else { continue };
        let half = range.len() / 2;
        records.give_back(half);
        at -= half;
        stdout.extend_from_slice(&data[range.start..at]);
    }
    assert_eq!(stdout, whole.stdout);
}
