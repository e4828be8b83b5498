//! Trust anchors and revocation lists, parsed once for all settings with equal contents.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use aws_lc_rs::digest::{Context, SHA256};
use rustls::pki_types::CertificateDer;

use super::certificate::Certificate;
use super::list::List;

/// The configured trust.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// The certificates of authorities, as DER.
    pub anchors: Vec<CertificateDer<'static>>,
    /// If not empty, every certificate of a path must be covered by one of these lists.
    pub revocation: Revocation,
}

/// Certificate revocation lists. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Revocation(Option<Arc<Vec<List>>>);

type Digest = [u8; 32];

/// Values in use, by the digest of their source: lists of several megabytes that a hundred servers
/// name are in memory once, and a reload does not parse them again.
type Interned<T> = LazyLock<Mutex<HashMap<Digest, Weak<T>>>>;

impl Revocation {
    /// The lists of a file, parsed by `read` unless in use already. `None` if there are none or one
    /// is malformed.
    pub(in super::super) fn of_file(
        file: &[u8],
        read: impl FnOnce() -> Option<Vec<List>>,
    ) -> Option<Self> {
        static LISTS: Interned<Vec<List>> = LazyLock::new(Mutex::default);
        let lists = shared(&LISTS, digest([file]), || read().filter(|lists| !lists.is_empty()));
        lists.map(|lists| Self(Some(lists)))
    }

    /// Whether no lists are configured, so that revocation is not checked.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    fn lists(&self) -> &[List] {
        self.0.as_deref().map_or(&[], Vec::as_slice)
    }

    /// An identifier, unique while these lists are held.
    fn place(&self) -> usize {
        self.0.as_ref().map_or(0, |lists| Arc::as_ptr(lists).addr())
    }
}

/// Parsed trust.
#[derive(Debug)]
pub(in super::super) struct Facts {
    identity: u64,
    /// Sorted by subject; anchors of one subject in the configured order.
    anchors: Vec<Arc<Certificate>>,
    revocation: Revocation,
}

impl Facts {
    /// Parses the configured trust, unless an equal one is in use.
    pub(in super::super) fn of(trust: &Trust) -> Arc<Self> {
        static FACTS: Interned<Facts> = LazyLock::new(Mutex::default);
        let anchors: Vec<Digest> = trust.anchors.iter().map(|der| digest([&der[..]])).collect();
        // Facts hold their lists, so an address is not reused while they can be found.
        let lists = trust.revocation.place().to_be_bytes();
        let key = digest(anchors.iter().map(|digest| &digest[..]).chain([&lists[..]]));
        let make = || Self::read(trust, &anchors);
        shared(&FACTS, key, || Some(make())).unwrap_or_else(|| Arc::new(make()))
    }

    fn read(trust: &Trust, digests: &[Digest]) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        static CERTIFICATES: Interned<Certificate> = LazyLock::new(Mutex::default);
        let read = |(der, digest): (&CertificateDer<'_>, &Digest)| {
            shared(&CERTIFICATES, *digest, || Certificate::read(der))
        };
        let mut anchors: Vec<_> = trust.anchors.iter().zip(digests).filter_map(read).collect();
        anchors.sort_by(|one, other| one.subject.cmp(&other.subject));
        Self {
            identity: NEXT.fetch_add(1, Ordering::Relaxed),
            anchors,
            revocation: trust.revocation.clone(),
        }
    }

    /// A unique number, kept by equal trust while any holder is left.
    pub(super) fn identity(&self) -> u64 {
        self.identity
    }

    /// The anchors of this subject, given in canonical form.
    pub(super) fn named(&self, subject: &[u8]) -> impl Iterator<Item = &Certificate> {
        let start = self.anchors.partition_point(|anchor| *anchor.subject < *subject);
        let rest = self.anchors[start..].iter();
        rest.take_while(move |anchor| *anchor.subject == *subject).map(Arc::as_ref)
    }

    /// Whether revocation lists are configured.
    pub(super) fn is_revocable(&self) -> bool {
        !self.revocation.is_empty()
    }

    pub(super) fn lists(&self) -> &[List] {
        self.revocation.lists()
    }
}

fn digest<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Digest {
    let mut context = Context::new(&SHA256);
    parts.into_iter().for_each(|part| context.update(part));
    let mut digest = Digest::default();
    digest.copy_from_slice(context.finish().as_ref());
    digest
}

/// The value in use for `key`, or a new one from `make`.
fn shared<T>(all: &Interned<T>, key: Digest, make: impl FnOnce() -> Option<T>) -> Option<Arc<T>> {
    let all = || all.lock().unwrap_or_else(PoisonError::into_inner);
    let found = all().get(&key).and_then(Weak::upgrade);
    if found.is_some() {
        return found;
    }
    let made = Arc::new(make()?);
    let mut all = all();
    all.retain(|_, one| one.strong_count() > 0);
    all.insert(key, Arc::downgrade(&made));
    Some(made)
}
