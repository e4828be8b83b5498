//! Faults of paths with OpenSSL's results, as logged by nginx 1.22 with OpenSSL 3.0.

use super::forge::*;
use super::*;

const ROOT: usize = 1;
const MIDDLE: usize = 2;
const OTHER: usize = 3;

struct Case {
    what: &'static str,
    chain: Vec<Order>,
    anchors: Vec<Order>,
    lists: Vec<CertificateRevocationListDer<'static>>,
    depth: u32,
    code: u32,
}

fn root() -> Order {
    Order::authority("root", ROOT, "root", ROOT)
}

fn middle() -> Order {
    Order::authority("middle", MIDDLE, "root", ROOT)
}

fn leaf() -> Order {
    Order::new("leaf", 0, "middle", MIDDLE)
}

/// A leaf issued by the root.
fn near() -> Order {
    Order::new("leaf", 0, "root", ROOT)
}

fn case(
    code: u32,
    what: &'static str,
    chain: impl Into<Vec<Order>>,
    anchors: impl Into<Vec<Order>>,
) -> Case {
    let (chain, anchors) = (chain.into(), anchors.into());
    Case { what, chain, anchors, lists: Vec::new(), depth: 1, code }
}

/// The usual path with another leaf.
fn ending(code: u32, what: &'static str, leaf: Order) -> Case {
    case(code, what, [leaf, middle()], [root()])
}

/// The usual path with another intermediate.
fn through(code: u32, what: &'static str, middle: Order) -> Case {
    case(code, what, [leaf(), middle], [root()])
}

/// The usual path with another root.
fn from(code: u32, what: &'static str, root: Order) -> Case {
    case(code, what, [leaf(), middle()], [root])
}

impl Case {
    fn depth(mut self, depth: u32) -> Self {
        self.depth = depth;
        self
    }
}

fn trust() -> Vec<Case> {
    let lone = Order::new("leaf", 0, "leaf", 0);
    let lower = Order::authority("lower", OTHER, "middle", MIDDLE);
    let low = Order::new("leaf", 0, "lower", OTHER);
    let other = Order::authority("other", OTHER, "other", OTHER);
    let mimic = Order::authority("root", OTHER, "root", OTHER);
    let late = lone.clone().span(PAST);
    vec![
        case(0, "usual", [leaf(), middle()], [root()]),
        case(0, "near", [near()], [root()]),
        case(0, "near at depth 0", [near()], [root()]).depth(0),
        case(20, "deeper than 0", [leaf(), middle()], [root()]).depth(0),
        case(20, "deeper than 1", [low.clone(), lower.clone(), middle()], [root()]),
        case(0, "as deep as 2", [low.clone(), lower.clone(), middle()], [root()]).depth(2),
        case(0, "in disorder", [low, middle(), lower], [root()]).depth(2),
        case(0, "root sent, too", [leaf(), middle(), root()], [root()]),
        case(18, "self-signed", [lone.clone()], [root()]),
        case(0, "self-signed and believed", [lone.clone()], [lone]),
        case(10, "self-signed and expired", [late], [root()]),
        case(19, "other root sent", [leaf(), middle(), root()], [other.clone()]),
        case(20, "other root", [leaf(), middle()], [other.clone()]),
        case(21, "nobody between", [leaf()], [root()]),
        case(21, "strangers between", [leaf(), other], [root()]),
        case(10, "other root and expired", [leaf().span(PAST), middle()], [mimic.clone()]),
        case(7, "root's name, other key", [near()], [mimic]),
        case(2, "only middle is believed", [leaf()], [middle()]),
        case(2, "only middle, root sent", [leaf(), root()], [middle()]),
        case(21, "only leaf is believed", [leaf()], [leaf()]),
        ending(7, "wrong signer", Order::new("leaf", 0, "middle", OTHER)),
        through(7, "wrong signer of middle", Order::authority("middle", MIDDLE, "root", OTHER)),
        ending(0, "name in another type", {
            let mut leaf = leaf();
            leaf.issuer = name_as(0x13, "MIDDLE ");
            leaf
        }),
    ]
}

/// Key identifiers, for example after a root changed its key.
fn keys() -> Vec<Case> {
    let own = |key: u8| extension(ID_SUBJECT_KEY, false, &[4, 1, key]);
    let by = |key: u8| extension(ID_AUTHORITY_KEY, false, &[0x30, 3, 0x80, 1, key]);
    let old = Order::authority("root", ROOT, "root", ROOT).with(own(1));
    let strict = old.clone().bare().with(own(1)).with(constraints(true, Some(0)));
    let new = Order::authority("root", OTHER, "root", ROOT).with(own(2)).with(by(1));
    let leaf = Order::new("leaf", 0, "root", OTHER).with(by(2));
    let stray = Order::new("leaf", 0, "root", ROOT).with(by(3));
    let numbered = extension(ID_AUTHORITY_KEY, false, &[0x30, 3, 0x82, 1, 8]);
    vec![
        case(0, "new key of root", [leaf.clone(), new.clone()], [old.clone()]),
        case(0, "new key is no step", [leaf.clone(), new], [strict]),
        case(21, "new key unknown", [leaf], [old.clone()]),
        case(21, "third key", [stray], [old.clone()]),
        case(21, "other serial", [near().with(numbered)], [old]),
    ]
}

fn times() -> Vec<Case> {
    vec![
        ending(10, "expired leaf", leaf().span(PAST)),
        ending(9, "early leaf", leaf().span(FUTURE)),
        through(10, "expired middle", middle().span(PAST)),
        from(10, "expired root", root().span(PAST)),
        from(9, "early root", root().span(FUTURE)),
    ]
}

fn authorities() -> Vec<Case> {
    let plain = || middle().bare();
    vec![
        through(26, "no authority", plain().with(constraints(false, None))),
        through(26, "no constraints", plain().with(purposes(&[2]))),
        through(26, "version 1", plain()),
        through(79, "only key usage", plain().with(key_usage(CERT_SIGN))),
        through(32, "no signing", plain().with(constraints(true, None)).with(key_usage(CRL_SIGN))),
        through(0, "no key usage", plain().with(constraints(true, None))),
        through(0, "path length 0", middle().bare().with(constraints(true, Some(0)))),
        from(0, "root of version 1", root().bare()),
        from(0, "root with key usage only", root().bare().with(key_usage(CERT_SIGN))),
        from(26, "root without anything", root().bare().with(purposes(&[2]))),
        from(32, "root that may not sign", {
            root().bare().with(constraints(true, None)).with(key_usage(CRL_SIGN))
        }),
        from(25, "root with path length 0", root().bare().with(constraints(true, Some(0)))),
        from(0, "root with path length 1", root().bare().with(constraints(true, Some(1)))),
    ]
}

fn purposes_and_extensions() -> Vec<Case> {
    let policy = |critical| extension(ID_POLICY_CONSTRAINTS, critical, &[0x30, 3, 0x80, 1, 0]);
    let unknown = |critical| extension(ID_UNKNOWN, critical, &[5, 0]);
    let own = extension(ID_SUBJECT_KEY, true, &[4, 2, 1, 2]);
    vec![
        ending(0, "for clients", leaf().with(purposes(&[2]))),
        ending(26, "for servers", leaf().with(purposes(&[1]))),
        ending(26, "for any purpose", {
            leaf().with(extension(ID_PURPOSES, false, &[0x30, 6, 6, 4, 0x55, 29, 37, 0]))
        }),
        through(26, "middle for servers", middle().with(purposes(&[1]))),
        from(26, "root for servers", root().with(purposes(&[1]))),
        ending(0, "signs", leaf().with(key_usage(DIGITAL_SIGNATURE))),
        ending(26, "encrypts only", leaf().with(key_usage(KEY_ENCIPHERMENT))),
        ending(26, "signs certificates only", leaf().with(key_usage(CERT_SIGN))),
        ending(34, "unknown and critical", leaf().with(unknown(true))),
        ending(0, "unknown", leaf().with(unknown(false))),
        through(34, "unknown and critical between", middle().with(unknown(true))),
        from(34, "unknown and critical above", root().with(unknown(true))),
        ending(34, "critical key identifier", leaf().with(own)),
        through(0, "critical policy constraints", middle().with(policy(true))),
        ending(21, "purposes twice", leaf().with(purposes(&[2])).with(purposes(&[2]))),
        through(21, "purposes twice between", middle().with(purposes(&[2])).with(purposes(&[2]))),
        through(21, "constraints twice", middle().with(constraints(true, None))),
        ending(21, "broken purposes", leaf().with(extension(ID_PURPOSES, false, &[1, 2, 3]))),
        ending(21, "broken constraints", leaf().with(extension(ID_CONSTRAINTS, false, &[1, 2]))),
        ending(21, "names twice", {
            leaf().with(alternatives(&[(0x82, b"a")])).with(alternatives(&[(0x82, b"b")]))
        }),
        ending(0, "unknown twice", leaf().with(unknown(false)).with(unknown(false))),
    ]
}

fn names() -> Vec<Case> {
    const DNS: u8 = 0x82;
    const MAIL: u8 = 0x81;
    const ADDRESS: u8 = 0x87;
    const DIRECTORY: u8 = 0xa4;
    const LINK: u8 = 0x86;
    let under = |code, what, trees: Vec<u8>, names: &[(u8, &[u8])]| {
        let leaf = leaf().with(alternatives(names));
        case(code, what, [leaf, middle().with(trees)], [root()])
    };
    let only = |tag, name: &'static [u8]| subtrees(&[(tag, name)], &[]);
    let but = |tag, name: &'static [u8]| subtrees(&[], &[(tag, name)]);
    let directory = name("leaf");
    let elsewhere = name("else");
    let host = Order::new("b.test", 0, "middle", MIDDLE);
    vec![
        under(0, "below a domain", only(DNS, b"a.test"), &[(DNS, b"x.a.test")]),
        under(0, "the domain itself", only(DNS, b"a.test"), &[(DNS, b"A.test")]),
        under(47, "outside a domain", only(DNS, b"a.test"), &[(DNS, b"xa.test")]),
        under(47, "one outside", only(DNS, b"a.test"), &[(DNS, b"a.test"), (DNS, b"b.test")]),
        under(0, "no name of the kind", only(DNS, b"a.test"), &[(MAIL, b"me@b.test")]),
        under(48, "excluded domain", but(DNS, b"a.test"), &[(DNS, b"x.a.test")]),
        under(0, "beside the excluded", but(DNS, b"a.test"), &[(DNS, b"b.test")]),
        under(0, "net", only(ADDRESS, &[10, 0, 0, 0, 255, 0, 0, 0]), &[(ADDRESS, &[10, 1, 2, 3])]),
        under(47, "no net", only(ADDRESS, &[10, 0, 0, 0, 255, 0, 0, 0]), &[(ADDRESS, &[11; 4])]),
        under(0, "mail host", only(MAIL, b"a.test"), &[(MAIL, b"me@a.test")]),
        under(47, "mail below", only(MAIL, b"a.test"), &[(MAIL, b"me@x.a.test")]),
        under(0, "mail domain", only(MAIL, b".a.test"), &[(MAIL, b"me@x.a.test")]),
        under(47, "mailbox", only(MAIL, b"Me@a.test"), &[(MAIL, b"me@a.test")]),
        under(0, "link", only(LINK, b"a.test"), &[(LINK, b"http://a.test:8/x")]),
        under(47, "other link", only(LINK, b".a.test"), &[(LINK, b"http://a.test/")]),
        under(0, "directory", subtrees(&[(DIRECTORY, &directory)], &[]), &[(DNS, b"a")]),
        under(47, "no directory", subtrees(&[(DIRECTORY, &elsewhere)], &[]), &[(DNS, b"a")]),
        under(48, "not that one", subtrees(&[], &[(DIRECTORY, &directory)]), &[(DNS, b"a")]),
        under(51, "unknown kind", only(0x88, &[0x2a, 3]), &[(0x88, &[0x2a, 3])]),
        from(47, "root has constraints", {
            root().with(subtrees(&[(DIRECTORY, &elsewhere)], &[]))
        }),
        case(47, "common name", [host, middle().with(only(DNS, b"a.test"))], [root()]),
        through(0, "no common name of a host", middle().with(only(DNS, b"a.test"))),
    ]
}

/// Constrained names in string types other than UTF-8.
fn strings() -> Vec<Case> {
    const HOST: u8 = 0x82;
    const MAIL: u8 = 0x81;
    const DIRECTORY: u8 = 0xa4;
    const T61: u8 = 0x14;
    let wide = |text: &str, width: usize| -> Vec<u8> {
        text.bytes().flat_map(|byte| [vec![0; width - 1], vec![byte]].concat()).collect()
    };
    let (bmp, universal) = (wide("b.test", 2), wide("b.test", 4));
    let named = |name: Vec<u8>| Order { subject: name, ..leaf() };
    let under = |code, what, trees: Vec<u8>, subject: Vec<u8>| {
        case(code, what, [named(subject), middle().with(trees)], [root()])
    };
    let hosts = || subtrees(&[(HOST, b"a.test")], &[]);
    let mails = || subtrees(&[], &[(MAIL, b"b.test")]);
    let latin = subtrees(&[], &[(DIRECTORY, &name("caf\u{e9}"))]);
    let mail = |tag| attribute(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1], tag, b"x@b.test");
    vec![
        under(47, "common name in T61", hosts(), name_of(T61, b"b.test")),
        under(47, "common name in BMP", hosts(), name_of(0x1e, &bmp)),
        under(47, "common name in Universal", hosts(), name_of(0x1c, &universal)),
        under(0, "permitted name in BMP", hosts(), name_of(0x1e, &wide("x.a.test", 2))),
        under(53, "common name with a zero", hosts(), name_of(T61, b"b.test\0x")),
        under(47, "common name before a zero", hosts(), name_of(T61, b"b.test\0")),
        under(53, "mailbox in UTF-8", mails(), mail(0x0c)),
        under(53, "mailbox in T61", mails(), mail(T61)),
        under(48, "mailbox", mails(), mail(0x16)),
        under(48, "directory in T61", latin.clone(), name_of(T61, b"CAF\xe9")),
        under(48, "directory in Printable", latin.clone(), name_of(0x13, b"caf\xe9")),
        under(48, "directory in BMP", latin, name_of(0x1e, b"\0c\0a\0f\0\xe9")),
        under(7, "half a character", hosts(), name_of(0x1e, b"\0b\0")),
        under(7, "no UTF-8", hosts(), name_of(0x0c, b"\xff")),
    ]
}

fn lists() -> Vec<Case> {
    let with = |code, what, lists: Vec<CertificateRevocationListDer<'static>>| Case {
        lists,
        ..case(code, what, [leaf(), middle()], [root()])
    };
    let ours = || list("root", ROOT, VALID, &[], &[]);
    let theirs = |revoked: &[u8]| list("middle", MIDDLE, VALID, revoked, &[]);
    let of = |span, revoked: &[u8]| list("middle", MIDDLE, span, revoked, &[]);
    let extended = |extension: Vec<u8>| list("middle", MIDDLE, VALID, &[], &[extension]);
    let scope = |tag: u8| extension(ID_SCOPE, true, &[0x30, 3, tag, 1, 0xff]);
    let newer = ("220101000000Z", "491231235959Z");
    let older = ("190101000000Z", "491231235959Z");
    let no_lists = middle().bare().with(constraints(true, None)).with(key_usage(CERT_SIGN));
    let mut cases = vec![
        with(0, "lists", vec![ours(), theirs(&[9])]),
        with(3, "no list of middle", vec![ours()]),
        with(3, "no list of root", vec![theirs(&[])]),
        with(23, "revoked", vec![ours(), theirs(&[7])]),
        with(23, "middle revoked", vec![list("root", ROOT, VALID, &[7], &[]), theirs(&[])]),
        with(12, "expired list", vec![ours(), of(PAST, &[])]),
        with(11, "early list", vec![ours(), of(FUTURE, &[])]),
        with(23, "expired list that revokes", vec![ours(), of(PAST, &[7])]),
        with(8, "wrong signer of list", vec![ours(), list("middle", OTHER, VALID, &[], &[])]),
        with(3, "somebody else's list", vec![ours(), list("other", MIDDLE, VALID, &[], &[])]),
        with(23, "newer list revokes", vec![ours(), of(older, &[]), of(newer, &[7])]),
        with(23, "newer list first", vec![ours(), of(newer, &[7]), of(older, &[])]),
        with(0, "newer list forgives", vec![ours(), of(older, &[7]), of(newer, &[])]),
        with(0, "expired one beside", vec![ours(), of(PAST, &[7]), of(older, &[])]),
        with(3, "list of authorities", vec![ours(), extended(scope(0x82))]),
        with(0, "list of others", vec![ours(), extended(scope(0x81))]),
        with(3, "list of attributes", vec![ours(), extended(scope(0x85))]),
        with(3, "indirect list", vec![ours(), extended(scope(0x84))]),
        with(3, "delta", vec![ours(), extended(extension(ID_DELTA, true, &[2, 1, 1]))]),
        with(36, "unknown in list", vec![ours(), extended(extension(ID_UNKNOWN, true, &[5, 0]))]),
        with(0, "unknown, uncritical", {
            vec![ours(), extended(extension(ID_UNKNOWN, false, &[5, 0]))]
        }),
    ];
    cases.push(Case {
        lists: vec![ours(), theirs(&[])],
        ..through(35, "may not sign lists", no_lists)
    });
    cases.push(Case {
        lists: vec![ours(), theirs(&[7])],
        ..ending(10, "revoked and expired", leaf().span(PAST))
    });
    cases
}

fn cases() -> Vec<Case> {
    [
        trust(),
        keys(),
        times(),
        authorities(),
        purposes_and_extensions(),
        names(),
        strings(),
        lists(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[test]
fn results_equal_openssls() {
    let make = |orders: &[Order]| orders.iter().map(Order::make).collect::<Vec<_>>();
    let mut wrong = Vec::new();
    for case in cases() {
        let trust = Trust { anchors: make(&case.anchors), revocation: super::lists(&case.lists) };
        let verdict = check(&make(&case.chain), &trust, case.depth);
        let code = verdict.err().unwrap_or(0);
        if code != case.code {
            wrong.push(format!("{}: {code} instead of {}", case.what, case.code));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// SHA-1 is refused before the signature is checked, with OpenSSL's result for a valid one.
#[test]
fn a_weak_digest_is_refused() {
    let trust = Trust { anchors: vec![root().make()], revocation: Revocation::default() };
    let weak = Order { algorithm: Algorithm::Weak, ..near() };
    assert_eq!(check(&[weak.make()], &trust, 1), Err(68));
}

#[test]
fn key_usage_depends_on_the_purpose() {
    let trust = Trust { anchors: vec![root().make()], revocation: Revocation::default() };
    let judge = |leaf: Order| verify(&[leaf.make()], &trust, Purpose::Server, 1, NOW);
    let encrypting = near().with(key_usage(KEY_ENCIPHERMENT));
    assert_eq!(judge(encrypting.clone().with(purposes(&[1]))), Verdict::Valid);
    assert_eq!(judge(encrypting.with(purposes(&[2]))), Verdict::Invalid(Fault::PURPOSE));
    let signing = near().with(key_usage(CERT_SIGN));
    assert_eq!(judge(signing), Verdict::Invalid(Fault::PURPOSE));
}

#[test]
fn an_unreadable_revocation_list_is_an_error() {
    let pem = b"-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n";
    assert!(crls_from_pem(pem).is_err());
}

/// Any flipped byte in a peer's chain is refused, without a panic.
#[test]
fn every_altered_byte_is_refused() {
    let leaf = leaf()
        .with(alternatives(&[(0x82, b"a.test"), (0x87, &[10, 0, 0, 1]), (0x81, b"me@a.test")]))
        .with(purposes(&[1, 2]))
        .with(key_usage(DIGITAL_SIGNATURE))
        .with(extension(ID_AUTHORITY_KEY, false, &[0x30, 3, 0x80, 1, 5]));
    let middle = middle()
        .with(subtrees(&[(0x82, b"test"), (0x87, &[10, 0, 0, 0, 255, 0, 0, 0])], &[(0x81, b"x")]))
        .with(extension(ID_SUBJECT_KEY, false, &[4, 1, 5]));
    let trust = Trust {
        anchors: vec![root().make()],
        revocation: super::lists(&[
            list("root", ROOT, VALID, &[9], &[]),
            list("middle", MIDDLE, VALID, &[], &[]),
        ]),
    };
    let chain = [leaf.make(), middle.make()];
    assert_eq!(check(&chain, &trust, 1), Ok(()));
    for (place, certificate) in chain.iter().enumerate() {
        for (at, bit) in (0..certificate.len()).flat_map(|at| [(at, 1), (at, 0x80)]) {
            let mut changed = certificate.to_vec();
            changed[at] ^= bit;
            let mut chain = chain.clone();
            chain[place] = changed.into();
            assert!(check(&chain, &trust, 1).is_err(), "byte {at} of certificate {place}");
        }
    }
    let longer = CertificateDer::from([&chain[0][..], &[0]].concat());
    assert!(check(&[longer, chain[1].clone()], &trust, 1).is_err());
}

/// The comparisons of thousands of names with thousands of constraints are limited.
#[test]
fn comparisons_are_limited() {
    const HOST: u8 = 0x82;
    let judge = |trees: usize, names: usize| {
        let trees: Vec<(u8, &[u8])> = vec![(HOST, b"nobody.a.test"); trees];
        let names: Vec<(u8, &[u8])> = vec![(HOST, b"somebody.b.test"); names];
        let leaf = leaf().with(alternatives(&names));
        let middle = middle().with(subtrees(&[(HOST, b"test")], &trees));
        let trust = Trust { anchors: vec![root().make()], revocation: Revocation::default() };
        check(&[leaf.make(), middle.make()], &trust, 1)
    };
    assert_eq!(judge(1000, 40), Ok(()));
    assert_eq!(judge(2000, 2000), Err(1));
}
