//! OpenSSL's cipher strings, limited to the ciphers of rustls.

use std::sync::LazyLock;

use rustls::crypto::aws_lc_rs::cipher_suite as suites;
use rustls::{CipherSuite, CipherSuiteCommon, SupportedCipherSuite, Tls12CipherSuite};

use super::aead::tls13;
use super::hello::Restoring;
use super::offer::Missing;
use super::settings_error::SettingsError;

/// One TLS 1.2 cipher that both OpenSSL and rustls have.
struct Cipher {
    name: &'static str,
    suite: SupportedCipherSuite,
    /// OpenSSL's keywords that select it, except the strength classes.
    words: &'static [&'static str],
}

/// In the order of OpenSSL's default list.
static TLS12: [Cipher; 6] = [
    Cipher {
        name: "ECDHE-ECDSA-AES256-GCM-SHA384",
        suite: suites::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        words: &["ECDSA", "aECDSA", "AES", "AES256", "AESGCM", "SHA384", "FIPS"],
    },
    Cipher {
        name: "ECDHE-RSA-AES256-GCM-SHA384",
        suite: suites::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        words: &["aRSA", "AES", "AES256", "AESGCM", "SHA384", "FIPS"],
    },
    Cipher {
        name: "ECDHE-ECDSA-CHACHA20-POLY1305",
        suite: suites::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        words: &["ECDSA", "aECDSA", "CHACHA20", "SHA256"],
    },
    Cipher {
        name: "ECDHE-RSA-CHACHA20-POLY1305",
        suite: suites::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        words: &["aRSA", "CHACHA20", "SHA256"],
    },
    Cipher {
        name: "ECDHE-ECDSA-AES128-GCM-SHA256",
        suite: suites::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        words: &["ECDSA", "aECDSA", "AES", "AES128", "AESGCM", "SHA256", "FIPS"],
    },
    Cipher {
        name: "ECDHE-RSA-AES128-GCM-SHA256",
        suite: suites::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        words: &["aRSA", "AES", "AES128", "AESGCM", "SHA256", "FIPS"],
    },
];

/// The suites of all ciphers.
pub(super) const ALL_SUITES: [CipherSuite; 9] = [
    CipherSuite::TLS13_AES_256_GCM_SHA384,
    CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
    CipherSuite::TLS13_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
];

/// Keywords that select every cipher of the list: each has an ephemeral elliptic-curve key
/// exchange, authentication, a key of at least 128 bits and an AEAD.
const ALL: [&str; 14] = [
    "ALL", "DEFAULT", "HIGH", "TLSv1.2", "ECDHE", "EECDH", "kECDHE", "kEECDH", "ECDH", "EECDHE",
    "kECDH", "aCERT", "STRENGTH", "SECLEVEL",
];

/// Keywords that select only ciphers missing in rustls.
const ELSEWHERE: [&str; 45] = [
    "COMPLEMENTOFALL",
    "COMPLEMENTOFDEFAULT",
    "eNULL",
    "NULL",
    "aNULL",
    "ADH",
    "AECDH",
    "kRSA",
    "RSA",
    "kDHE",
    "kEDH",
    "DH",
    "DHE",
    "EDH",
    "aDSS",
    "DSS",
    "PSK",
    "kPSK",
    "aPSK",
    "kECDHEPSK",
    "kDHEPSK",
    "kRSAPSK",
    "SRP",
    "kSRP",
    "aSRP",
    "SSLv3",
    "TLSv1",
    "TLSv1.0",
    "CAMELLIA",
    "CAMELLIA128",
    "CAMELLIA256",
    "ARIA",
    "ARIAGCM",
    "ARIA128",
    "ARIA256",
    "MD5",
    "SHA1",
    "SHA",
    "AESCCM",
    "AESCCM8",
    "CBC",
    "SUITEB128",
    "SUITEB128ONLY",
    "SUITEB128C2",
    "SUITEB192",
];

/// Keywords that select nothing, in OpenSSL as here.
const NONE: [&str; 28] = [
    "MEDIUM",
    "LOW",
    "EXP",
    "EXPORT",
    "EXPORT40",
    "EXPORT56",
    "kDH",
    "DHr",
    "DHd",
    "aDH",
    "kDHr",
    "kDHd",
    "SSLv2",
    "3DES",
    "DES",
    "RC4",
    "RC2",
    "IDEA",
    "SEED",
    "GOST89MAC",
    "aGOST",
    "kGOST",
    "GOST94",
    "KRB5",
    "DES-CBC3-SHA",
    "ECDHE-RSA-DES-CBC3-SHA",
    "RC4-SHA",
    "RC4-MD5",
];

/// The prefixes of OpenSSL's other cipher names: the key exchange, if the name has one. The cipher
/// follows, and optionally the digest.
const EXCHANGES: [&str; 14] = [
    "ECDHE-ECDSA-",
    "ECDHE-RSA-",
    "ECDHE-PSK-",
    "ECDHE-",
    "DHE-RSA-",
    "DHE-DSS-",
    "DHE-PSK-",
    "RSA-PSK-",
    "PSK-",
    "ADH-",
    "AECDH-",
    "SRP-RSA-",
    "SRP-DSS-",
    "SRP-",
];
const PLAIN: [&str; 10] = [
    "AES128",
    "AES256",
    "AES-128",
    "AES-256",
    "CAMELLIA128",
    "CAMELLIA256",
    "ARIA128",
    "ARIA256",
    "CHACHA20-POLY1305",
    "NULL",
];
const MODES: [&str; 4] = ["-GCM", "-CCM8", "-CCM", "-CBC"];
const DIGESTS: [&str; 4] = ["-SHA", "-SHA256", "-SHA384", "-MD5"];

/// Whether OpenSSL has a cipher of this name, approximately.
fn is_elsewhere(name: &str) -> bool {
    let exchange = EXCHANGES.iter().find_map(|exchange| name.strip_prefix(exchange));
    let rest = exchange.unwrap_or(name);
    let Some(rest) = PLAIN.iter().find_map(|cipher| rest.strip_prefix(cipher)) else {
        return false;
    };
    let rest = MODES.iter().find_map(|mode| rest.strip_prefix(mode)).unwrap_or(rest);
    rest.is_empty() || DIGESTS.contains(&rest)
}

/// The suites that an OpenSSL cipher string selects: the TLS 1.3 suites, which the string does not
/// affect, then those of TLS 1.2 in its order. Names of ciphers that rustls lacks are pushed to
/// `warnings`.
///
/// # Errors
/// OpenSSL's message if the string selects nothing in OpenSSL either.
pub(super) fn select(
    text: &str,
    suites: Option<&str>,
    warnings: &mut Vec<Missing>,
) -> Result<Vec<SupportedCipherSuite>, SettingsError> {
    let mut list = List::default();
    // A command may follow a keyword without a separator.
    let words = text.replace('@', ":@");
    for word in words.split([':', ',', ' ', ';']).filter(|word| !word.is_empty()) {
        list.apply(word);
    }
    if !list.unknown.is_empty() {
        warnings.push(Missing::Ciphers(list.unknown.join(":")));
    }
    if list.chosen.is_empty() && list.is_elsewhere {
        warnings.push(Missing::AllCiphers);
    } else if list.chosen.is_empty() {
        return Err(format!(
            "SSL_CTX_set_cipher_list(\"{text}\") failed \
             (SSL: error:0A0000B9:SSL routines::no cipher match)"
        )
        .into());
    }
    let chosen = list.chosen.into_iter().map(|at| tls12()[at]);
    let tls13 = match suites {
        Some(names) => named(names)?,
        None => tls13().to_vec(),
    };
    Ok(tls13.into_iter().chain(chosen).collect())
}

/// The suites of [`TLS12`] with a hash that restores hidden bytes of hellos.
fn tls12() -> &'static [SupportedCipherSuite] {
    static ALL: LazyLock<Vec<SupportedCipherSuite>> = LazyLock::new(|| {
        let restoring = |cipher: &Cipher| match cipher.suite {
            SupportedCipherSuite::Tls12(suite) => {
                let hash_provider = Box::leak(Box::new(Restoring(suite.common.hash_provider)));
                let common = CipherSuiteCommon {
                    suite: suite.common.suite,
                    hash_provider,
                    confidentiality_limit: suite.common.confidentiality_limit,
                };
                SupportedCipherSuite::Tls12(Box::leak(Box::new(Tls12CipherSuite {
                    common,
                    prf_provider: suite.prf_provider,
                    kx: suite.kx,
                    sign: suite.sign,
                    aead_alg: suite.aead_alg,
                })))
            }
            other => other,
        };
        TLS12.iter().map(restoring).collect()
    });
    &ALL
}

/// The named TLS 1.3 suites in their order. Suites that only OpenSSL has are skipped.
fn named(names: &str) -> Result<Vec<SupportedCipherSuite>, SettingsError> {
    let mut found = Vec::new();
    for word in names.split(':').filter(|word| !word.is_empty()) {
        match tls13().into_iter().find(|suite| name(suite.suite()) == word) {
            Some(suite) => found.push(suite),
            None if OTHERS13.contains(&word) => {}
            None => return Err(format!("the cipher suite \"{word}\" is unknown").into()),
        }
    }
    Ok(found)
}

/// The TLS 1.3 suites that rustls lacks; they are not in use.
const OTHERS13: [&str; 2] = ["TLS_AES_128_CCM_SHA256", "TLS_AES_128_CCM_8_SHA256"];

#[derive(Default)]
struct List {
    /// Indices into [`TLS12`].
    chosen: Vec<usize>,
    /// Ciphers removed for good by `!`.
    killed: Vec<usize>,
    /// Names that select nothing here.
    unknown: Vec<String>,
    /// A keyword selected ciphers that only OpenSSL has.
    is_elsewhere: bool,
}

impl List {
    fn apply(&mut self, word: &str) {
        let (operator, words) = match word.as_bytes()[0] {
            operator @ (b'!' | b'-' | b'+') => (operator, &word[1..]),
            b'@' => return self.command(word),
            _ => (b' ', word),
        };
        let matched = self.matching(words, operator == b' ');
        match operator {
            b'!' => {
                self.chosen.retain(|at| !matched.contains(at));
                self.killed.extend(matched);
            }
            b'-' => self.chosen.retain(|at| !matched.contains(at)),
            b'+' => {
                let (moved, kept) = self.chosen.iter().partition(|at| matched.contains(at));
                self.chosen = kept;
                self.chosen.extend::<Vec<usize>>(moved);
            }
            _ => {
                for at in matched {
                    if !self.chosen.contains(&at) && !self.killed.contains(&at) {
                        self.chosen.push(at);
                    }
                }
            }
        }
    }

    /// The ciphers selected by every keyword of a `+` list.
    fn matching(&mut self, words: &str, wanted: bool) -> Vec<usize> {
        let mut matched: Vec<usize> = (0..TLS12.len()).collect();
        let mut exists = true;
        for word in words.split('+') {
            if tls13().iter().any(|suite| name(suite.suite()) == word) {
                // OpenSSL ignores TLS 1.3 suites in this list as well: they are always on.
                return Vec::new();
            }
            let named = is_elsewhere(word);
            let here = ALL.contains(&word)
                || TLS12.iter().any(|cipher| cipher.name == word || cipher.words.contains(&word));
            if !here && wanted && !ELSEWHERE.contains(&word) && !NONE.contains(&word) {
                self.unknown.push(word.to_owned());
            }
            exists &= here || named || ELSEWHERE.contains(&word);
            matched.retain(|&at| {
                let cipher = &TLS12[at];
                ALL.contains(&word) || cipher.name == word || cipher.words.contains(&word)
            });
        }
        self.is_elsewhere |= wanted && exists && matched.is_empty();
        matched
    }

    /// Runs a command: `@STRENGTH` sorts long keys first; `@SECLEVEL` has no effect on these
    /// ciphers.
    fn command(&mut self, word: &str) {
        if word == "@STRENGTH" {
            self.chosen.sort_by_key(|&at| TLS12[at].words.contains(&"AES128"));
        }
    }
}

/// OpenSSL's name of a suite, or its number in nginx's notation.
pub(super) fn name(suite: CipherSuite) -> String {
    if let Some(cipher) = TLS12.iter().find(|cipher| cipher.suite.suite() == suite) {
        return cipher.name.to_owned();
    }
    match suite {
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384".into(),
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256".into(),
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256".into(),
        other => {
            openssl_name(other.as_str()).unwrap_or_else(|| format!("0x{:04x}", u16::from(other)))
        }
    }
}

/// Turns `TLS_DHE_RSA_WITH_AES_256_CBC_SHA256` into `DHE-RSA-AES256-SHA256`.
fn openssl_name(iana: Option<&str>) -> Option<String> {
    let (exchange, cipher) = iana?.strip_prefix("TLS_")?.split_once("_WITH_")?;
    let cipher = cipher.replace("AES_", "AES").replace("_CBC", "").replace('_', "-");
    let exchange = exchange.replace('_', "-");
    Some(if exchange == "RSA" { cipher } else { format!("{exchange}-{cipher}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_suites_are_listed() {
        let all: Vec<_> = tls13().iter().map(|suite| suite.suite()).collect();
        let all = all.into_iter().chain(TLS12.iter().map(|cipher| cipher.suite.suite()));
        assert_eq!(all.collect::<Vec<_>>(), ALL_SUITES);
    }

    fn names(text: &str) -> (Vec<String>, usize) {
        let mut warnings = Vec::new();
        let suites = select(text, None, &mut warnings).unwrap();
        let names = suites.iter().map(|suite| name(suite.suite()));
        (names.filter(|name| !name.starts_with("TLS_")).collect(), warnings.len())
    }

    #[test]
    fn nginxs_default_selects_everything() {
        let (names, warnings) = names("HIGH:!aNULL:!MD5");
        assert_eq!((names.len(), warnings), (6, 0));
    }

    #[test]
    fn names_and_their_order_are_kept() {
        let (chosen, warnings) = names(
            "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-GCM-SHA256:DHE-RSA-AES128-GCM-SHA256",
        );
        let expected = ["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"];
        assert_eq!(chosen, expected);
        assert_eq!(warnings, 1);
    }

    #[test]
    fn operators_do_what_openssl_says() {
        assert_eq!(names("EECDH+AESGCM:!aECDSA:@STRENGTH").0.len(), 2);
        assert_eq!(names("ALL:-AES:+CHACHA20").0.len(), 2);
        assert_eq!(names("!AES:ALL").0.len(), 2);
        assert_eq!(names("ALL:+AES256").0[5], "ECDHE-RSA-AES256-GCM-SHA384");
    }

    #[test]
    fn an_empty_selection_is_an_error() {
        for text in ["RC4:DES-CBC3-SHA", "nope", "!ALL", ""] {
            let error = select(text, None, &mut Vec::new()).unwrap_err();
            assert!(error.to_string().ends_with("no cipher match)"), "{error}");
        }
    }

    #[test]
    fn ciphers_of_openssl_alone_leave_tls13() {
        for text in ["AES128-SHA", "aNULL", "DHE-RSA-AES256-GCM-SHA384", "kRSA+AES", "SUITEB128"] {
            let mut missing = Vec::new();
            assert_eq!(select(text, None, &mut missing).unwrap().len(), tls13().len(), "{text}");
            assert_eq!(missing.last(), Some(&Missing::AllCiphers));
        }
    }

    #[test]
    fn a_level_may_follow_a_keyword() {
        assert_eq!(names("DEFAULT@SECLEVEL=0"), names("DEFAULT"));
        assert_eq!(names("ALL:!COMPLEMENTOFDEFAULT:!eNULL").0.len(), 6);
    }

    #[test]
    fn ciphers_have_openssls_names() {
        let named = name(CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384);
        assert_eq!(named, "ECDHE-RSA-AES256-SHA384");
    }
}
