use super::*;
use crate::addr::Addr;
use crate::buffer;
use crate::clock;
use crate::connection::Conn;
use crate::event_loop::{block_on, spawn_joined};
use crate::park::Lot;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(5);

const SERVER: &[u8] = include_bytes!("fixtures/server.pem");
const SERVER_KEY: &[u8] = include_bytes!("fixtures/server.key");
const RSA: &[u8] = include_bytes!("fixtures/rsa.pem");
const ROOT: &[u8] = include_bytes!("fixtures/root.pem");

fn pair() -> (Conn, Conn) {
    let (one, two) = UnixStream::pair().unwrap();
    let conn = |end: UnixStream| {
        end.set_nonblocking(true).unwrap();
        Conn::from_fd(end.into(), Addr::Unix(None))
    };
    (conn(one), conn(two))
}

fn key() -> CertifiedKey {
    CertifiedKey::from_pem(SERVER, SERVER_KEY, &[]).unwrap()
}

fn root() -> Vec<rustls::pki_types::CertificateDer<'static>> {
    certificates_from_pem(ROOT).unwrap()
}

fn server(settings: ServerSettings) -> Arc<ServerTls> {
    let settings = ServerSettings { keys: vec![key()], ..settings };
    Arc::new(ServerTls::new(settings, &mut Vec::new()).unwrap())
}

fn client(settings: ClientSettings) -> ClientTls {
    ClientTls::new(settings, &mut Vec::new()).unwrap()
}

type Both = (Result<Conn, HandshakeError>, Result<Conn, HandshakeError>);

async fn shake(server: &Arc<ServerTls>, client: &ClientTls, name: &str) -> Both {
    let (one, two) = pair();
    let server = Arc::clone(server);
    let accepting = spawn_joined(accept(one, move |_| Some((server, ALPN)), SOON));
    let connected = connect(two, client, name, SOON).await;
    (accepting.await.unwrap(), connected)
}

const ALPN: Alpn = &[b"h2", b"http/1.1"];

#[test]
fn data_passes_in_both_directions() {
    block_on(async {
        let server = server(ServerSettings::default());
        let client = client(ClientSettings {
            server_name: true,
            alpn: vec![b"http/1.1".to_vec()],
            ..ClientSettings::default()
        });
        let (one, two) = shake(&server, &client, "Example.com").await;
        let (mut one, mut two) = (one.unwrap(), two.unwrap());
        let info = one.tls().unwrap();
        assert_eq!(info.protocol, "TLSv1.3");
        assert_eq!(info.cipher(), "TLS_AES_256_GCM_SHA384");
        assert_eq!(info.server_name.as_deref(), Some(&b"Example.com"[..]));
        assert_eq!(info.alpn.as_deref(), Some(&b"http/1.1"[..]));
        assert_eq!(info.client_verify(), "NONE");
        assert!(info.curves().contains("X25519"), "{}", info.curves());
        assert!(!one.can_sendfile());
        let big: Vec<u8> = (0..1_000_000_u32).map(|number| (number % 251) as u8).collect();
        let sent = big.clone();
        let sender = spawn_joined(async move {
            one.send_all(&[b"head", &big], SOON).await.unwrap();
            one.close();
        });
        let mut got = Vec::new();
        while two.recv(&mut got, 10_000, SOON).await.unwrap() > 0 {}
        sender.await.unwrap();
        assert_eq!(got.len(), sent.len() + 4);
        assert!(got[4..] == sent[..]);
    });
}

#[test]
fn a_session_is_resumed_in_both_versions() {
    block_on(async {
        for word in ["TLSv1.2", "TLSv1.3"] {
            let mut protocols = Protocols::default();
            protocols.add(word);
            let offer = Offer { protocols, ..ServerSettings::default().offer };
            let server = server(ServerSettings { offer, ..ServerSettings::default() });
            let client = client(ClientSettings::default());
            for resumed in [false, true] {
                let (one, two) = shake(&server, &client, "example.com").await;
                let (mut one, mut two) = (one.unwrap(), two.unwrap());
                assert_eq!(one.tls().unwrap().protocol, word);
                assert_eq!(one.tls().unwrap().resumed, resumed, "{word}");
                // The client processes the tickets together with the response.
                one.send_all(&[b"ok"], SOON).await.unwrap();
                two.recv(&mut Vec::new(), 10, SOON).await.unwrap();
                assert!(two.is_idle_alive());
                one.close();
                two.readable(SOON).await.unwrap();
                assert!(!two.is_idle_alive());
            }
        }
    });
}

#[test]
fn client_certificates_are_judged_and_accepted() {
    block_on(async {
        let server = server(ServerSettings {
            verify_client: VerifyClient::On,
            client_authorities: root(),
            ..ServerSettings::default()
        });
        let (client_pem, middle) =
            (include_bytes!("fixtures/client.pem"), include_bytes!("fixtures/middle.pem"));
        let private = include_bytes!("fixtures/client.key");
        let chain = [&client_pem[..], &middle[..]].concat();
        for (pem, expected) in [
            (&chain[..], "SUCCESS"),
            (&client_pem[..], "FAILED:unable to verify the first certificate"),
        ] {
            let key = CertifiedKey::from_pem(pem, private, &[]).unwrap();
            let client = client(ClientSettings { key: Some(key), ..ClientSettings::default() });
            let (one, _two) = shake(&server, &client, "example.com").await;
            let one = one.unwrap();
            let info = one.tls().unwrap();
            assert_eq!(info.client_verify(), expected);
            let der = info.certificate().unwrap();
            assert_eq!(x509::subject(der).unwrap(), "CN=client,O=Weir,C=DE");
            assert_eq!(x509::issuer_legacy(der).unwrap(), "/CN=Test Middle");
            assert_eq!(x509::serial(der).unwrap(), "0ABC");
            assert_eq!(x509::fingerprint(der).len(), 40);
            assert!(x509::valid_until(der).unwrap().ends_with(" GMT"));
            assert!(x509::days_left(der, clock::wall_secs()).unwrap() > 10_000);
            assert_eq!(x509::pem(der), String::from_utf8_lossy(client_pem));
        }
        let (one, _two) = shake(&server, &client(ClientSettings::default()), "x").await;
        assert_eq!(one.unwrap().tls().unwrap().client_verify(), "NONE");
    });
}

#[test]
fn an_upstreams_certificate_must_be_valid_and_cover_its_name() {
    block_on(async {
        let server = server(ServerSettings::default());
        let trust = Trust { anchors: root(), revocation: Revocation::default() };
        let settings = ClientSettings { verify: true, trust, ..ClientSettings::default() };
        let good = client(settings.clone());
        assert!(shake(&server, &good, "example.com").await.1.is_ok());
        let error = shake(&server, &good, "example.net").await.1.unwrap_err();
        let told = "upstream SSL certificate does not match \"example.net\"";
        assert_eq!(error.to_string(), told);
        let bad = client(ClientSettings { trust: Trust::default(), ..settings });
        let error = shake(&server, &bad, "example.com").await.1.unwrap_err();
        let told =
            "upstream SSL certificate verify error: (21:unable to verify the first certificate)";
        assert_eq!(error.to_string(), told);
    });
}

#[test]
fn a_handshake_can_be_refused() {
    block_on(async {
        let (one, two) = pair();
        let accepting = spawn_joined(accept(one, |_| None, SOON));
        let error = connect(two, &client(ClientSettings::default()), "x", SOON).await.unwrap_err();
        assert!(matches!(error, HandshakeError::Tls(_)), "{error}");
        assert!(matches!(accepting.await.unwrap(), Err(HandshakeError::Rejected)));
    });
}

#[test]
fn plaintext_is_recognized_and_reported() {
    block_on(async {
        let (mut one, mut two) = pair();
        two.send_all(&[b"GET / HTTP/1.0\r\n\r\n"], SOON).await.unwrap();
        let first = std::future::poll_fn(|cx| one.poll_first_byte(cx)).await.unwrap();
        assert_eq!(first, Some(b'G'));
        let error = accept(one, |_| None, SOON).await.unwrap_err();
        assert!(matches!(error, HandshakeError::Tls(_)));
        let (one, two) = pair();
        drop(two);
        let error = accept(one, |_| None, SOON).await.unwrap_err();
        assert_eq!(error.to_string(), "peer closed connection in SSL handshake");
        let (one, _two) = pair();
        let error = accept(one, |_| None, Duration::from_millis(1)).await.unwrap_err();
        assert!(matches!(error, HandshakeError::TimedOut));
    });
}

#[test]
fn an_idle_connection_is_parked_and_closed_in_order() {
    block_on(async {
        let (send, mut woken) = tokio::sync::mpsc::unbounded_channel();
        let lot = Lot::new(move |conn, (), _, _| drop(send.send(conn)));
        let server = server(ServerSettings::default());
        let (one, two) = shake(&server, &client(ClientSettings::default()), "x").await;
        let (one, mut two) = (one.unwrap(), two.unwrap());
        lot.park(one, clock::now() + SOON, ()).unwrap();
        two.send_all(&[b"hello"], SOON).await.unwrap();
        let mut one = woken.recv().await.unwrap();
        let mut got = buffer::take(100);
        one.recv(&mut got, 100, SOON).await.unwrap();
        assert_eq!(&got[..], b"hello");
        lot.park(one, clock::now() + SOON, ()).unwrap();
        lot.take_if(|()| true).into_iter().for_each(|(conn, ..)| conn.close());
        assert_eq!(two.recv(&mut got, 10, SOON).await.unwrap(), 0);
    });
}

#[test]
fn a_key_must_match_its_certificate() {
    let (plain, sealed) =
        (include_bytes!("fixtures/rsa.key"), include_bytes!("fixtures/rsa-encrypted.key"));
    assert!(CertifiedKey::from_pem(RSA, plain, &[]).is_ok());
    assert!(CertifiedKey::from_pem(RSA, sealed, &[b"wrong", b"secret"]).is_ok());
    let error = CertifiedKey::from_pem(RSA, sealed, &[b"wrong"]).unwrap_err();
    assert!(error.message("c", "k").contains("bad decrypt"));
    assert_eq!(CertifiedKey::from_pem(RSA, SERVER_KEY, &[]).unwrap_err(), KeyError::Mismatch);
    let error = CertifiedKey::from_pem(b"", SERVER_KEY, &[]).unwrap_err();
    assert!(error.message("a.crt", "").starts_with("cannot load certificate \"a.crt\": PEM_read"));
    let error = CertifiedKey::from_pem(RSA, b"", &[]).unwrap_err();
    assert!(error.message("", "a.key").starts_with("cannot load certificate key \"a.key\": PEM"));
}

#[test]
fn each_client_gets_a_key_it_supports() {
    block_on(async {
        let rsa = CertifiedKey::from_pem(RSA, include_bytes!("fixtures/rsa.key"), &[]).unwrap();
        let settings = ServerSettings { keys: vec![rsa, key()], ..ServerSettings::default() };
        let server = Arc::new(ServerTls::new(settings, &mut Vec::new()).unwrap());
        for (ciphers, expected) in
            [("aRSA", "ECDHE-RSA-AES256-GCM-SHA384"), ("ECDSA", "ECDHE-ECDSA-AES256-GCM-SHA384")]
        {
            let mut protocols = Protocols::default();
            protocols.add("TLSv1.2");
            let offer = Offer::new(protocols, ciphers);
            let client = client(ClientSettings { offer, ..Default::default() });
            let (one, _two) = shake(&server, &client, "x").await;
            assert_eq!(one.unwrap().tls().unwrap().cipher(), expected);
        }
    });
}

#[test]
fn the_key_follows_from_shared_suites() {
    block_on(async {
        let rsa = CertifiedKey::from_pem(RSA, include_bytes!("fixtures/rsa.key"), &[]).unwrap();
        let both = Protocols::DEFAULT;
        let mut tls12 = Protocols::default();
        tls12.add("TLSv1.2");
        for (protocols, ciphers, is_rsa) in [
            (tls12, "ECDHE-RSA-AES128-GCM-SHA256", true),
            (tls12, "ECDHE-ECDSA-AES128-GCM-SHA256", false),
            (tls12, "HIGH", false),
            // With TLS 1.3, suites do not restrict the key type.
            (both, "ECDHE-RSA-AES128-GCM-SHA256", false),
        ] {
            let offer = Offer::new(protocols, ciphers);
            let keys = vec![rsa.clone(), key()];
            let settings = ServerSettings { keys, offer, ..ServerSettings::default() };
            let server = Arc::new(ServerTls::new(settings, &mut Vec::new()).unwrap());
            let client = client(ClientSettings::default());
            let (one, two) = shake(&server, &client, "x").await;
            one.unwrap();
            let shown = two.unwrap().tls().unwrap().certificates[0].clone();
            assert_eq!(shown == rsa.chain()[0], is_rsa, "{ciphers}");
        }
    });
}
