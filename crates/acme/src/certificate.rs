//! The certificates that servers want, found by their names and issuers. They outlive reloads.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Notify;
use weir_engine::clock;
use weir_engine::digest::sha256;
use weir_engine::error_log::Level;
use weir_engine::os_error::Failed;
use weir_engine::tls::{CertifiedKey, Issued, KeyKind, PrivateKey, certificates_from_pem, x509};

use crate::Identifiers;
use crate::error::AcmeError;
use crate::issuer::Issuer;
use crate::nginx_files;
use crate::pair::{self, Pending};
use crate::settings::IssuerConfig;
use crate::state;

/// A certificate that is ordered and renewed here.
#[derive(Debug)]
pub struct Certificate {
    /// The first name and a hash of everything that distinguishes it: the name of its file. The
    /// issuer's name does not, so that another one costs no order.
    id: String,
    names: Identifiers,
    kind: KeyKind,
    issued: Arc<Issued>,
    own: Mutex<Own>,
    /// Wakes the duty when another node has brought something.
    news: Notify,
}

/// What changes.
#[derive(Debug, Default)]
struct Own {
    issuer: String,
    /// The chain and the key in force.
    pem: Option<Arc<Pem>>,
    status: Status,
    /// When it is ordered or renewed next, in seconds since 1970.
    next: Option<i64>,
    /// An order under way, here or on another node.
    pending: Option<Pending>,
    /// Whether what is in force is not in its file yet.
    is_unsaved: bool,
    /// Whether what is in its file could not be used.
    is_unusable: bool,
    /// Whether another node orders.
    is_elsewhere: bool,
    orders: u64,
    failures: u64,
    /// Those since the last success.
    tries: u64,
    /// The time of the last one, in seconds since 1970.
    failed_at: i64,
}

/// A certificate as text.
pub struct Pem {
    /// The certificate and its chain.
    pub chain: String,
    /// Its private key.
    pub key: String,
    /// In seconds since 1970: the first second in which it is valid, and the first in which it is
    /// not any longer.
    pub valid: (i64, i64),
    /// Its identifier in renewal information.
    pub(crate) renewal_id: Option<String>,
}

impl Pem {
    /// Key and chain, as in the file.
    pub(crate) fn text(&self) -> String {
        format!("{}{}", self.key, self.chain)
    }
}

impl std::fmt::Debug for Pem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pem").field("valid", &self.valid).finish_non_exhaustive()
    }
}

/// How the last attempt has ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// There was none, or it is under way.
    #[default]
    Pending,
    /// There is a certificate.
    Ready,
    /// It failed, for this reason; an earlier certificate may be in force.
    Failed(String),
}

/// What is told about a certificate.
#[derive(Clone, Debug)]
pub struct View {
    /// The issuer's name.
    pub issuer: String,
    /// Its names.
    pub names: Vec<String>,
    /// The kind of its key.
    pub key: KeyKind,
    /// How the last attempt has ended.
    pub status: Status,
    /// When it is ordered or renewed next, in seconds since 1970.
    pub next: Option<i64>,
    /// The first second in which it is valid, and the first in which it is not any longer, in
    /// seconds since 1970; `None` if there is none.
    pub valid: Option<(i64, i64)>,
    /// Whether another node orders it for this one.
    pub is_elsewhere: bool,
    /// The certificates that were issued.
    pub orders: u64,
    /// The attempts that failed.
    pub failures: u64,
    /// The attempts that failed since the last success.
    pub tries: u64,
    /// When the last one failed, in seconds since 1970.
    pub failed_at: i64,
    /// The chain and the key in force.
    pub pem: Option<Arc<Pem>>,
}

/// The certificates by id.
static ALL: Mutex<BTreeMap<String, Weak<Certificate>>> = Mutex::new(BTreeMap::new());

/// Whether this process serves, so that certificates are read from their files. The master reads
/// none: they are the worker's.
static SERVES: AtomicBool = AtomicBool::new(false);

fn all() -> MutexGuard<'static, BTreeMap<String, Weak<Certificate>>> {
    ALL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads all certificates from their files, before a worker serves.
pub fn restore(wanted: impl Iterator<Item = (Arc<Certificate>, Arc<IssuerConfig>)>) {
    SERVES.store(true, Relaxed);
    pair::begin();
    for (certificate, config) in wanted {
        certificate.restore(&config);
    }
}

/// All certificates.
pub(crate) fn known() -> Vec<Arc<Certificate>> {
    all().values().filter_map(Weak::upgrade).collect()
}

/// The certificate with an identifier.
pub(crate) fn find(id: &str) -> Option<Arc<Certificate>> {
    all().get(id).and_then(Weak::upgrade)
}

/// What is to be told about all certificates, by their identifiers.
pub fn views() -> Vec<(String, View)> {
    known().iter().map(|certificate| (certificate.id.clone(), certificate.view())).collect()
}

/// Which of two certificates in PEM is the newer one; the same on all nodes.
pub(crate) fn order(one: &str, other: &str) -> Ordering {
    let age = |text: &str| {
        let chain = certificates_from_pem(text.as_bytes()).ok()?;
        let first = chain.first()?;
        Some((x509::validity(first)?.0, sha256(&[first])))
    };
    age(one).cmp(&age(other))
}

impl Certificate {
    /// The certificate of these names from an issuer. A new one is read from its file, if this
    /// process serves.
    pub fn of(config: &IssuerConfig, names: &Identifiers, kind: KeyKind) -> Arc<Self> {
        let what = format!("{} {kind} {}", config.uri, names.names().join(" "));
        let mut id = names.first().replace(['*', ':'], "_") + "-";
        for byte in &sha256(&[what.as_bytes()])[..8] {
            let _ = write!(id, "{byte:02x}");
        }
        let mut known = all();
        if let Some(known) = known.get(&id).and_then(Weak::upgrade) {
            return known;
        }
        known.retain(|_, certificate| certificate.strong_count() > 0);
        let own = Own { issuer: config.name.clone(), ..Own::default() };
        let (names, issued, news) = (names.clone(), Arc::default(), Notify::new());
        let certificate = Arc::new(Self { id, names, kind, issued, own: Mutex::new(own), news });
        known.insert(certificate.id.clone(), Arc::downgrade(&certificate));
        drop(known);
        if SERVES.load(Relaxed) {
            certificate.restore(config);
        }
        certificate
    }

    fn own(&self) -> MutexGuard<'_, Own> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its identifier, which is also part of the file's name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The issuer's name.
    pub fn issuer(&self) -> String {
        self.own().issuer.clone()
    }

    /// Notes which issuer orders it from now on.
    pub(crate) fn set_issuer(&self, name: &str) {
        name.clone_into(&mut self.own().issuer);
    }

    /// Its names.
    pub fn names(&self) -> &Identifiers {
        &self.names
    }

    /// The kind of its key.
    pub(crate) fn kind(&self) -> KeyKind {
        self.kind
    }

    /// What handshakes use.
    pub fn issued(&self) -> &Arc<Issued> {
        &self.issued
    }

    /// The certificate in force as text.
    pub fn pem(&self) -> Option<Arc<Pem>> {
        self.own().pem.clone()
    }

    /// The name of its file.
    pub(crate) fn file(&self) -> String {
        format!("{}.pem", self.id)
    }

    /// The name of the file of an order under way.
    pub(crate) fn order_file(&self) -> String {
        format!("{}.order", self.id)
    }

    /// The name of the file by which the operator wants another one.
    pub(crate) fn mark(&self) -> String {
        format!("{}.renew", self.id)
    }

    /// Reads it from its file, and an order that was under way.
    fn restore(&self, config: &IssuerConfig) {
        let Some(folder) = &config.state else { return };
        let pending = state::read(&folder.join(self.order_file())).ok().flatten();
        self.own().pending = pending.and_then(|content| Pending::from_bytes(&content));
        let path = folder.join(self.file());
        let issuer = Issuer::of(&config.name);
        let read = match state::read(&path) {
            Ok(None) => return self.restore_nginx(folder, &issuer),
            Ok(Some(content)) => self.install(&String::from_utf8_lossy(&content)),
            Err(error) => {
                let call = format!("open() \"{}\" failed", path.display());
                Err(AcmeError::new(Failed(&call, &error).to_string()))
            }
        };
        if let Err(error) = read {
            let what = format!("{error}; the certificate in \"{}\" is not used", path.display());
            issuer.log(Level::Error, &what);
            self.own().is_unusable = true;
        }
    }

    /// Takes over what nginx's module has got, if it is in the directory and still valid.
    fn restore_nginx(&self, folder: &Path, issuer: &Issuer) {
        let now = clock::wall_secs();
        for (path, text) in nginx_files::all(folder, self.names.first()) {
            let is_of_kind =
                PrivateKey::from_pem(text.as_bytes()).is_ok_and(|key| key.kind() == self.kind);
            let ends = certificates_from_pem(text.as_bytes()).ok();
            let ends = ends.and_then(|chain| Some(x509::validity(chain.first()?)?.1));
            if is_of_kind && ends.is_some_and(|end| end > now) && self.install(&text).is_ok() {
                self.own().is_unsaved = true;
                let what = format!("{}: nginx's \"{}\" is used", self.names, path.display());
                return issuer.log(Level::Notice, &what);
            }
        }
    }

    /// Puts a certificate in force: its key and its chain in PEM, in any order.
    ///
    /// # Errors
    /// They do not fit together, or are for other names.
    pub(crate) fn install(&self, text: &str) -> Result<(), AcmeError> {
        let refused = |why: &dyn std::fmt::Display| {
            AcmeError::new(format!("the certificate cannot be used: {why}"))
        };
        let key = CertifiedKey::from_pem(text.as_bytes(), text.as_bytes(), &[])
            .map_err(|error| refused(&error))?;
        let der = key.chain().first().ok_or_else(|| refused(&"it is empty"))?;
        let valid = x509::validity(der).ok_or_else(|| refused(&"it has no time of validity"))?;
        let lacks = |name: &&String| {
            let probe = name.strip_prefix("*.").map(|bare| format!("x.{bare}"));
            !x509::is_for(der, probe.as_ref().unwrap_or(name))
        };
        if let Some(name) = self.names.names().iter().find(lacks) {
            return Err(refused(&format!("it is not for \"{name}\"")));
        }
        let renewal_id = x509::renewal_id(der);
        let chain = key.chain().iter().map(|der| x509::pem(der)).collect();
        let own_key = sections(text, "PRIVATE KEY-----");
        let pem = Pem { chain, key: own_key, valid, renewal_id };
        pair::note_certificate(&self.id, &pem.text());
        self.issued.set(key);
        let mut own = self.own();
        own.pem = Some(Arc::new(pem));
        own.status = Status::Ready;
        own.tries = 0;
        Ok(())
    }

    /// Puts a certificate of another node in force. The duty writes it to its file.
    pub(crate) fn adopt(&self, text: &str) {
        let issuer = Issuer::of(&self.issuer());
        match self.install(text) {
            Ok(()) => {
                self.own().is_unsaved = true;
                issuer
                    .log(Level::Notice, &format!("{}: a certificate of another node", self.names));
                self.wake();
            }
            Err(error) => issuer.log(Level::Error, &format!("from another node: {error}")),
        }
    }

    /// Wakes the duty.
    pub(crate) fn wake(&self) {
        self.news.notify_one();
    }

    /// Waits until the duty is woken.
    pub(crate) async fn news(&self) {
        self.news.notified().await;
    }

    /// Whether the certificate in force is not in its file yet. It will be now.
    pub(crate) fn take_unsaved(&self) -> bool {
        std::mem::take(&mut self.own().is_unsaved)
    }

    /// Whether what is in its file could not be used. It will be replaced now.
    pub(crate) fn take_unusable(&self) -> bool {
        std::mem::take(&mut self.own().is_unusable)
    }

    /// The order under way.
    pub(crate) fn pending(&self) -> Option<Pending> {
        self.own().pending.clone()
    }

    pub(crate) fn set_pending(&self, pending: Option<Pending>) {
        self.own().pending = pending;
    }

    /// Notes whether another node orders.
    pub(crate) fn leave_to_others(&self, is_elsewhere: bool) {
        let mut own = self.own();
        own.is_elsewhere = is_elsewhere;
        if is_elsewhere {
            own.next = None;
        }
    }

    /// Notes when it is ordered or renewed next.
    pub(crate) fn plan(&self, next: i64) {
        self.own().next = Some(next);
    }

    /// Whether the last attempt has failed.
    pub(crate) fn has_failed(&self) -> bool {
        matches!(self.own().status, Status::Failed(_))
    }

    /// An attempt begins. Returns whether it is the first, and nothing is in force.
    pub(crate) fn begin(&self) -> bool {
        let own = self.own();
        own.pem.is_none() && own.failures == 0 && own.status == Status::Pending
    }

    /// An attempt has brought a certificate.
    pub(crate) fn succeed(&self) {
        self.own().orders += 1;
    }

    /// An attempt has failed; the next one is at `next`. Returns whether the reason is new.
    pub(crate) fn fail(&self, reason: &str, next: i64) -> bool {
        let mut own = self.own();
        let failed = Status::Failed(reason.to_owned());
        let is_new = own.status != failed;
        (own.status, own.next) = (failed, Some(next));
        own.failures += 1;
        own.tries += 1;
        own.failed_at = clock::wall_secs();
        is_new
    }

    /// What is to be told about it.
    pub fn view(&self) -> View {
        let own = self.own();
        View {
            issuer: own.issuer.clone(),
            names: self.names.names().to_vec(),
            key: self.kind,
            status: own.status.clone(),
            next: own.next,
            valid: own.pem.as_ref().map(|pem| pem.valid),
            is_elsewhere: own.is_elsewhere,
            orders: own.orders,
            failures: own.failures,
            tries: own.tries,
            failed_at: own.failed_at,
            pem: own.pem.clone(),
        }
    }
}

/// The sections of PEM whose first line ends so.
fn sections(text: &str, ends: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    for line in text.lines() {
        if line.starts_with("-----BEGIN ") && line.ends_with(ends) {
            inside = true;
        }
        if inside {
            out.push_str(line);
            out.push('\n');
        }
        if line.starts_with("-----END ") {
            inside = false;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_cut_out() {
        let text = "-----BEGIN CERTIFICATE-----\nA\n-----END CERTIFICATE-----\n\
                    -----BEGIN EC PRIVATE KEY-----\nB\n-----END EC PRIVATE KEY-----\nC\n";
        let key = "-----BEGIN EC PRIVATE KEY-----\nB\n-----END EC PRIVATE KEY-----\n";
        assert_eq!(sections(text, "PRIVATE KEY-----"), key);
    }
}
