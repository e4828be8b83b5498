//! The server's session cache (`ssl_session_cache`), limited in bytes.
//!
//! A session holds the client's certificate chain, of up to 64 KiB. So the limit is in bytes, and a
//! large session is not cached.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use rustls::server::{NoServerSessionStorage, StoresServerSessions};

use super::scope::{LARGEST_SESSION, Scope};

/// The overhead of an entry besides its session and the two copies of its ID.
const OVERHEAD: usize = 128;

/// The average size of a session by which `builtin` is limited, in bytes.
const BYTES_PER_SESSION: usize = 1024;

/// The sessions of clients without tickets (`ssl_session_cache`).
#[derive(Clone)]
pub struct SessionCache(Option<Arc<Cache>>);

impl SessionCache {
    /// `off` and `none`.
    pub fn none() -> Self {
        Self(None)
    }

    /// `shared:NAME:SIZE`: a cache shared by all threads and by all servers that name it. The size
    /// is in bytes.
    pub fn shared(bytes: usize) -> Self {
        Self(Some(Cache::listed(bytes, usize::MAX)))
    }

    /// `builtin:SIZE`: the size is in sessions.
    pub fn builtin(sessions: usize) -> Self {
        let sessions = sessions.max(1);
        Self(Some(Cache::listed(sessions.saturating_mul(BYTES_PER_SESSION), sessions)))
    }

    /// Whether sessions are cached at all.
    pub(super) fn keeps(&self) -> bool {
        self.0.is_some()
    }

    /// A view of the cache that finds only the sessions of its own scope.
    pub(super) fn within(&self, scope: &Scope) -> Arc<dyn StoresServerSessions> {
        match &self.0 {
            Some(inner) => Arc::new(ScopedCache { inner: Arc::clone(inner), scope: *scope }),
            None => Arc::new(NoServerSessionStorage {}),
        }
    }
}

impl fmt::Debug for SessionCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionCache")
    }
}

/// Sessions by ID; the oldest are evicted first.
struct Cache {
    most_bytes: usize,
    most_sessions: usize,
    kept: Mutex<CachedSessions>,
}

#[derive(Default)]
struct CachedSessions {
    sessions: HashMap<Id, Vec<u8>>,
    /// The IDs in order of insertion, including those of removed sessions.
    order: VecDeque<Id>,
    bytes: usize,
}

/// A session ID.
type Id = Arc<[u8]>;

impl CachedSessions {
    fn remove(&mut self, id: &[u8]) -> Option<Vec<u8>> {
        let session = self.sessions.remove(id)?;
        self.bytes -= session.len();
        Some(session)
    }

    fn remove_oldest(&mut self) {
        if let Some(id) = self.order.pop_front() {
            self.bytes -= id.len() + OVERHEAD;
            self.remove(&id);
        }
    }
}

/// All caches of the process, and some that are gone.
static ALL: Mutex<Vec<Weak<Cache>>> = Mutex::new(Vec::new());

/// The bytes of the sessions in all caches, as counted for their limits.
pub fn cached_session_bytes() -> u64 {
    let all = ALL.lock().unwrap_or_else(PoisonError::into_inner).clone();
    all.iter().filter_map(Weak::upgrade).map(|cache| cache.kept().bytes as u64).sum()
}

impl Cache {
    /// A cache in [`ALL`].
    fn listed(most_bytes: usize, most_sessions: usize) -> Arc<Self> {
        let cache = Arc::new(Self::new(most_bytes, most_sessions));
        let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() == all.capacity() {
            // Only before it would grow: each addition is thus cheap.
            all.retain(|cache| cache.strong_count() > 0);
        }
        all.push(Arc::downgrade(&cache));
        cache
    }

    fn new(most_bytes: usize, most_sessions: usize) -> Self {
        Self { most_bytes, most_sessions, kept: Mutex::default() }
    }

    fn kept(&self) -> MutexGuard<'_, CachedSessions> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, id: &[u8], session: Vec<u8>) -> bool {
        let added = id.len() + OVERHEAD + session.len();
        if session.len() > LARGEST_SESSION || added > self.most_bytes {
            return false;
        }
        let mut kept = self.kept();
        kept.remove(id);
        while kept.bytes + added > self.most_bytes || kept.order.len() >= self.most_sessions {
            kept.remove_oldest();
        }
        let id: Id = id.into();
        kept.bytes += added;
        kept.order.push_back(Arc::clone(&id));
        kept.sessions.insert(id, session);
        true
    }
}

#[derive(Debug)]
struct ScopedCache {
    inner: Arc<Cache>,
    scope: Scope,
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cache")
    }
}

impl StoresServerSessions for ScopedCache {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        self.inner.put(&key, self.scope.label(&value))
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.scope.check(self.inner.kept().sessions.get(key)?)
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.scope.check(&self.inner.kept().remove(key)?)
    }

    fn can_cache(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(at: usize) -> [u8; 32] {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&at.to_be_bytes());
        id
    }

    #[test]
    fn the_size_is_limited() {
        let cache = Cache::new(100_000, usize::MAX);
        for at in 0..1000 {
            assert!(cache.put(&id(at), vec![7; 1000]));
            assert!(cache.kept().bytes <= 100_000);
        }
        assert!(cache.kept().sessions.len() > 80);
        assert!(cache.kept().sessions.contains_key(&id(999)[..]));
        assert!(!cache.kept().sessions.contains_key(&id(0)[..]));
    }

    #[test]
    fn all_caches_are_counted() {
        let before = cached_session_bytes();
        let SessionCache(Some(cache)) = SessionCache::shared(1 << 20) else { unreachable!() };
        assert!(cache.put(&id(1), vec![0; 3000]));
        assert!(cached_session_bytes() >= before + 3000);
    }

    #[test]
    fn a_large_session_is_not_kept() {
        let cache = Cache::new(1 << 20, usize::MAX);
        assert!(!cache.put(&id(1), vec![0; LARGEST_SESSION + 1]));
        assert!(cache.put(&id(1), vec![0; LARGEST_SESSION]));
        assert!(!Cache::new(1000, 10).put(&id(1), vec![0; 1000]));
    }

    #[test]
    fn taken_sessions_free_their_space() {
        let cache = Cache::new(1 << 20, 3);
        for at in 0..100 {
            assert!(cache.put(&id(at), vec![0; 10]));
            assert_eq!(cache.kept().remove(&id(at)), Some(vec![0; 10]));
            assert!(cache.kept().order.len() <= 3);
        }
        assert!(cache.put(&id(1), vec![1]) && cache.put(&id(1), vec![2]));
        assert_eq!(cache.kept().sessions[&id(1)[..]], [2]);
        for _ in 0..3 {
            cache.kept().remove_oldest();
        }
        let kept = cache.kept();
        assert_eq!((kept.bytes, kept.sessions.len()), (0, 0));
    }
}
