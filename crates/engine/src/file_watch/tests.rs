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
        let watcher = Watcher::here().unwrap();
        let watch = watcher.maker().watch(path).unwrap();
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

/// Many files take one instance of inotify, and each is told of its own changes only.
#[test]
fn files_share_an_instance() {
    let folder = Folder::new("shared");
    let instances = || {
        let all = fs::read_dir("/proc/self/fd").unwrap().flatten();
        let links = all.filter_map(|entry| fs::read_link(entry.path()).ok());
        links.filter(|link| link.to_string_lossy().contains("inotify")).count()
    };
    let before = instances();
    block_on(async {
        let watcher = Watcher::here().unwrap();
        let watch = |at: usize| {
            Watcher::here().unwrap().maker().watch(&folder.at(&format!("list{at}"))).unwrap()
        };
        let mut watches: Vec<_> = (0..300).map(watch).collect();
        let twice = watch(7);
        // Other tests of this process may have some, too.
        assert!(instances() < before + 50, "{before} and {}", instances());
        drop(watches.remove(8));
        fs::write(folder.at("list7"), "a").unwrap();
        watches[7].changed().await;
        twice.changed().await;
        drop((watches.remove(7), twice));
        let soon = timer::sleep(Duration::from_millis(20));
        tokio::select! {
            biased;
            () = watches[7].changed() => panic!("another file has changed"),
            () = soon => {}
        }
        // The folder is still watched.
        fs::write(folder.at("list9"), "a").unwrap();
        watches[7].changed().await;
        drop(watcher);
        assert!(Watcher::here().is_ok());
    });
}

/// A watch that is made while another one of the same folder goes is not removed with it.
#[test]
fn watches_come_and_go_on_threads() {
    let folder = Folder::new("threads");
    block_on(async {
        let watcher = Watcher::here().unwrap();
        let maker = watcher.maker();
        let path = folder.at("list");
        let busy: Vec<_> = (0..4)
            .map(|_| {
                let (maker, path) = (maker.clone(), path.clone());
                std::thread::spawn(move || {
                    (0..500).for_each(|_| drop(maker.watch(&path).unwrap()));
                })
            })
            .collect();
        for round in 0..100 {
            let watch = maker.watch(&path).unwrap();
            fs::write(&path, round.to_string()).unwrap();
            watch.changed().await;
        }
        busy.into_iter().for_each(|thread| thread.join().unwrap());
    });
}
