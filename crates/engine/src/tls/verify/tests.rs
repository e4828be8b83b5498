use rustls::pki_types::CertificateRevocationListDer;

use super::list::List;
use super::*;
use crate::tls::keys::{certificates_from_pem, crls_from_pem};

mod cost;
mod differential;
mod forge;
mod ocsp;
mod paths;
mod written;

const NOW: i64 = 1_900_000_000;

fn read(pem: &[u8]) -> Vec<CertificateDer<'static>> {
    certificates_from_pem(pem).unwrap()
}

fn root() -> Vec<CertificateDer<'static>> {
    read(include_bytes!("../fixtures/root.pem"))
}

fn client() -> Vec<CertificateDer<'static>> {
    let mut chain = read(include_bytes!("../fixtures/client.pem"));
    chain.extend(read(include_bytes!("../fixtures/middle.pem")));
    chain
}

fn verify(
    chain: &[CertificateDer<'_>],
    trust: &Trust,
    purpose: Purpose,
    depth: u32,
    now: i64,
) -> Verdict {
    Judge::new(trust, purpose, depth).judge(chain, now)
}

/// Revocation lists as if read from a file.
fn lists(all: &[CertificateRevocationListDer<'_>]) -> Revocation {
    let file: Vec<u8> = all.iter().flat_map(|list| list.to_vec()).collect();
    let read = || all.iter().map(|list| List::read(list)).collect();
    Revocation::of_file(&file, read).unwrap_or_default()
}

fn check(chain: &[CertificateDer<'_>], trust: &Trust, depth: u32) -> Result<(), u32> {
    match verify(chain, trust, Purpose::Client, depth, NOW) {
        Verdict::Invalid(fault) => Err(fault.code),
        _ => Ok(()),
    }
}

fn trusting(anchors: Vec<CertificateDer<'static>>) -> Trust {
    Trust { anchors, revocation: Revocation::default() }
}

#[test]
fn a_path_uses_the_peers_intermediates() {
    let trust = trusting(root());
    assert_eq!(check(&client(), &trust, 1), Ok(()));
    assert_eq!(check(&client()[..1], &trust, 1), Err(21));
    assert_eq!(check(&client(), &trust, 0), Err(20));
    assert_eq!(check(&client(), &trusting(Vec::new()), 1), Err(20));
    let chain = [client(), root()].concat();
    assert_eq!(check(&chain, &trusting(Vec::new()), 1), Err(19));
}

#[test]
fn a_self_signed_certificate_must_be_an_anchor() {
    let own = read(include_bytes!("../fixtures/rsa.pem"));
    assert_eq!(check(&own, &trusting(own.clone()), 1), Ok(()));
    assert_eq!(check(&own, &trusting(root()), 1), Err(18));
}

#[test]
fn times_and_purpose_are_checked() {
    let trust = trusting(root());
    let early = verify(&client(), &trust, Purpose::Client, 1, 0);
    assert_eq!(early, Verdict::Invalid(Fault::NOT_YET));
    let late = verify(&client(), &trust, Purpose::Client, 1, i64::MAX / 2);
    assert_eq!(late, Verdict::Invalid(Fault::EXPIRED));
    let wrong = verify(&client(), &trust, Purpose::Server, 1, NOW);
    assert_eq!(wrong, Verdict::Invalid(Fault::PURPOSE));
}

#[test]
fn a_leaf_issues_nothing() {
    // The leaf poses as the authority: no name matches.
    let mut chain = client();
    chain.swap(0, 1);
    assert_eq!(check(&chain[..1], &trusting(vec![client()[0].clone()]), 1), Err(21));
}

#[test]
fn a_changed_certificate_is_refused() {
    let mut bytes = client()[0].to_vec();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    let chain = [vec![CertificateDer::from(bytes)], client()[1..].to_vec()].concat();
    assert_eq!(check(&chain, &trusting(root()), 1), Err(7));
}

#[test]
fn revocation_lists_must_cover_the_path() {
    let old = read(include_bytes!("../fixtures/old.pem"));
    let good = crls_from_pem(include_bytes!("../fixtures/root.crl")).unwrap();
    let revoked = crls_from_pem(include_bytes!("../fixtures/revoked.crl")).unwrap();
    let trust = |revocation| Trust { anchors: root(), revocation };
    assert_eq!(check(&old, &trust(Revocation::default()), 1), Ok(()));
    assert_eq!(check(&old, &trust(good.clone()), 1), Ok(()));
    assert_eq!(check(&old, &trust(revoked), 1), Err(23));
    // The intermediate authority has no list.
    assert_eq!(check(&client(), &trust(good), 1), Err(3));
}

#[test]
fn alternative_names_precede_the_common_name() {
    let server = &read(include_bytes!("../fixtures/server.pem"))[0];
    assert!(is_for(server, "example.com"));
    assert!(is_for(server, "a.example.org"));
    assert!(is_for(server, "127.0.0.1"));
    assert!(!is_for(server, "ignored"));
    let rsa = &read(include_bytes!("../fixtures/rsa.pem"))[0];
    assert!(is_for(rsa, "rsa.example.com"));
}
