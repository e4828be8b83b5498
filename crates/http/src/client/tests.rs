use std::os::unix::net::UnixStream;

use weir_engine::addr::Addr;
use weir_engine::connection::Conn;
use weir_engine::event_loop::block_on;
use weir_engine::file_io::File;

use super::exchange::h1::Link;
use super::*;

fn client() -> (Client, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let conn = Conn::from_fd(ours.into(), Addr::Unix(None));
    (Client::new(Sink::Client(Exchange::H1(Link::new(conn)))), theirs)
}

#[test]
fn bytes_beyond_memory_go_to_a_file_in_order() {
    use std::io::Read;
    block_on(async {
        let (mut client, mut other) = client();
        let file = weir_engine::temp_file::create(&std::env::temp_dir()).unwrap();
        let file = Rc::new(File::new(file));
        let mut stored = 0;
        let mut store = |bytes: &[u8]| {
            file.write_at(bytes, stored).unwrap();
            stored += bytes.len() as u64;
            Some(Piece::File(Rc::clone(&file), stored - bytes.len() as u64..stored))
        };
        let all: Vec<u8> = (0..9_000_u32).map(|number| (number % 251) as u8).collect();
        client.push(Piece::copy(&all[..2_000]));
        client.push(Piece::copy(&all[2_000..5_000]));
        client.spill(2_500, &mut store);
        assert_eq!((client.held(), client.queued(), client.queue.len()), (2_500, 5_000, 3));
        client.push(Piece::copy(&all[5_000..]));
        client.spill(2_500, &mut store);
        // Adjacent ranges of the file have become one.
        assert_eq!((client.held(), client.queued(), client.queue.len()), (2_500, 9_000, 3));
        // What cannot be stored stays.
        client.spill(1_000, |_| None);
        assert_eq!((client.held(), client.queued()), (2_500, 9_000));
        client.flush().await.unwrap();
        drop(client);
        let mut got = Vec::new();
        other.read_to_end(&mut got).unwrap();
        assert!(got == all);
    });
}

#[test]
fn a_small_piece_does_not_hold_a_large_buffer() {
    let mut buf = buffer::take(128 * 1024);
    buf.extend_from_slice(b"few");
    let place = buf.as_ptr();
    let Piece::Buf(fitted, _) = Piece::from(buf).fitted() else { panic!("a copy") };
    assert!(fitted.as_ptr() != place && fitted.capacity() < 16 * 1024);
    let place = fitted.as_ptr();
    let Piece::Buf(same, _) = Piece::from(fitted).fitted() else { panic!("the same") };
    assert_eq!((same.as_ptr(), same.as_slice()), (place, &b"few"[..]));
}

#[test]
fn bytes_that_a_rate_allows_are_not_held_back_for_the_end() {
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};
    block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = Addr::Inet(listener.local_addr().unwrap());
        // The network may take a moment, but not each time.
        let at_once = (0..50).any(|_| {
            let mut theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (ours, _) = listener.accept().unwrap();
            ours.set_nonblocking(true).unwrap();
            theirs.set_nonblocking(true).unwrap();
            let conn = Conn::from_fd(ours.into(), addr.clone());
            let mut client = Client::new(Sink::Client(Exchange::H1(Link::new(conn))));
            client.rate = Some(Rate::new(5, 0));
            client.push(Piece::copy(b"first, and the rest later"));
            let mut cx = Context::from_waker(std::task::Waker::noop());
            assert!(client.poll_flush_before(&mut cx, Behind::Close).is_pending());
            let mut got = [0; 5];
            theirs.read_exact(&mut got).is_ok() && got == *b"first"
        });
        assert!(at_once);
    });
}

#[test]
fn a_small_file_is_sent_in_one_piece_with_its_head() {
    use std::io::Write;
    let text: Vec<u8> = (0..20_000_u32).map(|number| (number % 251) as u8).collect();
    let mut file = weir_engine::temp_file::create(&std::env::temp_dir()).unwrap();
    file.write_all(&text).unwrap();
    let file = Rc::new(File::new(file));
    block_on(async {
        let queue = |stretch: std::ops::Range<u64>| {
            let (mut client, _other) = client();
            client.push(Piece::copy(b"head"));
            client.push(Piece::File(Rc::clone(&file), stretch));
            let first = client.queue.front().and_then(Piece::bytes).unwrap().to_vec();
            (first, client.queue.len(), client.queued())
        };
        let joined = [b"head", &text[300..5_300]].concat();
        assert_eq!(queue(300..5_300), (joined, 1, 5_004));
        // Too long, and shorter than before.
        assert_eq!(queue(0..8_190), (b"head".to_vec(), 2, 8_194));
        assert_eq!(queue(19_999..20_001), (b"head".to_vec(), 2, 6));
    });
}

#[test]
fn a_small_shared_body_is_sent_in_one_piece_with_its_head() {
    let body: Rc<[u8]> = (0..10_000_u32).map(|number| (number % 251) as u8).collect();
    block_on(async {
        let queue = |part: std::ops::Range<usize>| {
            let (mut client, _other) = client();
            client.push(Piece::copy(b"head"));
            client.push(Piece::Shared(Rc::clone(&body), part));
            let first = client.queue.front().and_then(Piece::bytes).unwrap().to_vec();
            (first, client.queue.len(), client.queued())
        };
        let joined = [b"head", &body[300..5_300]].concat();
        assert_eq!(queue(300..5_300), (joined, 1, 5_004));
        assert_eq!(queue(0..8_190), (b"head".to_vec(), 2, 8_194), "too long");
        let (mut client, _other) = client();
        for _ in 0..2 {
            client.push_copy(b"few");
            client.push(Piece::Shared(Rc::clone(&body), 0..2_000));
        }
        assert_eq!(client.queued(), 2 * 2_003);
        let all: Vec<u8> =
            client.queue.iter().filter_map(Piece::bytes).flatten().copied().collect();
        assert_eq!(all, [b"few", &body[..2_000]].concat().repeat(2));
    });
}
