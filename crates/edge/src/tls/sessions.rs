//! `ssl_session_cache`: caches that survive reloads, with their ticket keys.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use weir_conf::value::parse_number;
use weir_conf::{Arity, Cx, Fault, Node, Value, Word};
use weir_engine::tls::{self, Tickets};

use super::values::{SMALLEST_ZONE, shared_zone};

/// The number of sessions in `builtin` (OpenSSL's default).
const BUILTIN: usize = 20 * 1024;

/// `ssl_session_cache`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionCache {
    /// `builtin:N`, in sessions.
    pub builtin: Option<usize>,
    /// `shared:NAME:SIZE`, in bytes.
    pub shared: Option<(String, u64)>,
}

impl Value for SessionCache {
    const SYNTAX: &'static str = "off | none | [builtin[:size]] [shared:name:size]";
    const ARITY: Arity = Arity::exactly(1).or(Arity::exactly(2));

    fn parse(node: &Node, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        let mut cache = Self::default();
        cache.again(node, cx)?;
        Ok(cache)
    }

    fn again(&mut self, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
        node.args.iter().try_for_each(|word| self.parameter(word, cx))
    }

    fn show(&self) -> Option<String> {
        (*self == Self::default()).then(|| "none".to_owned())
    }
}

/// The sizes of the shared caches of one configuration, by name.
#[derive(Default)]
struct Sizes(HashMap<String, u64>);

impl SessionCache {
    fn parameter(&mut self, word: &Word, cx: &mut Cx<'_>) -> Result<(), Fault> {
        let text = word.text();
        let invalid = || Fault::new(format!("invalid session cache \"{text}\"")).at(word);
        match &*text {
            "off" | "none" => self.builtin = None,
            "builtin" => self.builtin = Some(BUILTIN),
            text if text.starts_with("builtin:") => {
                let size = parse_number(&text.as_bytes()["builtin:".len()..]);
                let size = size.ok_or_else(invalid)?;
                self.builtin = Some(usize::try_from(size).unwrap_or(usize::MAX));
            }
            text => {
                let (name, size) = shared_zone(text).ok_or_else(invalid)?;
                if size < SMALLEST_ZONE {
                    let message = format!("session cache \"{text}\" is too small");
                    return Err(Fault::new(message).at(word));
                }
                let known = *cx.registry::<Sizes>().0.entry(name.to_owned()).or_insert(size);
                if known != size {
                    return Err(Fault::new(format!(
                        "the size {size} of shared memory zone \"{name}\" conflicts with already \
                         declared size {known}"
                    )));
                }
                self.shared = Some((name.to_owned(), size));
            }
        }
        Ok(())
    }

    /// Opens the cache. A shared one is that of the earlier configuration. Its ticket keys are in
    /// use for `lifetime` seconds.
    pub(super) fn open(&self, lifetime: u32) -> Sessions {
        match (&self.shared, self.builtin) {
            (Some((name, size)), _) => Sessions::Shared(zone(name, *size, lifetime)),
            (None, Some(sessions)) => Sessions::Own(tls::SessionCache::builtin(sessions)),
            (None, None) => Sessions::Own(tls::SessionCache::none()),
        }
    }
}

/// The sessions of a server.
#[derive(Debug)]
pub(super) enum Sessions {
    /// Shared with every server that names the zone.
    Shared(Arc<SharedCache>),
    /// The server's own.
    Own(tls::SessionCache),
}

impl Sessions {
    pub(super) fn cache(&self) -> tls::SessionCache {
        match self {
            Self::Shared(zone) => zone.cache.clone(),
            Self::Own(cache) => cache.clone(),
        }
    }

    /// The ticket keys, if no file provides any: those that nodes share, or else the zone's, or
    /// the server's own. `lifetime` is `ssl_session_timeout` in seconds.
    pub(super) fn tickets(&self, lifetime: u32) -> Option<Tickets> {
        let own = match self {
            Self::Shared(zone) => zone.tickets.clone(),
            Self::Own(_) => Tickets::random(lifetime),
        };
        own.map(|own| own.unless_shared(lifetime))
    }
}

/// A shared cache.
#[derive(Debug)]
pub(super) struct SharedCache {
    size: u64,
    cache: tls::SessionCache,
    tickets: Option<Tickets>,
}

/// The zones of all configurations that still serve.
static ZONES: LazyLock<Mutex<HashMap<String, Weak<SharedCache>>>> = LazyLock::new(Mutex::default);

fn zone(name: &str, size: u64, lifetime: u32) -> Arc<SharedCache> {
    let mut zones = ZONES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = zones.get(name).and_then(Weak::upgrade)
        && known.size == size
    {
        return known;
    }
    let cache = tls::SessionCache::shared(usize::try_from(size).unwrap_or(usize::MAX));
    let zone = Arc::new(SharedCache { size, cache, tickets: Tickets::random(lifetime) });
    zones.retain(|_, zone| zone.strong_count() > 0);
    zones.insert(name.to_owned(), Arc::downgrade(&zone));
    zone
}
