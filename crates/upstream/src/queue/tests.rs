use std::{
    sync::mpsc,
    task::Wake,
    thread::Thread,
    time::{Duration, Instant},
};

use weir_engine::Addr;

use super::*;
use crate::{
    balance::method::Request,
    clock::Now,
    config::GroupConfig,
    edit::{Change, Edit},
    group::Group,
    health::{Health, Source},
    outcome::{Outcome, Timings},
    pick::{NoWait, Pick},
    registry::Registry,
    server::{Limits, Server, ServerId},
};

const NOW: Now = Now { seconds: 1000, millis: 1_000_000 };

/// A waker that counts its calls.
#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// Whether the place is called; if not, its next call rings a bell.
fn is_called(place: &Place, bell: &Arc<Bell>) -> bool {
    let waker = Waker::from(Arc::clone(bell));
    place.poll_called(&mut Context::from_waker(&waker)).is_ready()
}

fn rings(bells: &[Arc<Bell>]) -> Vec<usize> {
    bells.iter().map(|bell| bell.0.load(SeqCst)).collect()
}

/// Four waiting requests with their bells; the first had looked again in vain.
fn line() -> (Arc<Queue>, Vec<Place>, Vec<Arc<Bell>>) {
    let queue = Arc::new(Queue::default());
    let places: Vec<_> = (0..4).map(|_| queue.join(queue.ticket(), 1, 4).unwrap()).collect();
    let bells: Vec<_> = places.iter().map(|_| Arc::new(Bell::default())).collect();
    assert!(is_called(&places[0], &bells[0]));
    places[0].pass_on();
    // The call went on to the second, and so on.
    for (place, bell) in places.iter().zip(&bells).skip(1) {
        assert!(is_called(place, bell));
        place.pass_on();
    }
    assert!(places.iter().zip(&bells).all(|(place, bell)| !is_called(place, bell)));
    (queue, places, bells)
}

#[test]
fn each_call_wakes_one_in_the_order_of_their_coming() {
    let (queue, mut places, bells) = line();
    queue.call();
    assert_eq!(rings(&bells), [1, 0, 0, 0]);
    queue.call();
    assert_eq!(rings(&bells), [1, 1, 0, 0]);
    places.remove(0).served(|| false);
    places.remove(0).served(|| false);
    assert_eq!(rings(&bells), [1, 1, 0, 0]);
    queue.call();
    queue.call();
    queue.call();
    assert_eq!(rings(&bells), [1, 1, 1, 1]);
    places.remove(0).served(|| panic!("another is called already"));
    assert!(queue.is_waited_in());
    places.remove(0).served(|| panic!("none is left"));
    assert!(!queue.is_waited_in());
}

#[test]
fn a_call_is_never_lost() {
    let (queue, mut places, bells) = line();
    queue.call();
    // The called one leaves.
    drop(places.remove(0));
    assert_eq!(rings(&bells), [1, 1, 0, 0]);
    // The next finds nothing, and the call goes on, but not back.
    places[0].pass_on();
    assert_eq!(rings(&bells), [1, 1, 1, 0]);
    places.remove(1).served(|| true);
    assert_eq!(rings(&bells), [1, 1, 1, 0], "the second has not looked again yet");
    assert!(is_called(&places[0], &bells[1]));
    // One that was not called leaves.
    drop(places.remove(1));
    drop(places);
    assert!(!queue.is_waited_in());
}

#[test]
fn the_queue_has_a_limit() {
    let (queue, places, _) = line();
    assert!(queue.join(queue.ticket(), 1, 4).is_none());
    assert!(queue.join(queue.ticket(), 1, 4).is_none());
    assert!(queue.join(queue.ticket(), 2, 4).is_some());
    let config = QueueConfig { size: 4, timeout: 0 };
    assert_eq!(queue.view(config), QueueView { size: 4, max_size: 4, overflows: 2 });
    drop(places);
    queue.reset();
    assert_eq!(queue.view(config), QueueView { size: 0, max_size: 4, overflows: 0 });
}

fn server(port: u16, max_conns: u64) -> Server {
    let address = Addr::Inet(([127, 0, 0, 1], port).into());
    let limits = Limits { max_conns, ..Limits::default() };
    Server { text: address.to_string(), addresses: vec![address], limits, ..Server::default() }
}

fn config(max_conns: &[u64], size: usize) -> GroupConfig {
    let servers = max_conns.iter().zip(1..).map(|(&max, port)| server(port, max)).collect();
    GroupConfig {
        zone: Some("u".into()),
        servers,
        queue: Some(QueueConfig { size, timeout: 500 }),
        ..GroupConfig::implicit("http u".into(), "u", Vec::new())
    }
}

fn next(pick: &mut Pick<'_>) -> Option<String> {
    pick.next(&mut fastrand::Rng::with_seed(1), NOW).ok().map(|peer| peer.name.clone())
}

fn turn(pick: &mut Pick<'_>) -> bool {
    pick.poll_turn(&mut Context::from_waker(Waker::noop())).is_ready()
}

/// A request that waits and has looked once more in vain.
fn waiting(group: &Arc<Group>) -> Pick<'_> {
    let mut pick = group.start(Request::default());
    assert_eq!(next(&mut pick), None);
    assert_eq!(pick.wait(NOW), Ok(500));
    while turn(&mut pick) {
        assert_eq!(next(&mut pick), None);
    }
    pick
}

fn held(group: &Arc<Group>) -> Pick<'_> {
    let mut pick = group.start(Request::default());
    assert!(next(&mut pick).is_some());
    pick
}

#[test]
fn nobody_overtakes() {
    let group = Registry::default().group(&config(&[1], 10));
    let mut first = held(&group);
    let (mut second, mut third) = (waiting(&group), waiting(&group));
    first.free(Outcome::Success, Timings::default(), NOW);
    // Even though the server is free, a new request queues up.
    let mut fourth = waiting(&group);
    assert!(turn(&mut second) && !turn(&mut third));
    assert!(next(&mut second).is_some());
    assert!(!turn(&mut third) && !turn(&mut fourth));
    drop(second);
    assert!(turn(&mut third) && !turn(&mut fourth));
    // The called one leaves, and the next has its turn.
    drop(third);
    assert!(turn(&mut fourth) && next(&mut fourth).is_some());
    assert!(turn(&mut fourth), "who does not wait has no turn to wait for");
}

#[test]
fn a_failed_attempt_does_not_cost_the_turn() {
    let group = Registry::default().group(&config(&[1, 1], 10));
    let (mut first, second) = (held(&group), held(&group));
    let mut third = waiting(&group);
    // Another server would be asked, but it is busy.
    first.free(Outcome::Failed, Timings::default(), NOW);
    assert!(!turn(&mut third));
    assert_eq!((next(&mut first), first.wait(NOW)), (None, Ok(500)));
    assert!(turn(&mut first) && next(&mut first).is_none());
    assert!(turn(&mut third) && next(&mut third).is_none());
    drop(second);
    assert!(turn(&mut first) && !turn(&mut third));
    assert!(next(&mut first).is_some());
    // A kept connection that the server had closed: the same one is asked again.
    let group = Registry::default().group(&config(&[1], 10));
    let mut first = held(&group);
    let mut second = waiting(&group);
    first.free(Outcome::NotCounted, Timings::default(), NOW);
    first.give_back_try();
    assert!(!turn(&mut second));
    assert!(next(&mut first).is_some() && !turn(&mut second));
    first.free(Outcome::Failed, Timings::default(), NOW);
    drop(first);
    assert!(turn(&mut second) && next(&mut second).is_some());
}

#[test]
fn a_wait_ends_when_a_server_becomes_available_in_any_way() {
    let registry = Registry::default();
    let group = registry.group(&config(&[1, 1], 10));
    let peers = group.peers();
    peers[0].set_health(Source::Check(0), Health::Good, NOW);
    let _busy = [held(&group), held(&group)];
    let edit = |id, change| group.edit(&Edit::Change(ServerId(id), change)).unwrap();
    // A larger limit.
    let mut pick = waiting(&group);
    edit(0, Change { max_conns: Some(2), ..Change::default() });
    assert!(turn(&mut pick) && next(&mut pick).is_some());
    // A new server without a limit serves all.
    let mut picks = [waiting(&group), waiting(&group)];
    let id = group.edit(&Edit::Add(server(3, 0))).unwrap()[0];
    for pick in &mut picks {
        assert!(turn(pick) && next(pick).as_deref() == Some("127.0.0.1:3"));
    }
    // A server that has failed is seen by the first that looks around, after the timeout.
    picks[0].free(Outcome::Failed, Timings::default(), NOW);
    let mut picks = [waiting(&group), waiting(&group)];
    let later = NOW.plus_millis(11_000);
    picks[1].look_around(later);
    picks[0].look_around(NOW);
    assert!(!turn(&mut picks[0]));
    picks[0].look_around(later);
    assert!(turn(&mut picks[0]));
    let mut random = fastrand::Rng::with_seed(1);
    assert!(picks[0].next(&mut random, later).is_ok());
    assert!(!turn(&mut picks[1]));
    // It answers.
    picks[0].free(Outcome::Success, Timings::default(), later);
    assert!(turn(&mut picks[1]) && picks[1].next(&mut random, later).is_ok());
    group.edit(&Edit::Remove(id)).unwrap();
}

#[test]
fn a_reload_changes_neither_limits_nor_turns() {
    let registry = Registry::default();
    let old = registry.group(&config(&[1], 10));
    let mut busy = held(&old);
    let mut first = waiting(&old);
    // Other lines, one of them the same.
    let new = registry.group(&config(&[1, 1], 5));
    let mut second = held(&new);
    assert_eq!(second.peer().unwrap().name, "127.0.0.1:2");
    let mut third = waiting(&new);
    assert_eq!(new.view(NOW).queue, Some(QueueView { size: 2, max_size: 5, overflows: 0 }));
    // The first knows only the first server.
    second.free(Outcome::Success, Timings::default(), NOW);
    assert!(turn(&mut first) && next(&mut first).is_none() && !turn(&mut first));
    assert!(turn(&mut third) && next(&mut third).as_deref() == Some("127.0.0.1:2"));
    busy.free(Outcome::Success, Timings::default(), NOW);
    assert!(turn(&mut first) && next(&mut first).as_deref() == Some("127.0.0.1:1"));
}

#[test]
fn a_wait_in_vain_does_not_begin() {
    let registry = Registry::default();
    let group = registry.group(&config(&[0, 1], 1));
    let mut pick = group.start(Request::default());
    for _ in 0..2 {
        assert!(next(&mut pick).is_some());
        pick.free(Outcome::Failed, Timings::default(), NOW);
    }
    assert_eq!((next(&mut pick), pick.wait(NOW)), (None, Err(NoWait::Vain)));
    let unqueued = Group::transient("v", vec![Addr::Inet(([127, 0, 0, 1], 1).into())]);
    let mut pick = unqueued.start(Request::default());
    assert_eq!(pick.wait(NOW), Err(NoWait::Vain));
    // The servers have failed, so others wait, up to the limit.
    let _first = waiting(&group);
    let mut second = group.start(Request::default());
    assert_eq!((next(&mut second), second.wait(NOW)), (None, Err(NoWait::Full)));
}

/// Longer than any turn takes to come.
const LONG: Duration = Duration::from_secs(60);

/// Wakes a thread.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Threads send requests while reloads change the lines: no limit is exceeded, no turn is lost.
#[test]
fn max_conns_is_exact_and_nobody_waits_for_ever() {
    const THREADS: usize = 6;
    const REQUESTS: usize = 400;
    let registry = Registry::default();
    let configs = [config(&[1, 2], 100), config(&[1, 2, 0, 0], 100)];
    let configs = configs.map(|mut config| {
        // In the second, two more servers that take no requests.
        config.servers.iter_mut().skip(2).for_each(|server| {
            server.limits.admission = crate::Admission::Down;
        });
        config
    });
    let first = registry.group(&configs[0]);
    let peers = first.peers();
    let active = [AtomicU64::new(0), AtomicU64::new(0)];
    let (done, is_done) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (registry, done, active) = (&registry, done.clone(), &active);
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(thread as u64);
                let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
                for _ in 0..REQUESTS {
                    let group = registry.find(crate::Side::Http, "u").unwrap();
                    let mut pick = group.start(Request::default());
                    let mut chosen = pick.next(&mut random, NOW);
                    if chosen.is_err() {
                        pick.wait(NOW).unwrap();
                    }
                    while chosen.is_err() {
                        match pick.poll_turn(&mut Context::from_waker(&waker)) {
                            Poll::Ready(()) => chosen = pick.next(&mut random, NOW),
                            Poll::Pending if random.u8(..20) == 0 => break,
                            Poll::Pending => {
                                let began = Instant::now();
                                std::thread::park_timeout(LONG);
                                assert!(began.elapsed() < LONG, "a turn is lost");
                            }
                        }
                    }
                    let Ok(peer) = chosen else { continue };
                    let place = usize::from(peer.name.ends_with(":2"));
                    let before = active[place].fetch_add(1, SeqCst);
                    assert!(before < [1, 2][place], "{} has {before}", peer.name);
                    std::thread::yield_now();
                    active[place].fetch_sub(1, SeqCst);
                }
                drop(done);
            });
        }
        drop(done);
        let mut held = first;
        while is_done.try_recv() != Err(mpsc::TryRecvError::Disconnected) {
            let next = registry.group(&configs[1]);
            held = registry.group(&configs[0]);
            drop(next);
        }
        assert!(!held.queue().unwrap().is_waited_in());
    });
    assert!(peers.iter().all(|peer| peer.state.conns.load(SeqCst) == 0));
}

/// A wait does not change where a key belongs.
#[test]
fn a_key_that_has_waited_goes_home() {
    use crate::{
        balance::{consistent::Consistent, hash::Hash, method::Method},
        config::MethodHandle,
    };
    let methods: [Method; 2] = [Arc::new(Consistent { balance: None }), Arc::new(Hash)];
    for method in methods {
        let config =
            GroupConfig { method: MethodHandle(Arc::clone(&method)), ..config(&[1, 1, 1, 1], 9) };
        let group = Registry::default().group(&config);
        for number in 0..20 {
            let key = format!("key {number}");
            let ask = || group.start(Request { key: key.as_bytes(), ..Request::default() });
            let home = next(&mut ask()).unwrap();
            let all: Vec<_> = (0..4).map(|_| held(&group)).collect();
            let mut pick = ask();
            assert_eq!((next(&mut pick), pick.wait(NOW)), (None, Ok(500)));
            drop(all);
            assert!(turn(&mut pick));
            assert_eq!(next(&mut pick), Some(home), "{method:?} {key}");
        }
    }
}
