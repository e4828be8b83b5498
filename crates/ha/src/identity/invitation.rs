//! Invitations: for a limited time, one node that proves a secret may join. The secret itself is
//! only in the token; its digest is kept.

use std::fmt;

use weir_engine::digest::{same_secret, sha256};

use super::{from_hex, hex, is_name};

/// The wrong secrets after which an invitation is closed. A secret has 128 bits, so the limit
/// prevents no luck but the noise of a stranger who tries.
pub const MOST_GUESSES: u32 = 10;

/// How long after its end a node with the secret is told the reason, in seconds.
const TOLD: u64 = 3600;

/// An invitation, open or not.
#[derive(Clone, PartialEq, Eq)]
pub struct Invitation {
    digest: [u8; 32],
    /// Its end in seconds since 1970.
    expires: u64,
    /// The node that has used it.
    used_by: Option<String>,
}

/// Why a node may not join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Nobody is invited.
    NotInvited,
    /// The secret is wrong.
    Wrong,
    /// The time is over.
    Expired,
    /// This node has joined with the token.
    Used(String),
    /// Too many wrong secrets came.
    Guessed,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotInvited => f.write_str("no invitation is open; \"weir ha init\" opens one"),
            Self::Wrong => f.write_str("the secret of the token is wrong"),
            Self::Expired => {
                f.write_str("the token has expired; \"weir ha init\" prints another one")
            }
            Self::Used(name) => write!(
                f,
                "the token was used by node \"{name}\"; \"weir ha init\" prints another one"
            ),
            Self::Guessed => write!(
                f,
                "{MOST_GUESSES} wrong secrets have closed the invitation; \"weir ha init\" opens \
                 another one"
            ),
        }
    }
}

impl fmt::Debug for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invitation")
            .field("expires", &self.expires)
            .field("used_by", &self.used_by)
            .finish_non_exhaustive()
    }
}

impl Invitation {
    /// An open invitation.
    pub fn new(secret: &[u8; 16], expires: u64) -> Self {
        Self { digest: sha256(&[secret]), expires, used_by: None }
    }

    /// Whether somebody may join now; `now` is in seconds since 1970.
    pub fn is_open(&self, now: u64) -> bool {
        self.used_by.is_none() && now < self.expires
    }

    /// Whether a late node is still told the reason.
    pub fn is_told(&self, now: u64) -> bool {
        now < self.expires.saturating_add(TOLD)
    }

    /// The number of the invitation, by which wrong secrets are counted.
    pub fn number(&self) -> [u8; 32] {
        self.digest
    }

    /// Judges a secret.
    ///
    /// # Errors
    /// It lets nobody in, for this reason. The use and the end are only told to a node that has
    /// the secret.
    pub fn judge(&self, secret: &[u8], now: u64) -> Result<(), Refused> {
        if !same_secret(&sha256(&[secret]), &self.digest) {
            return Err(Refused::Wrong);
        }
        match &self.used_by {
            Some(name) => Err(Refused::Used(name.clone())),
            None if now >= self.expires => Err(Refused::Expired),
            None => Ok(()),
        }
    }

    /// Marks it as used.
    pub fn use_up(&mut self, by: &str) {
        self.used_by = Some(by.to_owned());
    }

    /// The content of the file.
    pub fn to_text(&self) -> String {
        let used = self.used_by.as_ref().map(|name| format!("used by {name}\n"));
        let digest = hex(&self.digest);
        format!("secret {digest}\nexpires {}\n{}", self.expires, used.unwrap_or_default())
    }

    /// Reads the content of the file; `None` if it is damaged.
    pub fn from_text(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let digest = from_hex(lines.next()?.strip_prefix("secret ")?)?;
        let expires = lines.next()?.strip_prefix("expires ")?.parse().ok()?;
        let used_by = match lines.next() {
            None => None,
            Some(line) => Some(line.strip_prefix("used by ").filter(|name| is_name(name))?),
        };
        Some(Self { digest, expires, used_by: used_by.map(str::to_owned) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_lets_one_node_in_until_the_end() {
        let mut invitation = Invitation::new(&[7; 16], 1000);
        assert_eq!(invitation.judge(&[7; 16], 999), Ok(()));
        assert_eq!(invitation.judge(&[7; 16], 1000), Err(Refused::Expired));
        assert_eq!(invitation.judge(&[8; 16], 1), Err(Refused::Wrong));
        assert_eq!(invitation.judge(&[], 1), Err(Refused::Wrong));
        assert!(invitation.is_open(999) && !invitation.is_open(1000));
        invitation.use_up("b");
        assert_eq!(invitation.judge(&[7; 16], 1), Err(Refused::Used("b".to_owned())));
        assert_eq!(invitation.judge(&[8; 16], 1), Err(Refused::Wrong));
        assert!(!invitation.is_open(1));
    }

    #[test]
    fn the_file_is_read_back() {
        let mut invitation = Invitation::new(&[7; 16], 1000);
        assert_eq!(Invitation::from_text(&invitation.to_text()), Some(invitation.clone()));
        invitation.use_up("b");
        let text = invitation.to_text();
        assert_eq!(Invitation::from_text(&text), Some(invitation));
        assert!(!text.contains("0707070707"), "the secret itself is not kept");
        for damaged in ["", "secret 00\n", &text[..70], &text.replace("used by b", "used by ../b")]
        {
            assert_eq!(Invitation::from_text(damaged), None, "{damaged}");
        }
    }
}
