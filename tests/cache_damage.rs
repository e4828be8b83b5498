//! Damaged files of `proxy_cache`: what is served is right or fetched anew, whichever byte is wrong.

use std::collections::HashSet;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::cache::{caching, files, numbers, used};
use crate::cache_fire::{Dice, times_as_long};
use crate::harness::{Backend, Client, Reply, Server};

/// The length of a block of the body with a checksum of its own.
const BLOCK: usize = 64 * 1024;

/// A backend whose bodies have the length at the end of their target.
fn sized() -> Backend {
    let all = numbers(LENGTHS[3]);
    Backend::new(move |seen| {
        let length: usize = seen.target().rsplit('/').next().unwrap().parse().unwrap();
        Reply::with("200 OK", "X-Accel-Expires: 600\r\n", &all[..length])
    })
}

/// The lengths of bodies: in memory, in one block, in several blocks, and of many.
const LENGTHS: [usize; 4] = [2000, 40_000, 140_000, 1_000_000];

const PASS: &str = "location / { proxy_pass http://%backend%; }";

/// Opens a file of the cache.
fn open(path: &PathBuf) -> Option<File> {
    File::options().read(true).write(true).open(path).ok()
}

fn flip(file: &File, at: u64, bit: usize) {
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1 << bit], at).unwrap();
}

/// Requests a target. Returns how the cache was used; None if the response was cut short.
#[track_caller]
fn ask(client: &mut Option<Client>, server: &Server, target: &str, body: &[u8]) -> Option<String> {
    ask_of(client, server, target, body, false)
}

/// The same. With `zeros`, bytes may be zero: `sendfile` sends the pages of a file, not copies, and
/// whoever cuts the file erases the rest of such a page (up to the end of its folio) on the way.
#[track_caller]
fn ask_of(
    client: &mut Option<Client>,
    server: &Server,
    target: &str,
    body: &[u8],
    zeros: bool,
) -> Option<String> {
    let mut asked = client.take().unwrap_or_else(|| server.client());
    asked.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
    match asked.try_response(false) {
        Ok(response) => {
            assert_eq!(response.status, 200, "{target}");
            let wrong: Vec<usize> = (0..body.len().max(response.body.len()))
                .filter(|at| response.body.get(*at) != body.get(*at))
                .filter(|at| !zeros || response.body.get(*at) != Some(&0))
                .collect();
            let first = wrong.first().map(|at| (*at, response.body.get(*at)));
            assert!(
                wrong.is_empty(),
                "{target}, {} from {first:?}: {}",
                wrong.len(),
                response.head
            );
            *client = Some(asked);
            Some(used(&response).0)
        }
        Err(error) => {
            assert_ne!(error.kind(), ErrorKind::TimedOut, "{target}");
            None
        }
    }
}

/// The bytes of a file between those to be damaged: every 512th in a long trial, and in a short one
/// only of small files.
fn step(length: usize) -> usize {
    if length < BLOCK / 2 || times_as_long() > 1 { 512 } else { 7 * 512 }
}

/// A bit is flipped in each byte of the head, of each sum, and in every 512th of the body, before
/// and after the file has been checked. Only damage beyond the first block, which is found on the
/// way, cuts a response short.
#[test]
fn each_flipped_bit_is_noticed() {
    let backend = sized();
    let server = caching(&backend, PASS).start();
    let mut dice = Dice::new(1);
    for &length in &LENGTHS[..3] {
        let (target, body) = (format!("/{length}"), numbers(length));
        let mut client = None;
        ask(&mut client, &server, &target, &body);
        let path = files(&server).into_iter().max_by_key(|path| path.metadata().unwrap().len());
        let path = path.unwrap();
        let size = path.metadata().unwrap().len() as usize;
        let sums = length.div_ceil(BLOCK) * 4;
        let start = size - sums - length;
        let body_steps = (0..length).step_by(step(length)).map(|at| start + at);
        let head = if length == 2000 { 0..start } else { 0..0 };
        let all = head.chain(body_steps).chain([size - sums - 1]).chain(size - sums..size);
        let (mut cut, mut anew) = (0, 0);
        for at in all {
            if dice.roll(2) == 0 {
                assert_eq!(ask(&mut client, &server, &target, &body).as_deref(), Some("HIT"));
            }
            flip(&open(&path).unwrap(), at as u64, dice.roll(8));
            let block = if at < size - sums { at.saturating_sub(start) / BLOCK } else { 0 };
            match ask(&mut client, &server, &target, &body).as_deref() {
                Some("MISS") => anew += 1,
                // A small body that is in memory was checked before.
                Some("HIT") if length == 2000 => anew += 1,
                None => {
                    assert!(block > 0 || at > size - sums + 3, "{target}: byte {at} of {size}");
                    cut += 1;
                    let again = ask(&mut client, &server, &target, &body);
                    assert_eq!(again.as_deref(), Some("MISS"), "{target}: byte {at}");
                }
                other => panic!("{target}: {other:?} with byte {at} of {size} changed"),
            }
            if !path.exists() {
                ask(&mut client, &server, &target, &body);
            }
        }
        assert!(anew > 0 && (cut > 0) == (length > BLOCK), "{target}: {anew} anew, {cut} cut");
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn each_truncation_is_noticed() {
    let backend = sized();
    let server = caching(&backend, PASS).start();
    for &length in &LENGTHS[..3] {
        let (target, body) = (format!("/{length}"), numbers(length));
        let mut client = None;
        ask(&mut client, &server, &target, &body);
        let path = files(&server).into_iter().max_by_key(|path| path.metadata().unwrap().len());
        let path = path.unwrap();
        let size = path.metadata().unwrap().len();
        for (round, end) in (0..size).step_by(step(length)).chain([size - 1]).enumerate() {
            if round % 2 == 0 {
                assert_eq!(ask(&mut client, &server, &target, &body).as_deref(), Some("HIT"));
            }
            open(&path).unwrap().set_len(end).unwrap();
            let status = ask(&mut client, &server, &target, &body);
            assert_eq!(status.as_deref(), Some("MISS"), "{target}: {end} of {size} bytes");
        }
        std::fs::remove_file(&path).unwrap();
    }
}

/// Files are cut, deleted, replaced, lengthened and, if they are small, changed in place while they
/// are sent.
#[test]
fn files_change_under_the_feet_of_hits() {
    change_files_under_hits(false);
}

#[test]
fn files_change_under_the_feet_of_hits_sent_by_the_kernel() {
    change_files_under_hits(true);
}

fn change_files_under_hits(sendfile: bool) {
    let backend = sized();
    let conf = format!("sendfile {}; {PASS}", if sendfile { "on" } else { "off" });
    let server = caching(&backend, &conf).main("worker_processes 2;").start();
    let (stop, bodies) = (AtomicBool::new(false), numbers(LENGTHS[3]));
    std::thread::scope(|scope| {
        let users: Vec<_> = (0..2)
            .map(|user| {
                let (server, bodies) = (&server, &bodies);
                scope.spawn(move || {
                    let mut client = None;
                    let whole = (0..40 * times_as_long()).filter(|round| {
                        let length = LENGTHS[(round + user) % LENGTHS.len()];
                        let target = format!("/{length}");
                        ask_of(&mut client, server, &target, &bodies[..length], sendfile).is_some()
                    });
                    whole.count()
                })
            })
            .collect();
        let breaker = scope.spawn(|| {
            let mut dice = Dice::new(3);
            // The kernel may still be sending the pages of a file that was cut to a small size.
            let mut cut = HashSet::new();
            while !stop.load(Ordering::Relaxed) {
                for path in files(&server) {
                    let Some(file) = open(&path) else { continue };
                    let (size, inode) =
                        file.metadata().map(|metadata| (metadata.len(), metadata.ino())).unwrap();
                    match dice.roll(6) {
                        0 => {
                            cut.insert(inode);
                            file.set_len(dice.roll(size as usize + 1) as u64).unwrap();
                        }
                        1 => file.set_len(size + 10).unwrap(),
                        2 => drop(std::fs::remove_file(&path)),
                        3 if (1..20_000).contains(&size) && !cut.contains(&inode) => {
                            flip(&file, dice.roll(size as usize) as u64, dice.roll(8));
                        }
                        4 => {
                            let other = server.directory().write("other", "no response");
                            std::fs::rename(other, &path).unwrap();
                        }
                        _ => std::thread::yield_now(),
                    }
                }
            }
        });
        let whole: Vec<_> = users.into_iter().map(|user| user.join()).collect();
        stop.store(true, Ordering::Relaxed);
        breaker.join().unwrap();
        for whole in whole {
            assert!(whole.unwrap() >= 10);
        }
    });
}

/// Things that are no files are in the place of some, and of their folders.
#[test]
fn other_things_are_in_the_place_of_files() {
    let backend = sized();
    let mut server = caching(&backend, PASS).start();
    let (target, body) = ("/50000", numbers(50_000));
    let status = |server: &Server| ask(&mut None, server, target, &body).unwrap();
    for restarts in [false, true] {
        for thing in ["folder", "pipe", "file above", "link"] {
            assert_eq!(status(&server), "MISS", "{thing}");
            assert_eq!(status(&server), "HIT", "{thing}");
            let path = files(&server).pop().unwrap();
            std::fs::remove_file(&path).unwrap();
            let above = path.parent().unwrap();
            match thing {
                "folder" => std::fs::create_dir(&path).unwrap(),
                "pipe" => rustix::fs::mknodat(
                    rustix::fs::CWD,
                    &path,
                    rustix::fs::FileType::Fifo,
                    rustix::fs::Mode::RWXU,
                    0,
                )
                .unwrap(),
                "link" => std::os::unix::fs::symlink("/nowhere", &path).unwrap(),
                _ => {
                    std::fs::remove_dir(above).unwrap();
                    std::fs::write(above, "a file").unwrap();
                }
            }
            if restarts {
                server.pause();
                server.resume();
            }
            assert_eq!(status(&server), "MISS", "{thing}");
            match thing {
                "folder" => std::fs::remove_dir(&path).unwrap(),
                "file above" => std::fs::remove_file(above).unwrap(),
                _ => std::fs::remove_file(&path).unwrap_or_default(),
            }
        }
    }
}
