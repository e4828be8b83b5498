//! The account at an authority (RFC 8555 section 7.3): its key, and its URL.

use std::sync::Arc;

use serde_json::{Value, json};
use weir_engine::error_log::Level;
use weir_engine::event_loop::on_a_thread;
use weir_engine::tls::PrivateKey;

use crate::error::AcmeError;
use crate::issuer::Issuer;
use crate::jws::AccountKey;
use crate::pair::Told;
use crate::session::Session;
use crate::settings::IssuerConfig;
use crate::settings::values::KeySource;
use crate::state::{self, ACCOUNT_KEY, ACCOUNT_URL};

/// An account.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) key: AccountKey,
    pub(crate) url: String,
}

/// The account in use, and the settings that it was made with.
#[derive(Debug)]
pub(crate) struct AccountKept {
    account: Arc<Account>,
    config: IssuerConfig,
}

impl AccountKept {
    /// Whether other settings mean the same account.
    fn serves(&self, config: &IssuerConfig) -> bool {
        let own = &self.config;
        own.uri == config.uri
            && own.account_key == config.account_key
            && own.contacts == config.contacts
            && own.external == config.external
    }
}

impl Session<'_> {
    /// Finds the account, or makes it. Orders of one issuer wait for each other here.
    pub(crate) async fn log_in(&mut self) -> Result<(), AcmeError> {
        let (issuer, config) = (self.issuer, self.config);
        let turns = state::turns(config);
        let _turn = turns.lock().await;
        let mut kept = issuer.account.lock().await;
        if let Some(kept) = kept.as_ref().filter(|kept| kept.serves(config)) {
            self.account = Some(Arc::clone(&kept.account));
            return Ok(());
        }
        let key = key(issuer, config, kept.as_ref()).await?;
        let text = match state::load(issuer, config, ACCOUNT_URL).await {
            Some(text) => Some(String::from_utf8_lossy(&text).into_owned()),
            // Without files there may be what another node has told.
            None => issuer.told().map(|told| told.url),
        };
        let known = text.and_then(|text| known_url(&text, config, &key));
        let url = match known {
            Some(url) => url,
            None => self.register(&key).await.map_err(AcmeError::for_all)?,
        };
        if matches!(config.account_key, KeySource::Made(_)) {
            let own = Told { key: key.private().to_pem(), url: lines(&url, config, &key) };
            issuer.tell(own);
        }
        let account = Arc::new(Account { key, url });
        *kept = Some(AccountKept { account: Arc::clone(&account), config: config.clone() });
        self.account = Some(account);
        Ok(())
    }

    /// Forgets an account that the authority does not know.
    pub(crate) async fn forget_account(&mut self) {
        *self.issuer.account.lock().await = None;
        self.account = None;
        state::save(self.issuer, self.config, ACCOUNT_URL, String::new()).await;
    }

    /// Makes the account; the authority answers with the one that the key has already, if any.
    async fn register(&mut self, key: &AccountKey) -> Result<String, AcmeError> {
        let config = self.config;
        let url = self.resource("newAccount")?;
        let mut wish = json!({});
        if config.terms {
            wish["termsOfServiceAgreed"] = true.into();
        }
        if !config.contacts.is_empty() {
            wish["contact"] = json!(config.contacts);
        }
        if let Some(external) = &config.external {
            wish["externalAccountBinding"] =
                key.bind(&url.to_string(), &external.id, &external.secret);
        } else if self.meta("externalAccountRequired") == Some(&Value::Bool(true)) {
            return Err(AcmeError::new(
                "the authority wants an account that exists elsewhere: \"external_account_key\" \
                 names it",
            ));
        }
        let account = Account { key: key.clone(), url: String::new() };
        let answer = self.signed(&url, &wish.to_string(), &account, false).await;
        let answer = answer.map_err(|error| self.about_terms(error))?;
        let made = answer.location.filter(|url| !url.is_empty());
        let made = made.ok_or_else(|| AcmeError::new("the authority names no account"))?;
        state::save(self.issuer, config, ACCOUNT_URL, lines(&made, config, key)).await;
        self.issuer.log(Level::Notice, &format!("the account is {made}"));
        Ok(made)
    }

    /// Adds what to do about the terms of service, if they were not accepted.
    fn about_terms(&self, mut error: AcmeError) -> AcmeError {
        let terms = self.meta("termsOfService").and_then(Value::as_str);
        if let Some(terms) = terms.filter(|_| !self.config.terms) {
            let terms: String = terms.chars().filter(char::is_ascii_graphic).take(500).collect();
            error.what +=
                &format!("; its terms of service are {terms}, \"accept_terms_of_service\" agrees");
        }
        error
    }
}

/// The content of the file with an account's URL.
fn lines(url: &str, config: &IssuerConfig, key: &AccountKey) -> String {
    [url, &config.uri.to_string(), &config.contacts.join(" "), key.thumbprint(), ""].join("\n")
}

/// Keeps the account that another node has brought, for the time in which this one orders.
pub(crate) async fn take_over(issuer: &Issuer, config: &IssuerConfig) {
    let Some(told) = issuer.taken_over() else { return };
    *issuer.account.lock().await = None;
    state::save(issuer, config, ACCOUNT_URL, told.url).await;
    state::save(issuer, config, ACCOUNT_KEY, told.key).await;
}

/// Writes the account in use, if its files are not there: the directory may be another one, or was
/// lost.
pub(crate) async fn save_what_lacks(issuer: &Issuer, config: &IssuerConfig) {
    let KeySource::Made(_) = config.account_key else { return };
    let Some(told) = issuer.told() else { return };
    if state::lacks(issuer, config, ACCOUNT_KEY).await {
        state::save(issuer, config, ACCOUNT_URL, told.url).await;
        state::save(issuer, config, ACCOUNT_KEY, told.key).await;
    }
}

/// The account's key: that of the configuration, the one in use, the one that was kept, or a new
/// one.
async fn key(
    issuer: &Issuer,
    config: &IssuerConfig,
    kept: Option<&AccountKept>,
) -> Result<AccountKey, AcmeError> {
    let kind = match &config.account_key {
        KeySource::File(content) => return read(content),
        KeySource::Made(kind) => *kind,
    };
    if let Some(kept) = kept.filter(|kept| kept.config.account_key == config.account_key) {
        return Ok(kept.account.key.clone());
    }
    if let Some(content) = state::load(issuer, config, ACCOUNT_KEY).await {
        match read(&content) {
            Ok(key) => return Ok(key),
            Err(error) => issuer.log(Level::Error, &format!("{error}; a new one is made")),
        }
    }
    if let Some(told) = issuer.told()
        && let Ok(key) = read(told.key.as_bytes())
    {
        return Ok(key);
    }
    let made = on_a_thread(move || PrivateKey::generate(kind)).await;
    let made = made.map_err(|_| AcmeError::of_issuer("no key could be made"))?;
    let made = made.map_err(|error| AcmeError::of_issuer(error.to_string()))?;
    let key = AccountKey::new(made)?;
    if state::exists(config, ACCOUNT_KEY).await {
        state::set_aside(issuer, config, ACCOUNT_KEY).await;
    }
    // A URL of an earlier key would name an account that this one does not open.
    state::save(issuer, config, ACCOUNT_URL, String::new()).await;
    state::save(issuer, config, ACCOUNT_KEY, key.private().to_pem()).await;
    Ok(key)
}

fn read(content: &[u8]) -> Result<AccountKey, AcmeError> {
    let key = PrivateKey::from_pem(content);
    let key = key.map_err(|why| AcmeError::of_issuer(format!("the account's key: {why}")))?;
    AccountKey::new(key)
}

/// The account's URL in its file, if it is one of this directory with these contacts and this key.
fn known_url(text: &str, config: &IssuerConfig, key: &AccountKey) -> Option<String> {
    let url = text.lines().next().filter(|url| !url.is_empty())?;
    (text == lines(url, config, key)).then(|| url.to_owned())
}
