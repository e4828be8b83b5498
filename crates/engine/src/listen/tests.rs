use super::*;
use crate::connection::connect::{ConnectOptions, connect};
use crate::event_loop::block_on;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(5);

fn listen(addr: &str) -> (Arc<OwnedFd>, Addr) {
    let mut alerts = Vec::new();
    let addr = Addr::Inet(addr.parse().unwrap());
    let socket = bind(&addr, &ListenOptions::default(), &mut alerts).unwrap();
    assert_eq!(alerts, Vec::<String>::new());
    let addr = Addr::of_socket(&socket).unwrap();
    (Arc::new(socket), addr)
}

#[test]
fn an_address_in_use_is_reported_as_in_nginx() {
    let (_socket, addr) = listen("127.0.0.1:0");
    let error = bind(&addr, &ListenOptions::default(), &mut Vec::new()).unwrap_err();
    assert!(error.in_use());
    let told = format!("bind() to {addr} failed (98: Address already in use)");
    assert_eq!(error.to_string(), told);
}

#[test]
fn options_are_set_or_reported() {
    let options = ListenOptions {
        rcvbuf: Some(65_536),
        sndbuf: Some(65_536),
        deferred: true,
        fastopen: Some(5),
        reuseport: true,
        keepalive: Some(Keepalive {
            on: true,
            idle: Some(Duration::from_secs(60)),
            interval: Some(Duration::from_secs(5)),
            count: Some(3),
        }),
        ..ListenOptions::default()
    };
    let mut alerts = Vec::new();
    let addr = Addr::Inet("127.0.0.1:0".parse().unwrap());
    let socket = bind(&addr, &options, &mut alerts).unwrap();
    let again = bind(&Addr::of_socket(&socket).unwrap(), &options, &mut alerts).unwrap();
    apply(&again, &addr, &ListenOptions { deferred: false, ..options }, &mut alerts);
    assert_eq!(alerts, Vec::<String>::new());
}

#[test]
fn connections_are_accepted_until_the_handle_is_dropped() {
    block_on(async {
        let (socket, addr) = listen("127.0.0.1:0");
        let accepted = Rc::new(RefCell::new(Vec::new()));
        let take = Rc::clone(&accepted);
        let accepting = accept(socket, false, move |conn| take.borrow_mut().push(conn)).unwrap();
        let mut client = connect(&addr, &ConnectOptions::default(), SOON).await.unwrap();
        while accepted.borrow().is_empty() {
            event_loop::yield_now().await;
        }
        let mut server = accepted.borrow_mut().pop().unwrap();
        assert_eq!(server.peer(), client.local());
        assert_eq!(server.local(), &addr);
        server.send_all(&[b"hello"], SOON).await.unwrap();
        let mut got = Vec::new();
        client.recv(&mut got, 100, SOON).await.unwrap();
        assert_eq!(got, b"hello");
        drop(accepting);
    });
}

#[test]
fn connections_inherit_from_the_listener() {
    for (bound, one_address) in [("127.0.0.1:0", true), ("0.0.0.0:0", false)] {
        block_on(async {
            let (socket, addr) = listen(bound);
            let port = addr.port().unwrap();
            let accepted = Rc::new(RefCell::new(Vec::new()));
            let take = Rc::clone(&accepted);
            let _accepting =
                accept(socket, false, move |conn| take.borrow_mut().push(conn)).unwrap();
            let there = Addr::Inet((std::net::Ipv4Addr::LOCALHOST, port).into());
            let _client = connect(&there, &ConnectOptions::default(), SOON).await.unwrap();
            while accepted.borrow().is_empty() {
                event_loop::yield_now().await;
            }
            let mut server = accepted.borrow_mut().pop().unwrap();
            let inherited = server.inherited();
            assert_eq!(inherited.address(), one_address.then(|| there.clone()));
            assert_eq!(server.local(), &there);
            let is_off = |server: &mut Conn| {
                rustix::net::sockopt::tcp_nodelay(server.socket().as_fd()).unwrap()
            };
            assert!(inherited.nodelay && is_off(&mut server));
            server.set_nodelay(false);
            assert!(!is_off(&mut server));
        });
    }
}

#[test]
fn excess_connections_are_closed() {
    block_on(async {
        let (socket, addr) = listen("127.0.0.1:0");
        capacity::set_limit(1);
        let _accepting = accept(socket, false, |_| panic!("there is no room")).unwrap();
        let mut client = connect(&addr, &ConnectOptions::default(), SOON).await.unwrap();
        assert_eq!(client.recv(&mut Vec::new(), 1, SOON).await.unwrap_or(0), 0);
    });
}

#[test]
fn unix_sockets_listen_too() {
    block_on(async {
        let path = std::env::temp_dir().join(format!("weir-listen-{}", std::process::id()));
        let addr = Addr::unix(&path);
        let mut alerts = Vec::new();
        let socket = bind(&addr, &ListenOptions::default(), &mut alerts).unwrap();
        assert_eq!(alerts, Vec::<String>::new());
        let (send, receive) = tokio::sync::oneshot::channel();
        let send = RefCell::new(Some(send));
        let _accepting = accept(Arc::new(socket), false, move |conn| {
            let _ = send.borrow_mut().take().unwrap().send(conn);
        })
        .unwrap();
        let _client = connect(&addr, &ConnectOptions::default(), SOON).await.unwrap();
        let server = receive.await.unwrap();
        assert_eq!(server.local(), &addr);
        assert_eq!(server.peer(), &Addr::Unix(None));
        std::fs::remove_file(path).unwrap();
    });
}
