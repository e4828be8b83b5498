//! The directory that keeps an issuer's account and certificates. All files are the worker's, and
//! each is replaced as a whole.
//!
//! ```text
//!   account.key      the account's private key
//!   account.url      the account's URL, that of the directory, the contacts, and the thumbprint of
//!                    the key, line by line
//!   NAME-HASH.pem    a certificate's key, and its chain
//!   NAME-HASH.order  the URL and the key of an order under way, in JSON
//!   NAME-HASH.renew  made by the operator: another certificate is wanted now
//!   *.unusable       what was in the place of a file, and could not be read or used
//! ```

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use rustix::fs::Access;
use weir_engine::clock::{self, Instant};
use weir_engine::error_log::Level;
use weir_engine::event_loop::on_a_thread;
use weir_engine::os_error::Failed;
use weir_engine::temp_file;

use crate::issuer::{Issuer, at};
use crate::settings::IssuerConfig;

pub(crate) const ACCOUNT_KEY: &str = "account.key";
pub(crate) const ACCOUNT_URL: &str = "account.url";

/// The limit of a file in bytes: a chain of large certificates fits many times.
const LARGEST: u64 = 1 << 20;

/// Keys are for the worker alone.
const MODE: u32 = 0o600;

/// The pause after a file that could not be written.
pub(crate) const WRITES_AGAIN: Duration = Duration::from_secs(5);

/// The turns of issuers at their accounts, by directory.
static TURNS: Mutex<BTreeMap<PathBuf, Weak<tokio::sync::Mutex<()>>>> = Mutex::new(BTreeMap::new());

/// Issuers with the same directory find their account there one after the other, so that they have
/// one key.
pub(crate) fn turns(config: &IssuerConfig) -> Arc<tokio::sync::Mutex<()>> {
    let Some(folder) = &config.state else { return Arc::default() };
    let mut turns = TURNS.lock().unwrap_or_else(PoisonError::into_inner);
    turns.retain(|_, turn| turn.strong_count() > 0);
    if let Some(turn) = turns.get(folder).and_then(Weak::upgrade) {
        return turn;
    }
    let turn = Arc::default();
    turns.insert(folder.clone(), Arc::downgrade(&turn));
    turn
}

/// The content of a file; `None` if it is not there.
pub(crate) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut content = Vec::new();
    file.take(LARGEST).read_to_end(&mut content)?;
    Ok(Some(content))
}

/// As [`read`], on another thread. A file that cannot be read is logged, and counts as missing.
pub(crate) async fn load(issuer: &Issuer, config: &IssuerConfig, name: &str) -> Option<Vec<u8>> {
    let path = config.state.as_ref()?.join(name);
    let shown = path.display().to_string();
    let found = on_a_thread(move || read(&path)).await;
    found.unwrap_or(Ok(None)).unwrap_or_else(|error| {
        let call = format!("open() \"{shown}\" failed");
        issuer.log(Level::Error, &Failed(&call, &error).to_string());
        None
    })
}

/// What could not be written yet.
#[derive(Debug, Default)]
pub(crate) struct Unsaved {
    /// Contents by the names of their files: one for each file.
    contents: BTreeMap<String, String>,
    /// Not to be tried before.
    again: Option<Instant>,
}

impl Unsaved {
    pub(crate) fn is_empty(&self) -> bool {
        self.contents.is_empty()
    }
}

/// Writes a file, if there is a directory. What cannot be written is in force nevertheless, is
/// logged once, and is tried again ([`save_again`]). Returns whether it was written.
pub(crate) async fn save(
    issuer: &Issuer,
    config: &IssuerConfig,
    name: &str,
    content: String,
) -> bool {
    write(issuer, config, &mut *issuer.unsaved.lock().await, name, content).await
}

/// Writes what could not be written before, up to the first file that fails again.
pub(crate) async fn save_again(issuer: &Issuer, config: &IssuerConfig) {
    let mut unsaved = issuer.unsaved.lock().await;
    if unsaved.again.is_some_and(|again| !again.since(clock::now()).is_zero()) {
        return;
    }
    for (name, content) in unsaved.contents.clone() {
        if !write(issuer, config, &mut unsaved, &name, content).await {
            return;
        }
    }
}

async fn write(
    issuer: &Issuer,
    config: &IssuerConfig,
    unsaved: &mut Unsaved,
    name: &str,
    content: String,
) -> bool {
    let Some(folder) = config.state.clone() else { return true };
    let path = folder.join(name);
    let shown = path.display().to_string();
    let text = content.clone();
    let write = move || temp_file::replace_as(&path, MODE, text.as_bytes());
    match on_a_thread(write).await {
        Ok(Err(error)) => {
            unsaved.again = Some(clock::now() + WRITES_AGAIN);
            if unsaved.contents.insert(name.to_owned(), content).is_none() {
                let call = format!("writing \"{shown}\" failed");
                let what = "it is in force until the worker ends, and writing is tried again";
                let (why, again) = (Failed(&call, &error), at(WRITES_AGAIN));
                issuer.log(Level::Error, &format!("{why}; {what}; next try {again}"));
            }
            false
        }
        // The process ends if there is no thread.
        Ok(Ok(())) | Err(_) => {
            if unsaved.contents.remove(name).is_some() {
                issuer.log(Level::Notice, &format!("\"{shown}\" is written"));
            }
            true
        }
    }
}

/// Keeps what is in the place of a file, and could not be used, under another name.
pub(crate) async fn set_aside(issuer: &Issuer, config: &IssuerConfig, name: &str) {
    let Some(path) = config.state.as_ref().map(|folder| folder.join(name)) else { return };
    let (shown, to) = (path.display().to_string(), path.with_added_extension("unusable"));
    let renamed = on_a_thread(move || std::fs::rename(path, to)).await;
    // What cannot be renamed cannot be replaced either, which is told then.
    if let Ok(Ok(())) = renamed {
        issuer.log(Level::Notice, &format!("\"{shown}\" is kept as \"{shown}.unusable\""));
    }
}

/// Whether files can be removed.
pub(crate) async fn removes(config: &IssuerConfig) -> bool {
    let Some(folder) = config.state.clone() else { return false };
    let may = move || rustix::fs::access(&folder, Access::WRITE_OK | Access::EXEC_OK).is_ok();
    on_a_thread(may).await.unwrap_or(false)
}

/// Whether a file is not there, and nobody tries to write it.
pub(crate) async fn lacks(issuer: &Issuer, config: &IssuerConfig, name: &str) -> bool {
    config.state.is_some()
        && !issuer.unsaved.lock().await.contents.contains_key(name)
        && !exists(config, name).await
}

/// Whether there is a file.
pub(crate) async fn exists(config: &IssuerConfig, name: &str) -> bool {
    let Some(path) = config.state.as_ref().map(|folder| folder.join(name)) else { return false };
    on_a_thread(move || path.exists()).await.unwrap_or(false)
}

/// Removes a file that may be there.
pub(crate) async fn remove(issuer: &Issuer, config: &IssuerConfig, name: &str) {
    let mut unsaved = issuer.unsaved.lock().await;
    unsaved.contents.remove(name);
    let Some(path) = config.state.as_ref().map(|folder| folder.join(name)) else { return };
    // One that stays is harmless: the authority is asked about the order in it.
    let _ = on_a_thread(move || std::fs::remove_file(path)).await;
}
