use std::os::unix::fs::symlink;
use std::time::Duration;

use super::*;
use crate::event_loop::block_on;
use crate::timer;

/// A folder for one test, removed afterwards.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("weir-watch-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Self(path.canonicalize().unwrap())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Whether a change is told. One that is not would be waited for in vain.
fn told(path: &Path, change: impl FnOnce()) -> bool {
    block_on(async {
        let watch = FileWatch::new(Way::to(path).unwrap()).unwrap();
        change();
        // The kernel has queued the event when the call that caused it returns.
        tokio::select! {
            biased;
            () = watch.changed() => true,
            () = timer::sleep(Duration::from_millis(20)) => false,
        }
    })
}

#[test]
fn what_happens_to_a_file_is_told() {
    let folder = Folder::new("plain");
    let path = folder.at("list");
    assert!(told(&path, || fs::write(&path, "a").unwrap()), "made");
    assert!(told(&path, || fs::write(&path, "b").unwrap()), "written");
    assert!(told(&path, || fs::write(&path, "").unwrap()), "truncated");
    fs::write(folder.at("new"), "c").unwrap();
    assert!(told(&path, || fs::rename(folder.at("new"), &path).unwrap()), "replaced");
    assert!(told(&path, || fs::remove_file(&path).unwrap()), "removed");
    assert!(!told(&path, || fs::write(folder.at("other"), "c").unwrap()), "another file");
}

#[test]
fn a_folder_that_comes_later_is_told() {
    let folder = Folder::new("later");
    let path = folder.at("a/b/list");
    assert!(told(&path, || fs::create_dir(folder.at("a")).unwrap()));
    assert!(told(&path, || fs::create_dir(folder.at("a/b")).unwrap()));
    assert!(told(&path, || fs::write(&path, "a").unwrap()));
    assert!(told(&path, || fs::rename(folder.at("a"), folder.at("c")).unwrap()));
}

/// `list` leads to `..data/list`, and `..data` to a folder that is replaced as a whole.
#[test]
fn a_switched_link_is_told() {
    let folder = Folder::new("links");
    for version in ["..1", "..2"] {
        fs::create_dir(folder.at(version)).unwrap();
        fs::write(folder.at(version).join("list"), version).unwrap();
    }
    symlink("..1", folder.at("..data")).unwrap();
    symlink("..data/list", folder.at("list")).unwrap();
    let path = folder.at("list");
    assert!(told(&path, || fs::write(folder.at("..1/list"), "written").unwrap()));
    assert!(!told(&path, || fs::write(folder.at("..2/list"), "unused").unwrap()));
    symlink("..2", folder.at("..tmp")).unwrap();
    assert!(told(&path, || fs::rename(folder.at("..tmp"), folder.at("..data")).unwrap()));
    assert!(told(&path, || fs::write(folder.at("..2/list"), "written").unwrap()));
}

#[test]
fn links_in_a_circle_end() {
    let folder = Folder::new("circle");
    symlink("b", folder.at("a")).unwrap();
    symlink("a", folder.at("b")).unwrap();
    let path = folder.at("a");
    assert!(told(&path, || fs::remove_file(folder.at("b")).unwrap()));
    let up = folder.at("x/../list");
    fs::create_dir(folder.at("x")).unwrap();
    assert!(told(&up, || fs::write(folder.at("list"), "a").unwrap()));
}
