//! The TLS 1.3 suites, with keys that rustls and the connection share.
//!
//! rustls makes several copies and an allocation per record. So the connection itself encrypts and
//! decrypts records of application data in its own buffers (`session.rs`) and leaves all other
//! records, and the protocol, to rustls. Both use the same [`RecordKey`] with one record counter: a
//! record that either of them processes advances it, so no nonce is used twice.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use aws_lc_rs::aead::{self, Aad, LessSafeKey, UnboundKey};
use rustls::crypto::aws_lc_rs::cipher_suite as suites;
use rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, InboundPlainMessage, Iv, MessageDecrypter, MessageEncrypter,
    Nonce, OutboundOpaqueMessage, OutboundPlainMessage, PrefixedPayload, Tls13AeadAlgorithm,
    UnsupportedOperationError, make_tls13_aad,
};
use rustls::crypto::tls13::HkdfUsingHmac;
use rustls::{
    CipherSuiteCommon, ConnectionTrafficSecrets, ContentType, Error, ProtocolVersion,
    SupportedCipherSuite, Tls13CipherSuite,
};

use super::hello::Restoring;
use super::hkdf;

/// The length of a record header.
pub(super) const HEAD: usize = 5;

/// The bytes that follow the plaintext in a record: the content type and the tag.
pub(super) const TAIL: usize = 1 + TAG;

const TAG: usize = 16;

/// The maximum plaintext of a record (RFC 8446 section 5.1).
pub(super) const LARGEST_FRAGMENT: usize = 16 * 1024;

/// The maximum length of a received record, header included (RFC 8446 section 5.2).
pub(super) const LARGEST_RECORD: usize = HEAD + LARGEST_FRAGMENT + 256;

/// The content type of application data.
pub(super) const APPLICATION_DATA: u8 = 23;

/// The key of one direction with its record counter.
pub(super) struct RecordKey {
    key: LessSafeKey,
    iv: Iv,
    used: AtomicU64,
    /// The next record goes to rustls, whatever its type.
    passed: AtomicBool,
}

impl RecordKey {
    fn new(algorithm: &'static aead::Algorithm, key: &AeadKey, iv: Iv) -> Arc<Self> {
        let key = UnboundKey::new(algorithm, key.as_ref());
        let key = LessSafeKey::new(key.expect("rustls makes keys of the algorithm's length"));
        Arc::new(Self { key, iv, used: AtomicU64::new(0), passed: AtomicBool::new(false) })
    }

    /// Leaves the next record to rustls: it counts key updates and must see the application data
    /// between them.
    pub(super) fn pass_one(&self) {
        self.passed.store(true, Ordering::Relaxed);
    }

    /// The number of records processed with this key.
    pub(super) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    fn nonce(&self, number: u64) -> aead::Nonce {
        aead::Nonce::assume_unique_for_key(Nonce::new(&self.iv, number).0)
    }

    /// The nonce of the next record to send. Advances the counter.
    fn take_nonce(&self) -> aead::Nonce {
        self.nonce(self.used.fetch_add(1, Ordering::Relaxed))
    }

    /// Writes a record of application data. The length of `record` is that of the plaintext plus
    /// [`HEAD`] and [`TAIL`]; without `plain`, the plaintext already follows the header in
    /// `record`.
    pub(super) fn seal(&self, plain: Option<&[u8]>, record: &mut [u8]) -> Result<(), Error> {
        self.seal_as(APPLICATION_DATA, plain, record)
    }

    /// Like [`Self::seal`], for a record of the given content type.
    pub(super) fn seal_as(
        &self,
        kind: u8,
        plain: Option<&[u8]>,
        record: &mut [u8],
    ) -> Result<(), Error> {
        let (head, body) = record.split_at_mut(HEAD);
        // The additional data is the record header.
        let aad = make_tls13_aad(body.len());
        head.copy_from_slice(&aad);
        let (text, tail) = body.split_at_mut(body.len() - TAIL);
        let (nonce, aad, kind) = (self.take_nonce(), Aad::from(aad), [kind]);
        let sealed = match plain {
            Some(plain) => self.key.seal_out_of_place_scatter(nonce, aad, plain, text, &kind, tail),
            None => self.key.seal_in_place_scatter(nonce, aad, text, &kind, tail),
        };
        sealed.map_err(|_| Error::EncryptError)
    }

    /// Decrypts a whole record of application data into `into` and returns the plaintext's length.
    /// Returns `None`, with the counter unchanged, for every other and every invalid record: those
    /// are for rustls.
    pub(super) fn open(
        &self,
        record: &[u8],
        into: &mut [u8; LARGEST_FRAGMENT + 256],
    ) -> Option<usize> {
        if self.passed.load(Ordering::Relaxed) {
            return None;
        }
        let (head, body) = record.split_at_checked(HEAD)?;
        let (text, tag) = body.split_at_checked(body.len().checked_sub(TAG)?)?;
        let aad = make_tls13_aad(body.len());
        if head != aad {
            return None;
        }
        let number = self.used();
        let plain = into.get_mut(..text.len())?;
        self.key.open_separate_gather(self.nonce(number), Aad::from(aad), text, tag, plain).ok()?;
        // Zero padding follows the content type.
        let length = plain.iter().rposition(|&byte| byte != 0)?;
        if plain[length] != APPLICATION_DATA || length > LARGEST_FRAGMENT {
            return None;
        }
        self.used.store(number + 1, Ordering::Relaxed);
        Some(length)
    }
}

/// The keys that rustls currently uses.
#[derive(Default)]
pub(super) struct Keys {
    /// For sending.
    pub(super) outbound: Option<Arc<RecordKey>>,
    /// For receiving.
    pub(super) inbound: Option<Arc<RecordKey>>,
}

impl Keys {
    /// Runs `run` and adopts any new keys that rustls switches to meanwhile.
    pub(super) fn follow<T>(&mut self, run: impl FnOnce() -> T) -> T {
        MADE.set(Some(Self::default()));
        let done = run();
        if let Some(made) = MADE.take() {
            self.outbound = made.outbound.or(self.outbound.take());
            self.inbound = made.inbound.or(self.inbound.take());
        }
        done
    }
}

thread_local! {
    /// The latest keys, recorded during [`Keys::follow`]. rustls creates a key when it starts to
    /// use it, or when only the peer's next message comes before that.
    static MADE: RefCell<Option<Keys>> = const { RefCell::new(None) };
}

fn note(note: impl FnOnce(&mut Keys)) {
    MADE.with_borrow_mut(|made| made.as_mut().map(note));
}

/// An AEAD of rustls whose keys are shared with the connection.
struct SharedAead {
    algorithm: &'static aead::Algorithm,
    theirs: &'static dyn Tls13AeadAlgorithm,
}

impl Tls13AeadAlgorithm for SharedAead {
    fn encrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageEncrypter> {
        let key = RecordKey::new(self.algorithm, &key, iv);
        note(|keys| keys.outbound = Some(Arc::clone(&key)));
        Box::new(Theirs(key))
    }

    fn decrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageDecrypter> {
        let key = RecordKey::new(self.algorithm, &key, iv);
        note(|keys| keys.inbound = Some(Arc::clone(&key)));
        Box::new(Theirs(key))
    }

    fn key_len(&self) -> usize {
        self.theirs.key_len()
    }

    fn extract_keys(
        &self,
        key: AeadKey,
        iv: Iv,
    ) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        self.theirs.extract_keys(key, iv)
    }
}

/// A key as rustls uses it. The sequence numbers that rustls passes are ignored: it counts only its
/// own records.
struct Theirs(Arc<RecordKey>);

impl MessageEncrypter for Theirs {
    fn encrypt(
        &mut self,
        message: OutboundPlainMessage<'_>,
        _number: u64,
    ) -> Result<OutboundOpaqueMessage, Error> {
        let length = self.encrypted_payload_len(message.payload.len());
        let mut payload = PrefixedPayload::with_capacity(length);
        payload.extend_from_chunks(&message.payload);
        payload.extend_from_slice(&[u8::from(message.typ)]);
        let aad = Aad::from(make_tls13_aad(length));
        self.0
            .key
            .seal_in_place_append_tag(self.0.take_nonce(), aad, &mut payload)
            .map_err(|_| Error::EncryptError)?;
        let (kind, version) = (ContentType::ApplicationData, ProtocolVersion::TLSv1_2);
        Ok(OutboundOpaqueMessage::new(kind, version, payload))
    }

    fn encrypted_payload_len(&self, length: usize) -> usize {
        length + TAIL
    }
}

impl MessageDecrypter for Theirs {
    fn decrypt<'a>(
        &mut self,
        mut message: InboundOpaqueMessage<'a>,
        _number: u64,
    ) -> Result<InboundPlainMessage<'a>, Error> {
        let payload = &mut message.payload;
        let aad = Aad::from(make_tls13_aad(payload.len()));
        let number = self.0.used();
        let opened = self.0.key.open_in_place(self.0.nonce(number), aad, payload);
        let length = opened.map_err(|_| Error::DecryptError)?.len();
        self.0.used.store(number + 1, Ordering::Relaxed);
        self.0.passed.store(false, Ordering::Relaxed);
        payload.truncate(length);
        message.into_tls13_unpadded_message()
    }
}

/// The TLS 1.3 suites in order of preference.
pub(super) fn tls13() -> [SupportedCipherSuite; 3] {
    static ALL: LazyLock<[SupportedCipherSuite; 3]> = LazyLock::new(|| {
        [
            shared(suites::TLS13_AES_256_GCM_SHA384, &aead::AES_256_GCM, &hkdf::SHA384),
            shared(suites::TLS13_CHACHA20_POLY1305_SHA256, &aead::CHACHA20_POLY1305, &hkdf::SHA256),
            shared(suites::TLS13_AES_128_GCM_SHA256, &aead::AES_128_GCM, &hkdf::SHA256),
        ]
    });
    *ALL
}

/// A suite of rustls with shared keys and our key derivation. Called once per suite.
fn shared(
    theirs: SupportedCipherSuite,
    algorithm: &'static aead::Algorithm,
    hkdf_provider: &'static HkdfUsingHmac<'static>,
) -> SupportedCipherSuite {
    let Some(suite) = theirs.tls13() else { return theirs };
    let common = CipherSuiteCommon {
        suite: suite.common.suite,
        hash_provider: Box::leak(Box::new(Restoring(suite.common.hash_provider))),
        confidentiality_limit: suite.common.confidentiality_limit,
    };
    let aead_alg = Box::leak(Box::new(SharedAead { algorithm, theirs: suite.aead_alg }));
    SupportedCipherSuite::Tls13(Box::leak(Box::new(Tls13CipherSuite {
        common,
        hkdf_provider,
        aead_alg,
        quic: suite.quic,
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The keys of both ends of one direction.
    fn pair() -> (Arc<RecordKey>, Arc<RecordKey>) {
        let key = || RecordKey::new(&aead::AES_256_GCM, &AeadKey::from([7; 32]), Iv::new([9; 12]));
        (key(), key())
    }

    fn sealed(key: &RecordKey, plain: &[u8]) -> Vec<u8> {
        let mut record = vec![0; HEAD + plain.len() + TAIL];
        key.seal(Some(plain), &mut record).unwrap();
        record
    }

    /// A record with this inner plaintext: content, type and padding.
    fn inner(key: &RecordKey, inner: &[u8]) -> Vec<u8> {
        let aad = make_tls13_aad(inner.len() + TAG);
        let mut body = inner.to_vec();
        key.key.seal_in_place_append_tag(key.take_nonce(), Aad::from(aad), &mut body).unwrap();
        [&aad[..], &body].concat()
    }

    fn open(key: &RecordKey, record: &[u8]) -> Option<Vec<u8>> {
        let mut into = [0; LARGEST_FRAGMENT + 256];
        key.open(record, &mut into).map(|length| into[..length].to_vec())
    }

    #[test]
    fn each_record_has_its_own_number() {
        let (one, two) = pair();
        let records = [sealed(&one, b"same"), sealed(&one, b"same")];
        assert_ne!(records[0], records[1]);
        assert_eq!(open(&two, &records[1]), None);
        assert_eq!(open(&two, &records[0]).as_deref(), Some(&b"same"[..]));
        assert_eq!(open(&two, &records[0]), None);
        assert_eq!(open(&two, &records[1]).as_deref(), Some(&b"same"[..]));
        assert_eq!((one.used(), two.used()), (2, 2));
    }

    #[test]
    fn plaintext_may_already_be_in_the_record() {
        let (one, two) = pair();
        let mut record = [&[0; HEAD][..], b"plain", &[0; TAIL]].concat();
        one.seal(None, &mut record).unwrap();
        assert_eq!(record, sealed(&two, b"plain"));
    }

    #[test]
    fn padding_is_ignored() {
        let (one, two) = pair();
        let record = inner(&one, b"ab\0\x17\0\0\0");
        assert_eq!(open(&two, &record).as_deref(), Some(&b"ab\0"[..]));
        assert_eq!(open(&two, &inner(&one, &[23])).as_deref(), Some(&b""[..]));
        let long = [&[1; LARGEST_FRAGMENT][..], &[23, 0]].concat();
        assert_eq!(open(&two, &inner(&one, &long)).map(|all| all.len()), Some(LARGEST_FRAGMENT));
    }

    #[test]
    fn records_for_rustls_leave_the_key_unchanged() {
        let (one, two) = pair();
        let too_long = [&[1; LARGEST_FRAGMENT + 1][..], &[23]].concat();
        for content in [&b"\x01\0\x15"[..], b"\0\0", b"", &too_long] {
            let record = inner(&one, content);
            assert_eq!(open(&two, &record), None);
            // rustls would count the record.
            assert_eq!(two.used.fetch_add(1, Ordering::Relaxed) + 1, one.used());
        }
        let good = sealed(&one, b"text");
        for at in 0..good.len() {
            let mut changed = good.clone();
            changed[at] ^= 1;
            assert_eq!(open(&two, &changed), None);
        }
        assert_eq!(open(&two, &good[..HEAD]), None);
        assert_eq!(open(&two, &good).as_deref(), Some(&b"text"[..]));
    }

    #[test]
    fn only_keys_made_while_following_are_adopted() {
        let suite = tls13()[0].tls13().unwrap();
        let make = || drop(suite.aead_alg.encrypter(AeadKey::from([1; 32]), Iv::new([2; 12])));
        let mut keys = Keys::default();
        make();
        keys.follow(|| ());
        assert!(keys.outbound.is_none());
        keys.follow(make);
        let first = keys.outbound.clone().unwrap();
        keys.follow(|| ());
        assert!(Arc::ptr_eq(&first, keys.outbound.as_ref().unwrap()));
        keys.follow(make);
        assert!(!Arc::ptr_eq(&first, keys.outbound.as_ref().unwrap()));
        assert!(keys.inbound.is_none());
    }
}
