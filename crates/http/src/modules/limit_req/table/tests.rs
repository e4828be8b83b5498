use super::*;

const START: u64 = 1_000_000;

#[test]
fn a_bucket_drains_by_the_rate() {
    let mut table = Table::new(1 << 20);
    let mut count = |at: u64| table.count(b"key", START + at, 2000, 1000, true);
    assert_eq!(count(0), Counted::Now(0));
    assert_eq!(count(0), Counted::Now(1000));
    assert_eq!(count(0), Counted::Refused(2000));
    // Half a second drains one request; a refused one is not charged.
    assert_eq!(count(499), Counted::Refused(1002));
    assert_eq!(count(500), Counted::Now(1000));
    assert_eq!(count(501), Counted::Refused(1998));
    assert_eq!(count(100_000), Counted::Now(0));
}

#[test]
fn several_limits_count_only_when_all_agree() {
    let mut table = Table::new(1 << 20);
    assert_eq!(table.count(b"key", START, 1000, 0, false), Counted::Later);
    table.give_up(b"key");
    assert_eq!(table.count(b"key", START, 1000, 0, false), Counted::Later);
    // A new bucket is empty, so there is no excess.
    assert_eq!(table.settle(b"key", START, 1000), 0);
    assert_eq!(table.count(b"key", START + 10, 1000, 0, false), Counted::Refused(990));
}

#[test]
fn the_oldest_keys_make_room() {
    let size = 32 * 1024;
    let most = room(size) / node_size(NODE_HEAD + 4);
    let mut table = Table::new(size);
    for number in 0..most + 10 {
        let key = (number as u32).to_be_bytes();
        assert_eq!(table.count(&key, START, 1000, 0, true), Counted::Now(0), "{number}");
    }
    assert!(table.buckets.len() as u64 <= most);
    let mut count = |number: u32| table.count(&number.to_be_bytes(), START, 1000, 0, true);
    assert_eq!(count(most as u32 + 9), Counted::Refused(1000));
    assert_eq!(count(0), Counted::Now(0));
}

#[test]
fn a_bucket_about_to_be_charged_stays() {
    let mut table = Table::new(32 * 1024);
    assert_eq!(table.count(b"held", START, 1000, 0, false), Counted::Later);
    let long = vec![b'x'; 64 * 1024 - 1];
    assert_eq!(table.count(&long, START, 1000, 0, true), Counted::Full);
    assert_eq!(table.count(b"other", START + 70_000, 1000, 0, true), Counted::Now(0));
    assert_eq!(table.buckets.len(), 2);
}
