//! Entry points for fuzzing: no input may cause a panic.

use rustls::pki_types::CertificateDer;

use super::hello::{self, Received};
use super::keys::{CertifiedKey, crls_from_pem};
use super::tickets::Tickets;
use super::verify::list::List;
use super::verify::ocsp::{self, Belief, OcspJudge, Question};
use super::verify::{Judge, Purpose, Revocation, Trust, is_for};
use super::x509;

/// The maximum path depth, and a time at which the seed certificates are valid.
const DEPTH: u32 = 9;
const NOW: i64 = 1_900_000_000;

/// Judges a peer's certificates against trust anchors and revocation lists, and formats the
/// results. The bytes are records of a one-byte kind, a two-byte length and the content. Kinds are
/// peer certificates (0), trust anchors (1) and revocation lists (2).
pub fn certificates(bytes: &[u8]) {
    let (mut chain, mut anchors, mut lists) = (Vec::new(), Vec::new(), Vec::new());
    let mut rest = bytes;
    while let [kind, high, low, tail @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(tail.len());
        let (record, tail) = tail.split_at(length);
        match kind % 3 {
            0 => chain.push(CertificateDer::from(record.to_vec())),
            1 => anchors.push(CertificateDer::from(record.to_vec())),
            _ => lists.extend(List::read(record)),
        }
        rest = tail;
    }
    for der in &chain {
        let texts = [
            x509::subject,
            x509::issuer,
            x509::subject_legacy,
            x509::issuer_legacy,
            x509::serial,
            x509::valid_from,
            x509::valid_until,
        ];
        for text in texts.iter().filter_map(|text| text(der)) {
            assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{text:?}");
        }
        let _ = x509::days_left(der, NOW);
        let _ = is_for(der, "a.test");
    }
    let revocation = Revocation::of_file(bytes, || Some(lists)).unwrap_or_default();
    let trust = Trust { anchors, revocation };
    for purpose in [Purpose::Client, Purpose::Server] {
        let _ = Judge::new(&trust, purpose, DEPTH).judge(&chain, NOW);
    }
}

/// Judges responses of OCSP responders. The bytes are records as for [`certificates`]; kinds are
/// responses (0), certificates at hand, of which the first is in question and issued by the last
/// (1), and trust anchors (2).
pub fn ocsp_responses(bytes: &[u8]) {
    let (mut responses, mut known, mut anchors) = (Vec::new(), Vec::new(), Vec::new());
    let mut rest = bytes;
    while let [kind, high, low, tail @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(tail.len());
        let (record, tail) = tail.split_at(length);
        match kind % 3 {
            0 => responses.push(record),
            1 => known.push(CertificateDer::from(record.to_vec())),
            _ => anchors.push(CertificateDer::from(record.to_vec())),
        }
        rest = tail;
    }
    let (Some(leaf), Some(issuer)) = (known.first(), known.last()) else { return };
    let _ = ocsp::responder_url(leaf);
    let judge = OcspJudge::new(&Trust { anchors, revocation: Revocation::default() });
    let _ = judge.issuer(leaf, &known, NOW);
    let Some(question) = Question::new(leaf, issuer) else { return };
    assert!(!question.request().is_empty());
    for response in responses {
        for belief in [Belief::Anyone, Belief::Known, Belief::Delegates] {
            if let Err(error) = judge.judge(response, &question, (&known, belief), NOW) {
                assert!(!error.to_string().contains('\n'));
            }
        }
    }
}

/// Parses a client's first records as a handshake does, hides the name from rustls, and checks that
/// restoring yields the original bytes.
pub fn client_hello(bytes: &[u8]) {
    let Received::Whole(message) = hello::receive(bytes) else { return };
    let _ = message.version();
    let Some(named) = message.named() else { return };
    let _ = named.is_refused();
    let sent = message.bytes().to_vec();
    let mut received = bytes.to_vec();
    let hidden = message.hide(&named, &mut received);
    let Received::Whole(seen) = hello::receive(&received) else {
        panic!("hiding a name has broken the message");
    };
    hello::restoring(Some(&hidden), || assert_eq!(hello::restored(seen.bytes()), sent));
}

/// Decrypts a ticket with keys from a file.
pub fn session_ticket(bytes: &[u8]) {
    for length in [48, 80] {
        let tickets = Tickets::from_files(&[&[0; 80][..length]], 1).expect("the right length");
        assert_eq!(tickets.decrypt(bytes), None, "no ticket was made with these keys");
    }
}

/// Reads a file as certificates with their key, as a chain, and as revocation lists.
pub fn key_file(bytes: &[u8]) {
    let _ = CertifiedKey::from_pem(bytes, bytes, &[b"password"]);
    let _ = crls_from_pem(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEEDS: [&[u8]; 6] = [
        include_bytes!("../../../../fuzz/seeds/certificates/0"),
        include_bytes!("../../../../fuzz/seeds/certificates/1"),
        include_bytes!("../../../../fuzz/seeds/certificates/2"),
        include_bytes!("../../../../fuzz/seeds/certificates/3"),
        include_bytes!("../../../../fuzz/seeds/certificates/4"),
        include_bytes!("../../../../fuzz/seeds/certificates/5"),
    ];

    /// Flips bits, removes ranges and inserts bytes.
    fn garble(rng: &mut fastrand::Rng, bytes: &mut Vec<u8>) {
        let at = rng.usize(..bytes.len());
        let end = (at + rng.usize(1..40)).min(bytes.len());
        match rng.u8(..5) {
            0 => drop(bytes.drain(at..end)),
            1 => {
                let piece = bytes[at..end].to_vec();
                let to = rng.usize(..bytes.len());
                bytes.splice(to..to, piece);
            }
            2 => bytes[at..end].fill(rng.u8(..)),
            _ => bytes[at] ^= 1 << rng.u8(..8),
        }
    }

    #[test]
    fn whatever_comes_is_judged() {
        let count = std::env::var("WEIR_GARBLED").map_or(900, |count| count.parse().unwrap());
        for seed in 0..count {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut bytes = SEEDS[seed as usize % SEEDS.len()].to_vec();
            for _ in 0..rng.usize(..4) {
                garble(&mut rng, &mut bytes);
            }
            certificates(&bytes);
        }
    }
}
