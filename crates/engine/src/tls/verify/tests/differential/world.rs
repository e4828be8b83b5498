//! Random worlds: authorities, peers' certificates and revocation lists from a seed.

use fastrand::Rng;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};

use super::super::forge::*;
use super::super::{Certificate, Purpose};
use super::knobs::{ANY, AUTHORITY, Knob, LIST};
use super::names::{self, pick};

/// The numbers of leaves; authorities have lower ones.
const FIRST_LEAF: usize = 10;

pub(super) struct World {
    pub(super) seed: u64,
    pub(super) purpose: Purpose,
    pub(super) host: Option<&'static str>,
    pub(super) depth: u32,
    pub(super) anchors: Vec<CertificateDer<'static>>,
    pub(super) offered: Vec<CertificateDer<'static>>,
    pub(super) lists: Vec<CertificateRevocationListDer<'static>>,
    pub(super) leaves: Vec<CertificateDer<'static>>,
    /// The oddities of authorities and lists, and of each leaf.
    notes: Vec<String>,
    leaf_notes: Vec<Vec<&'static str>>,
}

impl World {
    pub(super) fn new(seed: u64, leaves: usize) -> Self {
        // Adjacent seeds would give similar first numbers.
        let mut rng = Rng::with_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5eed);
        let rng = &mut rng;
        let mut notes = Vec::new();
        let ids = rng.bool();
        let mut authorities = authorities(rng, ids, &mut notes);
        for _ in 0..pick(rng, &[0, 0, 0, 0, 1, 1, 1, 2]) {
            let at = rng.usize(..authorities.len());
            let all = if rng.bool() { ANY } else { AUTHORITY };
            let what = turn(rng, all, &mut authorities[at]);
            notes.push(format!("authority {at}: {what}"));
        }
        let purpose = if rng.u8(..4) > 0 { Purpose::Client } else { Purpose::Server };
        let hosts = ["x.a.test", "a.test", "b.test", "q.test"];
        let host = (purpose == Purpose::Server && rng.bool()).then(|| pick(rng, &hosts));
        let lists =
            if rng.u8(..5) < 2 { lists(rng, &authorities, ids, &mut notes) } else { Vec::new() };
        let (leaves, leaf_notes) = (0..leaves).map(|at| leaf(rng, &authorities, ids, at)).unzip();
        let made: Vec<_> = authorities.iter().map(Order::forge).collect();
        let (anchors, offered) = share(rng, &authorities, &made, &mut notes);
        let depth = pick(rng, &[0, 1, 2, 3, 3, 4, 5, 5, 9, 100]);
        Self { seed, purpose, host, depth, anchors, offered, lists, leaves, notes, leaf_notes }
    }

    pub(super) fn told(&self, at: usize) -> String {
        format!(
            "{:?} {:?} depth {} with {} lists; {:?}; leaf: {:?}",
            self.purpose,
            self.host,
            self.depth,
            self.lists.len(),
            self.notes,
            self.leaf_notes[at]
        )
    }

    /// Whether an authority or list has the oddity.
    pub(super) fn has(&self, what: &str) -> bool {
        self.notes.iter().any(|note| note.ends_with(what))
    }

    /// Whether the certificate, an authority or a list has the oddity.
    pub(super) fn meets(&self, at: usize, what: &str) -> bool {
        self.has(what) || self.leaf_notes[at].contains(&what)
    }

    /// Whether two authorities share a name.
    pub(super) fn has_twins(&self) -> bool {
        let all = self.anchors.iter().chain(&self.offered);
        let mut all: Vec<_> =
            all.filter_map(|der| Some((Certificate::read(der)?.subject, der.to_vec()))).collect();
        all.sort();
        all.dedup();
        all.windows(2).any(|pair| pair[0].0 == pair[1].0)
    }
}

/// Applies a random knob and returns its name.
fn turn<T>(rng: &mut Rng, all: &[Knob<T>], order: &mut T) -> &'static str {
    let (what, act) = pick(rng, all);
    act(rng, order);
    what
}

/// The certificate of authority `who`, issued and signed by `by`.
fn authority(rng: &mut Rng, ids: bool, who: usize, key: usize, by: (usize, usize)) -> Order {
    let (issuer, signer) = by;
    let mut order = Order::authority("", key, "", signer);
    order.subject = names::of(rng, who);
    order.issuer = names::of(rng, issuer);
    order.serial = vec![who as u8 + 1];
    if ids {
        order = order
            .with(extension(ID_SUBJECT_KEY, false, &tlv(4, &[key as u8])))
            .with(extension(ID_AUTHORITY_KEY, false, &tlv(0x30, &tlv(0x80, &[signer as u8]))));
    }
    order
}

/// A root, the chain below it, and unrelated authorities.
fn authorities(rng: &mut Rng, ids: bool, notes: &mut Vec<String>) -> Vec<Order> {
    let key = |rng: &mut Rng, who: usize| {
        if rng.u8(..8) == 0 { rng.usize(PLAIN_KEYS..KEYS) } else { who }
    };
    let root = key(rng, 0);
    let mut all = vec![authority(rng, ids, 0, root, (0, root))];
    for who in 1..=pick(rng, &[0, 1, 1, 1, 2, 2, 3, 4]) {
        let above = if rng.u8(..8) == 0 { rng.usize(..who) } else { who - 1 };
        let own = key(rng, who);
        let by = (above, all[above].key);
        all.push(authority(rng, ids, who, own, by));
    }
    let some = rng.usize(..all.len());
    let besides = match rng.u8(..24) {
        0 | 1 => {
            notes.push("another root".into());
            authority(rng, ids, 6, 5, (6, 5))
        }
        2 => {
            notes.push("a root of the same name".into());
            authority(rng, ids, 0, 5, (0, 5))
        }
        3 | 4 => {
            notes.push(format!("{some} with a new key"));
            let signer = all[some].key;
            authority(rng, ids, some, 5, (some, signer))
        }
        5 | 6 => {
            notes.push(format!("{some} by another root"));
            all.push(authority(rng, ids, 6, 5, (6, 5)));
            let key = all[some].key;
            authority(rng, ids, some, key, (6, 5))
        }
        7 => {
            let top = (all.len() - 1, all[all.len() - 1].key);
            notes.push(format!("{some} in a circle"));
            let key = all[some].key;
            authority(rng, ids, some, key, top)
        }
        8 => {
            notes.push(format!("{some} by itself"));
            let key = all[some].key;
            authority(rng, ids, some, key, (some, key))
        }
        _ => return all,
    };
    all.push(besides);
    all
}

/// The trust anchors, and the certificates that peers send besides their own.
fn share(
    rng: &mut Rng,
    orders: &[Order],
    made: &[CertificateDer<'static>],
    notes: &mut Vec<String>,
) -> (Vec<CertificateDer<'static>>, Vec<CertificateDer<'static>>) {
    let is_root = |at: usize| orders[at].key == orders[at].signer && at == 0;
    let other = |rng: &mut Rng| authority(rng, false, 8, 4, (8, 4)).forge();
    let mut anchors = Vec::new();
    let mut offered = Vec::new();
    for (at, der) in made.iter().enumerate() {
        let chance = rng.u8(..24);
        if is_root(at) || (orders[at].key == 5 && chance < 16) {
            match chance {
                0 => notes.push(format!("{at} is not believed")),
                _ => anchors.push(der.clone()),
            }
            if chance < 3 {
                offered.push(der.clone());
            }
        } else {
            match chance {
                0 => notes.push(format!("{at} is missing")),
                1 => anchors.push(der.clone()),
                2 => offered.extend([der.clone(), der.clone()]),
                _ => offered.push(der.clone()),
            }
            if chance == 3 {
                anchors.push(der.clone());
            }
        }
    }
    rng.shuffle(&mut offered);
    if anchors.is_empty() || rng.u8(..8) == 0 {
        anchors.push(other(rng));
    }
    (anchors, offered)
}

/// A peer's certificate.
fn leaf(
    rng: &mut Rng,
    authorities: &[Order],
    ids: bool,
    at: usize,
) -> (CertificateDer<'static>, Vec<&'static str>) {
    let below = if rng.u8(..8) == 0 {
        rng.usize(..authorities.len())
    } else {
        // The lowest of the chain, not an unrelated authority.
        authorities.iter().take_while(|order| order.key != 5).count().max(1) - 1
    };
    let above = &authorities[below];
    let mut order = Order::new("", rng.usize(..PLAIN_KEYS), "", above.key);
    order.subject = names::of_leaf(rng, at);
    let who = (above.serial[0] as usize).saturating_sub(1);
    order.issuer = names::of(rng, who);
    order.serial = vec![(FIRST_LEAF + at % 4) as u8];
    if ids && rng.bool() {
        order = order.with(extension(
            ID_AUTHORITY_KEY,
            false,
            &tlv(0x30, &tlv(0x80, &[above.key as u8])),
        ));
    }
    let mut notes = Vec::new();
    if rng.u8(..3) > 0 {
        order.extensions.push(names::alternatives(rng));
        notes.push("names");
    }
    if rng.u8(..24) == 0 {
        notes.push("signs itself");
        (order.issuer, order.signer) = (order.subject.clone(), order.key);
    }
    for _ in 0..pick(rng, &[0, 0, 0, 0, 1, 1, 1, 2]) {
        notes.push(turn(rng, ANY, &mut order));
    }
    (order.forge(), notes)
}

/// Revocation lists of most authorities.
fn lists(
    rng: &mut Rng,
    authorities: &[Order],
    ids: bool,
    notes: &mut Vec<String>,
) -> Vec<CertificateRevocationListDer<'static>> {
    let mut orders = Vec::new();
    for (at, order) in authorities.iter().enumerate() {
        let who = (order.serial[0] as usize).saturating_sub(1);
        let mut list = ListOrder {
            issuer: names::of(rng, who),
            signer: order.key,
            span: (VALID.0, Some(VALID.1)),
            algorithm: Algorithm::True,
            revoked: vec![(vec![99], Vec::new())],
            extensions: Vec::new(),
            edits: Vec::new(),
        };
        if ids {
            let key = tlv(0x30, &tlv(0x80, &[order.key as u8]));
            list.extensions.push(extension(ID_AUTHORITY_KEY, false, &key));
        }
        if rng.u8(..24) == 0 {
            notes.push(format!("no list of {at}"));
            continue;
        }
        if rng.u8(..8) == 0 {
            let mut second = list.clone();
            let since = pick(rng, &["190101000000Z", "220101000000Z", VALID.0]);
            second.span.0 = since;
            let what = turn(rng, LIST, &mut second);
            notes.push(format!("second list of {at} since {since}: {what}"));
            orders.push(second);
        }
        orders.push(list);
    }
    if orders.is_empty() {
        return Vec::new();
    }
    for _ in 0..pick(rng, &[0, 0, 1, 1, 1, 2]) {
        let at = rng.usize(..orders.len());
        let what = turn(rng, LIST, &mut orders[at]);
        notes.push(format!("list {at}: {what}"));
    }
    rng.shuffle(&mut orders);
    orders.iter().map(ListOrder::make).collect()
}
