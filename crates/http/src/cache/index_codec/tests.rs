use super::*;

fn noted(number: u32, vary: &[u8]) -> Record {
    let digest = Digest::of(&number.to_le_bytes());
    let varied = (!vary.is_empty()).then(|| NotedVariant {
        other: Digest::of(b"other"),
        is_variant: number.is_multiple_of(2),
        vary: vary.into(),
    });
    Record::Kept(Noted {
        digest,
        valid: -1 - i64::from(number),
        until: u64::MAX,
        used: 5,
        units: number,
        updating: 1,
        error: 2,
        varied,
    })
}

fn read(bytes: &[u8]) -> Result<Vec<Record>, Damage> {
    let (mut all, mut rest) = (Vec::new(), bytes);
    while !rest.is_empty() {
        let (head, after) = rest.split_first_chunk().ok_or(Damage::Short)?;
        let head = BlockHead::parse(head)?;
        let (block, after) = after.split_at_checked(head.length).ok_or(Damage::Short)?;
        head.records(block, |record| all.push(record))?;
        rest = after;
    }
    Ok(all)
}

#[test]
fn records_are_read_as_they_were_written() {
    let mut records: Vec<_> = (0..3000).map(|number| noted(number, b"")).collect();
    records.push(noted(1, b"accept-encoding"));
    records.push(noted(2, &[b'x'; LONGEST_VARY]));
    records.push(Record::Gone(Digest::of(b"gone")));
    let mut blocks = Blocks::new(3);
    records.iter().for_each(|record| blocks.put(record));
    blocks.put(&noted(3, &[b'x'; LONGEST_VARY + 1]));
    let bytes = blocks.take();
    assert!(bytes.len() > 2 * FULL_BLOCK);
    assert_eq!(read(&bytes).unwrap(), records);
    assert!(blocks.take().is_empty());
}

/// Whatever byte is changed, and wherever a file ends, no record is read that was not written.
#[test]
fn damage_is_noticed() {
    let records = [noted(1, b"a"), Record::Gone(Digest::of(b"b")), noted(2, b"")];
    let mut blocks = Blocks::new(3);
    records.iter().for_each(|record| blocks.put(record));
    let bytes = blocks.take();
    assert_eq!(read(&bytes).unwrap(), records);
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut wrong = bytes.clone();
            wrong[at] ^= 1 << bit;
            assert!(read(&wrong).is_err(), "{at}");
        }
        assert!(at == 0 || read(&bytes[..at]) == Err(Damage::Short), "{at}");
    }
    let levels = Levels::parse(b"1:2").unwrap();
    let header = Header { levels, snapshot: 77 };
    let bytes = header.to_bytes();
    assert_eq!(Header::parse(&bytes, levels), Ok(header));
    assert_eq!(Header::parse(&bytes, Levels::default()), Err(Damage::Levels));
    for at in 0..HEADER {
        let mut wrong = bytes;
        wrong[at] ^= 1;
        assert!(Header::parse(&wrong, levels).is_err(), "{at}");
    }
}

#[test]
fn any_bytes_are_records_or_none() {
    fuzz_index(&Header { levels: Levels::default(), snapshot: 5 }.to_bytes());
    let mut blocks = Blocks::new(3);
    (0..4).for_each(|number| blocks.put(&noted(number, b"vary")));
    let bytes = blocks.take();
    fuzz_index(&bytes);
    for end in BLOCK_HEAD..bytes.len() {
        fuzz_index(&bytes[BLOCK_HEAD..end]);
    }
    // Some bytes changed, with right sums.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    for _ in 0..20_000 {
        let mut wrong = bytes[BLOCK_HEAD..].to_vec();
        for _ in 0..=random(3) {
            let at = random(wrong.len());
            wrong[at] = random(256) as u8;
        }
        fuzz_index(&wrong[random(4) * 71..]);
    }
}
