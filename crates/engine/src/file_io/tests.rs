use std::future::poll_fn;
use std::sync::mpsc;

use super::*;
use crate::event_loop::block_on;
use crate::thread_pool::Size;

/// A temporary file with the given content.
fn file(content: &[u8]) -> File {
    let file = File::new(temp_file::create(&std::env::temp_dir()).unwrap());
    file.write_at(content, 0).unwrap();
    file
}

fn numbers(length: u32) -> Vec<u8> {
    (0..length).map(|number| (number % 251) as u8).collect()
}

/// A pool whose only thread is busy until the sender is dropped.
fn busy(max_queue: usize) -> (ThreadPool, mpsc::Sender<()>) {
    let pool = ThreadPool::new("busy", Size { threads: 1, max_queue });
    let (release, released) = mpsc::channel::<()>();
    let (begin, begun) = mpsc::channel();
    let work = pool.run(move || {
        begin.send(()).unwrap();
        let _ = released.recv();
    });
    begun.recv().unwrap();
    drop(work);
    (pool, release)
}

fn read(file: &File, aio: &Aio, at: u64, count: usize) -> io::Result<Vec<u8>> {
    block_on(async {
        let mut reading = file.read(aio, at, count);
        let (buf, range) = poll_fn(|cx| reading.poll(cx)).await?;
        Ok(buf[range].to_vec())
    })
}

#[test]
fn every_way_of_reading_gives_the_same_bytes() {
    let content = numbers(70_000);
    let file = file(&content);
    let pool = ThreadPool::new("x", Size::DEFAULT);
    for aio in [Aio::Off, Aio::On(pool.clone()), Aio::Threads(pool)] {
        for (at, count) in [(0, 1), (1, 69_999), (69_999, 1), (4095, 4098)] {
            let part = &content[at..at + count];
            assert_eq!(read(&file, &aio, at as u64, count).unwrap(), part, "{aio:?} {at} {count}");
        }
        let short = read(&file, &aio, 69_990, 11).unwrap_err();
        assert_eq!(short.kind(), io::ErrorKind::UnexpectedEof);
    }
}

#[test]
fn direct_reads_give_the_same_bytes() {
    let content = numbers(70_001);
    let file = file(&content);
    rustix::fs::fsync(&file).unwrap();
    if file.bypass_cache(4096).is_err() {
        // The file system of the temporary folder does not support it.
        return;
    }
    let aio = Aio::Threads(ThreadPool::new("x", Size::DEFAULT));
    assert_eq!(file.cached(0, 1), 0);
    assert_eq!(file.read_now(0, 1, &mut Vec::new()).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    for (at, count) in [(0, 1), (1, 70_000), (4095, 4098), (70_000, 1), (4096, 8192)] {
        for aio in [&Aio::Off, &aio] {
            let part = &content[at..at + count];
            assert_eq!(read(&file, aio, at as u64, count).unwrap(), part, "{at} {count}");
        }
    }
    let short = read(&file, &aio, 69_990, 12).unwrap_err();
    assert_eq!(short.kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn cached_bytes_are_read_at_once() {
    let content = numbers(10_000);
    let file = file(&content);
    let mut into = b"head".to_vec();
    match file.read_now(10, 100, &mut into) {
        Ok(count) => {
            assert_eq!(into[4..], content[10..10 + count]);
            assert!((1..=100).contains(&count));
            assert_eq!(file.cached(1, 8000), 8000);
            assert_eq!(file.cached(9000, 8000), 12_288 - 9000);
            let behind = file.read_now(10_000, 1, &mut into).unwrap_err();
            assert_eq!(behind.kind(), io::ErrorKind::UnexpectedEof);
        }
        // Not every file system can tell.
        Err(error) => {
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
            assert_eq!(file.cached(0, 1), 0);
        }
    }
}

#[test]
fn a_dropped_read_ends_in_its_own_buffer() {
    let file = file(&numbers(5000));
    let (pool, release) = busy(9);
    let reading = file.read(&Aio::Threads(pool.clone()), 0, 5000);
    drop((reading, file));
    drop(release);
    block_on(async { assert_eq!(pool.run(|| 7).unwrap().await, Ok(7)) });
}

#[test]
fn a_full_queue_fails_the_read() {
    let file = file(&numbers(10));
    let (pool, release) = busy(0);
    let full = read(&file, &Aio::Threads(pool), 0, 10).unwrap_err();
    assert_eq!(full.kind(), io::ErrorKind::QuotaExceeded);
    drop(release);
}

#[test]
fn reads_wait_for_writes() {
    let file = file(b"before");
    let (pool, release) = busy(9);
    let aio = Aio::Threads(pool);
    block_on(async {
        file.write_behind(&aio, b"be", 6).unwrap();
        file.write_behind(&aio, b"hi", 8).unwrap();
        file.write_behind(&aio, b"nd", 10).unwrap();
        assert!(file.is_writing());
        assert_eq!(file.unwritten(), 6);
        let now = file.read_now(0, 6, &mut Vec::new()).unwrap_err();
        assert_eq!(now.kind(), io::ErrorKind::WouldBlock);
        drop(release);
        poll_fn(|cx| file.poll_written(cx)).await.unwrap();
        assert!(!file.is_writing());
        assert_eq!(file.unwritten(), 0);
    });
    assert_eq!(read(&file, &aio, 0, 12).unwrap(), b"beforebehind");
}

#[test]
fn a_failed_write_is_reported_for_good() {
    let closed = File::new(std::fs::File::open("/dev/null").unwrap());
    let aio = Aio::Threads(ThreadPool::new("x", Size::DEFAULT));
    block_on(async {
        closed.write_behind(&aio, b"x", 0).unwrap();
        for _ in 0..2 {
            let error = poll_fn(|cx| closed.poll_written(cx)).await.unwrap_err();
            assert_eq!(error.raw_os_error(), Some(Errno::BADF.raw_os_error()));
        }
    });
}

#[test]
fn a_dropped_ring_read_releases_its_number() {
    let content = numbers(70_000);
    let file = file(&content);
    let aio = Aio::On(ThreadPool::new("x", Size::DEFAULT));
    block_on(async {
        for _ in 0..3 {
            let mut many: Vec<_> = (0..50).map(|at| file.read(&aio, at, 60_000)).collect();
            // Some are dropped before their submission, some after.
            many.truncate(40);
            crate::event_loop::yield_now().await;
            many.truncate(20);
            for (at, reading) in many.iter_mut().enumerate() {
                let (buf, range) = poll_fn(|cx| reading.poll(cx)).await.unwrap();
                assert_eq!(buf[range], content[at..at + 60_000]);
            }
        }
    });
    // A read in progress at the loop's end has no task to wake.
    drop(block_on(async { file.read(&aio, 0, 60_000) }));
}
