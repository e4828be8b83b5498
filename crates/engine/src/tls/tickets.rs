//! Session tickets.

use std::fmt;
use std::sync::{Arc, OnceLock};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use rustls::crypto::GetRandomFailed;
use rustls::server::ProducesTickets;
use rustls::ticketer::TicketRotator;

use super::scope::{LARGEST_SESSION, Scope};
use super::settings_error::SettingsError;

/// The length of the key name at the start of each ticket (RFC 5077 section 4).
const NAME: usize = 16;

/// How long, in seconds, a key of the process encrypts new tickets.
const PROCESS_LIFETIME: u32 = 6 * 3600;

/// The keys of session tickets.
#[derive(Clone)]
pub struct Tickets(Arc<dyn ProducesTickets>);

impl Tickets {
    /// The process's own keys, which rotate and are lost when the process ends.
    pub fn process() -> Option<Self> {
        static PROCESS: OnceLock<Option<Tickets>> = OnceLock::new();
        PROCESS.get_or_init(|| Self::random(PROCESS_LIFETIME)).clone()
    }

    /// Keys from files of 48 or 80 bytes (`ssl_session_ticket_key`): the first encrypts, all
    /// decrypt. `lifetime` is in seconds.
    ///
    /// # Errors
    /// If a file has another length: the end of nginx's message, after the file's name.
    pub fn from_files(files: &[&[u8]], lifetime: u32) -> Result<Self, SettingsError> {
        let keys = files.iter().map(|file| TicketKey::new(file)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self(Arc::new(TicketKeys { keys, lifetime })))
    }

    /// Random keys, lost with their last holder. Each encrypts new tickets for `lifetime` seconds
    /// and decrypts them for as long again.
    pub fn random(lifetime: u32) -> Option<Self> {
        let rotator = TicketRotator::new(lifetime.max(1), || {
            let mut file = [0; 48];
            aws_lc_rs::rand::fill(&mut file).map_err(|_| GetRandomFailed)?;
            let key = TicketKey::new(&file).map_err(|_| GetRandomFailed)?;
            Ok(Box::new(TicketKeys { keys: vec![key], lifetime: 0 }))
        });
        Some(Self(Arc::new(rotator.ok()?)))
    }

    /// A view of the keys that accepts only tickets of its own scope.
    pub(super) fn within(&self, scope: &Scope) -> Arc<dyn ProducesTickets> {
        Arc::new(ScopedTickets { inner: Arc::clone(&self.0), scope: *scope })
    }

    /// The content of a ticket; `None` if it was not made with these keys.
    pub(super) fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.0.decrypt(ticket)
    }

    pub(super) fn made_by(producer: Arc<dyn ProducesTickets>) -> Self {
        Self(producer)
    }

    pub(super) fn producer(&self) -> Arc<dyn ProducesTickets> {
        Arc::clone(&self.0)
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tickets")
    }
}

struct TicketKey {
    name: [u8; NAME],
    key: LessSafeKey,
}

impl TicketKey {
    fn new(file: &[u8]) -> Result<Self, SettingsError> {
        let secret = match file.len() {
            48 => &file[NAME..],
            80 => &file[48..],
            _ => return Err("must be 48 or 80 bytes".into()),
        };
        let mut name = [0; NAME];
        name.copy_from_slice(&file[..NAME]);
        let key =
            UnboundKey::new(&AES_256_GCM, &secret[..32]).map_err(|error| error.to_string())?;
        Ok(Self { name, key: LessSafeKey::new(key) })
    }
}

/// Keys of which the first encrypts and all decrypt.
pub(super) struct TicketKeys {
    keys: Vec<TicketKey>,
    lifetime: u32,
}

impl TicketKeys {
    /// These keys, of which the one at `first` encrypts; `None` without any.
    pub(super) fn of<'a>(first: usize, keys: impl Iterator<Item = &'a [u8; 80]>) -> Option<Self> {
        let mut keys: Vec<TicketKey> = keys.filter_map(|key| TicketKey::new(key).ok()).collect();
        if first < keys.len() {
            keys[..=first].rotate_right(1);
        }
        (!keys.is_empty()).then_some(Self { keys, lifetime: 0 })
    }
}

impl fmt::Debug for TicketKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketKeys")
    }
}

impl ProducesTickets for TicketKeys {
    fn enabled(&self) -> bool {
        !self.keys.is_empty()
    }

    fn lifetime(&self) -> u32 {
        self.lifetime
    }

    /// A ticket: key name, nonce, ciphertext.
    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let key = self.keys.first()?;
        let mut nonce = [0; NONCE_LEN];
        aws_lc_rs::rand::fill(&mut nonce).ok()?;
        let mut sealed = plain.to_vec();
        let aad = Aad::from(key.name);
        key.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut sealed)
            .ok()?;
        Some([&key.name[..], &nonce, &sealed].concat())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_first_chunk::<NAME>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let key = self.keys.iter().find(|key| key.name == *name)?;
        let mut bytes = sealed.to_vec();
        let plain = key
            .key
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(*name), &mut bytes)
            .ok()?;
        Some(plain.to_vec())
    }
}

#[derive(Debug)]
struct ScopedTickets {
    inner: Arc<dyn ProducesTickets>,
    scope: Scope,
}

impl ProducesTickets for ScopedTickets {
    fn enabled(&self) -> bool {
        self.inner.enabled()
    }

    fn lifetime(&self) -> u32 {
        self.scope.timeout()
    }

    /// Encrypts a session. A large one gets no ticket: the client would send it with every hello.
    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        (plain.len() <= LARGEST_SESSION).then(|| self.inner.encrypt(&self.scope.label(plain)))?
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.scope.check(&self.inner.decrypt(ticket)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::ServerSettings;

    #[test]
    fn tickets_of_older_keys_are_still_read() {
        let (old, new) = ([1_u8; 80], [2_u8; 48]);
        let before = Tickets::from_files(&[&old], 300).unwrap().producer();
        let after = Tickets::from_files(&[&new, &old], 300).unwrap().producer();
        let ticket = before.encrypt(b"state").unwrap();
        assert_eq!(after.decrypt(&ticket).unwrap(), b"state");
        let ticket = after.encrypt(b"state").unwrap();
        assert_eq!(before.decrypt(&ticket), None);
        assert!(Tickets::from_files(&[b"short"], 300).is_err());
    }

    #[test]
    fn a_large_session_has_no_ticket() {
        let scope = Scope::new(&ServerSettings::default());
        let tickets = Tickets::random(300).unwrap().within(&scope);
        assert!(tickets.encrypt(&[0; LARGEST_SESSION]).is_some());
        assert!(tickets.encrypt(&[0; LARGEST_SESSION + 1]).is_none());
    }
}
