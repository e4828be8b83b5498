//! `ssl_conf_command`: OpenSSL configuration commands (SSL_CONF_cmd(3)), as far as they apply here.
//! Commands that OpenSSL refuses are refused; the others are ignored with a warning.

use weir_conf::value::Pair;
use weir_engine::tls::{Offer, Protocols, SettingsError};

/// The settings changed by commands.
#[derive(Debug, Default)]
pub struct Commands {
    /// `Options ±SessionTicket`.
    pub tickets: Option<bool>,
    /// `Options ±ServerPreference`.
    pub server_preference: Option<bool>,
    /// `Ciphersuites`.
    ciphersuites: Option<String>,
    /// `CipherString`.
    ciphers: Option<String>,
    /// `Groups` and `Curves`.
    curves: Option<String>,
    /// `Certificate`.
    pub certificate: Option<String>,
    /// `PrivateKey`.
    pub key: Option<String>,
    /// `VerifyCAFile` and `ClientCAFile`, which add trusted authorities.
    pub authorities: Option<String>,
    /// `MinProtocol`, `MaxProtocol` and `Protocol`, in order.
    protocols: Vec<(Bound, String)>,
    /// Warnings about commands without effect.
    pub ignored: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bound {
    Min,
    Max,
    List,
}

/// Protocols, the oldest first.
const PROTOCOLS: [&str; 5] = ["SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"];

/// Options of OpenSSL without effect here.
const OPTIONS: [&str; 18] = [
    "EmptyFragments",
    "Bugs",
    "Compression",
    "NoResumptionOnRenegotiation",
    "UnsafeLegacyRenegotiation",
    "UnsafeLegacyServerConnect",
    "ClientRenegotiation",
    "EncryptThenMac",
    "NoRenegotiation",
    "AllowNoDHEKEX",
    "PrioritizeChaCha",
    "MiddleboxCompat",
    "AntiReplay",
    "ExtendedMasterSecret",
    "CANames",
    "KTLS",
    "DHSingle",
    "ECDHSingle",
];

/// Commands of OpenSSL without effect here.
const COMMANDS: [&str; 12] = [
    "SignatureAlgorithms",
    "ClientSignatureAlgorithms",
    "DHParameters",
    "RecordPadding",
    "NumTickets",
    "ServerInfoFile",
    "ChainCAPath",
    "ChainCAFile",
    "VerifyCAPath",
    "VerifyMode",
    "RequestCAFile",
    "ClientCAPath",
];

impl Commands {
    /// Parses the directives.
    ///
    /// # Errors
    /// nginx's message for a command that OpenSSL does not know.
    pub fn read(commands: &[Pair]) -> Result<Self, SettingsError> {
        let mut all = Self::default();
        for command in commands {
            let (name, value) = (command.key.text(), command.value.text());
            all.command(&name, &value).map_err(|why| {
                format!("SSL_CONF_cmd(\"{name}\", \"{value}\") failed (SSL: error:{why})")
            })?;
        }
        Ok(all)
    }

    fn command(&mut self, name: &str, value: &str) -> Result<(), SettingsError> {
        let bad = || format!("0A000180:SSL routines::bad value:cmd={name}, value={value}");
        match name.to_ascii_lowercase().as_str() {
            "options" => {
                for word in value.split(',').map(str::trim) {
                    self.option(word).ok_or_else(bad)?;
                }
            }
            "ciphersuites" => {
                let known = |word: &str| word.starts_with("TLS_");
                if !value.is_empty() && !value.split(':').all(known) {
                    return Err(
                        format!("0A0000B9:SSL routines::no cipher match error:{}", bad()).into()
                    );
                }
                self.ciphersuites = Some(value.to_owned());
            }
            "cipherstring" => self.ciphers = Some(value.to_owned()),
            "groups" | "curves" | "ecdhparameters" => self.curves = Some(value.to_owned()),
            "certificate" => self.certificate = Some(value.to_owned()),
            "privatekey" => self.key = Some(value.to_owned()),
            "verifycafile" | "clientcafile" => self.authorities = Some(value.to_owned()),
            "minprotocol" => self.bound(Bound::Min, value).ok_or_else(bad)?,
            "maxprotocol" => self.bound(Bound::Max, value).ok_or_else(bad)?,
            "protocol" => self.protocols.push((Bound::List, value.to_owned())),
            other if COMMANDS.iter().any(|known| known.eq_ignore_ascii_case(other)) => {
                self.ignored.push(format!("\"ssl_conf_command {name}\" is not supported, ignored"));
            }
            _ => return Err(format!("0A000182:SSL routines::unknown cmd name:cmd={name}").into()),
        }
        Ok(())
    }

    fn option(&mut self, word: &str) -> Option<()> {
        let (on, name) = match word.as_bytes().first() {
            Some(b'-') => (false, &word[1..]),
            Some(b'+') => (true, &word[1..]),
            _ => (true, word),
        };
        if name.eq_ignore_ascii_case("SessionTicket") {
            self.tickets = Some(on);
        } else if name.eq_ignore_ascii_case("ServerPreference") {
            self.server_preference = Some(on);
        } else if OPTIONS.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            let message = format!("\"ssl_conf_command Options {word}\" is not supported, ignored");
            self.ignored.push(message);
        } else {
            return None;
        }
        Some(())
    }

    fn bound(&mut self, bound: Bound, value: &str) -> Option<()> {
        let known = value == "None" || PROTOCOLS.contains(&value) || value.starts_with("DTLS");
        known.then(|| self.protocols.push((bound, value.to_owned())))
    }

    /// The offer to the peer, from the directives and the commands.
    pub fn offer(&self, protocols: Protocols, ciphers: &str, curves: &str) -> Offer {
        let or = |own: &Option<String>, given: &str| own.as_deref().unwrap_or(given).to_owned();
        Offer {
            protocols: self.protocols(protocols),
            ciphers: or(&self.ciphers, ciphers),
            ciphersuites: self.ciphersuites.clone(),
            curves: or(&self.curves, curves),
        }
    }

    /// The protocols of `ssl_protocols` that remain.
    fn protocols(&self, given: Protocols) -> Protocols {
        let mut on = [false, false, given.obsolete, given.tls12, given.tls13];
        for (bound, value) in &self.protocols {
            let at = PROTOCOLS.iter().position(|name| name == value);
            match (bound, at) {
                (Bound::Min, Some(at)) => on.iter_mut().take(at).for_each(|one| *one = false),
                (Bound::Max, Some(at)) => on.iter_mut().skip(at + 1).for_each(|one| *one = false),
                (Bound::List, _) => list(value, &mut on),
                _ => {}
            }
        }
        Protocols { obsolete: on[..3].contains(&true), tls12: on[3], tls13: on[4] }
    }
}

/// `Protocol -ALL, TLSv1.2`.
fn list(value: &str, on: &mut [bool; 5]) {
    for word in value.split(',').map(str::trim) {
        let (set, name) = match word.strip_prefix('-') {
            Some(name) => (false, name),
            None => (true, word.trim_start_matches('+')),
        };
        if name.eq_ignore_ascii_case("ALL") {
            on.fill(set);
        } else if let Some(at) = PROTOCOLS.iter().position(|known| *known == name) {
            on[at] = set;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, value: &str) -> Result<Commands, SettingsError> {
        let mut all = Commands::default();
        all.command(name, value).map(|()| all)
    }

    #[test]
    fn what_openssl_refuses_is_refused() {
        assert!(read("Nope", "x").unwrap_err().to_string().ends_with("unknown cmd name:cmd=Nope"));
        let fault = read("Options", "nope").unwrap_err().to_string();
        assert!(fault.ends_with("bad value:cmd=Options, value=nope"), "{fault}");
        assert!(read("Ciphersuites", "nope").is_err());
        assert_eq!(read("options", "-SessionTicket").unwrap().tickets, Some(false));
        assert_eq!(read("Options", "KTLS").unwrap().ignored.len(), 1);
    }

    #[test]
    fn bounds_leave_the_protocols_between() {
        let all = read("MinProtocol", "TLSv1.3").unwrap();
        let left = all.protocols(Protocols::DEFAULT);
        assert!(left.tls13 && !left.tls12);
        let all = read("Protocol", "-ALL, TLSv1.2").unwrap();
        let left = all.protocols(Protocols::DEFAULT);
        assert!(!left.tls13 && left.tls12 && !left.obsolete);
    }
}
