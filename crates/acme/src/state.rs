//! The directory that keeps an issuer's account and certificates. All files are the worker's, and
//! each is replaced as a whole.
//!
//! ```text
//!   account.key      the account's private key
//!   account.url      the account's URL, that of the directory, and the contacts, line by line
//!   NAME-HASH.pem    a certificate's key, and its chain
//!   NAME-HASH.order  the URL and the key of an order under way, in JSON
//!   NAME-HASH.renew  made by the operator: another certificate is wanted now
//! ```

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use weir_engine::error_log::Level;
use weir_engine::event_loop::on_a_thread;
use weir_engine::os_error::Failed;
use weir_engine::temp_file;

use crate::issuer::Issuer;
use crate::settings::IssuerConfig;

pub(crate) const ACCOUNT_KEY: &str = "account.key";
pub(crate) const ACCOUNT_URL: &str = "account.url";

/// The limit of a file in bytes: a chain of large certificates fits many times.
const LARGEST: u64 = 1 << 20;

/// Keys are for the worker alone.
const MODE: u32 = 0o600;

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

/// Contents by the names of their files that could not be written yet: one for each file.
pub(crate) type Unsaved = BTreeMap<String, String>;

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
    for (name, content) in unsaved.clone() {
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
            if unsaved.insert(name.to_owned(), content).is_none() {
                let call = format!("writing \"{shown}\" failed");
                let what = "it is in force until the worker ends, and writing is tried again";
                issuer.log(Level::Error, &format!("{}; {what}", Failed(&call, &error)));
            }
            false
        }
        // The process ends if there is no thread.
        Ok(Ok(())) | Err(_) => {
            if unsaved.remove(name).is_some() {
                issuer.log(Level::Notice, &format!("\"{shown}\" is written"));
            }
            true
        }
    }
}

/// Whether there is a file.
pub(crate) async fn exists(config: &IssuerConfig, name: &str) -> bool {
    let Some(path) = config.state.as_ref().map(|folder| folder.join(name)) else { return false };
    on_a_thread(move || path.exists()).await.unwrap_or(false)
}

/// Removes a file that may be there.
pub(crate) async fn remove(issuer: &Issuer, config: &IssuerConfig, name: &str) {
    let mut unsaved = issuer.unsaved.lock().await;
    unsaved.remove(name);
    let Some(path) = config.state.as_ref().map(|folder| folder.join(name)) else { return };
    // One that stays is harmless: the authority is asked about the order in it.
    let _ = on_a_thread(move || std::fs::remove_file(path)).await;
}
