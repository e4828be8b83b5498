//! Compares certificate fields with the output of the `openssl` tool, which formats them with the
//! same functions as nginx.

use std::process::Command;

use fastrand::Rng;

use super::forge::{ID_UNKNOWN, Order, Span, VALID, tlv};
use crate::tls::x509;

/// The number of random certificates.
const COUNT: u64 = 120;

const ATTRIBUTES: [&[u8]; 10] = [
    &[0x55, 4, 3],
    &[0x55, 4, 5],
    &[0x55, 4, 6],
    &[0x55, 4, 17],
    &[0x55, 4, 97],
    &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1],
    &[9, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25],
    &[0x2b, 6, 1, 4, 1, 0x82, 0x37, 0x3c, 2, 1, 3],
    ID_UNKNOWN,
    &[0x88, 0x37, 0x84, 0x7f],
];

const TEXTS: [&str; 16] = [
    "plain",
    "a/b+c=d",
    "x\r\nX-Evil: 1",
    "tail\n",
    " both ends ",
    "#hash",
    "#",
    " ",
    ",;<>\"\\+=",
    "nul\0in",
    "caf\u{e9} \u{df}\u{ff}",
    "\u{20ac}\u{3b1}\u{5d0}",
    "\t\u{7f}\u{1}",
    "",
    "/CN=root",
    "%0d%0a\\0A",
];

fn pick<T: Copy>(rng: &mut Rng, all: &[T]) -> T {
    all[rng.usize(..all.len())]
}

fn string(rng: &mut Rng) -> Vec<u8> {
    let mut text = pick(rng, &TEXTS).to_owned();
    match rng.u8(..16) {
        0 => text = text.repeat(60),
        1 => text.push('\u{1f600}'),
        _ => {}
    }
    let wide = |width: usize| -> Vec<u8> {
        text.chars().flat_map(|one| (one as u32).to_be_bytes()[4 - width..].to_vec()).collect()
    };
    let (tag, value) = match rng.u8(..9) {
        0 | 1 => (0x0c, text.as_bytes().to_vec()),
        2 => (0x1c, wide(4)),
        // BMPString has no characters beyond the basic plane.
        3 if !text.contains('\u{1f600}') => (0x1e, wide(2)),
        4 => (0x03, [&[0], text.as_bytes()].concat()),
        5 => (0x30, tlv(2, &[9])),
        _ => (pick(rng, &[0x12, 0x13, 0x14, 0x16]), wide(1)),
    };
    tlv(tag, &value)
}

fn name(rng: &mut Rng) -> Vec<u8> {
    let pair = |rng: &mut Rng| tlv(0x30, &[tlv(6, pick(rng, &ATTRIBUTES)), string(rng)].concat());
    let part = |rng: &mut Rng| {
        let pairs: Vec<u8> = (0..pick(rng, &[1, 1, 1, 2, 3])).flat_map(|_| pair(rng)).collect();
        tlv(0x31, &pairs)
    };
    let parts: Vec<u8> = (0..rng.usize(..4)).flat_map(|_| part(rng)).collect();
    tlv(0x30, &parts)
}

fn order(seed: u64) -> Order {
    let mut rng = Rng::with_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let rng = &mut rng;
    let mut order = Order::new("", 0, "", 0);
    (order.subject, order.issuer) = (name(rng), name(rng));
    let serials: [&[u8]; 7] =
        [&[7], &[0], &[0xff], &[0x80, 0], &[0, 0x80, 1], &[0x7f; 20], &[0xfe, 0xdc, 0xba, 0]];
    order.serial = pick(rng, &serials).to_vec();
    let spans: [Span; 4] = [
        VALID,
        ("500101000000Z", "20500209030507Z"),
        ("19400229010203Z", "99991231235959Z"),
        ("991130235959Z", "491231235959Z"),
    ];
    order.span = pick(rng, &spans);
    order
}

fn openssl(file: &std::path::Path, arguments: &[&str]) -> Vec<u8> {
    let mut command = Command::new("openssl");
    command.args(["x509", "-noout", "-in"]).arg(file).args(arguments);
    command.output().expect("openssl is needed").stdout
}

#[test]
fn fields_are_formatted_as_in_openssl() {
    let file = std::env::temp_dir().join(format!("weir-written-{}.der", std::process::id()));
    for seed in 0..COUNT {
        let der = order(seed).forge();
        std::fs::write(&file, &der).unwrap();
        let all = ["-inform", "DER", "-subject", "-issuer"];
        let new = openssl(&file, &[&all[..], &["-nameopt", "RFC2253"]].concat());
        let ours = format!(
            "subject={}\nissuer={}\n",
            x509::subject(&der).unwrap(),
            x509::issuer(&der).unwrap()
        );
        assert_eq!(ours, String::from_utf8_lossy(&new), "seed {seed}");
        let all = [&all[..], &["-serial", "-dates", "-nameopt", "compat"]].concat();
        let old = String::from_utf8(openssl(&file, &all)).unwrap();
        // The tool puts a space before names in the legacy format, and the serial number between
        // them.
        let ours = [
            x509::subject_legacy(&der).unwrap(),
            x509::issuer_legacy(&der).unwrap(),
            x509::serial(&der).unwrap(),
            x509::valid_from(&der).unwrap(),
            x509::valid_until(&der).unwrap(),
        ];
        let theirs: Vec<&str> =
            old.lines().map(|line| line.split_once('=').map_or("", |(_, value)| value)).collect();
        assert_eq!(ours.each_ref().map(String::as_str)[..], theirs[..], "seed {seed}");
        assert!(ours.iter().all(|text| text.bytes().all(|byte| (b' '..=b'~').contains(&byte))));
    }
    let _ = std::fs::remove_file(file);
}
