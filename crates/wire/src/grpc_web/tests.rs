//! Translations of whole bodies, in pieces of every length and with seeds.

use super::fuzz::{decode, encode, fuzz};
use super::{
    Decoder, Encoder, Fault, MediaType, Step, plain_format, status_of, wants_text, write_message,
};

/// A message with its prefix.
fn message(flags: u8, content: &[u8]) -> Vec<u8> {
    [&[flags], &(content.len() as u32).to_be_bytes()[..], content].concat()
}

#[test]
fn media_types_are_those_of_the_protocol() {
    let parse = |value: &'static str| {
        let found = MediaType::parse(value.as_bytes())?;
        Some((found.text, std::str::from_utf8(found.format).unwrap()))
    };
    for (value, expected) in [
        ("application/grpc-web", Some((false, ""))),
        ("application/grpc-web+proto", Some((false, "+proto"))),
        ("Application/gRPC-Web+json", Some((false, "+json"))),
        ("application/grpc-web-text", Some((true, ""))),
        ("application/grpc-web-text+proto", Some((true, "+proto"))),
        ("application/grpc-web-text-base64", Some((true, ""))),
        ("application/grpc-web-text+proto; charset=utf-8", Some((true, "+proto"))),
        ("application/grpc-web ;a", Some((false, ""))),
        ("application/grpc", None),
        ("application/grpc+proto", None),
        ("application/grpc-webx", None),
        ("application/grpc-web-texts", None),
        ("application/grpc-web-base64", None),
        ("text/plain", None),
        ("", None),
    ] {
        assert_eq!(parse(value), expected, "{value}");
    }
    assert_eq!(plain_format(b"application/grpc"), Some(&b""[..]));
    assert_eq!(plain_format(b"application/grpc+proto;x"), Some(&b"+proto"[..]));
    assert_eq!(plain_format(b"application/grpc-web"), None);
    assert_eq!(plain_format(b"text/html"), None);
}

#[test]
fn the_client_chooses_the_form_of_responses() {
    let [binary, text] = [false, true].map(|text| MediaType { text, format: b"+proto" });
    for (accept, request, expected) in [
        ("", binary, false),
        ("", text, true),
        ("*/*", text, true),
        ("application/grpc-web-text", binary, true),
        ("text/html, application/grpc-web+proto;q=1, */*", text, false),
        ("application/grpc-web-text+proto, application/grpc-web", binary, true),
    ] {
        assert_eq!(wants_text(accept.as_bytes(), request), expected, "{accept}");
    }
}

#[test]
fn requests_in_base64_may_be_texts_in_a_row() {
    let whole = [message(0, b"hello"), message(1, b""), message(0, b"a")].concat();
    // As one text, and with one for each message, one of which ends in its middle.
    for text in [
        "AAAAAAVoZWxsbwEAAAAAAAAAAAFh",
        "AAAAAAVoZWxsbw==AQAAAAA=AAA=AAABYQ==",
        "AA==AAAABWhlbGxvAQAAAAAAAAAAAWE=",
    ] {
        for size in 1..=text.len() {
            assert_eq!(decode(true, text.as_bytes(), size), Ok(whole.clone()), "{text}, {size}");
        }
    }
    assert_eq!(decode(true, b"", 1), Ok(Vec::new()));
}

#[test]
fn malformed_requests_are_faults_however_they_are_split() {
    for (text, body, expected) in [
        (true, &b"AAAA*AAA"[..], Fault::Base64),
        (true, b"AAAA\nAAA=", Fault::Base64),
        (true, b"=AAA", Fault::Base64),
        (true, b"A===", Fault::Base64),
        (true, b"AA=A", Fault::Base64),
        (true, b"AA-_", Fault::Base64),
        (true, b"AAAAAA=", Fault::Base64Cut),
        (true, b"A", Fault::Base64Cut),
        (true, b"AAAAAAVo", Fault::Cut),
        (true, b"AAAA", Fault::Cut),
        (true, b"gAAAAAA=", Fault::Trailers),
        (false, b"\0\0\0\0\x02a", Fault::Cut),
        (false, b"\0", Fault::Cut),
        (false, b"\0\0\0\0\0\x80\0\0\0\0", Fault::Trailers),
        (false, b"\0\xff\xff\xff\xffxx", Fault::Cut),
    ] {
        for size in 1..=body.len() {
            assert_eq!(decode(text, body, size), Err(expected), "{body:?}, {size}");
        }
    }
}

#[test]
fn each_message_is_a_text_of_its_own() {
    let body = [message(0, b"hello"), message(1, b"")].concat();
    let expected = b"AAAAAAVoZWxsbw==AQAAAAA=gAAAABBncnBjLXN0YXR1czogMA0K";
    for size in 1..=body.len() {
        let found = encode(true, &body, size).unwrap();
        assert_eq!(String::from_utf8_lossy(&found), String::from_utf8_lossy(expected));
    }
    let binary = encode(false, &body, 3).unwrap();
    assert_eq!(binary, [body, message(0x80, b"grpc-status: 0\r\n")].concat());
}

#[test]
fn a_message_is_there_as_soon_as_it_has_come() {
    let mut encoder = Encoder::new(true);
    let mut out = Vec::new();
    encoder.push(&message(0, b"ab")[..6], &mut out).unwrap();
    assert!(encoder.is_within_message());
    assert_eq!(out, b"AAAAAAJh");
    encoder.push(b"b", &mut out).unwrap();
    assert!(!encoder.is_within_message());
    assert_eq!(out, b"AAAAAAJhYg==");
}

#[test]
fn malformed_responses_are_faults() {
    for (body, expected) in
        [(&b"\0\0\0\0\x02a"[..], Fault::Cut), (b"\x80\0\0\0\0", Fault::Trailers)]
    {
        for text in [false, true] {
            for size in 1..=body.len() {
                assert_eq!(encode(text, body, size), Err(expected));
            }
        }
    }
}

#[test]
fn trailers_stay_lines() {
    let mut encoder = Encoder::new(false);
    let mut out = Vec::new();
    let fields: [(&[u8], &[u8]); 2] =
        [(b"grpc-message", b"a\r\ngrpc-status: 0"), (b"X-Bin", b"\xff")];
    encoder.end(fields.into_iter(), &mut out).unwrap();
    assert_eq!(out, message(0x80, b"grpc-message: a  grpc-status: 0\r\nx-bin: \xff\r\n"));
    let (mut encoder, mut out) = (Encoder::new(true), Vec::new());
    encoder.end([].into_iter(), &mut out).unwrap();
    assert_eq!(out, b"gAAAAAA=");
}

#[test]
fn messages_are_ascii() {
    let mut out = Vec::new();
    write_message("50 % of ü\n".as_bytes(), &mut out);
    assert_eq!(out, b"50 %25 of %C3%BC%0A");
}

#[test]
fn a_binary_piece_is_not_copied() {
    let mut out = Vec::new();
    assert_eq!(Decoder::new(false).push(&message(0, b"x"), &mut out), Ok(Step::Unchanged));
    assert_eq!(Encoder::new(false).push(&message(0, b"x"), &mut out), Ok(Step::Unchanged));
    assert!(out.is_empty());
}

#[test]
fn statuses_follow_the_mapping_of_grpc() {
    for (http, expected) in [
        (400, 13),
        (401, 16),
        (403, 7),
        (404, 12),
        (413, 8),
        (429, 14),
        (502, 14),
        (503, 14),
        (504, 14),
        (405, 2),
        (500, 2),
    ] {
        assert_eq!(status_of(http), expected, "{http}");
    }
}

/// A generator of small messages and damage; a seed names a failing case.
struct Random(u64);

impl Random {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % most
    }
}

#[test]
fn seeded_bodies_hold_whatever_their_pieces() {
    for seed in 0..3000 {
        let mut random = Random(seed);
        let mut body = vec![random.below(12) as u8];
        for _ in 0..random.below(5) {
            let length = random.below(20) as usize;
            let content: Vec<u8> = (0..length).map(|_| random.below(256) as u8).collect();
            body.extend(message(random.below(2) as u8, &content));
        }
        if random.below(4) == 0 && body.len() > 1 {
            let at = 1 + random.below(body.len() as u64 - 1) as usize;
            body[at] = random.below(256) as u8;
        }
        if random.below(4) == 0 {
            body.truncate(1 + random.below(body.len() as u64) as usize);
        }
        fuzz(&body);
        let mut text = Vec::new();
        let mut encoder = Encoder::new(true);
        if encoder.push(&body[1..], &mut text).is_ok() {
            text.insert(0, body[0]);
            fuzz(&text);
        }
    }
}
