//! Log files with variables in their names: opened for each line, or kept open for a while.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use weir_conf::value::{parse_number, parse_sec};
use weir_conf::{Arity, Cx, Fault, Node, Value};
use weir_engine::clock::{self, Instant};
use weir_engine::error_log::Level;
use weir_engine::log_files::LogFile;
use weir_engine::os_error::Failed;
use weir_script::Template;

use crate::Session;

/// `open_log_file_cache`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFileCache {
    /// Each line opens and closes its file.
    #[default]
    Off,
    /// Files stay open.
    On {
        /// The maximum number of files.
        max: usize,
        /// The time without use after which a file is closed.
        inactive: Duration,
        /// The time after which a file is checked.
        valid: Duration,
        /// The number of uses within `inactive` from which a file stays open.
        min_uses: u64,
    },
}

impl Value for LogFileCache {
    const SYNTAX: &'static str = "off | max=N [inactive=time] [min_uses=N] [valid=time]";
    const ARITY: Arity =
        Arity::exactly(1).or(Arity::exactly(2)).or(Arity::exactly(3)).or(Arity::exactly(4));

    fn parse(node: &Node, _: &mut Cx<'_>) -> Result<Self, Fault> {
        let (mut max, mut off) = (0, false);
        let (mut inactive, mut valid) = (Duration::from_secs(10), Duration::from_secs(60));
        let mut min_uses = 1;
        for word in &node.args {
            let wrong = || {
                let text = word.text();
                Fault::new(format!("invalid \"open_log_file_cache\" parameter \"{text}\"")).at(word)
            };
            if let Some(number) = word.after("max=") {
                max = parse_number(number).ok_or_else(wrong)?;
            } else if let Some(time) = word.after("inactive=") {
                inactive = parse_sec(time).ok_or_else(wrong)?;
            } else if let Some(number) = word.after("min_uses=") {
                min_uses = parse_number(number).ok_or_else(wrong)?;
            } else if let Some(time) = word.after("valid=") {
                valid = parse_sec(time).ok_or_else(wrong)?;
            } else if word.is("off") {
                off = true;
            } else {
                return Err(wrong());
            }
        }
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        match (off, max) {
            (true, _) => Ok(Self::Off),
            (false, 0) => Err("\"open_log_file_cache\" must have \"max\" parameter".into()),
            (false, max) => Ok(Self::On { max, inactive, valid, min_uses }),
        }
    }

    fn show(&self) -> Option<String> {
        (*self == Self::Off).then(|| "off".to_owned())
    }
}

/// A name in use, and its file if that stays open.
struct KeptFile {
    file: Option<Arc<LogFile>>,
    /// Device and inode of the file.
    identity: (u64, u64),
    /// The time of the last check.
    checked: Instant,
    used: Instant,
    uses: u64,
}

thread_local! {
    static KEPT: RefCell<HashMap<PathBuf, KeptFile>> = RefCell::new(HashMap::new());
}

/// Closes all files.
pub(super) fn forget() {
    KEPT.take();
}

/// The file for a session. `None` if it must not or cannot be opened, which has been logged.
pub(super) fn open<S: Session>(
    session: &mut S,
    path: &Template,
    cache: &LogFileCache,
) -> Option<Arc<LogFile>> {
    if !session.may_open_log() {
        return None;
    }
    let mut name = Vec::new();
    path.eval(session, &mut name);
    let path = PathBuf::from(OsString::from_vec(name));
    match KEPT.with_borrow_mut(|kept| find(kept, &path, cache)) {
        Ok(file) => Some(file),
        Err(error) => {
            let what = format!("open() \"{}\" failed", path.display());
            session.log(Level::Crit, &Failed(&what, &error).to_string());
            None
        }
    }
}

fn find(
    kept: &mut HashMap<PathBuf, KeptFile>,
    path: &Path,
    cache: &LogFileCache,
) -> io::Result<Arc<LogFile>> {
    let LogFileCache::On { max, inactive, valid, min_uses } = *cache else {
        return LogFile::open(path).map(Arc::new);
    };
    let now = clock::now();
    if let Some(known) = kept.get_mut(path) {
        if now.since(known.used) > inactive {
            known.uses = 0;
        }
        known.used = now;
        known.uses += 1;
        if let Some(file) = known.file_in_force(path, now, valid) {
            return Ok(file);
        }
        let file = Arc::new(LogFile::open(path)?);
        known.checked = now;
        known.identity = identity(path)?;
        known.file = (known.uses >= min_uses).then(|| Arc::clone(&file));
        return Ok(file);
    }
    make_room(kept, max, inactive, now);
    let file = Arc::new(LogFile::open(path)?);
    let keep = (min_uses <= 1).then(|| Arc::clone(&file));
    let identity = identity(path)?;
    let entry = KeptFile { file: keep, identity, checked: now, used: now, uses: 1 };
    kept.insert(path.to_owned(), entry);
    Ok(file)
}

impl KeptFile {
    /// The file, if it is open and still has this name.
    fn file_in_force(
        &mut self,
        path: &Path,
        now: Instant,
        valid: Duration,
    ) -> Option<Arc<LogFile>> {
        let file = self.file.as_ref()?;
        if now.since(self.checked) > valid {
            if identity(path).ok() != Some(self.identity) {
                self.file = None;
                return None;
            }
            self.checked = now;
        }
        Some(Arc::clone(file))
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    std::fs::metadata(path).map(|info| (info.dev(), info.ino()))
}

/// Closes unused files, and then, if there are still too many, those unused for longest.
fn make_room(kept: &mut HashMap<PathBuf, KeptFile>, max: usize, inactive: Duration, now: Instant) {
    kept.retain(|_, known| now.since(known.used) <= inactive);
    while kept.len() >= max {
        let oldest = kept.iter().min_by_key(|(_, known)| known.used).map(|(path, _)| path.clone());
        let Some(oldest) = oldest else { return };
        kept.remove(&oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_replaced_is_opened_again() {
        let path = std::env::temp_dir().join(format!("weir-kept-{}", std::process::id()));
        let cache = |valid| LogFileCache::On {
            max: 1,
            inactive: Duration::from_secs(10),
            valid: Duration::from_secs(valid),
            min_uses: 2,
        };
        let mut kept = HashMap::new();
        let first = find(&mut kept, &path, &cache(60)).unwrap();
        let second = find(&mut kept, &path, &cache(60)).unwrap();
        assert!(!Arc::ptr_eq(&first, &second));
        assert!(Arc::ptr_eq(&second, &find(&mut kept, &path, &cache(60)).unwrap()));
        std::fs::remove_file(&path).unwrap();
        assert!(Arc::ptr_eq(&second, &find(&mut kept, &path, &cache(60)).unwrap()));
        kept.get_mut(&path).unwrap().checked = Instant::from_nanos(0);
        assert!(!Arc::ptr_eq(&second, &find(&mut kept, &path, &cache(0)).unwrap()));
        std::fs::remove_file(&path).unwrap();
    }
}
