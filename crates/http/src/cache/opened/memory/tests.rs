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

    /// The response in the file, with so many bytes in memory.
    fn response(&self, bytes: usize) -> Rc<Opened> {
        let file = Rc::new(File::new(std::fs::File::open(self.path()).unwrap()));
        let stamp = Stamp::of(&file).unwrap();
        let memory = (bytes > 0).then(|| vec![b'x'; bytes].into());
        let (head, fields) = (Head::default(), Rc::default());
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
            assert!(open == memory.open && open <= MOST_OPEN);
        }
        let fits = MOST.min(MOST_BYTES / bytes.max(1)) / 2 - 1;
        assert!((3 * MOST - fits..3 * MOST).all(|number| memory.find(&key(number)).is_some()));
        assert_eq!(memory.open, if bytes == 0 { 0 } else { memory.open });
        for number in 0..3 * MOST {
            memory.remove(&key(number));
        }
        assert_eq!((memory.open, memory.bytes), (0, 0));
    }
}

#[test]
fn a_closed_file_is_asked_for_by_its_path() {
    let place = Place::new("closed");
    let mut memory = Memory { open: MOST_OPEN, ..Memory::default() };
    memory.keep(key(1), 7, &place.response(4));
    assert_eq!(memory.open, MOST_OPEN, "another file is not kept open");
    assert!(memory.reuse(&key(1), 7, false).is_none());
    assert!(memory.reuse(&key(1), 7, true).is_some());
    std::fs::write(place.0.join("other"), "else").unwrap();
    std::fs::rename(place.0.join("other"), place.path()).unwrap();
    assert!(memory.reuse(&key(1), 7, true).is_none());
    assert!(memory.find(&key(1)).is_none(), "a replaced file is forgotten");
    memory.keep(key(1), 7, &place.response(4));
    std::fs::remove_file(place.path()).unwrap();
    assert!(memory.reuse(&key(1), 7, true).is_none());
}

#[test]
fn another_version_is_forgotten() {
    let place = Place::new("versions");
    let mut memory = Memory::default();
    memory.keep(key(1), 7, &place.response(4));
    assert!(memory.reuse(&key(1), 7, false).is_some());
    assert!(memory.reuse(&key(1), 8, false).is_none());
    assert!(memory.find(&key(1)).is_none());
    // Of a large body, only what is known of the file is remembered.
    memory.keep(key(2), 7, &place.response(0));
    assert!(memory.reuse(&key(2), 7, true).is_none());
    assert!(memory.find(&key(2)).is_some());
}
