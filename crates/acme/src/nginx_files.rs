//! The files of nginx's module: a directory that it has used has certificates that are still good.
//!
//! ```text
//!   NAME-HASH.crt  a certificate with its chain
//!   NAME-HASH.key  its key
//! ```
//!
//! The hash is nginx's own, so whether a certificate is the wanted one is seen from its content.

use std::path::{Path, PathBuf};

use crate::state;

/// The most certificates of one name that are looked at.
const MOST: usize = 16;

/// The key and the chain of each certificate whose first name is this one, the newest file first,
/// with the path of the chain.
pub(crate) fn all(folder: &Path, first_name: &str) -> Vec<(PathBuf, String)> {
    let mut found: Vec<_> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| is_of(path, first_name))
        .map(|path| (path.metadata().and_then(|own| own.modified()).ok(), path))
        .collect();
    found.sort();
    let newest = found.into_iter().rev().take(MOST);
    newest.filter_map(|(_, path)| Some((path.clone(), text(&path)?))).collect()
}

fn is_of(path: &Path, first_name: &str) -> bool {
    let stem = path.file_stem().and_then(|stem| stem.to_str());
    let hash = stem.and_then(|stem| stem.strip_prefix(first_name)?.strip_prefix('-'));
    let is_hash = hash
        .is_some_and(|hash| !hash.is_empty() && hash.bytes().all(|byte| byte.is_ascii_hexdigit()));
    is_hash && path.extension().is_some_and(|ending| ending == "crt")
}

/// Key and chain; `None` unless both can be read.
fn text(path: &Path) -> Option<String> {
    let read = |path: &Path| String::from_utf8(state::read(path).ok()??).ok();
    Some(read(&path.with_extension("key"))? + "\n" + &read(path)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_name_are_found() {
        let folder = std::env::temp_dir().join(format!("weir-nginx-files-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        for (name, text) in [
            ("a.test-1f.crt", "C"),
            ("a.test-1f.key", "K"),
            // Without a key, of other names, with other endings.
            ("a.test-2f.crt", "C"),
            ("www.a.test-1f.crt", "C"),
            ("a.test-b.test-1f.crt", "C"),
            ("a.test-1f.pem", "C"),
            ("a.test-.crt", "C"),
        ] {
            std::fs::write(folder.join(name), text).unwrap();
        }
        let found = all(&folder, "a.test");
        assert_eq!(found, [(folder.join("a.test-1f.crt"), "K\nC".to_owned())]);
        assert!(all(&folder.join("none"), "a.test").is_empty());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
