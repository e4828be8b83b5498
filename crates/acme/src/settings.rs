//! The `acme_issuer` block: an authority, the account there, and how names are proved.
//! <https://nginx.org/en/docs/http/ngx_http_acme_module.html#acme_issuer>

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use weir_conf::value::Sec;
use weir_conf::{Cx, Fault, Layout, Local, Many, Node, Slot, Table, directives};
use weir_engine::os_error::Failed;
use weir_engine::tls::{CertificateDer, certificates_from_pem};

use crate::url::AcmeUrl;
use values::{Challenge, Contact, ExternalAccount, Hook, KeySource, Profile, StatePath, Uri};

pub(crate) mod values;

pub use values::key_kind;

/// The slot of the block's content.
pub static ISSUER: Slot<IssuerBlock> = Slot::new();
/// The table of the block's content.
pub const TABLE: Table = IssuerBlock::table(&ISSUER);

directives! {
    /// An authority that issues certificates by ACME.
    pub struct IssuerBlock as IssuerBlockWritten in [acme_issuer] {
        /// The URL of the authority's directory. It is required.
        "uri" => uri: Local<Option<Uri>>,
        /// The account's private key: the kind of the one to make, or a file with one. A key that
        /// was made is kept in `state_path`.
        "account_key" => account_key: Local<KeySource>,
        /// How the authority checks that a name is served here: `http-01` (or `http`) asks on port
        /// 80, `tls-alpn-01` (or `tls-alpn`) in handshakes on port 443, `dns-01` (or `dns`) asks
        /// DNS, for which `dns_hook` sets a record. Wildcards need DNS.
        "challenge" => challenge: Local<Challenge> = Challenge::Http,
        /// Also writes the first name into the request's subject, which some authorities refuse.
        "common_name_in_csr" => common_name: Local<bool> = false,
        /// Where the authority can reach the account's owner: a URL, or an address of electronic
        /// mail.
        "contact" => contacts: Many<Contact>,
        /// The program that sets and removes records for `dns-01`, with its arguments. It gets
        /// `present` or `cleanup`, the domain, the record's name and its value as further
        /// arguments, runs as the worker's user, and ends with 0 once name servers answer with the
        /// record.
        "dns_hook" => hook: Local<Option<Hook>>,
        /// The time that `dns_hook` has; after it, the program is killed.
        "dns_hook_timeout" => hook_timeout: Local<Sec> = Sec::seconds(300),
        /// Ties the account to one that exists outside of ACME: its identifier, and a file with the
        /// key, or the key itself after `data:`, in base64url.
        "external_account_key" => external: Local<Option<ExternalAccount>>,
        /// Of several chains that the authority offers, prefers one whose last certificate was
        /// issued by an authority with this common name.
        "preferred_chain" as "name" => chain: Local<Option<String>>,
        /// The profile of certificates to ask for. With `require`, an authority without it is not
        /// asked for certificates.
        "profile" => profile: Local<Option<Profile>>,
        /// The authorities that may have signed the certificate of the authority's server; by
        /// default those of the system.
        "ssl_trusted_certificate" as "file" => trusted: Local<Option<String>>,
        /// Whether the certificate of the authority's server is verified.
        "ssl_verify" => verify: Local<bool> = true,
        /// The directory that keeps the account, the certificates and their keys over restarts;
        /// `off` keeps nothing. It is made if it is missing, and belongs to the worker's user. By
        /// default `acme_NAME` beside the directories of temporary files.
        "state_path" => state_path: Local<StatePath>,
        /// Agrees to the authority's terms of service.
        "accept_terms_of_service" [0]: "" => accept_terms,
        field terms: Local<bool>,
        // What was written, complete; none outside of a block.
        field config: Local<Option<Arc<IssuerConfig>>>,
    }
    finish = IssuerBlock::finish;
}

fn accept_terms(own: &mut IssuerBlockWritten, _: &Node, _: &mut Cx<'_>) -> Result<(), Fault> {
    match own.terms.replace(true) {
        None => Ok(()),
        Some(_) => Err(Fault::duplicate()),
    }
}

/// The settings of an issuer.
#[derive(Clone, PartialEq, Eq)]
pub struct IssuerConfig {
    /// Its name.
    pub name: String,
    pub(crate) uri: AcmeUrl,
    pub(crate) account_key: KeySource,
    pub(crate) challenge: Challenge,
    pub(crate) common_name: bool,
    /// URLs.
    pub(crate) contacts: Vec<String>,
    pub(crate) hook: Option<Vec<String>>,
    pub(crate) hook_timeout: Duration,
    pub(crate) external: Option<ExternalAccount>,
    pub(crate) chain: Option<String>,
    pub(crate) profile: Option<Profile>,
    /// `None` for those of the system.
    pub(crate) trusted: Option<Vec<CertificateDer>>,
    pub(crate) verify: bool,
    /// `None` if nothing is kept.
    pub(crate) state: Option<PathBuf>,
    pub(crate) terms: bool,
}

impl fmt::Debug for IssuerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuerConfig").field("name", &self.name).finish_non_exhaustive()
    }
}

impl IssuerConfig {
    /// Whether names are proved by records in DNS, as wildcards must be.
    pub fn proves_by_dns(&self) -> bool {
        self.challenge.kind() == "dns-01"
    }

    /// Whether requests are answered.
    pub fn proves_over_http(&self) -> bool {
        self.challenge.kind() == "http-01"
    }
}

impl IssuerBlock {
    fn finish(&mut self, _: Option<&Self>, cx: &mut Cx<'_>) -> Result<(), Fault> {
        if cx.context() != weir_conf::Contexts::ACME_ISSUER {
            return Ok(());
        }
        let name = cx.block_args().first().map(|word| word.text().into_owned());
        let name = name.unwrap_or_default();
        let Some(Uri(uri)) = self.uri.clone() else {
            return Err(Fault::new("acme_issuer: \"uri\" is missing").in_place(cx.block_span()));
        };
        if self.challenge.kind() == "dns-01" && self.hook.is_none() {
            let fault = Fault::new("\"challenge dns\" needs a \"dns_hook\"");
            return Err(match cx.origin("challenge") {
                Some(place) => fault.in_place(place),
                None => fault,
            });
        }
        let trusted = self.trusted.as_deref().map(|file| authorities(file, cx)).transpose()?;
        let state = match &self.state_path {
            StatePath::Default => Some(default_state(&name, cx)),
            StatePath::Off => None,
            StatePath::At(path) => Some(path.clone()),
        };
        if let Some(path) = &state {
            cx.env().create_dir(path).map_err(|error| {
                let call = format!("mkdir() \"{}\" failed", path.display());
                Fault::new(Failed(&call, &error).to_string()).in_place(cx.block_span())
            })?;
        }
        cx.settle_alone();
        self.config = Some(Arc::new(IssuerConfig {
            name,
            uri,
            account_key: self.account_key.clone(),
            challenge: self.challenge,
            common_name: self.common_name,
            contacts: self.contacts.iter().map(|contact| contact.0.clone()).collect(),
            hook: self.hook.as_ref().map(|hook| hook.0.clone()),
            hook_timeout: self.hook_timeout.0,
            external: self.external.clone(),
            chain: self.chain.clone(),
            profile: self.profile.clone(),
            trusted,
            verify: self.verify,
            state,
            terms: self.terms,
        }));
        Ok(())
    }
}

/// The certificates of a file.
fn authorities(file: &str, cx: &Cx<'_>) -> Result<Vec<CertificateDer>, Fault> {
    let path = cx.conf_path(file);
    let fault = |what: String| match cx.origin("trusted") {
        Some(place) => Fault::new(what).in_place(place),
        None => Fault::new(what),
    };
    let text = cx.env().read(&path).map_err(|error| {
        let call = format!("cannot load certificate \"{}\": open() failed", path.display());
        fault(Failed(&call, &error).to_string())
    })?;
    certificates_from_pem(&text)
        .map_err(|why| fault(format!("cannot load certificate \"{}\": {why}", path.display())))
}

/// The default directory of an issuer: beside those of temporary files, which the worker's user can
/// reach.
fn default_state(name: &str, cx: &Cx<'_>) -> PathBuf {
    let prefix = cx.prefix_path("");
    let beside = Path::new(Layout::built().client_body_temp.below(&prefix.to_string_lossy()));
    let folder = beside.parent().unwrap_or(Path::new(""));
    let path = folder.join(format!("acme_{}", name.replace('/', "_")));
    cx.prefix_path(&path.to_string_lossy())
}
