//! A partner that is not Weir: it has the key of node "b" and says what it likes.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, StreamOwned,
};

use super::node::weir;
use super::*;
use crate::harness::{PATIENCE, Port, is_nginx, until};

type Stream = StreamOwned<ClientConnection, TcpStream>;

/// Takes any certificate.
#[derive(Debug)]
struct Any;

impl ServerCertVerifier for Any {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// Connects to node "a" by TLS. `identity` is a folder with a key and a certificate.
pub(super) fn connect(
    port: &Port,
    identity: Option<&Path>,
    alpn: &[u8],
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> Stream {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Any));
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(folder) => {
            let chain = CertificateDer::pem_file_iter(folder.join("certificate.pem")).unwrap();
            let key = PrivateKeyDer::from_pem_file(folder.join("key.pem")).unwrap();
            builder.with_client_auth_cert(chain.map(Result::unwrap).collect(), key).unwrap()
        }
    };
    config.alpn_protocols = vec![alpn.to_vec()];
    let name = ServerName::try_from("a").unwrap();
    let tls = ClientConnection::new(Arc::new(config), name).unwrap();
    let tcp = TcpStream::connect(("127.0.0.1", port.number())).unwrap();
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    StreamOwned::new(tls, tcp)
}

/// Everything until the end of the connection; the error, if it ended with one.
pub(super) fn rest(stream: &mut Stream) -> (Vec<u8>, Option<std::io::Error>) {
    let mut bytes = Vec::new();
    let error = stream.read_to_end(&mut bytes).err();
    (bytes, error)
}

fn frame(kind: u8, content: &[u8]) -> Vec<u8> {
    let length = (content.len() as u32).to_be_bytes();
    [&[kind], &length[1..], content].concat()
}

/// A hello of node "b".
fn hello(versions: [u16; 2], pair: &[u8], name: &str) -> Vec<u8> {
    let mut content = b"WEIR".to_vec();
    versions.iter().for_each(|version| content.extend_from_slice(&version.to_be_bytes()));
    for text in ["9.9", name] {
        content.push(text.len() as u8);
        content.extend_from_slice(text.as_bytes());
    }
    content.extend_from_slice(pair);
    content.extend_from_slice(&[7; 40]);
    frame(1, &content)
}

/// Node "a", and the folder of the identity of a node "b" that does not run.
fn alone(port: &Port) -> (Node, Node, std::path::PathBuf) {
    let (a, mut b) = pair(port);
    let folder = b.server.directory().join("state/ha");
    b.server.signal(crate::harness::Signal::TERM);
    assert!(b.server.wait_exit());
    a.wait_lines("link to node \"b\" is down", 1);
    (a, b, folder)
}

fn number_of_pair(folder: &Path) -> Vec<u8> {
    let text = std::fs::read_to_string(folder.join("pair")).unwrap();
    let digits = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..32).step_by(2).map(digits).collect()
}

const TLS13: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13];

#[test]
fn a_partner_that_does_not_fit_is_refused_by_name() {
    if is_nginx() {
        return;
    }
    let port = Port::reserve();
    let (a, _b, folder) = alone(&port);
    let pair = number_of_pair(&folder);
    for (hello, reason) in [
        (
            hello([2, 9], &pair, "b"),
            "node \"b\" runs Weir 9.9, whose links speak versions 2 to 9; this node runs Weir 0.1.0, \
             whose links speak version 1: upgrade the older one",
        ),
        (hello([1, 1], &[0; 16], "b"), "node \"b\" belongs to another pair"),
        (
            hello([1, 1], &pair, "c"),
            "the node calls itself \"c\", but its certificate is pinned as \"b\"",
        ),
        (frame(1, b"what?"), "its first message is no hello"),
        (frame(3, b"{}"), "it has sent a frame out of turn"),
        (b"\x11\xff\xff\xff".to_vec(), "it has sent a frame of 16777215 bytes"),
    ] {
        let mut stream = connect(&port, Some(&folder), b"weir-link", TLS13);
        stream.write_all(&hello).unwrap();
        let (answer, _) = rest(&mut stream);
        // The other side can tell the reason as well.
        assert!(answer.windows(4).any(|part| part == b"WEIR"), "{answer:?}");
        a.wait_lines(&format!("no link to node \"b\": {reason}"), 1);
        // The status shows the last attempt, which may have been this node's own.
        until("the reason in the status", || {
            let mut stream = connect(&port, Some(&folder), b"weir-link", TLS13);
            stream.write_all(&hello).unwrap();
            rest(&mut stream);
            let shown = a.status()["links"]["links"][0]["reason"].as_str().map(str::to_owned);
            shown.is_some_and(|shown| shown.starts_with(reason))
        });
    }
    assert_eq!(a.server.text("/"), "here");
}

#[test]
fn a_partner_may_not_do_what_it_likes() {
    if is_nginx() {
        return;
    }
    let port = Port::reserve();
    let (a, _b, folder) = alone(&port);
    let pair = number_of_pair(&folder);
    let linked = || {
        let mut stream = connect(&port, Some(&folder), b"weir-link", TLS13);
        stream.write_all(&hello([1, 1], &pair, "b")).unwrap();
        stream
    };
    // It never sends a status, or sends its hello twice, or a message without end.
    let mut silent = linked();
    rest(&mut silent);
    a.wait_lines("link to node \"b\" is down: nothing has come from it for 3 s", 1);
    let mut twice = linked();
    twice.write_all(&hello([1, 1], &pair, "b")).unwrap();
    rest(&mut twice);
    a.wait_lines("is down: it has sent a frame out of turn", 1);
    let mut endless = linked();
    let piece = frame(18 | 0x80, &[0; 16_384]);
    while endless.write_all(&piece).is_ok() {}
    a.wait_lines("is down: it has sent a message of more than 262144 bytes", 1);
    // It takes nothing, and sends on.
    let mut stuck = linked();
    let status = frame(3, b"{\"weir\":\"9.9\"}");
    let closed = std::cell::Cell::new(false);
    until("the end of a link that takes nothing", || {
        // The socket's buffer is small against a status a second only in the long run: the
        // statuses of this node are taken by the kernel. A flood shows that it is read no faster
        // than it may be.
        closed.set(stuck.write_all(&status.repeat(100)).is_err());
        closed.get() || a.status()["links"]["links"][0]["status"]["weir"] == "9.9"
    });
    assert_eq!(a.server.text("/"), "here");
    drop(stuck);
    // The same hello again is another link, and no more than that.
    let mut first = linked();
    let mut second = linked();
    first.sock.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let (farewell, _) = rest(&mut first);
    assert!(farewell.ends_with(b"another link is kept"), "{farewell:?}");
    second.write_all(&status).unwrap();
    a.wait_status("link to b: up");
}

#[test]
fn a_partner_of_another_binary_is_linked_and_shown() {
    if is_nginx() {
        return;
    }
    let port = Port::reserve();
    let (a, _b, folder) = alone(&port);
    let pair = number_of_pair(&folder);
    // A later Weir that still speaks the links' version 1.
    let mut stream = connect(&port, Some(&folder), b"weir-link", TLS13);
    stream.write_all(&hello([1, 3], &pair, "b")).unwrap();
    a.wait_lines("link to node \"b\" is up (Weir 9.9, version 1)", 1);
    let status = frame(3, b"{\"weir\":\"9.9\",\"later\":true}");
    let shown = || {
        let output = weir(a.server.directory().path(), &["status"]);
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    until("the difference", || {
        stream.write_all(&status).unwrap();
        shown()
            .contains("  b runs Weir 9.9 and this node Weir 0.1.0; their links speak version 1\n")
    });
    assert!(shown().contains("link to b: up"));
}
