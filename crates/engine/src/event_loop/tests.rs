use super::*;
use crate::addr::Addr;
use crate::connection::Conn;
use crate::timer::{sleep, timeout};
use std::cell::{Cell, RefCell};
use std::future::pending;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(5);

/// Sets a flag when dropped.
struct Dropped(Rc<Cell<bool>>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

type Kept<T> = Rc<RefCell<Option<T>>>;

/// A task that waits forever; returned with a flag that its future was dropped, and its waker.
fn sleeper() -> (Task, Rc<Cell<bool>>, Kept<Waker>) {
    let (gone, waker) = (Rc::new(Cell::new(false)), Rc::new(RefCell::new(None)));
    let (guard, place) = (Dropped(Rc::clone(&gone)), Rc::clone(&waker));
    let task = spawn(async move {
        let _guard = guard;
        poll_fn(|cx| {
            place.replace(Some(cx.waker().clone()));
            Poll::<()>::Pending
        })
        .await;
    });
    (task, gone, waker)
}

#[test]
fn tasks_need_not_be_send() {
    let shared = Rc::new(5);
    let seen = block_on(async {
        let shared = Rc::clone(&shared);
        spawn_joined(async move { *shared }).await.unwrap()
    });
    assert_eq!(seen, 5);
}

#[test]
fn a_task_that_wakes_itself_runs_once_per_turn() {
    let runs = Rc::new(Cell::new(0));
    let count = Rc::clone(&runs);
    block_on(async move {
        spawn(async move {
            loop {
                count.set(count.get() + 1);
                yield_now().await;
            }
        });
        for _ in 0..10 {
            yield_now().await;
        }
    });
    assert_eq!(runs.get(), 10);
}

#[test]
fn tasks_run_in_the_order_of_their_wakeups() {
    let log = Rc::new(RefCell::new(Vec::new()));
    block_on(async {
        for number in 0..200 {
            let log = Rc::clone(&log);
            spawn(async move {
                log.borrow_mut().push(number);
                yield_now().await;
                log.borrow_mut().push(1000 + number);
            });
        }
        while log.borrow().len() < 400 {
            yield_now().await;
        }
    });
    assert_eq!(*log.borrow(), (0..200).chain(1000..1200).collect::<Vec<_>>());
}

#[test]
fn a_panic_ends_only_its_own_task() {
    block_on(async {
        let lost = spawn_joined(async { panic!("expected by the test") });
        assert_eq!(lost.await, Err(Ended));
        assert_eq!(spawn_joined(async { 3 }).await, Ok(3));
    });
}

#[test]
fn an_aborted_task_is_dropped_at_once() {
    block_on(async {
        let (task, gone, waker) = sleeper();
        yield_now().await;
        assert!(!gone.get());
        task.abort();
        assert!(gone.get());
        // Its waker is stale, and stays so when another task reuses its slot.
        waker.borrow().as_ref().unwrap().wake_by_ref();
        let polls = Rc::new(Cell::new(0));
        let counted = Rc::clone(&polls);
        spawn(poll_fn(move |_| {
            counted.set(counted.get() + 1);
            Poll::Pending
        }));
        yield_now().await;
        waker.borrow().as_ref().unwrap().wake_by_ref();
        yield_now().await;
        assert_eq!(polls.get(), 1);
        task.abort();
        let handle = spawn_joined(pending::<()>());
        handle.abort();
        assert_eq!(handle.await, Err(Ended));
    });
}

#[test]
fn a_task_can_abort_itself() {
    block_on(async {
        let place = Rc::new(Cell::new(None));
        let mine = Rc::clone(&place);
        let gone = Rc::new(Cell::new(false));
        let guard = Dropped(Rc::clone(&gone));
        let task = spawn(async move {
            let _guard = guard;
            let task: Task = mine.take().unwrap();
            task.abort();
            yield_now().await;
            panic!("not reached after the abort");
        });
        place.set(Some(task));
        yield_now().await;
        yield_now().await;
        assert!(gone.get());
    });
}

#[test]
fn tasks_end_with_their_loop() {
    let gone = Rc::new(Cell::new(false));
    for _ in 0..2 {
        gone.set(false);
        let guard = Dropped(Rc::clone(&gone));
        block_on(async {
            spawn(async move {
                let _guard = guard;
                pending::<()>().await;
            });
            yield_now().await;
        });
        assert!(gone.get());
    }
}

#[test]
fn other_threads_wake_tasks() {
    block_on(async {
        let (send, receive) = tokio::sync::oneshot::channel();
        let (back, again) = tokio::sync::oneshot::channel();
        let thread = std::thread::spawn(move || {
            block_on(async {
                send.send(7).unwrap();
                again.await.unwrap() + 1
            })
        });
        let waiting = spawn_joined(receive);
        assert_eq!(waiting.await.unwrap(), Ok(7));
        back.send(8).unwrap();
        assert_eq!(thread.join().unwrap(), 9);
        let numbers = (0..100).map(|number| on_a_thread(move || number));
        let tasks: Vec<_> = numbers.map(spawn_joined).collect();
        for (number, task) in tasks.into_iter().enumerate() {
            assert_eq!(task.await.unwrap(), Ok(number));
        }
        assert_eq!(on_a_thread(|| panic!("expected by the test")).await, Err::<(), _>(Ended));
    });
}

#[test]
fn a_waker_may_outlive_its_loop() {
    let kept = block_on(async {
        let (_, _, waker) = sleeper();
        yield_now().await;
        waker.take().unwrap()
    });
    kept.wake_by_ref();
    block_on(async move {
        std::thread::spawn(move || kept.wake()).join().unwrap();
        yield_now().await;
    });
}

#[test]
fn timers_fire_in_order_and_not_early() {
    block_on(async {
        let log = Rc::new(RefCell::new(Vec::new()));
        let start = clock::precise();
        let tasks: Vec<_> = [9, 3, 27, 1, 15]
            .map(|millis| {
                let log = Rc::clone(&log);
                spawn_joined(async move {
                    sleep(Duration::from_millis(millis)).await;
                    log.borrow_mut().push(millis);
                    assert!(start.elapsed() >= Duration::from_millis(millis));
                })
            })
            .into_iter()
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*log.borrow(), [1, 3, 9, 15, 27]);
        assert!(timeout(Duration::from_millis(2), pending::<()>()).await.is_err());
        assert_eq!(timeout(SOON, async { 5 }).await.unwrap(), 5);
    });
}

#[test]
fn data_after_a_short_read_is_an_event() {
    block_on(async {
        let (mut other, end) = UnixStream::pair().unwrap();
        end.set_nonblocking(true).unwrap();
        let mut conn = Conn::from_fd(end.into(), Addr::Unix(None));
        let mut got = Vec::new();
        let short =
            timeout(Duration::from_millis(1), poll_fn(|cx| conn.poll_recv(cx, &mut got, 9)));
        assert!(short.await.is_err());
        for round in 0..3 {
            got.clear();
            // The event is received when both words are present, and once when one is missing.
            other.write_all(b"one").unwrap();
            yield_now().await;
            other.write_all(b"two").unwrap();
            while got.len() < 6 {
                assert_ne!(conn.recv(&mut got, 100, SOON).await.unwrap(), 0, "{round}");
            }
            other.write_all(b"six").unwrap();
            assert_eq!(conn.recv(&mut got, 2, SOON).await.unwrap(), 2);
            assert_eq!(conn.recv(&mut got, 2, SOON).await.unwrap(), 1);
            let none = poll_fn(|cx| conn.poll_recv(cx, &mut got, 2).map(Some));
            assert!(timeout(Duration::from_millis(1), none).await.is_err());
            assert_eq!(got, b"onetwosix");
        }
        let mut reader = other.try_clone().unwrap();
        let sent = on_a_thread(move || {
            other.write_all(b"last").unwrap();
            other.shutdown(std::net::Shutdown::Write).unwrap();
        });
        got.clear();
        spawn_joined(sent).await.unwrap().unwrap();
        assert_eq!(conn.recv(&mut got, 100, SOON).await.unwrap(), 4);
        assert_eq!(conn.recv(&mut got, 100, SOON).await.unwrap(), 0);
        // The peer has closed only its own direction.
        conn.send_all(&[b"bye"], SOON).await.unwrap();
        let mut bye = [0; 3];
        reader.read_exact(&mut bye).unwrap();
        assert_eq!(&bye, b"bye");
    });
}

#[test]
fn a_connection_may_outlive_its_loop() {
    let (_other, end) = UnixStream::pair().unwrap();
    end.set_nonblocking(true).unwrap();
    let mut conn = block_on(async {
        let mut conn = Conn::from_fd(end.into(), Addr::Unix(None));
        let late = conn.recv(&mut Vec::new(), 1, Duration::from_millis(1)).await;
        assert_eq!(late.unwrap_err().kind(), io::ErrorKind::TimedOut);
        conn
    });
    block_on(async {
        let late = conn.recv(&mut Vec::new(), 1, Duration::from_millis(1)).await;
        assert_eq!(late.unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop(conn);
    });
}

#[test]
fn a_task_runs_once_after_all_others_of_its_turn() {
    let log = Rc::new(RefCell::new(Vec::new()));
    block_on(async {
        assert!(current_task().is_none());
        let (place, mine) = (Rc::new(Cell::new(None)), Rc::clone(&log));
        let task = Rc::clone(&place);
        spawn(poll_fn(move |_| {
            task.set(current_task());
            mine.borrow_mut().push(if is_end_of_turn() { "end" } else { "start" });
            Poll::Pending
        }));
        yield_now().await;
        for _ in 0..3 {
            let (log, task) = (Rc::clone(&log), place.get().expect("it has run"));
            spawn(async move {
                task.run_at_end();
                log.borrow_mut().push("other");
                task.run_at_end();
            });
        }
        yield_now().await;
        yield_now().await;
        let last: Task = place.get().expect("it has run");
        last.run_at_end();
        last.abort();
        last.run_at_end();
        yield_now().await;
    });
    assert_eq!(*log.borrow(), ["start", "other", "other", "other", "end"]);
}
