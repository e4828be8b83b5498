//! `hash KEY`: requests with the same key stay with one peer, by the hash of Cache::Memcached.

use std::io::Write;

use weir_conf::{Cx, Fault, Node, Slot, Table, Word, directives, value::parse_number};

use crate::{
    balance::consistent::Consistent,
    balance::method::{Balance, Choice, MAX_REHASHES, Request, Turn},
    settings::{begin_method, choose, template},
};

static HASH: Slot<HashRow> = Slot::new();

directives! {
    /// Balancing by a key.
    struct HashRow as HashWritten in [upstream, stream_upstream] {
        /// Passes requests with the same key to the same server. With `consistent`, adding or
        /// removing a server moves only few keys (ketama). With `balance=125%`, a server has at
        /// most that percentage of its share by weight of the active requests; further requests go
        /// to the next server on the ring that has less. The percentage is more than 100.
        "hash" [1, 2, 3]: "key [consistent [balance=percent]]" => set_hash,
    }
}

pub(super) static TABLE: Table = HashRow::table(&HASH);

fn set_hash(_: &mut HashWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    let key = Some(template(cx, &node.args[0].value)?);
    begin_method(cx);
    let Some(word) = node.arg(1) else {
        choose(cx, Hash, key);
        return Ok(());
    };
    if !word.is("consistent") {
        // Other methods take no third argument.
        return Err(match node.arg(2) {
            Some(_) => Fault::bad_count(&node.name),
            None => Fault::parameter(word),
        });
    }
    let balance = node.arg(2).map(|word| percent(word).ok_or_else(|| Fault::parameter(word)));
    choose(cx, Consistent { balance: balance.transpose()? }, key);
    Ok(())
}

/// The largest percentage of `balance=`.
const MAX_PERCENT: u64 = 100_000;

fn percent(word: &Word) -> Option<u64> {
    let text = word.after("balance=")?;
    let percent = parse_number(text.strip_suffix(b"%").unwrap_or(text))?;
    (101..=MAX_PERCENT).contains(&percent).then_some(percent)
}

/// Balancing by CRC-32 of a key. Adding or removing a peer moves most keys.
#[derive(Debug)]
pub(crate) struct Hash;

impl Balance for Hash {
    fn name(&self) -> &'static str {
        "hash"
    }

    fn knows_backup(&self) -> bool {
        false
    }

    fn key(&self, request: &Request<'_>) -> Vec<u8> {
        request.key.to_vec()
    }

    fn takes_turns(&self) -> bool {
        false
    }

    fn choose(&self, turn: &mut Turn<'_>) -> Choice {
        let Turn { set, walk, now, .. } = turn;
        if walk.tries > MAX_REHASHES || set.peers.len() < 2 || walk.key.is_empty() {
            return Choice::RoundRobin;
        }
        if let Some(place) = walk.hinted(set, *now) {
            return Choice::Peer(place);
        }
        loop {
            walk.hash = walk.hash.wrapping_add(crc(walk.rehash, &walk.key));
            walk.rehash += 1;
            let place = set.at_weight(i64::from(walk.hash) % set.total_weight);
            if walk.may_take(&set.peers[place], *now) {
                return Choice::Peer(place);
            }
            walk.tries += 1;
            if walk.tries > MAX_REHASHES {
                return Choice::RoundRobin;
            }
        }
    }
}

/// 15 bits of the CRC-32 of the key; from the second attempt on, the attempt's number precedes it.
fn crc(attempt: u32, key: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    if attempt > 0 {
        let mut digits = [0; 10];
        let mut rest = &mut digits[..];
        // Ten digits hold any u32, so the write cannot fail.
        let _ = write!(rest, "{attempt}");
        let unused = rest.len();
        hasher.update(&digits[..digits.len() - unused]);
    }
    hasher.update(key);
    (hasher.finalize() >> 16) & 0x7fff
}
