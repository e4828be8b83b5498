//! Entry points for fuzzing: no bytes of another node may cause a panic, or take more memory than
//! the limits say.

use crate::identity::{Identity, Token};
use crate::link::frame::{Decoder, HEAD, LARGEST};
use crate::link::hello::{Hello, VERSIONS};
use crate::link::message::{Assembler, Received};
use crate::link::wish::{Answer, Wish};
use crate::link::{Class, Status};

/// What arrives on a link, in pieces whose lengths the first byte of each tells.
pub fn link(bytes: &[u8]) {
    let (mut decoder, mut assembler) = (Decoder::default(), Assembler::default());
    let mut rest = bytes;
    while let Some((&length, tail)) = rest.split_first() {
        let (piece, tail) = tail.split_at(usize::from(length).min(tail.len()));
        rest = tail;
        decoder.room().extend_from_slice(piece);
        loop {
            match decoder.take() {
                Ok(None) => break,
                Err(_) => return,
                Ok(Some(frame)) => {
                    assert!(frame.content.len() <= LARGEST);
                    match assembler.add(&frame) {
                        Err(_) => return,
                        Ok(Some(received)) => message(&received),
                        Ok(None) => {}
                    }
                }
            }
        }
        assert!(decoder.waiting() < HEAD + LARGEST);
    }
}

fn message(received: &Received) {
    match received {
        Received::Hello(content) => hello(content),
        Received::Status(content) => {
            if let Some(status) = Status::decode(content) {
                assert_eq!(Status::decode(&status.encode()), Some(status));
            }
        }
        Received::Message(class, content) => {
            assert!(Class::ALL.contains(class) && content.len() <= class.largest());
        }
        Received::Bye(_) | Received::Other => {}
    }
}

fn hello(content: &[u8]) {
    let own = Hello {
        versions: VERSIONS,
        weir: "1".to_owned(),
        name: "a".to_owned(),
        pair: [1; 16],
        instance: 7,
        block: [2; 32],
    };
    match own.judge(content, "b") {
        Ok((hello, _)) => assert!(content.starts_with(&hello.encode())),
        Err(mismatch) => assert!(!mismatch.to_string().contains(char::is_control)),
    }
}

/// The wish of a node, the answer to it, a join token, and the identity that a worker gets.
pub fn wish(bytes: &[u8]) {
    if let Some(wish) = Wish::decode(bytes) {
        assert!(bytes.starts_with(&wish.encode()));
    }
    if let Some(answer) = Answer::decode(bytes) {
        let _ = answer.encode();
    }
    if let Ok(token) = Token::from_word(&String::from_utf8_lossy(bytes)) {
        assert_eq!(Token::from_word(&token.to_word()), Ok(token));
    }
    if let Some(identity) = Identity::decode(bytes) {
        assert_eq!(Identity::decode(&identity.encode()), Some(identity));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::frame::{Kind, put};

    #[test]
    fn the_entries_take_what_nodes_send() {
        let mut frames = Vec::new();
        let status = Status::default().encode();
        put(&mut frames, Kind::Hello, false, b"WEIR\0\x01\0\x01\x011\x01b0123456789abcdef");
        put(&mut frames, Kind::Status, false, &status);
        put(&mut frames, Kind::Message(Class::State), true, b"one");
        put(&mut frames, Kind::Message(Class::State), false, b"two");
        let pieces: Vec<u8> = frames.chunks(7).flat_map(|piece| [&[7], piece].concat()).collect();
        link(&pieces);
        wish(b"WEIR\0\x01\x01b0123456789abcdef");
        wish(b"\x010123456789abcdef\x01ablock");
        wish(&Identity::new("a", None).unwrap().encode());
    }
}
