use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::addr::Addr;
use crate::connection::Conn;
use crate::digest::sha256;
use crate::event_loop::{block_on, spawn_joined};
use crate::tls::{
    ClientSettings, SelfSigned, ServerSettings, accept, certificates_from_pem, connect,
};

const SOON: Duration = Duration::from_secs(5);

const ALPN: &[&[u8]] = &[b"test"];

struct Node {
    key: CertifiedKey,
    certificate: CertificateDer<'static>,
}

fn node(name: &str) -> Node {
    let made = SelfSigned::new(name).unwrap();
    let (certificate, key) = (made.certificate.as_bytes(), made.key.as_bytes());
    Node {
        key: CertifiedKey::from_pem(certificate, key, &[]).unwrap(),
        certificate: certificates_from_pem(certificate).unwrap().remove(0),
    }
}

/// Whether data passes from the client to the server, or the error of the accepting side.
async fn passes(server: ServerTls, client: &ClientTls) -> Result<(), HandshakeError> {
    let (one, two) = UnixStream::pair().unwrap();
    let [one, two] = [one, two].map(|end| {
        end.set_nonblocking(true).unwrap();
        Conn::from_fd(end.into(), Addr::Unix(None))
    });
    let accepting = spawn_joined(async move {
        let server = Arc::new(server);
        let mut conn = accept(one, move |_| Some((server, ALPN)), SOON).await?;
        let mut got = Vec::new();
        conn.recv(&mut got, 10, SOON).await?;
        assert_eq!(got, b"hello");
        assert_eq!(conn.tls().unwrap().protocol, "TLSv1.3");
        Ok(())
    });
    let connected = connect(two, client, "", SOON).await;
    let mut conn = match connected {
        Ok(conn) => conn,
        Err(error) => {
            accepting.await.unwrap().unwrap_err();
            return Err(error);
        }
    };
    let _ = conn.send_all(&[b"hello"], SOON).await;
    accepting.await.unwrap()
}

#[test]
fn pinned_certificates_alone_are_accepted() {
    block_on(async {
        let (a, b, stranger) = (node("a"), node("b"), node("b"));
        let server = |pins| ServerTls::pinned(a.key.clone(), pins).unwrap();
        let client =
            |key: &CertifiedKey, pins| ClientTls::pinned(key.clone(), pins, b"test").unwrap();
        let pins_b = || Pins::These(vec![stranger.certificate.clone(), b.certificate.clone()]);
        let pins_a = || Pins::Digest(sha256(&[&a.certificate]));
        passes(server(pins_b()), &client(&b.key, pins_a())).await.unwrap();
        passes(server(Pins::Any), &client(&stranger.key, pins_a())).await.unwrap();

        let only_b = Pins::These(vec![b.certificate.clone()]);
        let refused = passes(server(only_b), &client(&stranger.key, pins_a())).await;
        assert!(refused.unwrap_err().is_about_pins());
        let refused = passes(server(Pins::These(Vec::new())), &client(&b.key, pins_a())).await;
        assert!(refused.unwrap_err().is_about_pins());
        // The connecting side refuses another server.
        let wrong = Pins::Digest(sha256(&[&b.certificate]));
        let refused = passes(server(pins_b()), &client(&b.key, wrong)).await;
        assert!(refused.unwrap_err().is_about_pins());
    });
}

#[test]
fn a_certificate_is_required_and_so_is_its_key() {
    block_on(async {
        let (a, b) = (node("a"), node("b"));
        let server = |pins| ServerTls::pinned(a.key.clone(), pins).unwrap();
        let none = ClientSettings { alpn: vec![b"test".to_vec()], ..ClientSettings::default() };
        let none = ClientTls::new(none, &mut Vec::new()).unwrap();
        let refused = passes(server(Pins::Any), &none).await;
        assert!(refused.unwrap_err().is_about_pins());
        // A stranger with the certificate and another key.
        let stranger = node("b");
        let thief = rustls::sign::CertifiedKey::new(
            vec![b.certificate.clone()],
            Arc::clone(&stranger.key.key.key),
        );
        let thief = CertifiedKey::new(thief);
        let pins = || Pins::These(vec![b.certificate.clone()]);
        let client = ClientTls::pinned(thief, Pins::Any, b"test").unwrap();
        let refused = passes(server(pins()), &client).await.unwrap_err();
        assert!(refused.is_about_pins(), "{refused}");
        // A server that would speak TLS 1.2, too, has no certificate that is pinned.
        let settings = ServerSettings { keys: vec![a.key.clone()], ..ServerSettings::default() };
        let other = ServerTls::new(settings, &mut Vec::new()).unwrap();
        let client = ClientTls::pinned(b.key.clone(), pins(), b"test").unwrap();
        assert!(passes(other, &client).await.is_err());
    });
}
