use super::fuzz::fuzz_answer;
use super::*;

fn answer<'a>(
    line: &'a str,
    key: &str,
    flags: bool,
) -> Result<Option<(Answer, usize)>, AnswerError<'a>> {
    read_answer(line.as_bytes(), key.as_bytes(), flags)
}

#[test]
fn keys_are_escaped() {
    let mut out = b"before".to_vec();
    let key = write_get(b"/a b\r\nset x%\x7f\xff", &mut out);
    assert_eq!(&out[key], b"/a%20b%0D%0Aset%20x%25\x7f\xff");
    assert_eq!(out, b"beforeget /a%20b%0D%0Aset%20x%25\x7f\xff\r\n");
}

#[test]
fn answers() {
    let value = |flags, length, line: &str| Ok(Some((Answer::Value { flags, length }, line.len())));
    for (line, flags, length) in [
        ("VALUE /a 0 8\r\n", 0, 8),
        ("VALUE /a 4294967295 0\r\n", 4_294_967_295, 0),
        ("VALUE /a 2 007\r\n", 2, 7),
    ] {
        assert_eq!(answer(line, "/a", true), value(flags, length, line));
        assert_eq!(answer(line, "/a", false), value(0, length, line));
    }
    assert_eq!(answer("VALUE /a x 8\r\nv", "/a", false), value(0, 8, "VALUE /a x 8\r\n"));
    assert_eq!(answer("VALUE /a  8\r\n", "/a", false), value(0, 8, "VALUE /a  8\r\n"));
    assert_eq!(answer("END\r\nmore", "/a", true), Ok(Some((Answer::Missing, 5))));
    for part in ["", "VALUE /a 0 8\r", "END", "SERVER_ERROR out of memory"] {
        assert_eq!(answer(part, "/a", true), Ok(None));
    }
}

#[test]
fn what_is_no_answer_says_why() {
    let cases = [
        ("END\n", "invalid response: \"END\""),
        ("\n", "invalid response: \"\""),
        ("\r\n", "invalid response: \"\""),
        ("END \r\n", "invalid response: \"END \""),
        ("ERROR\r\n", "invalid response: \"ERROR\""),
        ("VALUE /ab 0 8\r\n", "invalid response: \"VALUE /ab 0 8\""),
        ("VALUE /a 8\r\n", "invalid response: \"VALUE /a 8\""),
        ("VALUE /b 0 8\r\n", "invalid key in response \"VALUE /b 0 8\" for key \"/a\""),
        ("VALUE /a x 8\r\n", "invalid flags in response \"VALUE /a x 8\" for key \"/a\""),
        ("VALUE /a  8\r\n", "invalid flags in response \"VALUE /a  8\" for key \"/a\""),
        ("VALUE /a 0 \r\n", "invalid length in response \"VALUE /a 0 \" for key \"/a\""),
        ("VALUE /a 0 -1\r\n", "invalid length in response \"VALUE /a 0 -1\" for key \"/a\""),
        ("VALUE /a 0 8 1\r\n", "invalid length in response \"VALUE /a 0 8 1\" for key \"/a\""),
        (
            "VALUE /a 0 9223372036854775808\r\n",
            "invalid length in response \"VALUE /a 0 9223372036854775808\" for key \"/a\"",
        ),
    ];
    for (line, message) in cases {
        let error = answer(line, "/a", true).unwrap_err();
        assert_eq!(error.message(b"/a"), format!("memcached sent {message}"), "{line:?}");
    }
}

#[test]
fn a_value_ends_with_its_end() {
    let mut value = Value::new(4);
    assert_eq!((value.take(b"ab"), value.left(), value.is_done()), (2, 2, false));
    assert_eq!((value.take(b"cd\r\nE"), value.left(), value.is_done()), (2, 0, false));
    assert_eq!((value.take(b"ND\r"), value.is_done()), (0, false));
    assert_eq!((value.take(b"\n"), value.is_done(), value.is_broken()), (0, true, false));
    for bytes in [&b"abcdEND\r\n"[..], b"abcd\r\nEND\r\nmore", b"abcd\r\nENx"] {
        let mut value = Value::new(4);
        assert_eq!((value.take(bytes), value.is_done(), value.is_broken()), (4, false, true));
    }
    let mut empty = Value::new(0);
    assert_eq!((empty.take(b"\r\nEND\r\n"), empty.is_done()), (0, true));
}

#[test]
fn how_bytes_are_split_does_not_matter() {
    for data in [
        &b"k\nVALUE k 1 5\r\nhello\r\nEND\r\n"[..],
        b"k\nVALUE k 1 5\r\nhello\r\nEND\r\nmore",
        b"k\nVALUE k 1 5\r\nhello\r\nEMD\r\n",
        b"k\nVALUE k 1 5\r\nhel",
        b"k\nEND\r\n",
        b"\nVALUE  1 0\r\n\r\nEND\r\n",
        b"k",
        b"",
    ] {
        fuzz_answer(data);
    }
}
