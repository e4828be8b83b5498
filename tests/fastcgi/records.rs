//! The records of FastCGI, as an application reads and writes them.

use crate::harness::{Answer, Application, Called};

pub(super) const END_REQUEST: u8 = 3;
pub(super) const STDOUT: u8 = 6;
pub(super) const STDERR: u8 = 7;

/// A record with padding.
pub(super) fn padded(kind: u8, content: impl AsRef<[u8]>, padding: u8) -> Vec<u8> {
    let content = content.as_ref();
    let [high, low] = u16::try_from(content.len()).unwrap().to_be_bytes();
    let header = [1, kind, 0, 1, high, low, padding, 0];
    [&header[..], content, &vec![0; usize::from(padding)]].concat()
}

/// A record.
pub(super) fn record(kind: u8, content: impl AsRef<[u8]>) -> Vec<u8> {
    padded(kind, content, 0)
}

/// The end of a response.
pub(super) fn end() -> Vec<u8> {
    [record(STDOUT, ""), record(END_REQUEST, [0; 8])].concat()
}

/// A whole response with this output.
pub(super) fn response(output: impl AsRef<[u8]>) -> Vec<u8> {
    let records = output.as_ref().chunks(0xffff).map(|part| record(STDOUT, part));
    records.chain([end()]).collect::<Vec<_>>().concat()
}

/// An application that answers with whole responses.
pub(super) fn application(
    script: impl Fn(&Called) -> Answer + Send + Sync + 'static,
) -> Application {
    Application::new(parse, script)
}

/// An application that sends the output of `output` as a whole response and closes.
pub(crate) fn output(output: impl Fn(&Called) -> String + Send + Sync + 'static) -> Application {
    application(move |called| Answer::Last(response(output(called))))
}

/// Reads a request.
pub(super) fn parse(bytes: &[u8]) -> Option<Called> {
    const PARAMS: u8 = 4;
    const STDIN: u8 = 5;
    let (mut params, mut body, mut at) = (Vec::new(), Vec::new(), 0);
    loop {
        let header = bytes.get(at..at + 8)?;
        assert_eq!((header[0], header[2], header[3]), (1, 0, 1), "{header:?}");
        let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
        let content = bytes.get(at + 8..at + 8 + length)?;
        at += 8 + length + usize::from(header[6]);
        if at > bytes.len() {
            return None;
        }
        match header[1] {
            PARAMS => params.extend_from_slice(content),
            STDIN if length == 0 => {
                let bytes = bytes[..at].to_vec();
                return Some(Called { params: pairs(&params), body, bytes });
            }
            STDIN => body.extend_from_slice(content),
            _ => {}
        }
    }
}

fn pairs(mut params: &[u8]) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    while !params.is_empty() {
        let lengths = [length(&mut params), length(&mut params)];
        let [name, value] = lengths.map(|length| {
            let (text, rest) = params.split_at(length);
            params = rest;
            String::from_utf8_lossy(text).into_owned()
        });
        pairs.push((name, value));
    }
    pairs
}

fn length(bytes: &mut &[u8]) -> usize {
    let (length, size) = match bytes[0] {
        short @ ..=127 => (usize::from(short), 1),
        _ => {
            let long = u32::from_be_bytes(bytes[..4].try_into().unwrap());
            ((long & 0x7fff_ffff) as usize, 4)
        }
    };
    *bytes = &bytes[size..];
    length
}
