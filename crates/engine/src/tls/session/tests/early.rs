//! Early data (RFC 8446 section 2.3).

use super::*;
use crate::tls::{HandshakeError, SessionCache};

/// A server that takes early data, and the settings of its client, which keep sessions.
fn world() -> (Arc<ServerTls>, Arc<ClientConfig>) {
    let settings =
        ServerSettings { keys: vec![key()], early_data: true, ..ServerSettings::default() };
    let server = Arc::new(ServerTls::new(settings, &mut Vec::new()).unwrap());
    (server, config())
}

fn config() -> Arc<ClientConfig> {
    let mut config = ClientConfig::builder_with_provider(provider(suites()[0]))
        .with_protocol_versions(&[&version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyServer))
        .with_no_client_auth();
    config.enable_early_data = true;
    Arc::new(config)
}

fn client(config: &Arc<ClientConfig>) -> ClientConnection {
    ClientConnection::new(Arc::clone(config), "example.com".try_into().unwrap()).unwrap()
}

async fn accepted(conn: Conn, server: &Arc<ServerTls>) -> Result<Conn, HandshakeError> {
    accept(conn, |_| Some((Arc::clone(server), &[])), SOON).await
}

/// A first connection, which leaves the client a session.
fn get_session(server: &Arc<ServerTls>, config: &Arc<ClientConfig>) {
    let (ours, mut theirs) = pair();
    let mut client = client(config);
    let client = std::thread::spawn(move || {
        there_and_back(&mut Stream::new(&mut client, &mut theirs), 10);
    });
    block_on(async {
        let mut conn = accepted(ours, server).await.unwrap();
        assert!(!conn.tls().unwrap().early.get());
        echo(&mut conn, 10, 10).await;
    });
    client.join().unwrap();
}

/// The first bytes of a client that sends early data.
fn first_flight(client: &mut ClientConnection, early: &[u8]) -> Vec<u8> {
    client.early_data().expect("a session").write_all(early).unwrap();
    let mut flight = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut flight).unwrap();
    }
    flight
}

/// Receives `count` bytes without sending any.
fn listen(client: &mut ClientConnection, theirs: &mut UnixStream, count: usize) -> Vec<u8> {
    let mut got = Vec::new();
    while got.len() < count {
        assert!(client.read_tls(theirs).unwrap() > 0);
        client.process_new_packets().unwrap();
        match client.reader().read_to_end(&mut got) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            done => drop(done.unwrap()),
        }
    }
    got
}

#[test]
fn early_data_is_answered_before_the_end_of_the_handshake() {
    let (server, config) = world();
    get_session(&server, &config);
    let (ours, mut theirs) = pair();
    let early = bytes(9_000);
    let sent = early.clone();
    let client = std::thread::spawn(move || {
        let mut client = client(&config);
        // Two records in the first flight.
        let (one, two) = sent.split_at(4_000);
        theirs.write_all(&first_flight(&mut client, one)).unwrap();
        theirs.write_all(&first_flight(&mut client, two)).unwrap();
        assert!(listen(&mut client, &mut theirs, sent.len()) == sent);
        assert!(client.is_early_data_accepted());
        // Now follows the end of the handshake, with tickets of the server.
        there_and_back(&mut Stream::new(&mut client, &mut theirs), MUCH);
    });
    block_on(async {
        let mut conn = accepted(ours, &server).await.unwrap();
        assert!(conn.tls().unwrap().early.get() && conn.tls().unwrap().resumed);
        // In smaller steps than the records.
        echo(&mut conn, early.len(), 1_000).await;
        assert!(conn.tls().unwrap().early.get(), "the client has not finished the handshake");
        echo(&mut conn, MUCH, MUCH).await;
        assert!(!conn.tls().unwrap().early.get());
    });
    client.join().unwrap();
}

#[test]
fn a_session_serves_early_data_once() {
    let (server, config) = world();
    get_session(&server, &config);
    let mut client = client(&config);
    let flight = first_flight(&mut client, b"request");
    let mut accepted_early = Vec::new();
    for _ in 0..2 {
        let (ours, mut theirs) = pair();
        theirs.write_all(&flight).unwrap();
        theirs.shutdown(std::net::Shutdown::Write).unwrap();
        block_on(async {
            let Ok(mut conn) = accepted(ours, &server).await else {
                return accepted_early.push(None);
            };
            let mut got = Vec::new();
            let received = conn.recv(&mut got, 100, SOON).await;
            accepted_early.push(received.is_ok().then_some(got));
        });
    }
    assert_eq!(accepted_early, [Some(b"request".to_vec()), None]);
}

#[test]
fn a_client_whose_early_data_is_refused_goes_on() {
    let (server, config) = world();
    get_session(&server, &config);
    let (ours, mut theirs) = pair();
    let client = std::thread::spawn(move || {
        let mut client = client(&config);
        theirs.write_all(&first_flight(&mut client, &bytes(5_000))).unwrap();
        there_and_back(&mut Stream::new(&mut client, &mut theirs), 1_000);
        assert!(!client.is_early_data_accepted());
    });
    // It does not know the session.
    let (other, _) = world();
    block_on(async {
        let mut conn = accepted(ours, &other).await.unwrap();
        assert!(!conn.tls().unwrap().early.get() && !conn.tls().unwrap().resumed);
        echo(&mut conn, 1_000, 1_000).await;
    });
    client.join().unwrap();
}

#[test]
fn without_the_setting_sessions_take_no_early_data() {
    let settings = ServerSettings {
        keys: vec![key()],
        cache: SessionCache::builtin(10),
        tickets: None,
        ..ServerSettings::default()
    };
    let server = Arc::new(ServerTls::new(settings, &mut Vec::new()).unwrap());
    let config = config();
    get_session(&server, &config);
    assert!(client(&config).early_data().is_none());
}

/// A client that breaks off within the handshake fails the connection, after its answer.
#[test]
fn an_altered_end_of_the_handshake_is_an_error() {
    let (server, config) = world();
    get_session(&server, &config);
    let (ours, mut theirs) = pair();
    let client = std::thread::spawn(move || {
        let mut client = client(&config);
        theirs.write_all(&first_flight(&mut client, b"early")).unwrap();
        assert_eq!(listen(&mut client, &mut theirs, 5), b"early");
        let mut flight = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut flight).unwrap();
        }
        *flight.last_mut().unwrap() ^= 1;
        theirs.write_all(&flight).unwrap();
        // The alert, and the end.
        let _ = theirs.read_to_end(&mut Vec::new());
    });
    block_on(async {
        let mut conn = accepted(ours, &server).await.unwrap();
        echo(&mut conn, 5, 5).await;
        let failed = conn.recv(&mut Vec::new(), 10, SOON).await.unwrap_err();
        assert_eq!(failed.kind(), io::ErrorKind::InvalidData);
        assert!(conn.tls().unwrap().early.get());
    });
    client.join().unwrap();
}
