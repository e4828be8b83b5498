//! Carries keys of session tickets from the mirror to TLS, and from a killed worker to its
//! successor.
//!
//! Keys are in memory alone. What a killed worker leaves lies in memory that it shares with its
//! master, which never reads it, and is overwritten in place: an old key does not stay there.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use weir_engine::Level;
use weir_engine::error_log::process_log;
use weir_engine::tls::shared_tickets;
use weir_sys::shared_memory::Words;

use crate::mirror::codec::{Malformed, Reader, Writer};
use crate::mirror::{Effect, Key, Kind, Mirror, limits};

/// The time for which a key encrypts without a server that says how long sessions live: nginx's
/// default of `ssl_session_timeout`.
const LIFETIME: Duration = Duration::from_secs(300);

/// The shortest time for which a key encrypts: nodes have to agree on the next one meanwhile, and
/// one that hangs is noticed after three seconds.
const LEAST_LIFETIME: Duration = Duration::from_secs(10);

/// The longest content of the shared memory, in bytes: all records about ticket keys.
const LONGEST: usize = limits::TICKETS * 256;

/// The words before the content: its checksum, 0 for none, and its length.
const HEAD: usize = 2;

/// What a killed worker leaves; `None` if there is no memory for it.
static LEFT: OnceLock<Option<Words>> = OnceLock::new();

/// Reserves the memory for what a killed worker leaves. For the master, before it forks one.
pub fn reserve() {
    LEFT.get_or_init(|| {
        let words = Words::new(HEAD + LONGEST.div_ceil(size_of::<u64>()));
        let log = |error| {
            let what = "no memory for the ticket keys of a killed worker";
            process_log().log(Level::Alert, 0, format!("{what}: {error}"));
        };
        words.map_err(log).ok()
    });
}

/// Hands TLS the keys that a killed worker has left, so that clients resume before the mirror has
/// begun. For a worker of a linked node, before it serves.
pub fn restore() {
    let Some(content) = left().and_then(read) else { return };
    let Ok((_, mut records)) = records(&content) else { return };
    records.retain(|(key, _)| key.kind == Kind::TicketKey);
    // The newest one encrypts until the mirror knows better.
    records.sort_by(|(one, _), (other, _)| other.cmp(one));
    let keys = records.iter().filter_map(|(_, value)| value.as_slice().try_into().ok());
    shared_tickets::share(0, keys);
}

fn left() -> Option<&'static [AtomicU64]> {
    LEFT.get()?.as_ref().map(Words::all)
}

/// The ticket keys of a mirror.
pub(super) struct TicketKeys {
    /// The number of the pair: keys of another one are not taken over.
    pair: [u8; 16],
}

/// How long a key encrypts: as long as sessions live, so that none of them outlives its key.
pub(super) fn lifetime() -> Duration {
    let longest = shared_tickets::longest_timeout();
    let longest = longest.map_or(LIFETIME, |seconds| Duration::from_secs(seconds.into()));
    longest.max(LEAST_LIFETIME)
}

impl TicketKeys {
    /// Hands a mirror that begins what a predecessor has left.
    pub(super) fn begin(pair: [u8; 16], mirror: &mut Mirror) -> Self {
        let left = left().and_then(|words| records(&read(words)?).ok());
        if let Some((_, records)) = left.filter(|(of, _)| *of == pair) {
            mirror.restore_tickets(records);
        }
        Self { pair }
    }

    pub(super) fn tick(&self, mirror: &mut Mirror) {
        mirror.set_ticket_lifetime(lifetime());
        if let Some(words) = left() {
            write(words, &content(&self.pair, mirror));
        }
    }

    /// Carries out what concerns ticket keys. Returns another effect.
    pub(super) fn obey(&self, effect: Effect, mirror: &mut Mirror) -> Option<Effect> {
        match effect {
            Effect::MakeTicketKey => match shared_tickets::random_key() {
                Some(key) => mirror.handle_ticket_key(&key),
                None => {
                    let what = "the system has no random bytes for a ticket key";
                    process_log().log(Level::Alert, 0, what);
                }
            },
            Effect::Tickets { encrypts, keys } => {
                shared_tickets::share(encrypts, keys.iter().map(|key| &key.0));
            }
            other => return Some(other),
        }
        None
    }
}

impl Drop for TicketKeys {
    fn drop(&mut self) {
        shared_tickets::forget();
    }
}

/// The bytes that are left to a successor.
fn content(pair: &[u8; 16], mirror: &Mirror) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.raw(pair);
    for (key, value) in mirror.ticket_records() {
        writer.u8(key.kind.number()).bytes(&key.key).bytes(value);
    }
    writer.0
}

/// The number of a pair, and its records about ticket keys.
type Left = ([u8; 16], Vec<(Key, Vec<u8>)>);

/// The records in such bytes.
///
/// # Errors
/// They are damaged.
fn records(content: &[u8]) -> Result<Left, Malformed> {
    let mut reader = Reader(content);
    let pair = reader.array()?;
    let mut records = Vec::new();
    while !reader.0.is_empty() {
        let kind = Kind::of(reader.u8()?);
        let key = reader.bytes(limits::KEY)?.to_vec();
        records.push((Key { kind, key }, reader.bytes(limits::VALUE)?.to_vec()));
    }
    Ok((pair, records))
}

/// Replaces the content of the shared memory. One that is too long leaves none.
fn write(words: &[AtomicU64], content: &[u8]) {
    let content = if content.len() > LONGEST { &[] } else { content };
    let checksum = checksum(content);
    let [sum, length, rest @ ..] = words else { return };
    if sum.load(Ordering::Acquire) == checksum {
        return;
    }
    // A worker that is killed meanwhile leaves nothing.
    sum.store(0, Ordering::Release);
    length.store(content.len() as u64, Ordering::Relaxed);
    let mut chunks = content.chunks(size_of::<u64>());
    for word in rest {
        let mut bytes = [0; size_of::<u64>()];
        if let Some(chunk) = chunks.next() {
            bytes[..chunk.len()].copy_from_slice(chunk);
        }
        word.store(u64::from_le_bytes(bytes), Ordering::Relaxed);
    }
    sum.store(checksum, Ordering::Release);
}

/// The content of the shared memory, if it is whole.
fn read(words: &[AtomicU64]) -> Option<Vec<u8>> {
    let [sum, length, rest @ ..] = words else { return None };
    let sum = sum.load(Ordering::Acquire);
    let length = usize::try_from(length.load(Ordering::Relaxed)).ok()?;
    let words = rest.iter().map(|word| word.load(Ordering::Relaxed).to_le_bytes());
    let mut content: Vec<u8> = words.flatten().collect();
    if length > content.len() {
        return None;
    }
    content.truncate(length);
    (sum == checksum(&content)).then_some(content)
}

/// Never 0, which is for no content.
fn checksum(content: &[u8]) -> u64 {
    u64::from(crc32fast::hash(content)) | 1 << 32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mirror::Name;

    fn mirror() -> Mirror {
        let me = Name::new("a").unwrap();
        Mirror::new(me.clone(), [me], None, Some(LIFETIME))
    }

    /// A mirror with a key of its own.
    fn with_key() -> Mirror {
        let mut mirror = mirror();
        for second in [1, 9] {
            mirror.handle_tick(Duration::from_secs(second));
        }
        while let Some(effect) = mirror.poll_effect() {
            if effect == Effect::MakeTicketKey {
                mirror.handle_ticket_key(&[7; 80]);
            }
        }
        mirror.handle_tick(Duration::from_secs(10));
        mirror
    }

    fn keys(mirror: &mut Mirror) -> Option<usize> {
        let effects = std::iter::from_fn(|| mirror.poll_effect());
        effects.fold(None, |keys, effect| match effect {
            Effect::Tickets { keys, .. } => Some(keys.len()),
            _ => keys,
        })
    }

    #[test]
    fn a_successor_has_the_keys_of_its_pair() {
        let words = Words::new(HEAD + LONGEST / 8).unwrap();
        let words = words.all();
        assert_eq!(read(words), None);
        let pair = [1; 16];
        write(words, &content(&pair, &with_key()));
        let left = read(words).unwrap();
        let (of, found) = records(&left).unwrap();
        assert_eq!((of, found.len()), (pair, 2));
        let mut successor = mirror();
        successor.restore_tickets(found);
        successor.handle_tick(Duration::from_secs(1));
        assert_eq!(keys(&mut successor), Some(1));
        // What is damaged, or was being written, is nothing.
        words[HEAD].fetch_xor(1, Ordering::Relaxed);
        assert_eq!(read(words), None);
        for length in 0..left.len() {
            let _ = records(&left[..length]);
        }
        // A key that is gone is nowhere in the memory.
        write(words, &content(&pair, &mirror()));
        assert!(
            words.iter().all(|word| word.load(Ordering::Relaxed) != u64::from_le_bytes([7; 8]))
        );
        assert_eq!(records(&read(words).unwrap()).unwrap().1, []);
        write(words, &vec![3; LONGEST + 1]);
        assert_eq!(read(words).as_deref(), Some(&[][..]));
    }

    #[test]
    fn a_key_lives_as_long_as_a_session() {
        assert_eq!(lifetime(), LIFETIME);
        let long = weir_engine::tls::Tickets::random(86_400).unwrap().unless_shared(86_400);
        assert_eq!(lifetime(), Duration::from_secs(86_400));
        drop(long);
        let short = weir_engine::tls::Tickets::random(1).unwrap().unless_shared(1);
        assert_eq!(lifetime(), LEAST_LIFETIME);
        drop(short);
    }
}
