//! Oddities of certificates and lists.

use fastrand::Rng;

use super::super::forge::*;
use super::names::{self, bytes, pick};

/// A named modification of a specification.
pub(super) type Knob<T> = (&'static str, fn(&mut Rng, &mut T));

const ID_CRL_POINTS: &[u8] = &[0x55, 29, 31];
const ID_POLICIES: &[u8] = &[0x55, 29, 32];
const ID_CRL_NUMBER: &[u8] = &[0x55, 29, 20];
const ID_REASON: &[u8] = &[0x55, 29, 21];
const ID_ENTRY_ISSUER: &[u8] = &[0x55, 29, 29];
const ID_FRESHEST: &[u8] = &[0x55, 29, 46];
const ID_NETSCAPE: &[u8] = &[0x60, 0x86, 0x48, 1, 0x86, 0xf8, 0x42, 1, 1];
const ID_NO_OCSP: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 0x30, 1, 5];
const ID_PROXY: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 1, 14];
const ID_ADDRESSES: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 1, 7];

/// Removes the extension.
fn strip(order: &mut Order, id: &[u8]) {
    let head = tlv(6, id);
    order.extensions.retain(|one| !one[2..].starts_with(&head) && !one[3..].starts_with(&head));
}

fn replace(order: &mut Order, id: &[u8], extension: Vec<u8>) {
    strip(order, id);
    order.extensions.push(extension);
}

/// Random bytes are altered before signing.
pub(super) const GARBAGE: &str = "garbage";

fn edits(rng: &mut Rng) -> Vec<Edit> {
    (0..rng.usize(1..3)).map(|_| (rng.usize(..), 1 << rng.u8(..8))).collect()
}

/// For all certificates.
pub(super) const ANY: &[Knob<Order>] = &[
    ("past", |_, order| order.span = PAST),
    ("future", |_, order| order.span = FUTURE),
    ("odd time", |rng, order| {
        order.span = pick(
            rng,
            &[
                ("20200101000000Z", "20491231235959Z"),
                ("2001010000Z", "491231235959Z"),
                ("200101000000Z", "20491231235959.5Z"),
                ("200101000000Z", "491331235959Z"),
                ("200230000000Z", "491231235959Z"),
                ("200101000000+0100", "491231235959Z"),
                ("200101000000Z", "491231235960Z"),
                ("200101000000Z", "00000101000000Z"),
                ("19400101000000Z", "99991231235959Z"),
                ("500101000000Z", "491231235959Z"),
                ("300317174640Z", "491231235959Z"),
                ("300317174641Z", "491231235959Z"),
                ("200101000000Z", "300317174640Z"),
                ("200101000000Z", "300317174641Z"),
                ("200101000000Z", "20300317174640Z"),
            ],
        );
    }),
    ("signature changed", |_, order| order.algorithm = Algorithm::Changed),
    ("weak", |_, order| order.algorithm = Algorithm::Weak),
    ("weak outside", |_, order| order.algorithm = Algorithm::WeakOutside),
    ("other signer", |rng, order| order.signer = rng.usize(..KEYS)),
    ("broken name", |rng, order| order.subject = names::broken(rng)),
    ("broken issuer", |rng, order| order.issuer = names::broken(rng)),
    ("unknown extension", |rng, order| {
        order.extensions.push(extension(ID_UNKNOWN, rng.bool(), &[5, 0]));
    }),
    ("policies", |rng, order| {
        let policies = tlv(0x30, &tlv(0x30, &[6, 2, 0x2a, 3]));
        order.extensions.push(extension(ID_POLICIES, rng.bool(), &policies));
    }),
    ("policy constraints", |rng, order| {
        order.extensions.push(extension(ID_POLICY_CONSTRAINTS, rng.bool(), &[0x30, 3, 0x80, 1, 0]));
    }),
    ("no OCSP", |rng, order| {
        order.extensions.push(extension(ID_NO_OCSP, rng.bool(), &[5, 0]));
    }),
    ("proxy", |rng, order| {
        let language = [6, 8, 0x2b, 6, 1, 5, 5, 7, 0x15, 1];
        let value = tlv(0x30, &tlv(0x30, &language));
        order.extensions.push(extension(ID_PROXY, rng.bool(), &value));
    }),
    ("addresses", |rng, order| {
        let value = tlv(0x30, &tlv(0x30, &[&[4, 2, 0, 1][..], &[5, 0]].concat()));
        order.extensions.push(extension(ID_ADDRESSES, rng.bool(), &value));
    }),
    ("an extension twice", |rng, order| {
        if !order.extensions.is_empty() {
            let one = order.extensions[rng.usize(..order.extensions.len())].clone();
            order.extensions.push(one);
        }
    }),
    ("broken extension", |rng, order| {
        let id = pick(
            rng,
            &[
                ID_KEY_USAGE,
                ID_ALTERNATIVE,
                ID_CONSTRAINTS,
                ID_NAME_CONSTRAINTS,
                ID_AUTHORITY_KEY,
                ID_SUBJECT_KEY,
                ID_PURPOSES,
                ID_CRL_POINTS,
                ID_NETSCAPE,
            ],
        );
        let value = bytes(
            rng,
            &[
                &[0x30, 0],
                &[0x30, 2, 5, 0],
                &[4, 0],
                &[3, 1, 0],
                &[3, 2, 9, 0],
                &[3, 2, 3, 0xff],
                &[3, 3, 7, 0, 0x80],
                &[2, 1, 0],
                &[],
                &[0x30, 5, 1],
            ],
        );
        replace(order, id, extension(id, rng.bool(), value));
    }),
    ("purposes", |rng, order| {
        let one = bytes(rng, &[&[1], &[2], &[1, 2], &[3], &[9], &[]]);
        replace(order, ID_PURPOSES, purposes(one));
    }),
    ("any purpose", |rng, order| {
        let other = bytes(
            rng,
            &[
                &[0x55, 29, 37, 0],
                &[0x2b, 6, 1, 4, 1, 0x82, 0x37, 10, 3, 3],
                &[0x60, 0x86, 0x48, 1, 0x86, 0xf8, 0x42, 4, 1],
            ],
        );
        replace(order, ID_PURPOSES, extension(ID_PURPOSES, false, &tlv(0x30, &tlv(6, other))));
    }),
    ("netscape", |rng, order| {
        let bits = pick(rng, &[0x80, 0x40, 0x04, 0x02, 0x84, 0x20, 0]);
        order.extensions.push(extension(ID_NETSCAPE, false, &[3, 2, 0, bits]));
    }),
    ("key usage", |rng, order| {
        let bits = pick(rng, &[0x80, 0x20, 0x08, 0x04, 0x02, 0x06, 0x84, 0xff, 0]);
        replace(order, ID_KEY_USAGE, key_usage(bits));
    }),
    ("decipher only", |_, order| {
        replace(order, ID_KEY_USAGE, extension(ID_KEY_USAGE, true, &[3, 3, 7, 0, 0x80]));
    }),
    ("no key usage", |_, order| strip(order, ID_KEY_USAGE)),
    ("authority's key", |rng, order| {
        let mut value = Vec::new();
        if rng.bool() {
            value.extend(tlv(0x80, &[rng.u8(..4)]));
        }
        if rng.u8(..3) == 0 {
            let who = rng.usize(..3);
            value.extend(tlv(0xa1, &tlv(names::DIRECTORY, &names::of(rng, who))));
            value.extend(tlv(0x82, &[rng.u8(1..4)]));
        }
        replace(order, ID_AUTHORITY_KEY, extension(ID_AUTHORITY_KEY, false, &tlv(0x30, &value)));
    }),
    ("own key", |rng, order| {
        replace(order, ID_SUBJECT_KEY, extension(ID_SUBJECT_KEY, false, &tlv(4, &[rng.u8(..4)])));
    }),
    ("places of lists", |rng, order| {
        let value = points(rng);
        replace(order, ID_CRL_POINTS, extension(ID_CRL_POINTS, rng.bool(), &value));
    }),
    ("version 1", |_, order| order.extensions.clear()),
    ("odd number", |rng, order| {
        order.serial = bytes(rng, &[&[0], &[0xff], &[0x80, 1], &[0x7f; 30], &[0, 0x80]]).to_vec();
    }),
    (GARBAGE, |rng, order| order.edits = edits(rng)),
    (GARBAGE, |rng, order| order.edits = edits(rng)),
    ("alternative names", |rng, order| replace(order, ID_ALTERNATIVE, names::alternatives(rng))),
];

/// For authorities.
pub(super) const AUTHORITY: &[Knob<Order>] = &[
    ("no authority", |_, order| replace(order, ID_CONSTRAINTS, constraints(false, None))),
    ("no constraints", |_, order| strip(order, ID_CONSTRAINTS)),
    ("path length", |rng, order| {
        replace(order, ID_CONSTRAINTS, constraints(true, Some(rng.u8(..3))));
    }),
    ("odd path length", |rng, order| {
        let digits = bytes(rng, &[&[0xff], &[0x7f; 9], &[0x7f, 0xff], &[0, 0]]);
        let value = tlv(0x30, &[&[1, 1, 0xff][..], &tlv(2, digits)].concat());
        replace(order, ID_CONSTRAINTS, extension(ID_CONSTRAINTS, true, &value));
    }),
    ("path length of no authority", |_, order| {
        replace(order, ID_CONSTRAINTS, constraints(false, Some(0)));
    }),
    ("may not sign", |_, order| replace(order, ID_KEY_USAGE, key_usage(CRL_SIGN))),
    ("may not sign lists", |_, order| replace(order, ID_KEY_USAGE, key_usage(CERT_SIGN))),
    ("constraints of names", |rng, order| {
        replace(order, ID_NAME_CONSTRAINTS, names::constraints(rng));
    }),
    ("constraints of names", |rng, order| {
        replace(order, ID_NAME_CONSTRAINTS, names::constraints(rng));
    }),
    ("constraints of names", |rng, order| {
        replace(order, ID_NAME_CONSTRAINTS, names::constraints(rng));
    }),
];

const PLACES: [&[u8]; 3] = [b"http://a.test/1", b"http://a.test/2", b"HTTP://A.TEST/1"];

fn place(rng: &mut Rng) -> Vec<u8> {
    match rng.u8(..5) {
        0 => tlv(0xa1, &part_of_name(rng)),
        1 => tlv(0xa0, &tlv(names::DIRECTORY, &names::of(rng, 1))),
        _ => {
            let names: Vec<u8> =
                (0..rng.usize(1..3)).flat_map(|_| tlv(names::LINK, pick(rng, &PLACES))).collect();
            tlv(0xa0, &names)
        }
    }
}

fn part_of_name(rng: &mut Rng) -> Vec<u8> {
    let tag = pick(rng, &[0x0c, 0x13, 0x1e]);
    let value = names::typed(tag, pick(rng, &["lists", "LISTS"]));
    tlv(0x30, &[&[6, 3, 0x55, 4, 11][..], &value].concat())
}

/// Distribution points.
fn points(rng: &mut Rng) -> Vec<u8> {
    let mut point = || {
        let mut value = Vec::new();
        if rng.u8(..5) > 0 {
            value.extend(tlv(0xa0, &place(rng)));
        }
        if rng.u8(..4) == 0 {
            value.extend(bytes(
                rng,
                &[&[0x81, 2, 1, 0x06], &[0x81, 3, 7, 0x7f, 0x80], &[0x81, 2, 0, 0x78]],
            ));
        }
        if rng.u8(..4) == 0 {
            let who = rng.usize(..3);
            value.extend(tlv(0xa2, &tlv(names::DIRECTORY, &names::of(rng, who))));
        }
        tlv(0x30, &value)
    };
    let mut all = point();
    if all.len() % 2 == 0 {
        all.extend(point());
    }
    tlv(0x30, &all)
}

/// For lists.
pub(super) const LIST: &[Knob<ListOrder>] = &[
    ("past list", |_, order| order.span = (PAST.0, Some(PAST.1))),
    ("future list", |_, order| order.span = (FUTURE.0, Some(FUTURE.1))),
    ("list without end", |_, order| order.span.1 = None),
    ("odd time of list", |rng, order| {
        order.span = pick(
            rng,
            &[
                ("200101000000Z", Some("2001010000Z")),
                ("2001010000Z", Some("491231235959Z")),
                ("300317174640Z", Some("20491231235959Z")),
                ("20200101000000Z", Some("300317174640Z")),
                ("20200101000000Z", Some("300317174641Z")),
            ],
        );
    }),
    ("other signer of list", |rng, order| order.signer = rng.usize(..KEYS)),
    ("list changed", |_, order| order.algorithm = Algorithm::Changed),
    ("weak list", |_, order| order.algorithm = Algorithm::Weak),
    ("weak list outside", |_, order| order.algorithm = Algorithm::WeakOutside),
    ("list of somebody else", |rng, order| order.issuer = names::of(rng, 9)),
    ("list's key", |rng, order| {
        let key = tlv(0x30, &tlv(0x80, &[rng.u8(..4)]));
        order.extensions.push(extension(ID_AUTHORITY_KEY, rng.bool(), &key));
    }),
    ("number of list", |rng, order| {
        order.extensions.push(extension(ID_CRL_NUMBER, rng.u8(..4) == 0, &[2, 1, rng.u8(..9)]));
    }),
    ("delta", |rng, order| {
        order.extensions.push(extension(ID_CRL_NUMBER, false, &[2, 1, 5]));
        order.extensions.push(extension(ID_DELTA, rng.u8(..4) > 0, &[2, 1, rng.u8(..9)]));
    }),
    ("freshest list", |rng, order| {
        let point = tlv(0x30, &tlv(0xa0, &place(rng)));
        order.extensions.push(extension(ID_FRESHEST, false, &tlv(0x30, &point)));
    }),
    ("unknown in list", |rng, order| {
        order.extensions.push(extension(ID_UNKNOWN, rng.bool(), &[5, 0]));
    }),
    ("scope", |rng, order| {
        let flags = [0x81, 0x82, 0x84, 0x85].map(|tag| match rng.u8(..5) {
            0 => vec![tag, 1, 0xff],
            _ => Vec::new(),
        });
        let place = if rng.bool() { tlv(0xa0, &place(rng)) } else { Vec::new() };
        let reasons = if rng.u8(..6) == 0 { vec![0x83, 2, 1, 6] } else { Vec::new() };
        let [users, authorities, indirect, attributes] = flags;
        let value = [place, users, authorities, reasons, indirect, attributes].concat();
        order.extensions.push(extension(ID_SCOPE, rng.u8(..4) > 0, &tlv(0x30, &value)));
    }),
    ("broken scope", |rng, order| {
        order.extensions.push(extension(ID_SCOPE, rng.bool(), &[0x30, 1]));
    }),
    (GARBAGE, |rng, order| order.edits = edits(rng)),
    ("revoked", |rng, order| order.revoked.push((vec![rng.u8(1..5)], Vec::new()))),
    ("revoked", |rng, order| order.revoked.push((vec![rng.u8(10..14)], Vec::new()))),
    ("revoked for a reason", |rng, order| {
        let reason = pick(rng, &[1, 6, 8, 8]);
        let entry = extension(ID_REASON, rng.u8(..4) == 0, &[10, 1, reason]);
        order.revoked.push((vec![rng.u8(10..14)], entry));
    }),
    ("unknown in entry", |rng, order| {
        let entry = extension(ID_UNKNOWN, rng.bool(), &[5, 0]);
        order.revoked.push((vec![rng.u8(10..30)], entry));
    }),
    ("entry of another issuer", |rng, order| {
        let names = tlv(0x30, &tlv(names::DIRECTORY, &names::of(rng, 1)));
        let entry = extension(ID_ENTRY_ISSUER, true, &names);
        order.revoked.push((vec![rng.u8(10..14)], entry));
        order.revoked.push((vec![rng.u8(10..14)], Vec::new()));
    }),
    ("thousands of entries", |rng, order| {
        let first = rng.u16(..256);
        order.revoked.extend((0..3000).map(|at: u16| {
            (
                vec![
                    1,
                    (at >> 8) as u8 + 1,
                    (at as u8).wrapping_mul(151).wrapping_add(first as u8),
                ],
                Vec::new(),
            )
        }));
    }),
];
