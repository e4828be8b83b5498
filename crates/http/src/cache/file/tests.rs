use super::*;

fn head() -> Head {
    let mut fields = Headers::new();
    fields.push(b"ETag", b"\"a\"");
    fields.push(b"x-empty", b"");
    fields.push(b"X-Colon", b"a: b");
    let key = b"http://a/b".to_vec();
    Head {
        times: Times { valid: 1_800_000_000, updating: 5, error: 7, date: 1_700_000_000 },
        body: 123_456,
        status: 200,
        status_line: Some(b"200 Fine".to_vec()),
        main: Digest::of(&key),
        variant: Digest([7; KEY_DIGEST]),
        key,
        vary: b"Accept".to_vec(),
        fields,
    }
}

fn lines(head: &Head) -> Vec<u8> {
    let mut out = Vec::new();
    head.fields.write_to(&mut out);
    out
}

#[test]
fn a_head_is_read_as_written() {
    for head in [head(), Head { status_line: None, vary: Vec::new(), ..head() }, Head::default()] {
        let mut bytes = head.to_bytes();
        let whole = bytes.len();
        bytes.extend_from_slice(b"body");
        let (read, length) = Head::parse(&bytes).unwrap();
        assert_eq!(length, whole);
        assert_eq!(lines(&read), lines(&head));
        assert_eq!((read.times, read.body, read.status), (head.times, head.body, head.status));
        assert_eq!((&read.key, &read.vary), (&head.key, &head.vary));
        assert_eq!((read.main, read.variant), (head.main, head.variant));
        assert_eq!(read.status_line, head.status_line);
    }
}

#[test]
fn every_flipped_bit_of_a_head_is_noticed() {
    let whole = head().to_bytes();
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << bit;
            assert!(Head::parse(&bytes).is_err(), "bit {bit} of byte {at}");
        }
    }
}

#[test]
fn a_short_head_says_how_much_is_missing() {
    let whole = head().to_bytes();
    for length in 0..whole.len() {
        let expected = if length < FIXED { FIXED } else { whole.len() };
        assert_eq!(Head::parse(&whole[..length]).err(), Some(Broken::Short(expected)));
    }
}

#[test]
fn other_versions_and_other_files_are_told_apart() {
    let mut bytes = head().to_bytes();
    bytes[8] = 2;
    assert_eq!(Head::parse(&bytes).err(), Some(Broken::Version));
    assert_eq!(Head::parse(&[5; 4096]).err(), Some(Broken::Magic));
}

#[test]
fn times_are_written_in_place() {
    let mut bytes = head().to_bytes();
    let times = Times { valid: 1, updating: 2, error: 3, date: -4 };
    let at = RENEWED_AT as usize;
    bytes[at..at + 44].copy_from_slice(&times.to_bytes());
    assert_eq!(Head::parse(&bytes).unwrap().0.times, times);
}

#[test]
fn each_block_has_a_sum() {
    let body: Vec<u8> = (0..2 * BLOCK + 10).map(|at| at as u8).collect();
    for step in [1, 1000, 65_535, 65_536, 100_000, body.len()] {
        let mut sums = Sums::default();
        body.chunks(step).for_each(|part| sums.add(part));
        let expected: Vec<u8> =
            body.chunks(BLOCK as usize).flat_map(|block| sum(block).to_le_bytes()).collect();
        assert_eq!(sums.finish(), expected);
        assert_eq!(expected.len() as u64, sums_length(body.len() as u64));
    }
    assert!(Sums::default().finish().is_empty());
}

/// What the fuzz target asserts, on heads with lengths and fields that do not fit.
#[test]
fn heads_with_right_sums_are_read_or_refused() {
    let whole = head().to_bytes();
    fuzz_file(&whole);
    for at in 64..whole.len() {
        for byte in [0, 0x0a, 0x7f, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] = byte;
            fuzz_file(&bytes);
            fuzz_file(&bytes[..at]);
        }
    }
}
