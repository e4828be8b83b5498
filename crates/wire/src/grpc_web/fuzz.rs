//! Entry point of a fuzz target and tests. It panics if a result depends on how the input was
//! split, or if a translation there and back changes it.

use super::{Decoder, Encoder, Fault, MediaType, Step, plain_format, wants_text};

/// Translates `data` in pieces of the length in its first byte, as the body of a request and of a
/// response, and as a media type.
pub fn fuzz(data: &[u8]) {
    let Some((&size, data)) = data.split_first() else { return };
    let size = usize::from(size) + 1;
    for text in [false, true] {
        let decode = |size| decode(text, data, size);
        let whole = decode(usize::MAX);
        assert_eq!(decode(size), whole, "base64: {text}");
        assert_eq!(encode(text, data, size), encode(text, data, usize::MAX), "base64: {text}");
    }
    there_and_back(data, size);
    media_types(data);
}

/// What a request becomes, in pieces of `size` bytes.
pub(super) fn decode(text: bool, data: &[u8], size: usize) -> Result<Vec<u8>, Fault> {
    let mut decoder = Decoder::new(text);
    let mut all = Vec::new();
    for piece in data.chunks(size.min(data.len().max(1))) {
        let before = all.len();
        match decoder.push(piece, &mut all)? {
            Step::Unchanged => {
                assert!(all.len() == before && !text);
                all.extend_from_slice(piece);
            }
            Step::Appended => assert!(all.len() - before <= piece.len() / 4 * 3 + 3),
        }
    }
    decoder.end().map(|()| all)
}

/// What a response becomes, in pieces of `size` bytes, with one trailer.
pub(super) fn encode(text: bool, data: &[u8], size: usize) -> Result<Vec<u8>, Fault> {
    let mut encoder = Encoder::new(text);
    let mut all = Vec::new();
    for piece in data.chunks(size.min(data.len().max(1))) {
        if encoder.push(piece, &mut all)? == Step::Unchanged {
            all.extend_from_slice(piece);
        }
        if text && !encoder.is_within_message() {
            assert_eq!(all.len() % 4, 0, "a message is held");
        }
    }
    let trailers: [(&[u8], &[u8]); 1] = [(b"Grpc-Status", b"0")];
    encoder.end(trailers.into_iter(), &mut all)?;
    Ok(all)
}

/// Messages that become base64 become the same again.
fn there_and_back(data: &[u8], size: usize) {
    let mut encoder = Encoder::new(true);
    let mut text = Vec::new();
    for piece in data.chunks(size) {
        if encoder.push(piece, &mut text).is_err() {
            return;
        }
    }
    if !encoder.is_within_message() {
        assert_eq!(decode(true, &text, size), Ok(data.to_vec()));
    }
}

/// A media type that is written is the same again.
fn media_types(data: &[u8]) {
    let Some(found) = MediaType::parse(data) else { return };
    let (mut web, mut plain) = (Vec::new(), Vec::new());
    found.write(&mut web);
    found.write_plain(&mut plain);
    assert_eq!(MediaType::parse(&web), Some(found));
    assert_eq!(plain_format(&plain), Some(found.format));
    assert_eq!(wants_text(data, MediaType { text: !found.text, ..found }), found.text);
}
