//! The peer is plain rustls, without shared keys.

use std::future::poll_fn;
use std::io::{self, IoSlice, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use ::aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{AlertDescription, ClientConfig, ClientConnection, ServerConfig, ServerConnection};
use rustls::{ConnectionTrafficSecrets, Stream, SupportedCipherSuite, version};

use super::receive::MOST_EMPTY;
use super::send::{PARTS, cut};
use super::*;
use crate::addr::Addr;
use crate::buffer::STRETCH;
use crate::connection::Conn;
use crate::event_loop::block_on;
use crate::tls::aead::{APPLICATION_DATA, HEAD, TAIL};
use crate::tls::client::AnyServer;
use crate::tls::records;
use crate::tls::{CertifiedKey, ClientSettings, ClientTls, ServerSettings, ServerTls};
use crate::tls::{accept, connect};

mod early;

const SOON: Duration = Duration::from_secs(5);

const SERVER: &[u8] = include_bytes!("../fixtures/server.pem");
const SERVER_KEY: &[u8] = include_bytes!("../fixtures/server.key");

/// More than the buffers hold, and not a multiple of any buffer size.
const MUCH: usize = 300_007;

fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|number| (number % 251) as u8).collect()
}

fn pair() -> (Conn, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    theirs.set_read_timeout(Some(SOON)).unwrap();
    (Conn::from_fd(ours.into(), Addr::Unix(None)), theirs)
}

fn suites() -> Vec<SupportedCipherSuite> {
    let all = aws_lc_rs::ALL_CIPHER_SUITES.iter();
    all.filter(|suite| suite.tls13().is_some()).copied().collect()
}

fn provider(suite: SupportedCipherSuite) -> Arc<CryptoProvider> {
    let cipher_suites = vec![suite];
    Arc::new(CryptoProvider { cipher_suites, ..aws_lc_rs::default_provider() })
}

fn their_client(suite: SupportedCipherSuite) -> ClientConnection {
    let config = ClientConfig::builder_with_provider(provider(suite))
        .with_protocol_versions(&[&version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyServer))
        .with_no_client_auth();
    ClientConnection::new(Arc::new(config), "example.com".try_into().unwrap()).unwrap()
}

fn their_server(suite: SupportedCipherSuite) -> ServerConnection {
    let key = rustls::sign::SingleCertAndKey::from(key().key);
    let config = ServerConfig::builder_with_provider(provider(suite))
        .with_protocol_versions(&[&version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(key));
    ServerConnection::new(Arc::new(config)).unwrap()
}

fn key() -> CertifiedKey {
    CertifiedKey::from_pem(SERVER, SERVER_KEY, &[]).unwrap()
}

async fn our_server(conn: Conn, settings: ServerSettings) -> Conn {
    let settings = ServerSettings { keys: vec![key()], ..settings };
    let server = Arc::new(ServerTls::new(settings, &mut Vec::new()).unwrap());
    accept(conn, |_| Some((server, &[])), SOON).await.unwrap()
}

/// Receives `count` bytes, at most `step` at a time, and echoes them.
async fn echo(conn: &mut Conn, count: usize, step: usize) {
    let mut got = Vec::new();
    while got.len() < count {
        assert!(conn.recv(&mut got, step, SOON).await.unwrap() > 0);
    }
    let (first, rest) = got.split_at(count / 3);
    conn.send_all(&[first, b"", rest], SOON).await.unwrap();
}

/// Sends bytes and reads their echo.
fn there_and_back(tls: &mut (impl Read + Write), count: usize) {
    let sent = bytes(count);
    tls.write_all(&sent).unwrap();
    tls.flush().unwrap();
    let mut got = vec![0; count];
    tls.read_exact(&mut got).unwrap();
    assert!(got == sent);
}

#[test]
fn clients_work_with_every_suite() {
    for suite in suites() {
        let (ours, mut theirs) = pair();
        let client = std::thread::spawn(move || {
            let mut client = their_client(suite);
            let mut tls = Stream::new(&mut client, &mut theirs);
            there_and_back(&mut tls, 1);
            there_and_back(&mut tls, MUCH);
        });
        block_on(async {
            let mut conn = our_server(ours, ServerSettings::default()).await;
            echo(&mut conn, 1, 1).await;
            echo(&mut conn, MUCH, 100_000).await;
        });
        client.join().unwrap();
    }
}

#[test]
fn upstreams_work_with_every_suite() {
    for suite in suites() {
        let (ours, mut theirs) = pair();
        let server = std::thread::spawn(move || {
            let mut server = their_server(suite);
            let mut tls = Stream::new(&mut server, &mut theirs);
            // The tickets precede the data.
            there_and_back(&mut tls, MUCH);
        });
        block_on(async {
            let client = ClientTls::new(ClientSettings::default(), &mut Vec::new()).unwrap();
            let mut conn = connect(ours, &client, "example.com", SOON).await.unwrap();
            echo(&mut conn, MUCH, 10_000).await;
        });
        server.join().unwrap();
    }
}

/// A socket that accepts few bytes at a time, during the handshake as well.
struct Narrow(UnixStream);

impl Read for Narrow {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into)
    }
}

impl Write for Narrow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(&bytes[..bytes.len().min(3)])
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[test]
fn records_may_come_byte_by_byte() {
    let (ours, theirs) = pair();
    let client = std::thread::spawn(move || {
        let (mut client, mut theirs) = (their_client(suites()[0]), Narrow(theirs));
        let mut tls = Stream::new(&mut client, &mut theirs);
        there_and_back(&mut tls, 40_000);
    });
    block_on(async {
        let mut conn = our_server(ours, ServerSettings::default()).await;
        echo(&mut conn, 40_000, 50_000).await;
        assert!(conn.is_idle_alive());
    });
    client.join().unwrap();
}

#[test]
fn a_partly_read_record_keeps_the_connection_busy() {
    let (ours, mut theirs) = pair();
    let client = std::thread::spawn(move || {
        let mut client = their_client(suites()[0]);
        there_and_back(&mut Stream::new(&mut client, &mut theirs), 1000);
    });
    block_on(async {
        let mut conn = our_server(ours, ServerSettings::default()).await;
        let mut got = Vec::new();
        conn.recv(&mut got, 7, SOON).await.unwrap();
        while got.len() < 1000 {
            assert!(conn.is_busy());
            conn.readable(SOON).await.unwrap();
            let left = 1000 - got.len();
            assert_eq!(conn.recv(&mut got, 7, SOON).await.unwrap(), left.min(7));
        }
        assert!(!conn.is_busy());
        conn.send_all(&[&got], SOON).await.unwrap();
    });
    client.join().unwrap();
}

#[test]
fn a_partial_record_keeps_a_small_buffer() {
    let (ours, mut theirs) = pair();
    block_on(async {
        let client = std::thread::spawn(move || {
            let mut client = their_client(suites()[0]);
            there_and_back(&mut Stream::new(&mut client, &mut theirs), 1);
            client.writer().write_all(&bytes(10_000)).unwrap();
            let mut record = Vec::new();
            client.write_tls(&mut record).unwrap();
            (client, theirs, record)
        });
        let mut conn = our_server(ours, ServerSettings::default()).await;
        echo(&mut conn, 1, 1).await;
        let (client, mut theirs, record) = client.join().unwrap();
        assert_eq!(conn.session().unwrap().inbound.capacity(), 0);
        let mut got = Vec::new();
        for (part, most) in [(0..3, 1024), (3..5000, 8192), (5000..7000, 32_768)] {
            theirs.write_all(&record[part]).unwrap();
            conn.readable(SOON).await.unwrap();
            poll_fn(|cx| {
                assert!(conn.poll_recv(cx, &mut got, 20_000).is_pending());
                Poll::Ready(())
            })
            .await;
            assert!(conn.session().unwrap().inbound.capacity() <= most);
        }
        theirs.write_all(&record[7000..]).unwrap();
        assert_eq!(conn.recv(&mut got, 20_000, SOON).await.unwrap(), 10_000);
        assert_eq!(conn.session().unwrap().inbound.capacity(), 0);
        drop(client);
    });
}

#[test]
fn keys_are_replaced_by_either_side() {
    let (ours, mut theirs) = pair();
    let client = std::thread::spawn(move || {
        let mut client = their_client(suites()[0]);
        for _ in 0..3 {
            there_and_back(&mut Stream::new(&mut client, &mut theirs), 20_000);
            client.refresh_traffic_keys().unwrap();
        }
        there_and_back(&mut Stream::new(&mut client, &mut theirs), MUCH);
    });
    block_on(async {
        let mut conn = our_server(ours, ServerSettings::default()).await;
        for _ in 0..3 {
            echo(&mut conn, 20_000, 30_000).await;
            let session = conn.session().unwrap();
            let before = session.keys.outbound.clone().unwrap();
            session.refresh().unwrap();
            assert!(!Arc::ptr_eq(&before, session.keys.outbound.as_ref().unwrap()));
        }
        echo(&mut conn, MUCH, MUCH).await;
    });
    client.join().unwrap();
}

#[test]
fn a_healthy_connection_may_update_its_keys_often() {
    let (ours, mut theirs) = pair();
    let client = std::thread::spawn(move || {
        let mut client = their_client(suites()[0]);
        for _ in 0..100 {
            there_and_back(&mut Stream::new(&mut client, &mut theirs), 1);
            client.refresh_traffic_keys().unwrap();
        }
        there_and_back(&mut Stream::new(&mut client, &mut theirs), MUCH);
    });
    block_on(async {
        let mut conn = our_server(ours, ServerSettings::default()).await;
        for _ in 0..100 {
            echo(&mut conn, 1, 100).await;
        }
        echo(&mut conn, MUCH, MUCH).await;
    });
    client.join().unwrap();
}

/// Sends `count` empty records, a byte, and the same again; returns the results of both sides.
fn empty_records(count: usize) -> (io::Result<usize>, io::Result<usize>) {
    let (ours, theirs) = pair();
    let client = std::thread::spawn(move || {
        let mut raw = theirs.try_clone().unwrap();
        theirs.set_nonblocking(true).unwrap();
        block_on(async {
            let conn = Conn::from_fd(theirs.into(), Addr::Unix(None));
            let client = ClientTls::new(ClientSettings::default(), &mut Vec::new()).unwrap();
            let mut conn = connect(conn, &client, "example.com", SOON).await.unwrap();
            let key = conn.session().unwrap().keys.outbound.clone().unwrap();
            for _ in 0..2 {
                let mut records = vec![0; count * (HEAD + TAIL)];
                for record in records.chunks_mut(HEAD + TAIL) {
                    key.seal(Some(b""), record).unwrap();
                }
                // The peer may be gone before all is sent; its alert is still readable.
                let sent = raw.write_all(&records).is_ok();
                if !sent || conn.send_all(&[b"x"], SOON).await.is_err() {
                    break;
                }
            }
            conn.recv(&mut Vec::new(), 100, SOON).await
        })
    });
    let received = block_on(async {
        let mut conn = our_server(ours, ServerSettings::default()).await;
        let mut got = Vec::new();
        while got.len() < 2 {
            conn.recv(&mut got, 100, SOON).await?;
        }
        conn.send_all(&[&got], SOON).await.map(|()| got.len())
    });
    (received, client.join().unwrap())
}

#[test]
fn empty_records_are_limited() {
    let (received, answer) = empty_records(usize::from(MOST_EMPTY));
    assert_eq!((received.unwrap(), answer.unwrap()), (2, 2));
    let (received, answer) = empty_records(usize::from(MOST_EMPTY) + 1);
    assert_eq!(received.unwrap_err().kind(), io::ErrorKind::InvalidData);
    let told = answer.unwrap_err().into_inner().unwrap().downcast::<rustls::Error>().unwrap();
    assert_eq!(*told, rustls::Error::AlertReceived(AlertDescription::UnexpectedMessage));
}

/// TLS 1.2 records (RFC 5288 section 3) of these plaintexts, starting at sequence `number`.
fn old_records(secret: &ConnectionTrafficSecrets, mut number: u64, plain: &[&[u8]]) -> Vec<u8> {
    let ConnectionTrafficSecrets::Aes256Gcm { key, iv } = secret else { panic!("another suite") };
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.as_ref()).unwrap());
    let mut all = Vec::new();
    for text in plain {
        let explicit = number.to_be_bytes();
        let nonce: [u8; 12] = [&iv.as_ref()[..4], &explicit].concat().try_into().unwrap();
        let length = (text.len() as u16).to_be_bytes();
        let aad =
            Aad::from([&number.to_be_bytes()[..], &[APPLICATION_DATA, 3, 3], &length].concat());
        let mut body = text.to_vec();
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut body).unwrap();
        let length = (explicit.len() + body.len()) as u16;
        all.extend([APPLICATION_DATA, 3, 3]);
        all.extend(length.to_be_bytes());
        all.extend(explicit);
        all.extend(body);
        number += 1;
    }
    all
}

#[test]
fn empty_records_are_limited_with_tls_1_2() {
    for (count, is_fine) in [(MOST_EMPTY, true), (MOST_EMPTY + 1, false)] {
        let (ours, mut theirs) = pair();
        let client = std::thread::spawn(move || {
            let suite = aws_lc_rs::cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384;
            let mut config = ClientConfig::builder_with_provider(provider(suite))
                .with_protocol_versions(&[&version::TLS12])
                .unwrap()
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnyServer))
                .with_no_client_auth();
            config.enable_secret_extraction = true;
            let name = "example.com".try_into().unwrap();
            let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
            while client.is_handshaking() || client.wants_write() {
                client.complete_io(&mut theirs).unwrap();
            }
            let (number, secret) = client.dangerous_extract_secrets().unwrap().tx;
            let empty = vec![&b""[..]; usize::from(count)];
            let plain = [&empty[..], &[&b"x"[..]], &empty, &[&b"y"[..]]].concat();
            // The peer may be gone before all is sent.
            let _ = theirs.write_all(&old_records(&secret, number, &plain));
            theirs
        });
        block_on(async {
            let mut conn = our_server(ours, ServerSettings::default()).await;
            let mut got = Vec::new();
            let mut received = conn.recv(&mut got, 100, SOON).await;
            while received.is_ok() && got.len() < 2 {
                received = conn.recv(&mut got, 100, SOON).await;
            }
            assert_eq!(received.is_ok(), is_fine, "{received:?}");
            assert_eq!(got, if is_fine { &b"xy"[..] } else { b"" });
        });
        client.join().unwrap();
    }
}

#[test]
fn an_altered_record_is_refused() {
    let (ours, mut theirs) = pair();
    let client = std::thread::spawn(move || {
        let mut client = their_client(suites()[0]);
        there_and_back(&mut Stream::new(&mut client, &mut theirs), 100);
        client.writer().write_all(&bytes(100)).unwrap();
        let mut record = Vec::new();
        client.write_tls(&mut record).unwrap();
        record[50] ^= 1;
        theirs.write_all(&record).unwrap();
        let error = Stream::new(&mut client, &mut theirs).read(&mut [0; 1]).unwrap_err();
        let told = error.into_inner().unwrap().downcast::<rustls::Error>().unwrap();
        assert_eq!(*told, rustls::Error::AlertReceived(AlertDescription::BadRecordMac));
    });
    block_on(async {
        let mut conn = our_server(ours, ServerSettings::default()).await;
        echo(&mut conn, 100, 100).await;
        let mut got = Vec::new();
        let error = conn.recv(&mut got, 1000, SOON).await.unwrap_err();
        assert_eq!((error.kind(), got.len()), (io::ErrorKind::InvalidData, 0));
        assert!(conn.send_all(&[b"more"], SOON).await.is_err());
    });
    client.join().unwrap();
}

/// A socket that records the received bytes.
struct Seen(UnixStream, Vec<u8>);

impl Read for Seen {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.0.read(into)?;
        self.1.extend_from_slice(&into[..count]);
        Ok(count)
    }
}

impl Write for Seen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[test]
fn records_respect_the_configured_size() {
    let (ours, theirs) = pair();
    let client = std::thread::spawn(move || {
        let (mut client, mut theirs) = (their_client(suites()[0]), Seen(theirs, Vec::new()));
        there_and_back(&mut Stream::new(&mut client, &mut theirs), 5000);
        let mut rest = &theirs.1[..];
        let mut lengths = Vec::new();
        while let Some(length) = records::whole(rest) {
            lengths.push(length);
            rest = &rest[length..];
        }
        // Two parts, each echoed in one call: three full records and a remainder.
        assert!(lengths.ends_with(&[1422, 1422, 1422, 822]), "{lengths:?}");
    });
    block_on(async {
        let settings = ServerSettings { buffer_size: 1400, ..ServerSettings::default() };
        let mut conn = our_server(ours, settings).await;
        echo(&mut conn, 5000, 5000).await;
    });
    client.join().unwrap();
}

#[test]
fn long_slices_are_cut_without_loss() {
    let bytes = bytes(OUTBOUND_LIMIT);
    let bufs = [&bytes[..100], &bytes[100..100], &bytes[100..5000], &bytes[5000..]];
    let bufs = bufs.map(IoSlice::new);
    let mut parts = [IoSlice::new(&[]); PARTS];
    let parts = cut(&bufs, &mut parts);
    assert!(parts.iter().all(|part| (1..=STRETCH).contains(&part.len())));
    let joined: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
    assert!(joined == bytes);
}

#[test]
fn the_number_of_slices_is_limited() {
    let bytes = vec![0; 2 * OUTBOUND_LIMIT];
    let mut parts = [IoSlice::new(&[]); PARTS];
    assert_eq!(cut(&[IoSlice::new(&bytes)], &mut parts).len(), PARTS);
}

#[test]
fn a_session_adds_little_to_rustls() {
    // The total of 1,280 bytes is an allocator size class; the next is 1,536.
    assert!(size_of::<Session>() <= size_of::<rustls::Connection>() + 112);
}
