use super::*;
use crate::addr::Addr;
use crate::event_loop::block_on;
use std::os::unix::net::UnixStream;
use tokio::sync::mpsc;

const SOON: Duration = Duration::from_secs(5);

fn pair() -> (Conn, Conn) {
    let (one, two) = UnixStream::pair().unwrap();
    let conn = |end: UnixStream| {
        end.set_nonblocking(true).unwrap();
        Conn::from_fd(end.into(), Addr::Unix(None))
    };
    (conn(one), conn(two))
}

fn lot() -> (Lot<u32>, mpsc::UnboundedReceiver<(Conn, u32, Left)>) {
    let (send, receive) = mpsc::unbounded_channel();
    let lot = Lot::new(move |conn, data, _, left| drop(send.send((conn, data, left))));
    (lot, receive)
}

#[test]
fn an_idle_connection_is_small() {
    assert!(size_of::<ParkedConn<u32>>() <= 80, "{}", size_of::<ParkedConn<u32>>());
}

#[test]
fn a_parked_connection_wakes_with_its_data() {
    block_on(async {
        let (lot, mut woken) = lot();
        let mut others = Vec::new();
        for number in 0..300 {
            let (one, two) = pair();
            let id = two.id();
            lot.park(two, clock::now() + SOON, number).unwrap();
            others.push((one, id));
        }
        assert_eq!(lot.len(), 300);
        for number in [7_u32, 299, 0] {
            let (other, id) = &mut others[number as usize];
            other.send_all(&[b"hello"], SOON).await.unwrap();
            let (mut conn, data, left) = woken.recv().await.unwrap();
            assert_eq!((conn.id(), data, left), (*id, number, Left::Woken));
            let mut got = Vec::new();
            conn.recv(&mut got, 100, SOON).await.unwrap();
            assert_eq!(got, b"hello");
            // And parked again.
            lot.park(conn, clock::now() + SOON, data).unwrap();
        }
        for (other, _) in &mut others {
            other.send_all(&[b"all"], SOON).await.unwrap();
        }
        for _ in 0..300 {
            woken.recv().await.unwrap();
        }
        assert!(lot.is_empty());
    });
}

#[test]
fn a_parked_connection_leaves_at_its_deadline() {
    block_on(async {
        let (lot, mut left) = lot();
        let (mut late, two) = pair();
        lot.park(two, clock::now() + SOON * 100, 1).unwrap();
        let (_one, two) = pair();
        lot.park(two, clock::now(), 2).unwrap();
        let (_, data, why) = left.recv().await.unwrap();
        assert_eq!((data, why), (2, Left::TimedOut));
        assert_eq!(lot.len(), 1);
        let taken = lot.take_if(|&number| number == 1);
        assert!(lot.is_empty() && taken.len() == 1 && taken[0].1 == 1);
        drop(taken);
        assert_eq!(late.recv(&mut Vec::new(), 1, SOON).await.unwrap(), 0);
        assert!(lot.inner.borrow().ticks.is_empty());
    });
}

#[test]
fn some_are_closed_on_a_shortage() {
    block_on(async {
        let (lot, _woken) = lot();
        let others: Vec<Conn> = (0..20)
            .map(|number| {
                let (one, two) = pair();
                lot.park(two, clock::now() + SOON * (number + 1), number).unwrap();
                one
            })
            .collect();
        assert_eq!(lot.inner.borrow_mut().reclaim(), 2);
        let left: Vec<u32> =
            lot.inner.borrow().entries.iter().map(|(_, entry)| entry.data).collect();
        assert_eq!(left, (2..20).collect::<Vec<_>>());
        drop(others);
    });
}

#[test]
fn a_connection_with_unread_bytes_is_not_idle() {
    block_on(async {
        let (lot, _woken) = lot();
        let (_one, mut two) = pair();
        two.unread(b"GET");
        assert!(lot.park(two, clock::now() + SOON, 1).is_err());
    });
}
