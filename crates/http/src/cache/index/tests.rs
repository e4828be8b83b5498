use std::task::{Context, Poll, Waker};

use super::*;
use crate::cache::index_codec::Record;
use crate::cache::lock::Ended;

const INACTIVE: Duration = Duration::from_secs(600);

fn at(seconds: u64) -> Now {
    Now { mono: 1_000_000 + seconds * 1000, wall: 1_700_000_000 + seconds.cast_signed() }
}

fn digest(number: u32) -> Digest {
    Digest::of(&number.to_le_bytes())
}

/// Valid for ten seconds from `now`.
fn kept(main: Digest, now: Now) -> Kept {
    let times = Times { valid: now.wall + 10, updating: 5, error: 20, date: now.wall };
    Kept { times, size: 4096, main, varied: None }
}

fn varied(main: Digest, variant: Digest, now: Now) -> Kept {
    let varied = Some(Varied { vary: (*b"accept").into(), variant });
    Kept { varied, ..kept(main, now) }
}

const TERMS: Terms = Terms { min_uses: 1, counts: true, chosen: false, lock: None };

#[test]
fn a_response_is_fresh_then_stale_and_updated_by_one() {
    let (index, one) = (Index::new(1 << 20), digest(1));
    let look = |now| index.look_up(&one, now, &TERMS);
    assert!(matches!(look(at(0)), Looked::Absent(Whose::Free)));
    let first = index.stored(&one, kept(one, at(0)), at(0));
    assert!(matches!(look(at(10)), Looked::Fresh(version) if version == first));
    let Looked::Stale(stale) = look(at(12)) else { panic!("not stale") };
    assert!(stale.updating && stale.error && matches!(stale.whose, Whose::Mine(_)));
    let Looked::Stale(other) = look(at(18)) else { panic!("not stale") };
    assert!(!other.updating && other.error && matches!(other.whose, Whose::Theirs(..)));
    let Looked::Stale(other) = look(at(33)) else { panic!("not stale") };
    assert!(!other.updating && !other.error);
    index.renewed(&one, first, Times { valid: at(50).wall, ..Times::default() }, at(33));
    assert!(matches!(look(at(50)), Looked::Fresh(_)));
    // A version that is no longer there is neither renewed nor lost.
    let second = index.stored(&one, kept(one, at(51)), at(51));
    index.lost(&one, first);
    index.renewed(&one, first, Times::default(), at(51));
    assert!(matches!(look(at(52)), Looked::Fresh(version) if version == second));
    drop(stale);
    assert_eq!(index.bytes(), 4096);
}

#[test]
fn a_turn_ends_with_its_owner() {
    let (index, one) = (Index::new(1 << 20), digest(1));
    let lock = Some(Duration::from_secs(5));
    let look = |now| index.look_up(&one, now, &Terms { lock, ..TERMS });
    let Looked::Absent(Whose::Mine(mine)) = look(at(0)) else { panic!("not mine") };
    let Looked::Absent(Whose::Theirs(turn, left)) = look(at(2)) else { panic!("not theirs") };
    assert_eq!(left, Duration::from_secs(3));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(turn.poll(&mut cx).is_pending());
    // It is taken over when it is too old. Its end then frees nothing.
    let Looked::Absent(Whose::Mine(next)) = look(at(5)) else { panic!("not mine") };
    drop(mine);
    assert_eq!(turn.poll(&mut cx), Poll::Ready(Ended::Again));
    let Looked::Absent(Whose::Theirs(turn, _)) = look(at(6)) else { panic!("not theirs") };
    let mut next = next;
    next.is_not_kept();
    drop(next);
    assert_eq!(turn.poll(&mut cx), Poll::Ready(Ended::NotKept));
    assert!(matches!(look(at(6)), Looked::Absent(Whose::Mine(_))));
}

#[test]
fn a_response_needs_its_uses() {
    let (index, one) = (Index::new(1 << 20), digest(1));
    let terms = Terms { min_uses: 3, ..TERMS };
    for _ in 0..2 {
        assert!(matches!(index.look_up(&one, at(0), &terms), Looked::Scarce));
        let again = Terms { counts: false, ..terms };
        assert!(matches!(index.look_up(&one, at(0), &again), Looked::Scarce));
    }
    assert!(matches!(index.look_up(&one, at(0), &terms), Looked::Absent(_)));
}

#[test]
fn an_error_is_the_answer_for_some_time() {
    let (index, one) = (Index::new(1 << 20), digest(1));
    let look = |now| index.look_up(&one, now, &TERMS);
    look(at(0));
    index.failed(&one, 502, 5, at(0));
    assert!(matches!(look(at(5)), Looked::Failed(502)));
    assert!(matches!(look(at(6)), Looked::Absent(_)));
    index.failed(&one, 502, i64::MAX, at(6));
    index.stored(&one, kept(one, at(6)), at(6));
    assert!(matches!(look(at(6)), Looked::Fresh(_)));
}

#[test]
fn a_jump_of_the_wall_clock_makes_nothing_younger() {
    let (index, one) = (Index::new(1 << 20), digest(1));
    index.stored(&one, kept(one, at(100)), at(100));
    let look = |mono, wall| {
        let now = Now { mono: at(mono).mono, wall: at(wall).wall };
        matches!(index.look_up(&one, now, &TERMS), Looked::Fresh(_))
    };
    assert!(look(105, 0) && !look(112, 0));
    assert!(look(105, 110) && !look(105, 111));
    // Found by a process that starts after the clock was set back: it is not valid for longer.
    let two = digest(2);
    let now = Now { mono: at(0).mono, wall: at(50).wall };
    index.found(&two, kept(two, at(100)), now);
    let look = |mono| {
        let now = Now { mono: at(mono).mono, wall: at(60).wall };
        matches!(index.look_up(&two, now, &TERMS), Looked::Fresh(_))
    };
    assert!(look(10) && !look(12));
}

#[test]
fn variants_are_found_and_purged_by_their_key() {
    let index = Index::new(1 << 20);
    let (main, one, two) = (digest(0), digest(1), digest(2));
    assert_eq!(index.place(&main, b"accept", &one), main);
    index.stored(&main, varied(main, one, at(0)), at(0));
    assert_eq!(index.place(&main, b"accept", &one), main);
    assert_eq!(index.place(&main, b"accept", &two), two);
    assert_eq!(index.place(&main, b"other", &two), main);
    index.stored(&two, varied(main, two, at(0)), at(0));
    let Looked::Varied(found) = index.look_up(&main, at(0), &TERMS) else { panic!("not varied") };
    assert_eq!((found.variant, &found.vary[..]), (one, &b"accept"[..]));
    let chosen = Terms { chosen: true, ..TERMS };
    assert!(matches!(index.look_up(&main, at(0), &chosen), Looked::Fresh(_)));
    assert!(matches!(index.look_up(&two, at(0), &chosen), Looked::Fresh(_)));
    let mut gone = index.purge(&main);
    gone.sort();
    let mut all = vec![main, two];
    all.sort();
    assert_eq!(gone, all);
    assert_eq!((index.len(), index.bytes()), (0, 0));
    assert!(index.purge(&main).is_empty());
}

#[test]
fn a_variant_that_is_found_before_its_key_stays() {
    let index = Index::new(1 << 20);
    let (main, one, two) = (digest(0), digest(1), digest(2));
    assert!(index.found(&two, varied(main, two, at(0)), at(0)));
    assert!(index.found(&main, varied(main, one, at(0)), at(0)));
    assert!(!index.found(&main, varied(main, one, at(0)), at(0)));
    assert_eq!(index.purge(&main).len(), 2);
}

#[test]
fn the_least_used_go_first() {
    // The smallest zone: one page of entries.
    let index = Index::new(8192);
    for number in 0..32 {
        index.stored(&digest(number), kept(digest(number), at(0)), at(u64::from(number)));
    }
    index.look_up(&digest(0), at(40), &TERMS);
    assert!(!index.has_doomed());
    index.stored(&digest(32), kept(digest(32), at(41)), at(41));
    assert_eq!((index.take_doomed(), index.len()), (vec![digest(1)], 32));
    assert!(!index.is_due(INACTIVE, at(601)) && !index.expire(INACTIVE, at(601)));
    assert!(index.is_due(INACTIVE, at(602)));
    assert!(index.expire(INACTIVE, at(602)) && !index.expire(INACTIVE, at(602)));
    assert!(index.evict());
    assert_eq!(index.take_doomed(), [digest(2), digest(3)]);
    assert_eq!(index.bytes(), 30 * 4096);
    while index.evict() {}
    assert_eq!((index.len(), index.bytes(), index.take_doomed().len()), (0, 0, 30));
}

/// What zones hold, as nginx documents it: 8 thousand keys for a megabyte.
#[test]
fn zones_have_nginxs_sizes() {
    let most = |size| Index::new(size).each().map(|shard| shard.most() as u64).sum::<u64>();
    assert_eq!((most(8192), most(16 << 10)), (32, 64));
    assert!((8000..8192).contains(&most(1 << 20)), "{}", most(1 << 20));
}

/// Many threads at once: the accounts are right in the end, and every turn has one owner.
#[test]
fn threads_agree() {
    let index = Index::new(1 << 20);
    let fetched = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..4_u32 {
            let (index, fetched) = (&index, &fetched);
            scope.spawn(move || {
                for round in 0..2000_u32 {
                    let one = digest((round * 7 + thread) % 200);
                    let terms = Terms { lock: Some(Duration::from_secs(5)), ..TERMS };
                    match index.look_up(&one, at(0), &terms) {
                        Looked::Absent(Whose::Mine(_claim)) => {
                            fetched.fetch_add(1, Relaxed);
                            index.stored(&one, kept(one, at(0)), at(0));
                        }
                        Looked::Absent(Whose::Theirs(..)) | Looked::Fresh(_) => {}
                        other => panic!("{other:?}"),
                    }
                }
            });
        }
    });
    assert_eq!(fetched.into_inner(), 200);
    assert_eq!((index.len(), index.bytes()), (200, 200 * 4096));
}

#[test]
fn what_another_process_has_put_in_a_file_is_taken_over() {
    let (index, main, variant) = (Index::new(1 << 20), digest(1), digest(2));
    let ours = kept(main, at(0));
    let version = index.stored(&main, ours.clone(), at(0));
    assert_eq!(index.confirm(&main, version, ours.clone(), at(1)), Confirmed::Same(version));
    let longer = Kept { size: 8192, ..ours.clone() };
    assert_eq!(index.confirm(&main, version, longer, at(1)), Confirmed::Corrected);
    assert_eq!(index.bytes(), 8192);
    let Looked::Fresh(version) = index.look_up(&main, at(1), &TERMS) else { panic!("not fresh") };
    let theirs = Kept { size: 12288, ..varied(main, variant, at(1)) };
    assert_eq!(index.confirm(&main, version, theirs.clone(), at(1)), Confirmed::Corrected);
    let same = index.confirm(&main, record::SEEN, theirs.clone(), at(1));
    assert_eq!(same, Confirmed::Same(record::SEEN));
    assert_eq!(index.bytes(), 12288);
    let found = index.look_up(&main, at(1), &TERMS);
    assert!(matches!(found, Looked::Varied(varied) if varied.variant == variant));
    // Neither another version nor one that is gone.
    let next = index.stored(&main, ours.clone(), at(2));
    let other = index.confirm(&main, version, theirs.clone(), at(2));
    assert_eq!((other, index.bytes()), (Confirmed::Corrected, 4096));
    index.lost(&main, next);
    assert_eq!(index.confirm(&main, next, theirs, at(2)), Confirmed::Corrected);
    assert_eq!(index.bytes(), 0);
}

#[test]
fn a_zone_of_another_size_keeps_what_it_has_room_for() {
    let index = Index::new(1 << 20);
    let most = index.watermark();
    for number in 0..1000 {
        index.stored(&digest(number), kept(digest(number), at(0)), at(number.into()));
    }
    index.resize(2 << 20);
    assert!(index.watermark() > most && index.len() == 1000);
    index.resize(8 << 10);
    while index.len() >= index.watermark() && index.evict() {}
    for number in 1000..2000 {
        index.stored(&digest(number), kept(digest(number), at(0)), at(number.into()));
    }
    let most = 8 << 10 >> 7;
    assert!((1..=most).contains(&index.len()), "{}", index.len());
    assert_eq!(index.bytes(), index.len() * 4096);
}

/// The entries of an index, as records.
fn records(index: &Index) -> Vec<Record> {
    let mut all = Vec::new();
    let Ok(()) = index.record(|record| {
        all.push(record);
        Ok::<_, std::convert::Infallible>(())
    });
    all
}

/// Takes a snapshot into an index.
fn restored(records: &[Record], size: u64, clocks: Clocks) -> Arc<Index> {
    let index = Index::new(size);
    for record in records {
        let Record::Kept(noted) = record else { panic!("a snapshot has only files") };
        index.restore(noted, Mark::Snapshot, clocks);
    }
    index
}

#[test]
fn a_restored_index_knows_what_the_earlier_one_did() {
    let index = Index::new(1 << 20);
    let (main, one, two) = (digest(100), digest(101), digest(102));
    for number in 0..50 {
        let one = digest(number);
        index.stored(&one, kept(one, at(u64::from(number))), at(u64::from(number)));
    }
    index.stored(&main, varied(main, one, at(50)), at(50));
    index.stored(&two, varied(main, two, at(51)), at(51));
    index.look_up(&digest(60), at(51), &TERMS);
    let written = records(&index);
    assert_eq!(written.len(), 52);
    // Another process, whose monotonic clock is another one.
    let now = Now { mono: 9_000_000, wall: at(1000).wall };
    let clocks = Clocks { now, end: at(60).mono };
    let other = restored(&written, 1 << 20, clocks);
    assert_eq!((other.bytes(), other.len()), (52 * 4096, 52));
    let chosen = Terms { chosen: true, ..TERMS };
    assert!(matches!(other.look_up(&digest(3), now, &TERMS), Looked::Stale(_)));
    let early = Now { mono: now.mono + 500, wall: at(49).wall };
    assert!(matches!(other.look_up(&digest(49), early, &TERMS), Looked::Stale(_)), "by mono");
    let Looked::Varied(found) = other.look_up(&main, now, &TERMS) else { panic!("not varied") };
    assert_eq!((found.variant, &found.vary[..]), (one, &b"accept"[..]));
    assert!(matches!(other.look_up(&two, now, &chosen), Looked::Stale(_)));
    let mut gone = other.purge(&main);
    gone.sort();
    let mut both = [main, two];
    both.sort();
    assert_eq!(gone, both);
    // The order of use, and the times since: the 60 s between do not count.
    let inactive = Duration::from_secs(58);
    let mut order = Vec::new();
    while other.expire(inactive, now) {
        order.extend(other.take_doomed());
    }
    assert_eq!(order, [digest(0), digest(1), digest(2)]);
}

/// In a smaller zone, those used last are kept, and the files of the others are deleted.
#[test]
fn a_restored_index_keeps_within_its_zone() {
    let index = Index::new(1 << 20);
    for number in 0..100 {
        let one = digest(number);
        index.stored(&one, kept(one, at(0)), at(u64::from(number)));
    }
    let mut written = records(&index);
    let used = |record: &Record| match record {
        Record::Kept(noted) => noted.used,
        Record::Gone(_) => 0,
    };
    written.sort_by_key(|record| std::cmp::Reverse(used(record)));
    let now = at(200);
    let other = restored(&written, 8192, Clocks { now, end: now.mono });
    assert_eq!((other.len(), other.bytes()), (32, 32 * 4096));
    let doomed = other.take_doomed();
    assert_eq!(doomed.len(), 68);
    assert!((0..68).all(|number| doomed.contains(&digest(number))));
}

/// What requests know is newer than any record.
#[test]
fn records_change_nothing_that_is_known() {
    let index = Index::new(1 << 20);
    let one = digest(1);
    index.stored(&one, kept(one, at(0)), at(0));
    let old = records(&index).remove(0);
    let Record::Kept(old) = old else { panic!("no file") };
    let version = index.stored(&one, kept(one, at(100)), at(100));
    let clocks = Clocks { now: at(100), end: at(100).mono };
    for mark in [Mark::Journal, Mark::Snapshot] {
        assert!(index.restore(&old, mark, clocks));
    }
    index.unrestore(&one);
    let look = index.look_up(&one, at(101), &TERMS);
    assert!(matches!(look, Looked::Fresh(known) if known == version));
    assert_eq!(index.bytes(), 4096);
}

/// The journal: what has changed since a snapshot, once each, with its present state.
#[test]
fn changes_are_what_has_changed() {
    let index = Index::new(1 << 20);
    index.stored(&digest(0), kept(digest(0), at(0)), at(0));
    index.begin_changes();
    assert!(!index.has_changes());
    for number in [1, 2, 1, 3] {
        index.stored(&digest(number), kept(digest(number), at(1)), at(1));
    }
    index.purge(&digest(2));
    let version = index.stored(&digest(4), kept(digest(4), at(1)), at(1));
    index.lost(&digest(4), version);
    index.look_up(&digest(0), at(9), &TERMS);
    let mut changed = Vec::new();
    assert!(index.take_changes(|record| changed.push(match record {
        Record::Kept(noted) => (noted.digest, true),
        Record::Gone(digest) => (digest, false),
    })));
    changed.sort();
    let expected = [(1, true), (2, false), (3, true), (4, false)];
    let mut expected = expected.map(|(number, is_kept)| (digest(number), is_kept));
    expected.sort();
    assert_eq!(changed, expected);
    assert!(!index.has_changes());
}

/// A file says of itself what a record, or another process, has said otherwise.
#[test]
fn a_file_corrects_its_entry() {
    let index = Index::new(1 << 20);
    let (main, one, two) = (digest(0), digest(1), digest(2));
    let version = index.stored(&main, varied(main, one, at(0)), at(0));
    let same = varied(main, one, at(0));
    assert_eq!(index.confirm(&main, version, same.clone(), at(1)), Confirmed::Same(version));
    assert_eq!(index.confirm(&main, version + 1, same, at(1)), Confirmed::Corrected);
    // Another variant has its name by now.
    let other = varied(main, two, at(0));
    assert_eq!(index.confirm(&main, version, other, at(1)), Confirmed::Corrected);
    let Looked::Varied(found) = index.look_up(&main, at(1), &TERMS) else { panic!("not varied") };
    assert_eq!(found.variant, two);
    // It is valid for a shorter time.
    let plain = digest(5);
    let version = index.stored(&plain, kept(plain, at(50)), at(50));
    assert_eq!(index.confirm(&plain, version, kept(plain, at(0)), at(51)), Confirmed::Corrected);
    assert!(matches!(index.look_up(&plain, at(51), &TERMS), Looked::Stale(_)));
    assert_eq!(index.bytes(), 2 * 4096);
}

/// Entries without files are forgotten when all files have been looked for.
#[test]
fn restored_entries_without_files_are_forgotten() {
    let index = Index::new(1 << 20);
    for number in 0..400 {
        index.stored(&digest(number), kept(digest(number), at(0)), at(0));
    }
    let now = at(1);
    let other = restored(&records(&index), 1 << 20, Clocks { now, end: now.mono });
    for number in 0..300 {
        assert!(other.sees(&digest(number)));
    }
    assert!(!other.sees(&digest(500)));
    let mut asked = 0;
    other.forget_unseen(|one| {
        asked += 1;
        *one == digest(350)
    });
    assert_eq!((asked, other.bytes()), (100, 301 * 4096));
}

/// In a full zone, what is used between all others stays, however fast they come.
#[test]
fn what_is_used_all_the_time_is_not_pushed_out() {
    let index = Index::new(8192);
    let one = digest(1000);
    index.stored(&one, kept(one, at(0)), at(0));
    for number in 0..200 {
        index.stored(&digest(number), kept(digest(number), at(0)), at(0));
        assert!(matches!(index.look_up(&one, at(0), &TERMS), Looked::Fresh(_)), "{number}");
    }
}
