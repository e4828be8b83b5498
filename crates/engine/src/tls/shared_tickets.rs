//! Keys of session tickets that several nodes share, so that a client resumes at another node.
//!
//! Servers with keys of nginx's own making (no `ssl_session_ticket_key`) encrypt with them while
//! there are any. Their own keys serve before and after, and still decrypt what they encrypted.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use rustls::server::ProducesTickets;

use super::tickets::{TicketKeys, Tickets};

/// The bytes of a key, as in a file of `ssl_session_ticket_key`.
pub const KEY: usize = 80;

/// The keys; `None` without other nodes.
static SHARED: RwLock<Option<Arc<TicketKeys>>> = RwLock::new(None);

/// The numbers of servers with tickets of these keys, by `ssl_session_timeout` in seconds.
static TIMEOUTS: Mutex<BTreeMap<u32, usize>> = Mutex::new(BTreeMap::new());

/// A new key from the system's randomness; `None` if it has none.
pub fn random_key() -> Option<[u8; KEY]> {
    let mut key = [0; KEY];
    aws_lc_rs::rand::fill(&mut key).ok()?;
    Some(key)
}

/// Replaces the keys: all of them decrypt, and the one at `first` encrypts.
pub fn share<'a>(first: usize, keys: impl Iterator<Item = &'a [u8; KEY]>) {
    let keys = TicketKeys::of(first, keys);
    *SHARED.write().unwrap_or_else(PoisonError::into_inner) = keys.map(Arc::new);
}

/// Forgets the keys.
pub fn forget() {
    *SHARED.write().unwrap_or_else(PoisonError::into_inner) = None;
}

/// The longest `ssl_session_timeout` in seconds of servers whose tickets have these keys.
pub fn longest_timeout() -> Option<u32> {
    timeouts().last_key_value().map(|(timeout, _)| *timeout)
}

fn shared() -> Option<Arc<TicketKeys>> {
    SHARED.read().unwrap_or_else(PoisonError::into_inner).clone()
}

fn timeouts() -> MutexGuard<'static, BTreeMap<u32, usize>> {
    TIMEOUTS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tickets {
    /// Tickets of the keys that nodes share, or of these without any. `timeout` is
    /// `ssl_session_timeout` in seconds.
    #[must_use]
    pub fn unless_shared(self, timeout: u32) -> Self {
        let timeout = Timeout::new(timeout);
        Self::made_by(Arc::new(NodeTickets { own: self.producer(), _timeout: timeout }))
    }
}

/// A server's timeout while its configuration lives.
struct Timeout(u32);

impl Timeout {
    fn new(timeout: u32) -> Self {
        *timeouts().entry(timeout).or_default() += 1;
        Self(timeout)
    }
}

impl Drop for Timeout {
    fn drop(&mut self) {
        let mut timeouts = timeouts();
        if let Some(count) = timeouts.get_mut(&self.0) {
            *count -= 1;
            if *count == 0 {
                timeouts.remove(&self.0);
            }
        }
    }
}

struct NodeTickets {
    own: Arc<dyn ProducesTickets>,
    _timeout: Timeout,
}

impl fmt::Debug for NodeTickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeTickets")
    }
}

impl ProducesTickets for NodeTickets {
    fn enabled(&self) -> bool {
        self.own.enabled()
    }

    fn lifetime(&self) -> u32 {
        self.own.lifetime()
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        match shared() {
            Some(keys) => keys.encrypt(plain),
            None => self.own.encrypt(plain),
        }
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let known = shared().and_then(|keys| keys.decrypt(ticket));
        known.or_else(|| self.own.decrypt(ticket))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The keys are those of the process, so one test has them all.
    #[test]
    fn shared_keys_go_before_own_ones() {
        let node = || Tickets::random(300).unwrap().unless_shared(300).producer();
        let (a, b) = (node(), node());
        let before = a.encrypt(b"session").unwrap();
        assert_eq!(b.decrypt(&before), None);
        let keys = [[1; KEY], [2; KEY], [3; KEY]];
        share(1, keys.iter());
        let shared = a.encrypt(b"session").unwrap();
        assert_eq!(shared[..16], [2; 16]);
        assert_eq!(b.decrypt(&shared).as_deref(), Some(&b"session"[..]));
        // A ticket from before is still good where it was made.
        assert_eq!(a.decrypt(&before).as_deref(), Some(&b"session"[..]));
        // Another key encrypts, the earlier one decrypts.
        share(0, keys.iter());
        assert_eq!(a.encrypt(b"").unwrap()[..16], [1; 16]);
        assert!(b.decrypt(&shared).is_some());
        share(0, keys[..1].iter());
        assert_eq!(b.decrypt(&shared), None);
        share(0, keys[..0].iter());
        let own = a.encrypt(b"").unwrap();
        assert!(b.decrypt(&own).is_none() && a.decrypt(&own).is_some());
        // Files of a server's own are nobody else's.
        share(0, keys.iter());
        let files = Tickets::from_files(&[&[9; 80]], 300).unwrap().producer();
        assert_eq!(files.encrypt(b"").unwrap()[..16], [9; 16]);
        assert_eq!(files.decrypt(&shared), None);
        forget();
        assert_eq!(b.decrypt(&shared), None);
        // The longest timeout of living servers.
        let long = Tickets::random(300).unwrap().unless_shared(7_000_000);
        assert_eq!(longest_timeout(), Some(7_000_000));
        drop(long);
        assert_eq!(longest_timeout(), Some(300));
        drop((a, b));
        assert_eq!(longest_timeout(), None);
        assert_ne!(random_key(), random_key());
    }
}
