//! Disks of `proxy_cache` that are full, broken, read-only, forbidden or gone: clients get their
//! answers, the error log says why nothing is kept, seldom, and later the cache works again.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use crate::cache::{caching, caching_at, numbers, responses, used};
use crate::harness::{
    Backend, Directory, HeldDisk, Operation, Reply, Server, Setup, is_root, skipped, until,
};

/// A small disk in memory, unmounted before its directory is removed.
pub(crate) struct SmallDisk {
    pub(crate) path: PathBuf,
    _directory: Directory,
}

impl SmallDisk {
    /// A disk of this size; None, and a line, if that is not possible.
    pub(crate) fn mount(size: &str) -> Option<Self> {
        let directory = Directory::new();
        let path = directory.join("disk");
        std::fs::create_dir(&path).unwrap();
        let disk = Self { path, _directory: directory };
        if !is_root() || !disk.with(&format!("size={size},mode=777")) {
            skipped("it needs to mount a file system");
            return None;
        }
        Some(disk)
    }

    /// Mounts with these options.
    fn with(&self, options: &str) -> bool {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&self.path);
        mount.output().is_ok_and(|output| output.status.success())
    }

    /// Takes all its room.
    pub(crate) fn fill(&self) {
        use std::io::Write;
        let mut ballast = std::fs::File::create(self.path.join("ballast")).unwrap();
        while ballast.write_all(&[1; 4096]).is_ok() {}
    }

    pub(crate) fn free(&self) {
        std::fs::remove_file(self.path.join("ballast")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}

/// A backend whose bodies have the length at the end of their target.
fn sized() -> Backend {
    let all = numbers(2_000_000);
    Backend::new(move |seen| {
        let length: usize = seen.target().rsplit('/').next().unwrap().parse().unwrap();
        Reply::with("200 OK", "X-Accel-Expires: 600\r\n", &all[..length])
    })
}

const PASS: &str = "location / { proxy_pass http://%backend%; }";

/// A server with its cache on a disk.
fn on_disk(backend: &Backend, parameters: &str, disk: &str) -> Setup {
    let conf = crate::cache::http(parameters, &format!("%more% {PASS}"));
    Server::http(&conf.replace("%dir%/cache", disk)).set("backend", backend.address())
}

/// Asserts that a response is right; returns how the cache was used.
#[track_caller]
fn right(server: &Server, target: &str) -> String {
    let length = target.rsplit('/').next().unwrap().parse().unwrap();
    let response = server.get(target);
    assert!(response.status == 200 && response.body == numbers(length), "{target}");
    used(&response).0
}

/// Asserts that nothing is kept, with right answers, and that the log says so, but seldom.
#[track_caller]
fn nothing_is_kept(server: &Server, why: &str, said: &str) {
    let (began, before) = (Instant::now(), server.error_log().matches(said).count());
    for round in 0..5 {
        for length in [10, 30_000, 80_000] {
            let target = format!("/{why}/{}/{length}", round % 2).replace(' ', "-");
            assert_eq!(right(server, &target), "MISS", "{target}");
        }
    }
    // An earlier line may be less than a second old.
    let lines = || server.error_log().matches(said).count() - before;
    let target = format!("/{why}/0/10").replace(' ', "-");
    until("a line about the disk", || {
        assert_eq!(right(server, &target), "MISS");
        lines() > 0
    });
    let lines = lines();
    let most = began.elapsed().as_secs() as usize + 2;
    assert!((1..=most).contains(&lines), "{why}: {lines} lines, at most {most}");
}

/// Asserts that the cache works.
#[track_caller]
fn works(server: &Server, why: &str) {
    for length in [10, 30_000, 100_000] {
        let target = format!("/works/{why}/{length}").replace(' ', "-");
        assert_eq!(right(server, &target), "MISS", "{why}");
        assert_eq!(right(server, &target), "HIT", "{why}");
    }
}

const FULL: &str = "(28: No space left on device)";

#[test]
fn a_full_disk_costs_only_the_cache() {
    for (parameters, more) in [
        ("use_temp_path=off", ""),
        ("levels=1:2", ""),
        ("levels=1:2", "proxy_temp_path %disk%/temp;"),
        ("levels=1:2", "aio threads; aio_write on; proxy_temp_path %disk%/temp;"),
    ] {
        let Some(disk) = SmallDisk::mount("1m") else { return };
        let backend = sized();
        let place = disk.path.join("cache").display().to_string();
        let setup = on_disk(&backend, &format!("keys_zone=one:1m {parameters}"), &place);
        let more = more.replace("%disk%", &disk.path.display().to_string());
        let server = setup.set("more", more).start();
        works(&server, "before");
        // Larger than the disk.
        assert_eq!(right(&server, "/2000000"), "MISS");
        assert_eq!(right(&server, "/2000000"), "MISS");
        assert_eq!(right(&server, "/works/before/30000"), "HIT");
        disk.fill();
        nothing_is_kept(&server, "full", FULL);
        server.wait_log("the response is not kept");
        assert_eq!(right(&server, "/works/before/100000"), "HIT");
        disk.free();
        works(&server, "after");
    }
}

/// The disk fails at each operation.
#[test]
fn a_broken_disk_costs_only_the_cache() {
    let errors = [(5, "(5: Input/output error)"), (122, "(122: Disk quota exceeded)"), (28, FULL)];
    for operation in [Operation::Write, Operation::Create, Operation::Rename] {
        for (error, said) in errors {
            let Some(disk) = HeldDisk::mount(&[]) else { return };
            let backend = sized();
            let place = disk.path().display().to_string();
            let setup = on_disk(&backend, "keys_zone=one:1m use_temp_path=off", &place);
            let server = setup.set("more", "").start();
            works(&server, "before");
            disk.fail(operation, error);
            nothing_is_kept(&server, "fails", said);
            disk.mend();
            works(&server, "after");
        }
    }
}

/// A response that cannot be read is fetched, and used again when it can.
#[test]
fn what_cannot_be_read_is_fetched() {
    let Some(disk) = HeldDisk::mount(&[]) else { return };
    // Each read reaches it.
    disk.bypass_cache();
    let backend = sized();
    let place = disk.path().display().to_string();
    let setup = on_disk(&backend, "keys_zone=one:1m use_temp_path=off", &place);
    let server = setup.set("more", "").start();
    let target = "/100000";
    assert_eq!(right(&server, target), "MISS");
    disk.fail(Operation::Create, 28);
    disk.fail(Operation::Read, 5);
    assert_eq!(right(&server, target), "MISS");
    server.wait_log("(5: Input/output error)");
    disk.mend();
    assert_eq!(right(&server, target), "HIT");
    assert_eq!(backend.count(), 2);
}

#[test]
fn a_read_only_disk_is_used_for_hits() {
    let Some(disk) = SmallDisk::mount("8m") else { return };
    let backend = sized();
    let place = disk.path.join("cache").display().to_string();
    let purges = "if ($request_method = PURGE) { set $p 1; } proxy_cache_purge $p;
        proxy_cache_key $uri;";
    let parameters = "keys_zone=one:1m levels=1 use_temp_path=off";
    let mut server = on_disk(&backend, parameters, &place).set("more", purges).start();
    works(&server, "before");
    let purge = |server: &Server, target: &str| {
        server.ask(format!("PURGE {target} HTTP/1.1\r\nHost: a\r\n\r\n")).status
    };
    assert!(disk.with("remount,ro"));
    for length in [10, 30_000, 100_000] {
        assert_eq!(right(&server, &format!("/works/before/{length}")), "HIT");
    }
    nothing_is_kept(&server, "read only", "(30: Read-only file system)");
    // What is purged is not used again, though its file stays until it can be deleted.
    assert_eq!(purge(&server, "/works/before/30000"), 500);
    server.wait_log("unlink() \"");
    assert_eq!(right(&server, "/works/before/30000"), "MISS");
    assert!(disk.with("remount,rw"));
    until("the purged file to go", || responses(&disk.path.join("cache")).len() == 2);
    works(&server, "after");
    server.pause();
    server.resume();
    assert_eq!(right(&server, "/works/before/30000"), "MISS");
    assert_eq!(right(&server, "/works/before/10"), "HIT");
}

/// What the purger cannot be told is done at once, and said if it cannot be.
#[test]
fn a_wildcard_purge_on_a_read_only_disk_fails() {
    let Some(disk) = SmallDisk::mount("8m") else { return };
    let backend = sized();
    let place = disk.path.join("cache").display().to_string();
    let purges = "proxy_cache_key $uri; proxy_cache_purge $arg_purge;";
    let parameters = "keys_zone=one:1m use_temp_path=off purger=on";
    let server = on_disk(&backend, parameters, &place).set("more", purges).start();
    works(&server, "before");
    assert!(disk.with("remount,ro"));
    assert_eq!(server.get("/works/*?purge=1").status, 500);
    assert_eq!(right(&server, "/works/before/10"), "MISS");
    assert!(disk.with("remount,rw"));
    until("the purged files to go", || responses(&disk.path.join("cache")).is_empty());
    assert_eq!(server.get("/works/*?purge=1").status, 204);
}

/// A response that is deleted while the upstream says that it is still good is no fault.
#[test]
fn what_is_deleted_while_it_is_renewed_is_not_complained_of() {
    let place = std::sync::Arc::new(std::sync::OnceLock::<PathBuf>::new());
    let cache = std::sync::Arc::clone(&place);
    let backend = Backend::new(move |seen| {
        let lines = "X-Accel-Expires: 1\r\nETag: \"a\"\r\n";
        if seen.header("If-None-Match").is_none() {
            return Reply::with("200 OK", lines, "body");
        }
        for file in responses(cache.get().unwrap()) {
            std::fs::remove_file(file).unwrap();
        }
        Reply::with("304 Not Modified", lines, "")
    });
    let conf = "location / { proxy_pass http://%backend%; proxy_cache_revalidate on; }";
    let server = caching(&backend, conf).start();
    place.set(server.directory().join("cache")).unwrap();
    assert_eq!(used(&server.get("/")), ("MISS".to_owned(), "body".to_owned()));
    until("a revalidation", || used(&server.get("/")).0 == "REVALIDATED");
    assert_eq!(used(&server.get("/")), ("MISS".to_owned(), "body".to_owned()));
    assert!(!server.error_log().contains("[crit]"), "{}", server.error_log());
}

#[test]
fn a_forbidden_folder_costs_only_the_cache() {
    if !is_root() {
        return skipped("workers must not have the rights of root");
    }
    let backend = sized();
    for parameters in ["keys_zone=one:1m use_temp_path=off", "levels=1:2 keys_zone=one:1m"] {
        let server = caching_at(&backend, parameters, PASS).start();
        works(&server, "before");
        let folder = server.directory().join("cache");
        let mode = std::fs::metadata(&folder).unwrap().permissions();
        std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o000)).unwrap();
        nothing_is_kept(&server, "forbidden", "(13: Permission denied)");
        // In memory, with an open file.
        assert_eq!(right(&server, "/works/before/10"), "HIT");
        assert_eq!(right(&server, "/works/before/100000"), "MISS");
        std::fs::set_permissions(&folder, mode).unwrap();
        assert_eq!(right(&server, "/works/before/100000"), "HIT");
        works(&server, "after");
    }
}

/// All is removed by another hand, again and again, while it is used.
#[test]
fn files_are_removed_while_they_are_used() {
    let backend = sized();
    let server = caching(&backend, PASS).main("worker_processes 2;").start();
    let folder = server.directory().join("cache");
    std::thread::scope(|scope| {
        let users: Vec<_> = (0..2)
            .map(|user| {
                let server = &server;
                scope.spawn(move || {
                    for round in 0..100 {
                        let length = [10, 30_000, 100_000][(round + user) % 3];
                        right(server, &format!("/{}/{length}", round % 7));
                    }
                })
            })
            .collect();
        while users.iter().any(|user| !user.is_finished()) {
            for entry in std::fs::read_dir(&folder).unwrap().flatten() {
                // Folders are made anew meanwhile.
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
    });
    works(&server, "after");
}
