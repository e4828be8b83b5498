use super::*;

fn run(input: &[u8]) -> Result<(Vec<u8>, usize), Option<ChunkError>> {
    let mut bytes = input.to_vec();
    let joined = Chunked::new().join(&mut bytes).map_err(Some)?;
    if !joined.ended {
        return Err(None);
    }
    Ok((bytes[joined.data].to_vec(), joined.used))
}

#[test]
fn takes_the_grammar() {
    for body in [
        "5\r\nhello\r\n0\r\n\r\n",
        "005\r\nhello\r\n000\r\n\r\n",
        "5;a=b\r\nhello\r\n0;x\r\nA: b\r\n\r\n",
        "5;a;b=c;d=\"\"\r\nhello\r\n0\r\n\r\n",
        "5;a=\"b; \\\"\t=\u{e9}\";c\r\nhello\r\n0\r\nA_b:\r\nC: \r\n\r\n",
    ] {
        let input = format!("{body}GET /");
        assert_eq!(run(input.as_bytes()), Ok((b"hello".to_vec(), body.len())), "{body}");
    }
}

#[test]
fn refuses_the_rest() {
    for body in [
        "5\nhello\r\n0\r\n\r\n",
        "5;a\nhello\r\n0\r\n\r\n",
        "5;a\rb\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhelloXX0\r\n\r\n",
        "5\r\nhello!\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "5_0\r\nhello\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "5\t\r\nhello\r\n0\r\n\r\n",
        "5;\r\nhello\r\n0\r\n\r\n",
        "5;;a\r\nhello\r\n0\r\n\r\n",
        "5 ;a\r\nhello\r\n0\r\n\r\n",
        "5; a\r\nhello\r\n0\r\n\r\n",
        "5;a =b\r\nhello\r\n0\r\n\r\n",
        "5;a=\r\nhello\r\n0\r\n\r\n",
        "5;a=b \r\nhello\r\n0\r\n\r\n",
        "5;\0\r\nhello\r\n0\r\n\r\n",
        "5;a=\"b\r\nhello\r\n0\r\n\r\n",
        "5;a=\"b\0\"\r\nhello\r\n0\r\n\r\n",
        "5;a=\"b\"c\r\nhello\r\n0\r\n\r\n",
        "5;a=\"b\\\r\nhello\r\n0\r\n\r\n",
        "5;=b\r\nhello\r\n0\r\n\r\n",
        "0 \r\n\r\n",
        "0\r\nno field\r\n\r\n",
        "0\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "0\r\n A: b\r\n\r\n",
        "0\r\nA : b\r\n\r\n",
        "0\r\nA: b\0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\n\n",
        "0\r\nA: b\n\r\n",
        "0\r\n\n",
    ] {
        assert_eq!(run(body.as_bytes()), Err(Some(ChunkError::Syntax)), "{body:?}");
    }
    assert_eq!(run(b"10000000000000000\r\n"), Err(Some(ChunkError::Size)));
    assert_eq!(run(b"800000000000000\r\n"), Err(Some(ChunkError::Size)));
}

#[test]
fn limits() {
    let long = format!("5;{}\r\n", "a".repeat(SIZE_LINE_MAX as usize));
    assert_eq!(run(long.as_bytes()), Err(Some(ChunkError::Extension)));
    let dear = format!("1;{}\r\nx\r\n", "a".repeat(1000)).repeat(17);
    assert_eq!(run(dear.as_bytes()), Err(Some(ChunkError::Extension)));
    let worth = format!("400;{}\r\n{}\r\n", "a".repeat(1000), "x".repeat(0x400)).repeat(50);
    assert_eq!(run(worth.as_bytes()), Err(None));
    let zeros = "0".repeat(SIZE_LINE_MAX as usize + 1);
    assert_eq!(run(zeros.as_bytes()), Err(Some(ChunkError::Extension)));
    let trailer = format!("0\r\nA: {}\r\n", "a".repeat(TRAILERS_MAX as usize));
    assert_eq!(run(trailer.as_bytes()), Err(Some(ChunkError::Trailers)));
}

#[test]
fn lines_that_drip_are_told_apart() {
    let mut chunked = Chunked::new();
    let mut amid = String::new();
    for byte in b"2;a\r\nhi\r\n0\r\nA: b\r\n\r\n" {
        chunked.join(&mut [*byte]).expect("valid");
        amid.push(if chunked.is_amid_line() { 'x' } else { '-' });
    }
    assert_eq!(amid, "xxxx---x-xxxxxxxxxx-");
}

#[test]
fn trailers() {
    let mut chunked = Chunked::new();
    let mut body = *b"0\r\nX-Sum: 1\r\nContent-Length: 5\r\n\r\n";
    let ended = Joined { data: 0..0, used: body.len(), ended: true };
    assert_eq!(chunked.join(&mut body), Ok(ended));
    let mut headers = Headers::new();
    chunked.trailers(&mut headers).expect("valid");
    let lines: Vec<_> = headers.iter().map(|(name, value, _)| (name, value)).collect();
    assert_eq!(lines, [(&b"X-Sum"[..], &b"1"[..])]);
    assert!(chunked.has_framing_trailer());
    let mut chunked = Chunked::new();
    let mut body = *b"0\r\nX-Host: 1\r\n\r\n";
    assert!(chunked.join(&mut body).is_ok_and(|joined| joined.ended));
    assert!(!chunked.has_framing_trailer());
}

#[test]
fn data_is_joined_behind_the_first_chunk() {
    let mut bytes = *b"3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\n\r\nmore";
    let joined = Chunked::new().join(&mut bytes).expect("valid");
    assert_eq!(joined, Joined { data: 3..10, used: bytes.len() - 4, ended: true });
    assert_eq!(&bytes[joined.data], b"abcdefg");
}

#[test]
fn heads() {
    for size in [1, 15, 16, 255, 4096, usize::MAX] {
        assert_eq!(&*chunk_head(size), format!("{size:x}\r\n").as_bytes());
    }
    assert!(chunk_head(0).is_empty());
}
