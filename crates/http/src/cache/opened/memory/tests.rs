use std::cell::Cell;
use std::path::PathBuf;

use weir_engine::file_io::File;

use super::*;
use crate::cache::counters::CacheCounters;
use crate::cache::file::Head;

/// A file in a folder of its own, which is removed at the end.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("weir-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("file"), "body").unwrap();
        Self(folder)
    }

    fn path(&self) -> PathBuf {
        self.0.join("file")
    }

    /// The response in the file, with so many bytes in memory, or else a body of medium length.
    fn response(&self, bytes: usize) -> Rc<Opened> {
        self.of_length(bytes, if bytes > 0 { bytes as u64 } else { MOST_SENT_OPEN })
    }

    /// The response in the file with a body of this length, and so many bytes in memory.
    fn of_length(&self, bytes: usize, body: u64) -> Rc<Opened> {
        let file = Rc::new(File::new(std::fs::File::open(self.path()).unwrap()));
        let stamp = Stamp::of(&file).unwrap();
        let memory = (bytes > 0).then(|| vec![b'x'; bytes].into());
        let (head, fields) = (Head { body, ..Head::default() }, Rc::default());
        let (start, sums, checked) = (0, Vec::new(), Cell::new(0));
        let is_settled = true;
        let known = Known { head, fields, start, memory, sums, checked, stamp, is_settled };
        let (known, file) = (Rc::new(known), RefCell::new(Some(file)));
        let counters = CacheCounters::of("remembered");
        Rc::new(Opened { known, path: self.path(), file, counters })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A response whose file is open.
const OPEN: Asks = Asks { paths: false, whole: false };

/// A response whose file may be closed.
const ANY: Asks = Asks { paths: true, whole: false };

fn key(number: usize) -> Key {
    (1, Digest((number as u128).to_le_bytes()))
}

#[test]
fn the_responses_used_last_stay_within_the_limits() {
    let place = Place::new("remembered");
    for bytes in [0, 1, 16 * 1024] {
        let mut memory = Memory::default();
        for number in 0..3 * MOST {
            memory.keep(key(number), 7, &place.response(bytes));
            // Whatever is used again and again outlasts all others.
            assert!(memory.find(&key(0)).is_some(), "{number} of {bytes} bytes");
            let all = || memory.young.values().chain(memory.old.values());
            assert!(all().count() <= MOST);
            assert!(all().map(super::Place::bytes).sum::<usize>() <= MOST_BYTES);
            let open = all().filter(|place| place.is_open()).count();
            assert_eq!(open, memory.open + memory.senders);
            assert!(memory.open <= MOST_OPEN && memory.senders <= MOST_SENDERS);
        }
        let fits = MOST.min(MOST_BYTES / bytes.max(1)) / 2 - 1;
        assert!((3 * MOST - fits..3 * MOST).all(|number| memory.find(&key(number)).is_some()));
        assert_eq!((bytes == 0, bytes > 0), (memory.open == 0, memory.senders == 0));
        for number in 0..3 * MOST {
            memory.remove(&key(number));
        }
        assert_eq!((memory.open, memory.senders, memory.bytes), (0, 0, 0));
    }
}

#[test]
fn a_closed_file_is_asked_for_by_its_path() {
    let place = Place::new("closed");
    let mut memory = Memory { open: MOST_OPEN, ..Memory::default() };
    memory.keep(key(1), 7, &place.response(4));
    assert_eq!(memory.open, MOST_OPEN, "another file is not kept open");
    assert!(memory.reuse(&key(1), 7, OPEN).is_none());
    assert!(memory.reuse(&key(1), 7, ANY).is_some());
    std::fs::write(place.0.join("other"), "else").unwrap();
    std::fs::rename(place.0.join("other"), place.path()).unwrap();
    assert!(memory.reuse(&key(1), 7, ANY).is_none());
    assert!(memory.find(&key(1)).is_none(), "a replaced file is forgotten");
    memory.keep(key(1), 7, &place.response(4));
    std::fs::remove_file(place.path()).unwrap();
    assert!(memory.reuse(&key(1), 7, ANY).is_none());
}

#[test]
fn another_version_is_forgotten() {
    let place = Place::new("versions");
    let mut memory = Memory::default();
    memory.keep(key(1), 7, &place.response(4));
    assert!(memory.reuse(&key(1), 7, OPEN).is_some());
    assert!(memory.reuse(&key(1), 8, OPEN).is_none());
    assert!(memory.find(&key(1)).is_none());
}

#[test]
fn a_file_of_medium_length_stays_open_while_it_is_the_same() {
    let place = Place::new("medium");
    let mut memory = Memory::default();
    memory.keep(key(1), 7, &place.response(0));
    let opened = memory.reuse(&key(1), 7, OPEN).unwrap();
    assert!(memory.reuse(&key(1), 7, Asks { paths: true, whole: true }).is_none());
    std::fs::write(place.0.join("other"), "else").unwrap();
    std::fs::rename(place.0.join("other"), place.path()).unwrap();
    assert!(memory.reuse(&key(1), 7, ANY).is_none());
    assert_eq!(memory.senders, 0);
    assert!(opened.file.borrow().is_some(), "a request may still send it");
    // A longer one is opened each time.
    memory.keep(key(2), 7, &place.of_length(0, MOST_SENT_OPEN + 1));
    assert!(memory.reuse(&key(2), 7, ANY).is_none());
    assert!(memory.find(&key(2)).is_some(), "what is known of it is remembered");
}

#[test]
fn files_of_medium_length_are_closed_in_turn() {
    let place = Place::new("senders");
    let mut memory = Memory::default();
    memory.keep(key(0), 7, &place.response(4));
    let mut held = Vec::new();
    for number in 1..=MOST_SENDERS + 1 {
        let opened = place.response(0);
        held.push(Rc::downgrade(&opened));
        memory.keep(key(number), 7, &opened);
    }
    let open = held.iter().filter(|opened| opened.upgrade().is_some()).count();
    assert_eq!((open, memory.senders, memory.open), (1, 1, 1), "all but the last are closed");
    assert!(memory.find(&key(1)).is_some(), "what is known of them stays");
}

#[test]
fn an_open_file_of_medium_length_that_changes_now_is_not_trusted() {
    let place = Place::new("unsettled");
    let mut memory = Memory::default();
    let mut opened = place.response(0);
    let known = Rc::get_mut(&mut Rc::get_mut(&mut opened).unwrap().known).unwrap();
    known.is_settled = false;
    memory.keep(key(1), 7, &opened);
    assert!(memory.find(&key(1)).is_none());
}
