//! Responses of OCSP responders, judged as by the `openssl` tool.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};

use super::differential::pem;
use super::forge::{self, Algorithm, Order, extension, name, purposes, tlv};
use super::*;
use crate::tls::verify::ocsp::{
    Belief, CertStatus, OcspError, OcspJudge, Question, StatusAnswer, responder_url,
};

/// The number of compared responses.
const RESPONSES: u64 = 150;

const ID_INFO_ACCESS: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 1, 1];

/// The key of each party.
const ROOT: usize = 0;
const MIDDLE: usize = 1;
const LEAF: usize = 2;
const DELEGATE: usize = 3;
const STRANGER: usize = 4;

fn now() -> i64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() as i64
}

/// A certificate of each party, by its key.
fn certificates() -> [CertificateDer<'static>; 5] {
    let leaf = Order { serial: vec![0x12, 0x34], ..Order::new("leaf", LEAF, "middle", MIDDLE) };
    [
        Order::authority("root", ROOT, "root", ROOT).make(),
        Order::authority("middle", MIDDLE, "root", ROOT).make(),
        leaf.make(),
        Order::new("delegate", DELEGATE, "middle", MIDDLE).with(purposes(&[9])).make(),
        // It may answer for the root, not for the authority in the middle.
        Order::new("stranger", STRANGER, "root", ROOT).with(purposes(&[9])).make(),
    ]
}

/// The specification of a response.
#[derive(Clone, Debug)]
struct Reply {
    signer: usize,
    by_key: bool,
    sends: Vec<usize>,
    known: Vec<usize>,
    belief: Belief,
    algorithm: Algorithm,
    /// The issuer that the answer names.
    issuer: usize,
    sha256: bool,
    serial: Vec<u8>,
    status: u8,
    since: i64,
    until: Option<i64>,
}

impl Reply {
    fn good() -> Self {
        Self {
            signer: MIDDLE,
            by_key: false,
            sends: vec![MIDDLE],
            // The tool knows the issuer in any case.
            known: vec![MIDDLE],
            belief: Belief::Delegates,
            algorithm: Algorithm::True,
            issuer: MIDDLE,
            sha256: false,
            serial: vec![0x12, 0x34],
            status: 0,
            since: -3600,
            until: Some(3600),
        }
    }

    fn random(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut own = Self::good();
        let parties = [ROOT, MIDDLE, LEAF, DELEGATE, STRANGER];
        own.signer = parties[rng.usize(..parties.len())];
        own.by_key = rng.bool();
        own.sends = if rng.u8(..4) > 0 { vec![own.signer] } else { Vec::new() };
        if rng.u8(..4) == 0 {
            own.known.push(own.signer);
        }
        own.belief = [Belief::Anyone, Belief::Known, Belief::Delegates][rng.usize(..3)];
        own.status = rng.u8(..3);
        match rng.u8(..12) {
            0 => own.algorithm = Algorithm::Changed,
            1 => own.serial = vec![0x12],
            2 => own.issuer = ROOT,
            3 => own.sha256 = true,
            4 => (own.since, own.until) = (-7200, Some(-3600)),
            5 => own.since = 3600,
            6 => own.until = None,
            7 => own.until = Some(-7200),
            _ => {}
        }
        own
    }

    fn make(&self, now: i64) -> Vec<u8> {
        let (oid, hash): (&[u8], _) = match self.sha256 {
            true => (&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1], &SHA256),
            false => (&[0x2b, 0x0e, 3, 2, 0x1a], &SHA1_FOR_LEGACY_USE_ONLY),
        };
        let issuer = name(NAMES[self.issuer]);
        let id = [
            tlv(0x30, &[tlv(6, oid), vec![5, 0]].concat()),
            tlv(4, digest(hash, &issuer).as_ref()),
            tlv(4, &forge::key_digest(self.issuer, hash)),
            tlv(2, &self.serial),
        ];
        let status = match self.status {
            1 => tlv(0xa1, &tlv(0x18, b"20250101000000Z")),
            status => vec![0x80 | status, 0],
        };
        let mut single =
            vec![tlv(0x30, &id.concat()), status, tlv(0x18, &written(now + self.since))];
        single.extend(self.until.map(|until| tlv(0xa0, &tlv(0x18, &written(now + until)))));
        let responder = match self.by_key {
            true => {
                let digest = forge::key_digest(self.signer, &SHA1_FOR_LEGACY_USE_ONLY);
                tlv(0xa2, &tlv(4, &digest))
            }
            false => tlv(0xa1, &name(NAMES[self.signer])),
        };
        let answers = tlv(0x30, &tlv(0x30, &single.concat()));
        let signed = tlv(0x30, &[responder, tlv(0x18, &written(now)), answers].concat());
        let sends = self.of(&self.sends);
        forge::ocsp_response(&signed, self.signer, self.algorithm, &sends)
    }

    fn of(&self, keys: &[usize]) -> Vec<CertificateDer<'static>> {
        let all = certificates();
        keys.iter().map(|key| all[*key].clone()).collect()
    }

    fn judged(&self, now: i64) -> Result<StatusAnswer, OcspError> {
        let [root, middle, leaf, ..] = certificates();
        let question = Question::new(&leaf, &middle).unwrap();
        let judge = OcspJudge::new(&trusting(vec![root]));
        judge.judge(&self.make(now), &question, (&self.of(&self.known), self.belief), now)
    }

    /// The verdict of the tool in the words of [`verdict`].
    fn judged_by_openssl(&self, now: i64, folder: &Path) -> String {
        let write = |name: &str, all: &[CertificateDer<'_>]| {
            let text: String = all.iter().map(|der| pem("CERTIFICATE", der)).collect();
            std::fs::write(folder.join(name), text).unwrap();
        };
        let [root, middle, leaf, ..] = certificates();
        write("root.pem", &[root]);
        write("middle.pem", &[middle]);
        write("leaf.pem", &[leaf]);
        std::fs::write(folder.join("response.der"), self.make(now)).unwrap();
        let mut command = Command::new("openssl");
        command.current_dir(folder).args(["ocsp", "-respin", "response.der", "-no_nonce"]);
        command.args(["-CAfile", "root.pem", "-no-CApath", "-no-CAstore"]);
        command.args(["-issuer", "middle.pem", "-cert", "leaf.pem"]);
        if !self.known.is_empty() {
            write("known.pem", &self.of(&self.known));
            command.args(["-verify_other", "known.pem"]);
        }
        match self.belief {
            Belief::Anyone => drop(command.arg("-no_cert_verify")),
            Belief::Known => drop(command.arg("-trust_other")),
            Belief::Delegates => {}
        }
        let output = command.output().expect("openssl is needed");
        let [good, bad] = [output.stdout, output.stderr]
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        if !bad.contains("Response verify OK") {
            // It tries again with the issuer at hand, which has errors of its own.
            let places = REASONS.iter().filter_map(|reason| Some((bad.find(reason)?, *reason)));
            return places.min().map_or(bad.clone(), |(_, reason)| reason.to_owned());
        }
        if good.contains("No Status found") {
            return "no status".to_owned();
        }
        if good.contains("Status times invalid") {
            return "times".to_owned();
        }
        let statuses = ["good", "revoked", "unknown"];
        let found = |status: &&str| good.contains(&format!("leaf.pem: {status}"));
        statuses.into_iter().find(found).unwrap_or(&good).to_owned()
    }
}

const NAMES: [&str; 5] = ["root", "middle", "leaf", "delegate", "stranger"];

/// A GeneralizedTime.
fn written(time: i64) -> Vec<u8> {
    let output = Command::new("date")
        .args(["-u", "-d", &format!("@{time}"), "+%Y%m%d%H%M%SZ"])
        .output()
        .expect("date is needed");
    String::from_utf8(output.stdout).unwrap().trim().into()
}

/// A verdict in the words of the tool.
fn verdict(judged: Result<StatusAnswer, OcspError>) -> String {
    match judged {
        Ok(answer) => answer.status.name().to_owned(),
        Err(OcspError::NotFound) => "no status".to_owned(),
        Err(OcspError::Expired | OcspError::NotYetValid | OcspError::Reversed) => {
            "times".to_owned()
        }
        Err(error) => {
            let text = error.to_string();
            REASONS.iter().find(|reason| text.contains(**reason)).unwrap().to_string()
        }
    }
}

/// The reasons not to believe a response.
const REASONS: [&str; 5] = [
    "signature failure",
    "signer certificate not found",
    "missing ocspsigning usage",
    "root ca not trusted",
    "certificate verify error",
];

#[test]
fn responses_are_judged_as_by_openssl() {
    let folder = std::env::temp_dir().join(format!("weir-ocsp-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (mut different, mut seen) = (String::new(), std::collections::BTreeMap::new());
    for seed in 0..RESPONSES {
        let (reply, now) = (Reply::random(seed), now());
        let (ours, theirs) = (verdict(reply.judged(now)), reply.judged_by_openssl(now, &folder));
        *seen.entry(ours.clone()).or_insert(0) += 1;
        if ours != theirs {
            let _ = writeln!(different, "seed {seed}: {ours}, openssl: {theirs}, {reply:?}");
        }
    }
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(different.is_empty(), "{different}");
    assert!(seen.len() >= 9, "every kind of verdict occurs: {seen:?}");
}

#[test]
fn what_openssl_refuses_is_told_in_its_words() {
    let now = now();
    let told = |reply: Reply| reply.judged(now).unwrap_err().to_string();
    let failed = "OCSP_basic_verify() failed (SSL: error:";
    let cases = [
        (
            Reply { sends: vec![], known: vec![], ..Reply::good() },
            "13800076:OCSP routines::signer certificate not found",
        ),
        (
            Reply { algorithm: Algorithm::Changed, ..Reply::good() },
            "13800075:OCSP routines::signature failure",
        ),
        (
            Reply { signer: ROOT, sends: vec![ROOT], ..Reply::good() },
            "13800070:OCSP routines::root ca not trusted",
        ),
        (
            Reply { signer: LEAF, sends: vec![LEAF], ..Reply::good() },
            "13800067:OCSP routines::missing ocspsigning usage error:13800070:OCSP \
             routines::root ca not trusted",
        ),
    ];
    for (reply, reason) in cases {
        assert_eq!(told(reply), format!("{failed}{reason})"));
    }
    let late = told(Reply { since: -7200, until: Some(-3600), ..Reply::good() });
    let expected =
        "OCSP_check_validity() failed (SSL: error:1380007D:OCSP routines::status expired)";
    assert_eq!(late, expected);
}

#[test]
fn an_answer_has_a_status_and_an_end() {
    let now = now();
    let answer = |reply: Reply| reply.judged(now).unwrap();
    let good = StatusAnswer { status: CertStatus::Good, until: Some(now + 3600) };
    assert_eq!(answer(Reply::good()), good);
    let delegated = Reply { signer: DELEGATE, sends: vec![DELEGATE], ..Reply::good() };
    assert_eq!(answer(Reply { by_key: true, ..delegated }), good);
    let revoked = StatusAnswer { status: CertStatus::Revoked, until: None };
    assert_eq!(answer(Reply { status: 1, until: None, ..Reply::good() }), revoked);
}

#[test]
fn a_refusal_has_its_name() {
    let [root, middle, leaf, ..] = certificates();
    let question = Question::new(&leaf, &middle).unwrap();
    let judge = OcspJudge::new(&trusting(vec![root]));
    let told = |response: &[u8]| {
        let judged = judge.judge(response, &question, (&[], Belief::Anyone), NOW);
        judged.unwrap_err().to_string()
    };
    assert_eq!(told(&[0x30, 3, 10, 1, 6]), "OCSP response not successful (6: unauthorized)");
    assert_eq!(told(&[0x30, 3, 10, 1, 3]), "OCSP response not successful (3: trylater)");
    assert!(told(&[0x30, 3, 10, 1, 0]).contains("no response data"));
    assert!(told(b"").starts_with("d2i_OCSP_RESPONSE() failed"));
}

#[test]
fn any_truncated_or_changed_response_is_refused() {
    let now = now();
    let [root, middle, leaf, ..] = certificates();
    let question = Question::new(&leaf, &middle).unwrap();
    let judge = OcspJudge::new(&trusting(vec![root]));
    let response = Reply::good().make(now);
    let judged =
        |response: &[u8]| judge.judge(response, &question, (&[], Belief::Delegates), now).is_ok();
    assert!(judged(&response));
    for length in 0..response.len() {
        assert!(!judged(&response[..length]), "{length} bytes");
    }
    // Neither the NULL parameters of algorithms nor the signature of a certificate that is trusted
    // for other reasons change the answer.
    let signed = 0..200;
    for at in signed {
        let mut changed = response.clone();
        changed[at] ^= 1;
        assert!(!judged(&changed), "byte {at}");
    }
}

#[test]
fn a_certificate_names_its_responder() {
    let way = |method: u8, place: Vec<u8>| {
        tlv(0x30, &[tlv(6, &[0x2b, 6, 1, 5, 5, 7, 0x30, method]), place].concat())
    };
    let url = |text: &str| tlv(0x86, text.as_bytes());
    let named = |ways: Vec<Vec<u8>>| {
        let access = extension(ID_INFO_ACCESS, false, &tlv(0x30, &ways.concat()));
        responder_url(&Order::new("leaf", LEAF, "middle", MIDDLE).with(access).make())
    };
    let first = named(vec![way(2, url("http://ca/")), way(1, url("http://a/")), way(1, url("b"))]);
    assert_eq!(first.as_deref(), Some("http://a/"));
    assert_eq!(named(vec![way(1, tlv(0x82, b"host")), way(2, url("http://ca/"))]), None);
    assert_eq!(named(vec![way(1, url("http://a\0b/"))]), None);
    assert_eq!(responder_url(&certificates()[LEAF]), None);
}

#[test]
fn the_issuer_is_in_the_chain_or_trusted() {
    let [root, middle, leaf, delegate, ..] = certificates();
    let judge = OcspJudge::new(&trusting(vec![root.clone()]));
    let issuer =
        |one: &CertificateDer<'_>, chain: &[CertificateDer<'static>]| judge.issuer(one, chain, NOW);
    assert_eq!(issuer(&leaf, &[delegate, middle.clone()]), Some(middle.clone()));
    assert_eq!(issuer(&leaf, &[]), None);
    assert_eq!(issuer(&middle, &[]), Some(root));
}

/// The request that the tool writes for the same certificate.
#[test]
fn requests_are_those_of_openssl() {
    let folder = std::env::temp_dir().join(format!("weir-ocsp-request-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let [_, middle, leaf, ..] = certificates();
    std::fs::write(folder.join("leaf.pem"), pem("CERTIFICATE", &leaf)).unwrap();
    std::fs::write(folder.join("middle.pem"), pem("CERTIFICATE", &middle)).unwrap();
    let mut command = Command::new("openssl");
    command.current_dir(&folder).args(["ocsp", "-issuer", "middle.pem", "-cert", "leaf.pem"]);
    let output = command.args(["-no_nonce", "-reqout", "request.der"]).output().unwrap();
    assert!(output.status.success());
    let theirs = std::fs::read(folder.join("request.der")).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(Question::new(&leaf, &middle).unwrap().request(), theirs);
}

/// Writes responses as seeds of the fuzz target `ocsp_responses` to the folder `WEIR_SEEDS`.
#[test]
#[ignore = "writes files"]
fn seeds_for_fuzzing() {
    let folder = std::env::var("WEIR_SEEDS").expect("WEIR_SEEDS names a folder");
    let record = |kind: u8, der: &[u8]| {
        let length = u16::try_from(der.len()).unwrap().to_be_bytes();
        [&[kind], &length[..], der].concat()
    };
    let [root, middle, leaf, ..] = certificates();
    let at_hand = [record(1, &leaf), record(1, &middle), record(2, &root)].concat();
    let delegated = Reply { signer: DELEGATE, sends: vec![DELEGATE], ..Reply::good() };
    let replies = [
        Reply::good(),
        Reply { by_key: true, ..delegated },
        Reply { status: 1, until: None, ..Reply::good() },
        Reply { status: 2, sha256: true, ..Reply::good() },
    ];
    for (at, reply) in replies.iter().enumerate() {
        let all = [record(0, &reply.make(NOW)), at_hand.clone()].concat();
        std::fs::write(Path::new(&folder).join(at.to_string()), all).unwrap();
    }
}
