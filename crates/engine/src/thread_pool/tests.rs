use std::sync::mpsc;

use super::*;
use crate::event_loop::block_on;

/// Work that has begun and ends when the sender is dropped.
fn held(pool: &ThreadPool) -> (mpsc::Sender<()>, Work<()>) {
    let (release, released) = mpsc::channel::<()>();
    let (begin, begun) = mpsc::channel();
    let work = pool.run(move || {
        begin.send(()).unwrap();
        let _ = released.recv();
    });
    begun.recv().unwrap();
    (release, work.unwrap())
}

#[test]
fn a_full_queue_takes_no_more() {
    let pool = ThreadPool::new("x", Size { threads: 1, max_queue: 2 });
    let (release, first) = held(&pool);
    let waiting: Vec<_> = (0..2).map(|number| pool.run(move || number).unwrap()).collect();
    let overflow = pool.run(|| ()).unwrap_err();
    assert_eq!(overflow.to_string(), "thread pool \"x\" queue overflow: 2 tasks waiting");
    drop(release);
    block_on(async {
        assert_eq!(first.await, Ok(()));
        for (number, work) in waiting.into_iter().enumerate() {
            assert_eq!(work.await, Ok(number));
        }
        assert_eq!(pool.run(|| 7).unwrap().await, Ok(7));
    });
}

#[test]
fn without_a_queue_only_free_threads_take_work() {
    let pool = ThreadPool::new("x", Size { threads: 2, max_queue: 0 });
    let (release, first) = held(&pool);
    let (other, second) = held(&pool);
    assert_eq!(pool.run(|| ()).unwrap_err().waiting, 0);
    drop((release, other));
    block_on(async {
        assert_eq!(first.await, Ok(()));
        assert_eq!(second.await, Ok(()));
    });
}

#[test]
fn dropped_work_is_cancelled_or_completed() {
    let pool = ThreadPool::new("x", Size { threads: 1, max_queue: 9 });
    let (release, first) = held(&pool);
    let (tell, told) = mpsc::channel();
    let never = tell.clone();
    drop(pool.run(move || never.send("cancelled")).unwrap());
    let work = pool.run(move || tell.send("done")).unwrap();
    drop((first, release));
    block_on(async { work.await.unwrap().unwrap() });
    assert_eq!(told.iter().collect::<Vec<_>>(), ["done"]);
}

#[test]
fn threads_finish_the_queue_and_end_with_their_pool() {
    let pool = ThreadPool::new("x", Size { threads: 1, max_queue: 9 });
    let (release, first) = held(&pool);
    let work = pool.run(|| 7).unwrap();
    let shared = Arc::downgrade(&pool.0.0);
    drop(pool);
    drop(release);
    block_on(async {
        assert_eq!(first.await, Ok(()));
        assert_eq!(work.await, Ok(7));
    });
    // The thread holds the last reference and drops it without waiting for more work.
    while shared.strong_count() > 0 {
        std::thread::yield_now();
    }
}

#[test]
fn a_panic_ends_the_work_and_not_the_thread() {
    let pool = ThreadPool::new("x", Size { threads: 1, max_queue: 9 });
    block_on(async {
        let work = pool.run(|| panic!("expected by the test")).unwrap();
        assert_eq!(work.await, Err::<(), _>(Ended));
        assert_eq!(pool.run(|| 7).unwrap().await, Ok(7));
    });
}
