//! Requests to one authority, for one order: its directory, nonces (RFC 8555 section 6.5) and
//! problems (section 6.7).

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use weir_engine::clock;
use weir_engine::tls::{ClientSettings, ClientTls, Trust, certificates_from_pem};
use weir_wire::date;
use weir_wire::header::{Headers, Known};

use crate::account::Account;
use crate::error::AcmeError;
use crate::exchange::{Line, Request, Response};
use crate::issuer::{Issuer, Resolving};
use crate::settings::IssuerConfig;
use crate::url::AcmeUrl;

/// The attempts with another nonce, of which an authority may refuse some.
const MOST_NONCES: usize = 10;

/// The longest text of an authority that is logged, in bytes.
const LONGEST_TEXT: usize = 500;

/// The limit of intermediate authorities of the authority's server.
const DEPTH: u32 = 9;

/// Where systems keep the certificates of the authorities that they trust.
const SYSTEM: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The prefix of the types of problems.
const PROBLEM: &str = "urn:ietf:params:acme:error:";

/// A session.
pub(crate) struct Session<'a> {
    pub(crate) issuer: &'a Issuer,
    pub(crate) config: &'a IssuerConfig,
    resolver: Option<&'a Resolving>,
    tls: ClientTls,
    /// A connection that can be used.
    line: Option<Line>,
    nonce: Option<String>,
    directory: Value,
    pub(crate) account: Option<Arc<Account>>,
}

/// A response that says what was asked for.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) value: Value,
    pub(crate) text: Vec<u8>,
    pub(crate) headers: Headers,
    /// `Location`.
    pub(crate) location: Option<String>,
    /// `Retry-After`.
    pub(crate) wait: Option<Duration>,
}

impl<'a> Session<'a> {
    /// Begins with the directory.
    pub(crate) async fn open(
        issuer: &'a Issuer,
        config: &'a IssuerConfig,
        resolver: Option<&'a Resolving>,
    ) -> Result<Self, AcmeError> {
        let tls = client(config)?;
        let (line, nonce, account) = (None, None, None);
        let directory = Value::Null;
        let mut own = Self { issuer, config, resolver, tls, line, nonce, directory, account };
        let answer = own.get(&config.uri).await.map_err(AcmeError::for_all)?;
        if let Some(date) = answer.headers.get(Known::Date).and_then(date::parse) {
            issuer.heed_clock(date);
        }
        own.directory = answer.value;
        Ok(own)
    }

    /// A URL of the directory.
    pub(crate) fn resource(&self, name: &str) -> Result<AcmeUrl, AcmeError> {
        let missing = || {
            AcmeError::of_issuer(format!(
                "{} is no directory of ACME: it has no \"{name}\"",
                self.config.uri
            ))
        };
        self.directory
            .get(name)
            .and_then(Value::as_str)
            .and_then(AcmeUrl::parse)
            .ok_or_else(missing)
    }

    /// What the directory says of the authority itself.
    pub(crate) fn meta(&self, name: &str) -> Option<&Value> {
        self.directory.get("meta")?.get(name)
    }

    /// Asks without a signature.
    pub(crate) async fn get(&mut self, url: &AcmeUrl) -> Result<Answer, AcmeError> {
        let response = self.exchange(url, Request::Get).await?;
        read(response)
    }

    /// Asks for a resource of the account.
    pub(crate) async fn fetch(&mut self, url: &AcmeUrl) -> Result<Answer, AcmeError> {
        self.post(url, "").await
    }

    /// Sends a signed request in the name of the account.
    pub(crate) async fn post(&mut self, url: &AcmeUrl, payload: &str) -> Result<Answer, AcmeError> {
        let account = self.account.clone();
        let account = account.ok_or_else(|| AcmeError::of_issuer("there is no account"))?;
        self.signed(url, payload, &account, true).await
    }

    /// Sends a signed request. `names` says whether it names the account's URL, or has the key.
    pub(crate) async fn signed(
        &mut self,
        url: &AcmeUrl,
        payload: &str,
        account: &Account,
        names: bool,
    ) -> Result<Answer, AcmeError> {
        let mut last = None;
        for _ in 0..MOST_NONCES {
            let nonce = self.nonce().await?;
            let by = names.then_some(&*account.url);
            let text = account.key.sign(&url.to_string(), &nonce, by, payload)?;
            let response = self.exchange(url, Request::Post(&text)).await?;
            match read(response) {
                Err(error) if error.is("badNonce") => last = Some(error),
                done => return done,
            }
        }
        Err(last.unwrap_or_else(|| AcmeError::of_issuer("no nonce is good")))
    }

    /// A nonce that was not used.
    async fn nonce(&mut self) -> Result<String, AcmeError> {
        if let Some(nonce) = self.nonce.take() {
            return Ok(nonce);
        }
        let url = self.resource("newNonce")?;
        let response = self.exchange(&url, Request::Head).await?;
        if !(200..300).contains(&response.status) {
            read(response).map_err(AcmeError::for_all)?;
        }
        let none = || AcmeError::of_issuer(format!("{url} gives no nonce"));
        self.nonce.take().ok_or_else(none)
    }

    /// Sends a request, on the connection at hand if it still works.
    async fn exchange(
        &mut self,
        url: &AcmeUrl,
        request: Request<'_>,
    ) -> Result<Response, AcmeError> {
        let kept = self.line.take().filter(|line| line.serves(url));
        let kept = match kept {
            // The authority may have closed it meanwhile; a signed request that has come twice is
            // refused for its nonce.
            Some(line) => line.ask(url, request).await.ok(),
            None => None,
        };
        let (response, line) = match kept {
            Some(answered) => answered,
            None => {
                let line = Line::open(url, &self.tls, self.resolver).await?;
                line.ask(url, request).await?
            }
        };
        self.line = line;
        let nonce = response.headers.get_name(b"replay-nonce");
        let nonce = nonce.and_then(|nonce| std::str::from_utf8(nonce).ok());
        let is_sound = |nonce: &&str| {
            !nonce.is_empty()
                && nonce.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        if let Some(nonce) = nonce.filter(is_sound) {
            self.nonce = Some(nonce.to_owned());
        }
        Ok(response)
    }
}

/// The settings of connections.
fn client(config: &IssuerConfig) -> Result<ClientTls, AcmeError> {
    let anchors = match &config.trusted {
        Some(trusted) => trusted.clone(),
        None if !config.verify || !config.uri.is_secure => Vec::new(),
        None => {
            let found = SYSTEM.iter().find_map(|path| std::fs::read(Path::new(path)).ok());
            let found = found.ok_or_else(|| {
                AcmeError::of_issuer(
                    "the system has no certificates of authorities: install them (Debian: \
                     ca-certificates), or name a file by \"ssl_trusted_certificate\"",
                )
            })?;
            let read = certificates_from_pem(&found);
            read.map_err(|error| AcmeError::of_issuer(error.to_string()))?
        }
    };
    let settings = ClientSettings {
        server_name: true,
        verify: config.verify,
        verify_depth: DEPTH,
        trust: Trust { anchors, ..Trust::default() },
        session_reuse: false,
        alpn: vec![b"http/1.1".to_vec()],
        ..ClientSettings::default()
    };
    ClientTls::new(settings, &mut Vec::new())
        .map_err(|error| AcmeError::of_issuer(error.to_string()))
}

/// A response as an answer.
///
/// # Errors
/// It is a problem.
fn read(response: Response) -> Result<Answer, AcmeError> {
    let Response { status, headers, body, .. } = response;
    // A date is one of the authority's clock.
    let now = headers.get(Known::Date).and_then(date::parse).unwrap_or_else(clock::wall_secs);
    let wait = headers.get(Known::RetryAfter).and_then(|text| retry_after(text, now));
    let value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    if (200..300).contains(&status) {
        let location = headers.get(Known::Location).map(text);
        return Ok(Answer { value, text: body, headers, location, wait });
    }
    let mut error =
        problem(&value).unwrap_or_else(|| AcmeError::new(format!("the status is {status}")));
    error.what = format!("the authority refuses: {}", error.what);
    error.wait = wait;
    Err(error)
}

/// A problem document (RFC 7807), with its subproblems.
pub(crate) fn problem(value: &Value) -> Option<AcmeError> {
    let kind = value.get("type")?.as_str()?;
    let kind = kind.strip_prefix(PROBLEM).unwrap_or(kind);
    let detail = value.get("detail").and_then(Value::as_str).unwrap_or_default();
    let mut what = format!("{detail} ({kind})");
    for part in value.get("subproblems").and_then(Value::as_array).into_iter().flatten() {
        let name = part.get("identifier").and_then(|own| own.get("value")).and_then(Value::as_str);
        if let Some(error) = problem(part) {
            what += &format!("; {}: {}", name.unwrap_or("?"), error.what);
        }
    }
    let problem = Some(kind.to_owned());
    Some(AcmeError { problem, ..AcmeError::new(text(what.as_bytes())) })
}

/// A text of the authority for the log: short, and without characters that would break a line.
fn text(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let clean = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut out = String::new();
    for c in clean {
        if out.len() >= LONGEST_TEXT {
            return out + "…";
        }
        out.push(c);
    }
    out
}

/// `Retry-After`: seconds, or a date.
pub(crate) fn retry_after(text: &[u8], now: i64) -> Option<Duration> {
    let text = text.trim_ascii();
    let seconds = match std::str::from_utf8(text).ok()?.parse::<u64>() {
        Ok(seconds) => seconds,
        Err(_) => u64::try_from(date::parse(text)?.saturating_sub(now)).unwrap_or(0),
    };
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn problems_are_told_in_one_line() {
        let error = problem(&json!({
            "type": "urn:ietf:params:acme:error:compound", "detail": "Errors\nfor two",
            "subproblems": [{
                "type": "urn:ietf:params:acme:error:caa", "detail": "no",
                "identifier": { "type": "dns", "value": "a.test" },
            }],
        }));
        let error = error.unwrap();
        assert_eq!(error.what, "Errors for two (compound); a.test: no (caa)");
        assert!(error.is("compound"));
        assert!(problem(&json!("x")).is_none() && problem(&json!({})).is_none());
        assert!(text(&[b'x'; 5000]).len() < 520);
    }

    #[test]
    fn the_time_to_wait_is_a_number_or_a_date() {
        let wait = |text: &str| retry_after(text.as_bytes(), 784_111_777).map(|w| w.as_secs());
        assert_eq!(wait("120"), Some(120));
        assert_eq!(wait("Sun, 06 Nov 1994 08:50:37 GMT"), Some(60));
        assert_eq!(wait("Sun, 06 Nov 1994 08:00:00 GMT"), Some(0));
        assert_eq!((wait("-1"), wait("soon")), (None, None));
    }
}
