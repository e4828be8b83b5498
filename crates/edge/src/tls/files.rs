//! Loading of certificates, keys and revocation lists, with nginx's messages.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::cache::FileCache;
use weir_conf::Cx;
use weir_engine::os_error::OsError;
use weir_engine::tls::{
    CertifiedKey, Revocation, SettingsError, Trust, certificates_from_pem, crls_from_pem,
};

/// The prefix of PEM text in the configuration itself.
const DATA: &str = "data:";

/// Key sources that only OpenSSL has.
const FOREIGN: [&str; 2] = ["engine:", "store:"];

/// The key source that is a file after all.
const STORED_FILE: &str = "store:file:";

/// The source of files: the configuration's environment while it is read, the disk afterwards.
pub struct FileSource<'a> {
    prefix: PathBuf,
    read: &'a dyn Fn(&Path) -> io::Result<Arc<[u8]>>,
}

impl FileSource<'_> {
    /// The certificate and the key named by variables, from the cache or the disk.
    ///
    /// # Errors
    /// nginx's message.
    pub fn named(
        prefix: &Path,
        cache: Option<&FileCache>,
        (certificate, key): (&[u8], &[u8]),
        passwords: &[Vec<u8>],
    ) -> Result<CertifiedKey, SettingsError> {
        let text = String::from_utf8_lossy;
        let (certificate, key) = (text(certificate), text(key));
        let passwords: Vec<&[u8]> = passwords.iter().map(Vec::as_slice).collect();
        let read = |path: &Path| match cache {
            Some(cache) => cache.read(path),
            None => std::fs::read(path).map(Arc::from),
        };
        let files = FileSource { prefix: prefix.to_owned(), read: &read };
        let found = files.pair(&certificate, &key, &passwords);
        let Some(cache) = cache else { return found };
        let (certificate_path, key_path) = (files.path(&certificate), files.path(&key));
        let forget = || {
            cache.forget(&certificate_path);
            cache.forget(&key_path);
        };
        let found = found.or_else(|_| {
            // One of the two may be outdated.
            forget();
            files.pair(&certificate, &key, &passwords)
        });
        if found.is_err() {
            forget();
        } else if cache.kept(&key_path).is_some_and(|text| is_encrypted(&text)) {
            // An encrypted key is read with its password each time.
            cache.forget(&key_path);
        }
        found
    }

    /// The chain of a certificate named by a variable.
    ///
    /// # Errors
    /// nginx's message.
    pub fn named_chain(
        prefix: &Path,
        cache: Option<&FileCache>,
        certificate: &[u8],
    ) -> Result<Authorities, SettingsError> {
        let read = |path: &Path| match cache {
            Some(cache) => cache.read(path),
            None => std::fs::read(path).map(Arc::from),
        };
        let files = FileSource { prefix: prefix.to_owned(), read: &read };
        files.authorities(&String::from_utf8_lossy(certificate))
    }

    /// Runs `f` with the files of the configuration's environment.
    pub fn of<T>(cx: &Cx<'_>, f: impl FnOnce(&FileSource<'_>) -> T) -> T {
        let read = |path: &Path| cx.env().read(path);
        f(&FileSource { prefix: cx.conf_path(""), read: &read })
    }

    /// The name for messages, and the content.
    fn text(&self, name: &str) -> (String, Result<Arc<[u8]>, SettingsError>) {
        if let Some(text) = name.strip_prefix(DATA) {
            return (name.to_owned(), Ok(text.as_bytes().into()));
        }
        let path = self.path(name);
        let shown = path.display().to_string();
        let text = (self.read)(&path).map_err(|error| open_failed(&shown, "r", &error).into());
        (shown, text)
    }

    /// The name of a file for messages: its path, or that it is text of the configuration itself.
    pub fn shown(&self, name: &str) -> String {
        match name.starts_with(DATA) {
            true => DATA.to_owned(),
            false => self.path(name).display().to_string(),
        }
    }

    /// The full path as in nginx: a relative name is appended to the prefix as text.
    pub fn path(&self, name: &str) -> PathBuf {
        match name.starts_with('/') {
            true => name.into(),
            false => format!("{}{name}", self.prefix.display()).into(),
        }
    }

    /// A certificate with its chain and its key.
    ///
    /// # Errors
    /// nginx's message.
    pub fn pair(
        &self,
        certificate: &str,
        key: &str,
        passwords: &[&[u8]],
    ) -> Result<CertifiedKey, SettingsError> {
        let (shown, text) = self.text(certificate);
        let load =
            |why| format!("cannot load certificate \"{shown}\": BIO_new_file() failed {why}");
        let chain = text.map_err(load)?;
        certificates_from_pem(&chain)
            .map_err(|why| format!("cannot load certificate \"{shown}\": {why}"))?;
        let name = key.strip_prefix(STORED_FILE).map(|path| path.trim_start_matches("//"));
        let key = name.unwrap_or(key);
        if FOREIGN.iter().any(|prefix| key.starts_with(prefix)) {
            let what = "engines and stores are not supported";
            return Err(format!("cannot load certificate key \"{key}\": {what}").into());
        }
        let (shown_key, text) = self.text(key);
        let text = text.map_err(|why| {
            format!("cannot load certificate key \"{shown_key}\": BIO_new_file() failed {why}")
        })?;
        CertifiedKey::from_pem(&chain, &text, passwords)
            .map_err(|error| error.message(&shown, &shown_key).into())
    }

    /// Certificates of authorities; none if the name is empty.
    ///
    /// # Errors
    /// nginx's message.
    pub fn authorities(&self, name: &str) -> Result<Authorities, SettingsError> {
        if name.is_empty() {
            return Ok(Authorities::new());
        }
        let (shown, text) = self.text(name);
        let load =
            |why| format!("cannot load certificate \"{shown}\": BIO_new_file() failed {why}");
        let chain = certificates_from_pem(&text.map_err(load)?);
        chain.map_err(|why| format!("cannot load certificate \"{shown}\": {why}").into())
    }

    /// The trusted authorities and the revoked certificates.
    ///
    /// # Errors
    /// nginx's message.
    pub fn trust(&self, authorities: &str, crl: &str) -> Result<Trust, SettingsError> {
        let anchors = self.authorities(authorities)?;
        if crl.is_empty() {
            return Ok(Trust { anchors, revocation: Revocation::default() });
        }
        let (shown, text) = self.text(crl);
        let load = |why| format!("cannot load CRL \"{shown}\": BIO_new_file() failed {why}");
        let revocation = crls_from_pem(&text.map_err(load)?).map_err(|_| {
            format!(
                "cannot load CRL \"{shown}\": PEM_read_bio_X509_CRL() failed (SSL: \
                 error:0480006C:PEM routines::no start line:Expecting: X509 CRL)"
            )
        })?;
        Ok(Trust { anchors, revocation })
    }

    /// The bytes of a file, with OpenSSL's message if it cannot be opened.
    ///
    /// # Errors
    /// nginx's message.
    pub fn plain(&self, name: &str, mode: &str) -> Result<(String, Arc<[u8]>), SettingsError> {
        let path = self.path(name);
        let shown = path.display().to_string();
        match (self.read)(&path) {
            Ok(bytes) => Ok((shown, bytes)),
            Err(error) => {
                let why = open_failed(&shown, mode, &error);
                Err(format!("BIO_new_file(\"{shown}\") failed {why}").into())
            }
        }
    }

    /// The bytes of a file, with nginx's message if it cannot be opened.
    ///
    /// # Errors
    /// nginx's message.
    pub fn raw(&self, name: &str) -> Result<(String, Arc<[u8]>), SettingsError> {
        let path = self.path(name);
        let shown = path.display().to_string();
        match (self.read)(&path) {
            Ok(bytes) => Ok((shown, bytes)),
            Err(error) => Err(format!("open() \"{shown}\" failed ({})", OsError(&error)).into()),
        }
    }
}

/// Certificates as DER.
pub type Authorities = Vec<weir_engine::tls::CertificateDer>;

fn is_encrypted(pem: &[u8]) -> bool {
    pem.windows(b"ENCRYPTED".len()).any(|part| part == b"ENCRYPTED")
}

/// OpenSSL's message for a file that cannot be opened.
fn open_failed(path: &str, mode: &str, error: &io::Error) -> String {
    let number = error.raw_os_error().unwrap_or(0);
    let text = OsError(error).to_string();
    let text = text.split_once(": ").map_or(text.as_str(), |(_, text)| text);
    let then = match number {
        2 => "error:10000080:BIO routines::no such file",
        _ => "error:10080002:BIO routines::system lib",
    };
    format!(
        "(SSL: error:8{number:07X}:system library::{text}:calling fopen({path}, {mode}) {then})"
    )
}
