//! An order for a certificate (RFC 8555 section 7.4), from the first request to the chain.

use std::time::Duration;

use serde_json::{Value, json};
use weir_engine::error_log::Level;
use weir_engine::event_loop::on_a_thread;
use weir_engine::timer;
use weir_engine::tls::{PrivateKey, certificates_from_pem, signing_request, x509};
use weir_upstream::shared_records;

use crate::Wanted;
use crate::answers::{self, Given};
use crate::error::{AcmeError, Scope};
use crate::hook::{self, Presented};
use crate::identifier::is_address;
use crate::jws::encode;
use crate::pair::{self, Pending};
use crate::session::{Answer, Session, problem};
use crate::state;
use crate::url::AcmeUrl;

/// The pauses between questions whether something is done: the first, and the longest. An authority
/// may ask for others.
const FIRST_POLL: Duration = Duration::from_millis(250);
const LONGEST_POLL: Duration = Duration::from_secs(10);

/// The longest pause that an authority can ask for between two questions.
const LONGEST_ASKED: Duration = Duration::from_secs(120);

/// The time that an authority has to check a name, or to issue a certificate.
const PATIENCE: Duration = Duration::from_secs(600);

/// The time in which the other nodes of a pair learn the answers: the authority may ask there.
const TELLING: Duration = Duration::from_millis(500);

/// The most chains that are looked at for `preferred_chain`.
const MOST_CHAINS: usize = 8;

/// The answer to one question of the authority, given until this is dropped.
#[expect(dead_code, reason = "what they hold is dropped with them")]
enum Proof {
    /// It is given as long as this lives.
    Given(Given),
    /// A program has set a record, and removes it.
    Presented(Presented),
}

/// Orders a certificate. Returns its key and its chain in PEM. `replaces` names the one that it
/// replaces (RFC 9773 section 5).
pub(crate) async fn order(
    session: &mut Session<'_>,
    wanted: &Wanted,
    replaces: Option<&str>,
) -> Result<String, AcmeError> {
    let certificate = &wanted.certificate;
    let kind = certificate.kind();
    let (key, url, mut order) = match resume(session, wanted).await? {
        Some(resumed) => resumed,
        None => {
            let key = on_a_thread(move || PrivateKey::generate(kind)).await;
            let key = key.map_err(|_| AcmeError::new("no key could be made"))?;
            let key = key.map_err(|error| AcmeError::new(error.to_string()))?;
            let (url, order) = begin(session, wanted, replaces).await?;
            keep(wanted, Pending { url: url.to_string(), key: key.to_pem() }).await;
            (key, url, order)
        }
    };
    let mut proofs = Vec::new();
    let mut checks = Vec::new();
    for name in texts(&order.value, "authorizations")? {
        checks.extend(prove(session, wanted, &name, &mut proofs).await?);
    }
    if !checks.is_empty() && shared_records::has_mirror() {
        timer::sleep(TELLING).await;
    }
    for challenge in checks.iter().filter_map(|check| check.challenge.as_ref()) {
        session.post(challenge, "{}").await?;
    }
    for check in &checks {
        checked(session, &check.authorization).await?;
    }
    order = until(session, &url, order, &["ready", "valid", "processing"]).await?;
    if status(&order.value) == "ready" {
        let names = certificate.names().names();
        let common_name = wanted.config.common_name.then(|| certificate.names().first());
        let request = signing_request(&key, names, common_name);
        let request = request.map_err(|error| AcmeError::new(error.to_string()))?;
        let finalize = link(&order.value, "finalize")?;
        let wish = json!({ "csr": encode(request) }).to_string();
        order = match session.post(&finalize, &wish).await {
            // The node whose order this was has come first.
            Err(error) if error.is("orderNotReady") => session.fetch(&url).await?,
            finalized => finalized.map_err(ending)?,
        };
    }
    drop(proofs);
    order = until(session, &url, order, &["valid"]).await?;
    let chain = chain(session, &link(&order.value, "certificate")?).await?;
    Ok(key.to_pem() + &chain)
}

/// The order that was under way when a worker was killed, or on the node that ordered before this
/// one: authorities limit orders. `None` if there is none that can go on.
async fn resume(
    session: &mut Session<'_>,
    wanted: &Wanted,
) -> Result<Option<(PrivateKey, AcmeUrl, Answer)>, AcmeError> {
    let certificate = &wanted.certificate;
    let Some(pending) = certificate.pending() else { return Ok(None) };
    let is_done = certificate.pem().is_some_and(|pem| pem.key == pending.key);
    let key = PrivateKey::from_pem(pending.key.as_bytes());
    let (false, Ok(key), Some(url)) = (is_done, key, AcmeUrl::parse(&pending.url)) else {
        return Ok(None);
    };
    match session.fetch(&url).await {
        Ok(order)
            if ["pending", "ready", "processing", "valid"].contains(&status(&order.value)) =>
        {
            let what = format!("{}: the order {url} goes on", certificate.names());
            wanted.issuer.log(Level::Notice, &what);
            Ok(Some((key, url, order)))
        }
        // The authority does not know it, or it has ended.
        Err(error) if error.problem.is_none() && error.scope == Scope::Issuer => Err(error),
        Ok(_) | Err(_) => Ok(None),
    }
}

/// Keeps an order, for this node and the others.
async fn keep(wanted: &Wanted, pending: Pending) {
    let Wanted { certificate, issuer, config } = wanted;
    pair::note_order(certificate.id(), Some(&pending));
    let text = String::from_utf8_lossy(&pending.to_bytes()).into_owned();
    certificate.set_pending(Some(pending));
    state::save(issuer, config, &certificate.order_file(), text).await;
}

/// Forgets an order that has come to its end.
pub(crate) async fn end(wanted: &Wanted) {
    let Wanted { certificate, config, issuer } = wanted;
    if certificate.pending().is_some() {
        certificate.set_pending(None);
        pair::note_order(certificate.id(), None);
        state::remove(issuer, config, &certificate.order_file()).await;
    }
}

/// A failure after which only another order helps, unless the authority only wants to wait.
fn ending(error: AcmeError) -> AcmeError {
    let waits = error.problem.is_none() || error.is("rateLimited") || error.is("serverInternal");
    AcmeError { ends_order: !waits, ..error }
}

/// Places the order. Returns its URL.
async fn begin(
    session: &mut Session<'_>,
    wanted: &Wanted,
    replaces: Option<&str>,
) -> Result<(AcmeUrl, Answer), AcmeError> {
    let url = session.resource("newOrder")?;
    let identifier = |name: &String| {
        let kind = if is_address(name) { "ip" } else { "dns" };
        json!({ "type": kind, "value": name })
    };
    let names: Vec<_> = wanted.certificate.names().names().iter().map(identifier).collect();
    let mut wish = json!({ "identifiers": names });
    if let Some(profile) = &wanted.config.profile {
        let is_known =
            session.meta("profiles").is_some_and(|known| known.get(&profile.name).is_some());
        match (is_known, profile.is_required) {
            (true, _) => wish["profile"] = profile.name.clone().into(),
            (false, true) => {
                let what = format!("the authority has no profile \"{}\"", profile.name);
                return Err(AcmeError::new(what));
            }
            (false, false) => {}
        }
    }
    let has_renewals = session.resource("renewalInfo").is_ok();
    if let Some(replaces) = replaces.filter(|_| has_renewals) {
        wish["replaces"] = replaces.into();
    }
    let placed = match session.post(&url, &wish.to_string()).await {
        // The one that is replaced was replaced already, or is another authority's.
        Err(error) if wish.get("replaces").is_some() && error.wait.is_none() => {
            wanted.issuer.log(Level::Info, &format!("{error}; ordering without \"replaces\""));
            if let Some(fields) = wish.as_object_mut() {
                fields.remove("replaces");
            }
            session.post(&url, &wish.to_string()).await?
        }
        placed => placed?,
    };
    let own = placed.location.as_deref().and_then(AcmeUrl::parse);
    let own = own.ok_or_else(|| AcmeError::new("the authority gives an order no URL"))?;
    Ok((own, placed))
}

/// A name that the authority checks.
struct Check {
    authorization: AcmeUrl,
    /// Where the authority is told to begin; `None` if it has begun.
    challenge: Option<AcmeUrl>,
}

/// Answers the question about one name. Returns what is to be checked; none if it has been checked
/// already.
async fn prove(
    session: &mut Session<'_>,
    wanted: &Wanted,
    authorization: &str,
    proofs: &mut Vec<Proof>,
) -> Result<Option<Check>, AcmeError> {
    let url = parse(authorization)?;
    let answer = session.fetch(&url).await?;
    if status(&answer.value) == "valid" {
        return Ok(None);
    }
    let name = answer.value.get("identifier").and_then(|own| own.get("value"));
    let name = name.and_then(Value::as_str).unwrap_or_default().to_owned();
    let kind = wanted.config.challenge.kind();
    let challenges = answer.value.get("challenges").and_then(Value::as_array);
    let mut challenges = challenges.into_iter().flatten();
    let challenge = challenges
        .find(|own| own.get("type").and_then(Value::as_str) == Some(kind))
        .ok_or_else(|| AcmeError::new(format!("the authority offers no {kind} for {name}")))?;
    let token = challenge.get("token").and_then(Value::as_str).filter(|token| is_token(token));
    let token = token.ok_or_else(|| AcmeError::new("the authority's token is malformed"))?;
    let account = session.account.as_ref();
    let account = account.ok_or_else(|| AcmeError::new("there is no account"))?;
    let words = account.key.authorization(token);
    let full = || AcmeError::new("too many answers to authorities are given at once");
    proofs.push(match kind {
        "http-01" => Proof::Given(answers::give_http(token, &words).ok_or_else(full)?),
        "tls-alpn-01" => {
            let given = answers::give_tls(&name, &words);
            let given = given.map_err(|error| AcmeError::new(error.to_string()))?;
            Proof::Given(given.ok_or_else(full)?)
        }
        _ => Proof::Presented(hook::present(&wanted.config, &name, &words).await?),
    });
    // An order that goes on may be checked already.
    let has_begun = challenge.get("status").and_then(Value::as_str) == Some("processing");
    let challenge = if has_begun { None } else { Some(link(challenge, "url")?) };
    Ok(Some(Check { authorization: url, challenge }))
}

/// A token as RFC 8555 section 8.1 wants it: it becomes part of a path.
fn is_token(token: &str) -> bool {
    (1..=256).contains(&token.len())
        && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// Waits until the authority has checked a name.
async fn checked(session: &mut Session<'_>, url: &AcmeUrl) -> Result<(), AcmeError> {
    let answer = session.fetch(url).await?;
    until(session, url, answer, &["valid"]).await.map(drop)
}

/// Asks until a resource has one of these states.
async fn until(
    session: &mut Session<'_>,
    url: &AcmeUrl,
    mut answer: Answer,
    states: &[&str],
) -> Result<Answer, AcmeError> {
    let (mut pause, mut waited) = (FIRST_POLL, Duration::ZERO);
    loop {
        let state = status(&answer.value);
        if states.contains(&state) {
            return Ok(answer);
        }
        if !["pending", "processing", "ready"].contains(&state) {
            return Err(refused(&answer.value, state));
        }
        if waited > PATIENCE {
            return Err(AcmeError::new(format!("the authority leaves {url} {state}")));
        }
        let wait = answer.wait.map_or(pause, |asked| asked.clamp(FIRST_POLL, LONGEST_ASKED));
        timer::sleep(wait).await;
        waited += wait;
        pause = (pause * 2).min(LONGEST_POLL);
        answer = session.fetch(url).await?;
    }
}

/// Why a resource has come to a bad end.
pub(crate) fn refused(value: &Value, state: &str) -> AcmeError {
    let name = value.get("identifier").and_then(|own| own.get("value")).and_then(Value::as_str);
    let challenges = value.get("challenges").and_then(Value::as_array);
    let own = value.get("error");
    let found = own
        .into_iter()
        .chain(challenges.into_iter().flatten().filter_map(|challenge| challenge.get("error")));
    let found = found.filter_map(problem).next();
    let of = name.map(|name| format!(" {name}")).unwrap_or_default();
    let why = found.map_or_else(|| format!("the state is \"{state}\""), |error| error.what);
    let ends_order = true;
    AcmeError { ends_order, ..AcmeError::new(format!("the authority refuses{of}: {why}")) }
}

/// The chain of an order, or the preferred one of several.
async fn chain(session: &mut Session<'_>, url: &AcmeUrl) -> Result<String, AcmeError> {
    let answer = session.fetch(url).await?;
    let first = String::from_utf8_lossy(&answer.text).into_owned();
    let Some(wish) = session.config.chain.clone() else { return Ok(first) };
    if is_from(&first, &wish) {
        return Ok(first);
    }
    let links: Vec<_> = answer.headers.get_all_name(b"link").filter_map(alternate).collect();
    for link in links.iter().take(MOST_CHAINS) {
        let answer = session.fetch(&parse(link)?).await?;
        let other = String::from_utf8_lossy(&answer.text).into_owned();
        if is_from(&other, &wish) {
            return Ok(other);
        }
    }
    let what = format!("no chain is from \"{wish}\"; the first one is used");
    session.issuer.log(Level::Warn, &what);
    Ok(first)
}

/// Whether the last certificate of a chain was issued by this authority.
fn is_from(chain: &str, common_name: &str) -> bool {
    let chain = certificates_from_pem(chain.as_bytes()).unwrap_or_default();
    chain.last().is_some_and(|last| x509::is_issued_by(last, common_name))
}

/// The URL of a field `Link` to another form of the resource (RFC 8288).
pub(crate) fn alternate(field: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(field).ok()?;
    let (url, parameters) = text.trim().strip_prefix('<')?.split_once('>')?;
    let is_alternate = parameters.split(';').any(|parameter| {
        let (name, value) = parameter.split_once('=').unwrap_or_default();
        name.trim().eq_ignore_ascii_case("rel") && value.trim().trim_matches('"') == "alternate"
    });
    is_alternate.then(|| url.to_owned())
}

pub(crate) fn status(value: &Value) -> &str {
    value.get("status").and_then(Value::as_str).unwrap_or_default()
}

fn parse(url: &str) -> Result<AcmeUrl, AcmeError> {
    AcmeUrl::parse(url).ok_or_else(|| AcmeError::new("a URL of the authority is malformed"))
}

/// A URL of a resource.
pub(crate) fn link(value: &Value, name: &str) -> Result<AcmeUrl, AcmeError> {
    let url = value.get(name).and_then(Value::as_str);
    url.and_then(AcmeUrl::parse)
        .ok_or_else(|| AcmeError::new(format!("the authority's answer has no \"{name}\"")))
}

/// The texts in a list of a resource.
pub(crate) fn texts(value: &Value, name: &str) -> Result<Vec<String>, AcmeError> {
    let list = value.get(name).and_then(Value::as_array);
    let list =
        list.ok_or_else(|| AcmeError::new(format!("the authority's answer has no \"{name}\"")))?;
    Ok(list.iter().filter_map(Value::as_str).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_name_other_chains() {
        let link = |text: &str| alternate(text.as_bytes());
        let url = Some("https://a/1".to_owned());
        assert_eq!(link("<https://a/1>;rel=\"alternate\""), url);
        assert_eq!(link(" <https://a/1>; title=x; rel=alternate"), url);
        assert_eq!(link("<https://a/1>;rel=\"index\""), None);
        assert_eq!((link("https://a/1;rel=alternate"), link("<")), (None, None));
    }

    #[test]
    fn a_token_is_part_of_a_path() {
        assert!(is_token("abc-_09"));
        assert!(!is_token("") && !is_token("a/b") && !is_token("a b") && !is_token("../x"));
    }
}
