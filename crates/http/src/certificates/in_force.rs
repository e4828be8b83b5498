//! The certificates of the configuration in force, read once when it is loaded, and the warnings
//! before they expire.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use weir_engine::duty::Duty;
use weir_engine::error_log::{Level, process_log};
use weir_engine::tls::{certificates_from_pem, x509};
use weir_engine::{clock, timer};

use crate::snapshot::Configuration;
use crate::tls::SSL;

/// The days before the end of a certificate from which on the log warns: certbot renews at 30, and
/// a fortnight without success is worth a line.
const WARNING_DAYS: i64 = 14;

const DAY: i64 = 86_400;

/// The most certificates that are named in the log at a time; the others are counted.
const MOST_NAMED: usize = 10;

/// A certificate that servers show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InForce {
    /// The path of its file; `data:` if the configuration has its text, `acme:` and an identifier
    /// if it was ordered.
    pub file: String,
    /// The subject, as in `$ssl_client_s_dn`.
    pub subject: String,
    /// The issuer.
    pub issuer: String,
    /// The serial number in hexadecimal.
    pub serial: String,
    /// The first second in which it is valid, and the first in which it is not any longer, since
    /// 1970.
    pub validity: (i64, i64),
    /// The first names of the servers that show it.
    pub servers: Vec<String>,
}

static IN_FORCE: Mutex<Option<Arc<[InForce]>>> = Mutex::new(None);

/// The certificates of the configuration in force.
pub fn in_force() -> Arc<[InForce]> {
    let known = IN_FORCE.lock().unwrap_or_else(PoisonError::into_inner);
    known.clone().unwrap_or_else(|| Arc::from([]))
}

/// The certificates in force, with those that were ordered by ACME: they change without a load.
pub fn all_in_force() -> Vec<InForce> {
    let mut all = in_force().to_vec();
    for (id, view) in weir_acme::certificate::views() {
        let chain = view.pem.and_then(|pem| certificates_from_pem(pem.chain.as_bytes()).ok());
        let read = chain.and_then(|chain| read(&format!("acme:{id}"), chain.first()?));
        all.extend(read.map(|read| InForce { servers: view.names, ..read }));
    }
    all
}

/// Notes the certificates of a configuration that is now in force, and warns of those that end
/// soon.
pub fn note(configuration: &Configuration) {
    let found = found(configuration).into();
    *IN_FORCE.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
    warn();
}

/// The duty that warns once a day; none without certificates.
pub fn duty(configuration: &Configuration) -> Option<Duty> {
    let has_some = configuration.servers().any(|server| {
        let context = server.settings.get(&SSL).context.as_ref();
        context.is_some_and(|context| context.certificates().next().is_some())
    });
    let begin = || async {
        loop {
            timer::sleep(Duration::from_secs(DAY.unsigned_abs())).await;
            warn();
        }
    };
    has_some.then(|| Duty::new("certificates".to_owned(), begin))
}

fn found(configuration: &Configuration) -> Vec<InForce> {
    let mut found: Vec<InForce> = Vec::new();
    let mut places = std::collections::HashMap::new();
    for server in configuration.servers() {
        let Some(context) = &server.settings.get(&SSL).context else { continue };
        let name = String::from_utf8_lossy(&server.name);
        for (file, der) in context.certificates() {
            let next = found.len();
            let at = *places.entry((file.to_owned(), der.to_vec())).or_insert(next);
            if at == next {
                let Some(certificate) = read(file, der) else { continue };
                found.push(certificate);
            }
            let servers = &mut found[at].servers;
            if !servers.iter().any(|known| *known == name) {
                servers.push(name.to_string());
            }
        }
    }
    found
}

fn read(file: &str, der: &[u8]) -> Option<InForce> {
    Some(InForce {
        file: file.to_owned(),
        subject: x509::subject(der).unwrap_or_default(),
        issuer: x509::issuer(der).unwrap_or_default(),
        serial: x509::serial(der).unwrap_or_default(),
        validity: x509::validity(der)?,
        servers: Vec::new(),
    })
}

fn warn() {
    let lines = warnings(&in_force(), clock::wall_secs());
    lines.iter().for_each(|line| process_log().log(Level::Warn, 0, line));
}

/// The warnings about certificates that have expired or will soon, at most [`MOST_NAMED`] and a
/// count of the others.
fn warnings(all: &[InForce], now: i64) -> Vec<String> {
    let mut ending: Vec<&InForce> =
        all.iter().filter(|one| one.validity.1 - now < WARNING_DAYS * DAY).collect();
    ending.sort_by_key(|one| one.validity.1);
    let named = ending.iter().take(MOST_NAMED).map(|one| {
        let left = one.validity.1 - now;
        let InForce { file, subject, servers, .. } = one;
        let what = match left {
            ..=0 => "has expired".to_owned(),
            1..DAY => "expires within a day".to_owned(),
            _ => format!("expires in {} days", left / DAY),
        };
        let server = servers.first().map_or("", String::as_str);
        format!("certificate \"{file}\" ({subject}) of server \"{server}\" {what}")
    });
    let more = ending.len().saturating_sub(MOST_NAMED);
    let more =
        (more > 0).then(|| format!("{more} more certificates have expired or will soon expire"));
    named.chain(more).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(file: &str, end: i64) -> InForce {
        InForce {
            file: file.to_owned(),
            subject: "CN=a".to_owned(),
            issuer: "CN=b".to_owned(),
            serial: "01".to_owned(),
            validity: (0, end),
            servers: vec!["a.test".to_owned()],
        }
    }

    #[test]
    fn what_ends_soon_is_named_first() {
        let now = 1_000_000;
        let all = [
            certificate("fine", now + WARNING_DAYS * DAY),
            certificate("soon", now + 2 * DAY + 5),
            certificate("gone", now),
            certificate("today", now + 5),
        ];
        assert_eq!(
            warnings(&all, now),
            [
                "certificate \"gone\" (CN=a) of server \"a.test\" has expired",
                "certificate \"today\" (CN=a) of server \"a.test\" expires within a day",
                "certificate \"soon\" (CN=a) of server \"a.test\" expires in 2 days",
            ]
        );
    }

    #[test]
    fn a_thousand_expired_certificates_are_eleven_lines() {
        let lines = warnings(&vec![certificate("a", 5); 1000], 6);
        assert_eq!(lines.len(), MOST_NAMED + 1);
        assert_eq!(lines[MOST_NAMED], "990 more certificates have expired or will soon expire");
    }
}
