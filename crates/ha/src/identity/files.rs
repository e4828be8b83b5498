//! The files of an identity.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use weir_engine::temp_file::replace_as;

use super::{Identity, Invitation, MOST_NODES, Peer, from_hex, hex, is_name};

const NODE: &str = "node";
const PAIR: &str = "pair";
const KEY: &str = "key.pem";
const CERTIFICATE: &str = "certificate.pem";
const PEERS: &str = "peers";
const INVITATION: &str = "invitation";
const LEFT: &str = "left";

/// The rights of others, which neither the folder nor the key may grant.
const OTHERS: u32 = 0o077;

/// The largest file that is read, in bytes: certificates take some hundred.
const LARGEST: u64 = 64 * 1024;

/// The folder of an identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder(PathBuf);

/// The fault of a folder or file.
#[derive(Debug)]
pub enum FolderError {
    /// A call failed.
    Io(&'static str, PathBuf, io::Error),
    /// Others than the owner may use it.
    Rights(PathBuf, u32),
    /// It belongs to another user.
    Owner(PathBuf, u32),
    /// Its content is damaged.
    Content(PathBuf),
    /// There is no identity.
    Missing(PathBuf),
}

impl fmt::Display for FolderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(call, path, error) => {
                write!(f, "{call} \"{}\" failed ({error})", path.display())
            }
            Self::Rights(path, mode) => write!(
                f,
                "\"{0}\" may be used by others (mode {mode:04o}): run \"chmod go= {0}\", and make \
                 the node's identity anew if a stranger may have read it",
                path.display()
            ),
            Self::Owner(path, owner) => {
                write!(f, "\"{0}\" belongs to user {owner}: run \"chown root {0}\"", path.display())
            }
            Self::Content(path) => write!(
                f,
                "\"{}\" is damaged: \"weir ha leave\" and join again, or bring it back from a \
                 backup",
                path.display()
            ),
            Self::Missing(path) => write!(
                f,
                "this node has no identity in \"{}\": \"weir ha init NAME\" or \"weir ha join \
                 TOKEN NAME\" makes one",
                path.display()
            ),
        }
    }
}

type Result<T> = std::result::Result<T, FolderError>;

fn failed<'a>(call: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> FolderError + 'a {
    move |error| FolderError::Io(call, path.to_owned(), error)
}

impl Folder {
    /// A folder by its path.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The folder of the pinned certificates.
    pub fn peers(&self) -> PathBuf {
        self.0.join(PEERS)
    }

    /// Makes the folder if it is missing, for its owner alone.
    ///
    /// # Errors
    /// It cannot be made, or is open to others.
    pub fn make(&self) -> Result<()> {
        if let Some(parent) = self.0.parent() {
            fs::create_dir_all(parent).map_err(failed("mkdir()", parent))?;
        }
        for path in [self.0.clone(), self.peers()] {
            match fs::DirBuilder::new().mode(0o700).create(&path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(FolderError::Io("mkdir()", path, error));
                }
                _ => check_rights(&path)?,
            }
        }
        Ok(())
    }

    /// The file that is there while the node has left the pair, with its `ha` block still in the
    /// configuration.
    pub fn left(&self) -> PathBuf {
        self.0.join(LEFT)
    }

    /// Notes that the node leaves the pair, until it gets an identity again.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn leave(&self) -> Result<()> {
        self.make()?;
        write(
            &self.left(),
            "\"weir ha leave\": this host takes no part in its \"ha\" block\n",
            0o600,
        )
    }

    /// Forgets that the node has left the pair.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn forget_leave(&self) -> Result<()> {
        remove(&self.left())
    }

    /// Whether there is an identity.
    pub fn is_made(&self) -> bool {
        self.0.join(NODE).exists()
    }

    /// The name of the node; `None` without an identity.
    ///
    /// # Errors
    /// The file cannot be read, or is damaged.
    pub fn name(&self) -> Result<Option<String>> {
        let path = self.0.join(NODE);
        if !path.exists() {
            return Ok(None);
        }
        let text = read(&path)?;
        let name = text.trim_end();
        if is_name(name) { Ok(Some(name.to_owned())) } else { Err(FolderError::Content(path)) }
    }

    /// Reads the identity.
    ///
    /// # Errors
    /// There is none, it is damaged, or others may read it.
    pub fn read(&self) -> Result<Identity> {
        let name = self.name()?.ok_or_else(|| FolderError::Missing(self.0.clone()))?;
        check_rights(&self.0)?;
        check_rights(&self.0.join(KEY))?;
        let pair = self.0.join(PAIR);
        let identity = Identity {
            name,
            pair: from_hex(read(&pair)?.trim_end()).ok_or(FolderError::Content(pair))?,
            certificate: read(&self.0.join(CERTIFICATE))?,
            key: read(&self.0.join(KEY))?,
            peers: self.read_peers()?,
            invitation: self.read_invitation()?,
        };
        if identity.certified_key().is_err() {
            return Err(FolderError::Content(self.0.join(KEY)));
        }
        Ok(identity)
    }

    fn read_peers(&self) -> Result<Vec<Peer>> {
        let folder = self.peers();
        let mut peers = Vec::new();
        for entry in fs::read_dir(&folder).map_err(failed("opendir()", &folder))? {
            let entry = entry.map_err(failed("readdir()", &folder))?;
            let file = entry.file_name().to_string_lossy().into_owned();
            // Files of other names are not ours: one being written, or a copy of the user's.
            let Some(name) = file.strip_suffix(".pem").filter(|name| is_name(name)) else {
                continue;
            };
            let certificate = match read(&entry.path()) {
                Ok(text) => text,
                // It has just been removed.
                Err(FolderError::Io(_, _, error)) if error.kind() == io::ErrorKind::NotFound => {
                    continue;
                }
                Err(error) => return Err(error),
            };
            let peer = Peer { name: name.to_owned(), certificate };
            if peer.der().is_none() {
                return Err(FolderError::Content(entry.path()));
            }
            peers.push(peer);
        }
        peers.sort_by(|one, other| one.name.cmp(&other.name));
        peers.truncate(MOST_NODES - 1);
        Ok(peers)
    }

    fn read_invitation(&self) -> Result<Option<Invitation>> {
        let path = self.0.join(INVITATION);
        match read(&path) {
            Ok(text) => Invitation::from_text(&text).map(Some).ok_or(FolderError::Content(path)),
            Err(FolderError::Io(_, _, error)) if error.kind() == io::ErrorKind::NotFound => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Writes a whole identity; the name comes last.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn write(&self, identity: &Identity) -> Result<()> {
        self.make()?;
        write(&self.0.join(KEY), &identity.key, 0o600)?;
        write(&self.0.join(CERTIFICATE), &identity.certificate, 0o644)?;
        write(&self.0.join(PAIR), &(hex(&identity.pair) + "\n"), 0o600)?;
        for peer in &identity.peers {
            self.pin(peer)?;
        }
        if let Some(invitation) = &identity.invitation {
            self.write_invitation(invitation)?;
        }
        write(&self.0.join(NODE), &(identity.name.clone() + "\n"), 0o644)?;
        self.forget_leave()
    }

    /// Pins a partner's certificate, in place of an earlier one of its name.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn pin(&self, peer: &Peer) -> Result<()> {
        write(&self.pin_of(&peer.name), &peer.certificate, 0o644)
    }

    /// Removes the pin of a partner, if there is one.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn unpin(&self, name: &str) -> Result<()> {
        remove(&self.pin_of(name))
    }

    /// `name` is a node's name, or else no file has it.
    fn pin_of(&self, name: &str) -> PathBuf {
        let name = if is_name(name) { name } else { "no-name" };
        self.peers().join(format!("{name}.pem"))
    }

    /// Writes the invitation.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_invitation(&self, invitation: &Invitation) -> Result<()> {
        write(&self.0.join(INVITATION), &invitation.to_text(), 0o600)
    }

    /// Removes the identity, the name first; other files in the folder stay.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub fn remove(&self) -> Result<()> {
        remove(&self.0.join(NODE))?;
        for peer in self.read_peers().unwrap_or_default() {
            self.unpin(&peer.name)?;
        }
        for name in [INVITATION, PAIR, KEY, CERTIFICATE] {
            remove(&self.0.join(name))?;
        }
        Ok(())
    }
}

fn check_rights(path: &Path) -> Result<()> {
    let found = fs::metadata(path).map_err(failed("stat()", path))?;
    if found.mode() & OTHERS != 0 {
        return Err(FolderError::Rights(path.to_owned(), found.mode() & 0o7777));
    }
    let own = rustix::process::geteuid().as_raw();
    if found.uid() != own && found.uid() != 0 {
        return Err(FolderError::Owner(path.to_owned(), found.uid()));
    }
    Ok(())
}

fn read(path: &Path) -> Result<String> {
    let found = fs::metadata(path).map_err(failed("open()", path))?;
    if !found.is_file() || found.len() > LARGEST {
        return Err(FolderError::Content(path.to_owned()));
    }
    let bytes = fs::read(path).map_err(failed("open()", path))?;
    String::from_utf8(bytes).map_err(|_| FolderError::Content(path.to_owned()))
}

fn write(path: &Path, content: &str, mode: u32) -> Result<()> {
    replace_as(path, mode, content.as_bytes()).map_err(failed("write()", path))
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(FolderError::Io("unlink()", path.to_owned(), error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
