//! OpenSSL's names of protocols and curves.

use rustls::crypto::{SupportedKxGroup, aws_lc_rs};
use rustls::version::{TLS12, TLS13};
use rustls::{NamedGroup, SupportedProtocolVersion};

use super::offer::Missing;
use super::settings_error::SettingsError;

/// The parameters of `ssl_protocols` as flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Protocols {
    /// `SSLv2`, `SSLv3`, `TLSv1` or `TLSv1.1` is listed; none of them is supported.
    pub obsolete: bool,
    /// `TLSv1.2` is listed.
    pub tls12: bool,
    /// `TLSv1.3` is listed.
    pub tls13: bool,
}

/// The protocol versions of a configuration.
pub type Versions = Vec<&'static SupportedProtocolVersion>;

impl Protocols {
    /// nginx's default.
    pub const DEFAULT: Self = Self { obsolete: false, tls12: true, tls13: true };

    /// Adds a parameter of `ssl_protocols`; returns `false` for an unknown one.
    pub fn add(&mut self, word: &str) -> bool {
        match word {
            "SSLv2" | "SSLv3" | "TLSv1" | "TLSv1.1" => self.obsolete = true,
            "TLSv1.2" => self.tls12 = true,
            "TLSv1.3" => self.tls13 = true,
            _ => return false,
        }
        true
    }

    /// rustls's versions; empty if no listed protocol is supported.
    pub fn versions(self) -> Versions {
        let mut versions: Versions = Vec::new();
        if self.tls13 {
            versions.push(&TLS13);
        }
        if self.tls12 {
            versions.push(&TLS12);
        }
        versions
    }
}

/// The groups of a list such as `X25519:prime256v1`; `auto` and an empty list mean rustls's
/// preferred groups. Names of groups that rustls lacks are pushed to `warnings`; if no other is
/// listed, all of rustls's groups are used.
///
/// # Errors
/// OpenSSL's message for a name that OpenSSL does not know either.
pub(super) fn curves(
    text: &str,
    warnings: &mut Vec<Missing>,
) -> Result<Vec<&'static dyn SupportedKxGroup>, SettingsError> {
    if text.is_empty() || text == "auto" || text == "automatic" {
        return Ok(aws_lc_rs::default_provider().kx_groups);
    }
    let mut groups = Vec::new();
    for word in text.split([':', '/']) {
        let name = word.trim_start_matches(['?', '*']);
        let known = || OTHERS.iter().any(|other| other.eq_ignore_ascii_case(name));
        match curve(name) {
            Some(group) => groups.push(group),
            None if known() || word.starts_with('?') => {
                warnings.push(Missing::Curve(name.to_owned()));
            }
            None => {
                return Err(format!(
                    "SSL_CTX_set1_curves_list(\"{text}\") failed (SSL: \
                     error:0A080106:SSL routines::passed invalid argument:group '{name}' cannot \
                     be set)"
                )
                .into());
            }
        }
    }
    if groups.is_empty() {
        groups = aws_lc_rs::default_provider().kx_groups;
    }
    Ok(groups)
}

/// The names of groups that OpenSSL has and rustls lacks.
const OTHERS: [&str; 48] = [
    "secp521r1",
    "P-521",
    "X448",
    "prime192v1",
    "secp192r1",
    "P-192",
    "secp160k1",
    "secp160r1",
    "secp160r2",
    "secp192k1",
    "secp224k1",
    "secp224r1",
    "P-224",
    "secp256k1",
    "sect163k1",
    "K-163",
    "sect163r1",
    "sect163r2",
    "B-163",
    "sect193r1",
    "sect193r2",
    "sect233k1",
    "K-233",
    "sect233r1",
    "B-233",
    "sect239k1",
    "sect283k1",
    "K-283",
    "sect283r1",
    "B-283",
    "sect409k1",
    "K-409",
    "sect409r1",
    "B-409",
    "sect571k1",
    "K-571",
    "sect571r1",
    "B-571",
    "brainpoolP256r1",
    "brainpoolP384r1",
    "brainpoolP512r1",
    "ffdhe2048",
    "ffdhe3072",
    "ffdhe4096",
    "ffdhe6144",
    "ffdhe8192",
    "SecP384r1MLKEM1024",
    "MLKEM1024",
];

fn curve(name: &str) -> Option<&'static dyn SupportedKxGroup> {
    use aws_lc_rs::kx_group;
    Some(match name.to_ascii_lowercase().as_str() {
        "x25519" => kx_group::X25519,
        "prime256v1" | "secp256r1" | "p-256" => kx_group::SECP256R1,
        "secp384r1" | "p-384" => kx_group::SECP384R1,
        "x25519mlkem768" => kx_group::X25519MLKEM768,
        "secp256r1mlkem768" => kx_group::SECP256R1MLKEM768,
        "mlkem768" => kx_group::MLKEM768,
        _ => return None,
    })
}

/// OpenSSL's name of a group, or its number in nginx's notation.
pub(super) fn curve_name(group: NamedGroup) -> String {
    match group {
        NamedGroup::X25519 => "X25519".into(),
        NamedGroup::X448 => "X448".into(),
        NamedGroup::secp256r1 => "prime256v1".into(),
        NamedGroup::secp384r1 => "secp384r1".into(),
        NamedGroup::secp521r1 => "secp521r1".into(),
        NamedGroup::X25519MLKEM768 => "X25519MLKEM768".into(),
        NamedGroup::secp256r1MLKEM768 => "SecP256r1MLKEM768".into(),
        NamedGroup::MLKEM768 => "MLKEM768".into(),
        NamedGroup::FFDHE2048 => "ffdhe2048".into(),
        NamedGroup::FFDHE3072 => "ffdhe3072".into(),
        NamedGroup::FFDHE4096 => "ffdhe4096".into(),
        NamedGroup::FFDHE6144 => "ffdhe6144".into(),
        NamedGroup::FFDHE8192 => "ffdhe8192".into(),
        other => format!("0x{:04x}", u16::from(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_are_words() {
        let mut protocols = Protocols::default();
        assert!(protocols.add("TLSv1"));
        assert!(protocols.versions().is_empty());
        assert!(protocols.add("TLSv1.3"));
        assert!(!protocols.add("TLSv4"));
        assert_eq!(protocols.versions().len(), 1);
    }

    #[test]
    fn curves_have_openssls_names() {
        let mut warnings = Vec::new();
        let groups = curves("X25519:P-256:secp521r1", &mut warnings).unwrap();
        let names: Vec<String> = groups.iter().map(|group| curve_name(group.name())).collect();
        assert_eq!(names, ["X25519", "prime256v1"]);
        assert_eq!(warnings.len(), 1);
        assert!(
            curves("nope", &mut warnings)
                .unwrap_err()
                .to_string()
                .ends_with("group 'nope' cannot be set)")
        );
        assert!(!curves("secp521r1", &mut warnings).unwrap().is_empty());
        assert!(!curves("auto", &mut warnings).unwrap().is_empty());
    }
}
