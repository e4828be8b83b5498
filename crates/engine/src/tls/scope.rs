//! The scope in which a session may be resumed.

use aws_lc_rs::digest;

use super::server::ServerSettings;
use crate::clock;

/// The largest session that is cached or put into a ticket. nginx's limit is 4096 bytes with the
/// client's own certificate only; this one includes the whole chain.
pub(super) const LARGEST_SESSION: usize = 8 * 1024;

/// The servers that may resume a session, and its timeout. A session is valid only on servers with
/// the same certificates and the same requirements for client certificates.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope {
    context: [u8; CONTEXT],
    timeout: u32,
}

/// A digest: clients cannot choose its input.
const CONTEXT: usize = 32;

/// The format of a session, which is rustls's own: a node or a later binary with another one does
/// not read it.
const FORMAT: &[u8] = b"rustls 0.23.46";

/// The context and the time of the session's start in seconds.
const LABEL: usize = CONTEXT + 8;

impl Scope {
    pub(super) fn new(settings: &ServerSettings) -> Self {
        let mut digest = digest::Context::new(&digest::SHA256);
        let mut add = |part: &[u8]| {
            digest.update(&(part.len() as u64).to_be_bytes());
            digest.update(part);
        };
        add(FORMAT);
        add(&settings.context);
        for key in &settings.keys {
            add(key.chain().first().map_or(&[], AsRef::as_ref));
        }
        add(format!("{:?}", settings.verify_client).as_bytes());
        for authority in settings.client_authorities.iter().chain(&settings.trust.anchors) {
            add(authority);
        }
        let mut context = [0; CONTEXT];
        context.copy_from_slice(digest.finish().as_ref());
        Self { context, timeout: settings.session_timeout }
    }

    /// The timeout of a session in seconds.
    pub(super) fn timeout(&self) -> u32 {
        self.timeout
    }

    pub(super) fn label(&self, plain: &[u8]) -> Vec<u8> {
        [&self.context[..], &clock::wall_secs().to_be_bytes(), plain].concat()
    }

    /// The content of a label, if its scope matches and its session has not expired.
    pub(super) fn check(&self, labelled: &[u8]) -> Option<Vec<u8>> {
        let (label, plain) = labelled.split_first_chunk::<LABEL>()?;
        let (context, begun) = label.split_first_chunk::<CONTEXT>()?;
        let begun = i64::from_be_bytes(begun.try_into().ok()?);
        let young = clock::wall_secs() - begun <= i64::from(self.timeout);
        (*context == self.context && young).then(|| plain.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::VerifyClient;

    /// A ticket may come from another node: its scope follows from the configuration alone.
    #[test]
    fn equal_settings_have_equal_scopes() {
        let settings = |authority: &[u8]| ServerSettings {
            context: b"site.pem".to_vec(),
            verify_client: VerifyClient::On,
            client_authorities: vec![authority.to_vec().into()],
            ..ServerSettings::default()
        };
        let context = |settings: &ServerSettings| Scope::new(settings).context;
        assert_eq!(context(&settings(b"one")), context(&settings(b"one")));
        assert_ne!(context(&settings(b"one")), context(&settings(b"other")));
        let off = ServerSettings { verify_client: VerifyClient::Off, ..settings(b"one") };
        assert_ne!(context(&settings(b"one")), context(&off));
    }

    #[test]
    fn the_format_is_that_of_the_rustls_in_use() {
        let lock = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.lock");
        let lock = std::fs::read_to_string(lock).unwrap();
        let format = String::from_utf8_lossy(FORMAT);
        let (name, version) = format.split_once(' ').unwrap();
        let entry = format!("name = \"{name}\"\nversion = \"{version}\"\n");
        assert!(lock.contains(&entry), "name the version of rustls in FORMAT");
    }
}
