//! Zones: the state of limits, by key. A reload finds a zone by its name, and all threads share it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use weir_conf::value::parse_size;
use weir_conf::{Cx, Fault, Node, TypeMap, Word};
use weir_engine::error_log::Level;
use weir_script::Template;
use weir_script::variables::{is_stream, variables};
use weir_upstream::{MIN_ZONE, Zones};

use crate::Session;

/// The contents of a zone.
pub trait Contents: Send + Sync + 'static {
    /// The module's name, which keeps its zones apart from those of others.
    const USAGE: &'static str;

    /// The name of stream's module, if there is one.
    const STREAM_USAGE: &'static str = Self::USAGE;

    /// An empty zone with a size in bytes.
    fn new(size: u64) -> Self;
}

/// A zone in the configuration. The directive that uses a zone may precede the one that defines it.
pub struct Zone<C> {
    /// Its name.
    pub name: String,
    definition: OnceLock<Definition>,
    contents: OnceLock<Arc<C>>,
}

/// The definition of a zone.
pub struct Definition {
    /// The key. Requests with equal keys share a count.
    pub key: Template,
    /// The rate in thousandths of a request per second, for modules that limit rates.
    pub rate: u64,
    size: u64,
}

impl Definition {
    /// The key of a session. None if the session is not counted, because its key is empty, or
    /// longer than `longest` bytes, which is logged.
    pub fn key_of<S: Session>(&self, session: &mut S, longest: usize) -> Option<Vec<u8>> {
        let mut key = Vec::new();
        self.key.eval(session, &mut key);
        if key.len() > longest {
            let source = String::from_utf8_lossy(self.key.source());
            let key = weir_wire::shown(&key);
            let message = format!(
                "the value of the \"{source}\" key is more than {longest} bytes: \"{key}\""
            );
            session.log(Level::Error, &message);
        }
        (1..=longest).contains(&key.len()).then_some(key)
    }
}

/// The zones in use, for the next assembly.
pub struct Live<C>(Mutex<BTreeMap<String, Used<C>>>);

/// A zone in use. Zones of another size have contents of their own.
struct Used<C> {
    contents: Weak<C>,
    size: u64,
    key: Vec<u8>,
}

/// The zones of one assembly.
struct Named<C>(HashMap<Vec<u8>, Arc<Zone<C>>>);

impl<C> Default for Named<C> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<C> Named<C> {
    fn zone(&mut self, name: &[u8]) -> Arc<Zone<C>> {
        let zone = self.0.entry(name.to_vec()).or_insert_with(|| {
            let name = String::from_utf8_lossy(name).into_owned();
            Arc::new(Zone { name, definition: OnceLock::new(), contents: OnceLock::new() })
        });
        Arc::clone(zone)
    }
}

fn usage<C: Contents>(cx: &Cx<'_>) -> &'static str {
    if is_stream(cx) { C::STREAM_USAGE } else { C::USAGE }
}

impl<C: Contents> Zone<C> {
    /// The zone with this name, for a directive that uses it.
    ///
    /// # Errors
    /// nginx's message, if the name has another use.
    pub fn refer(name: &[u8], cx: &mut Cx<'_>) -> Result<Arc<Self>, Fault> {
        Zones::declare(cx, name, 0, usage::<C>(cx))?;
        Ok(cx.registry::<Named<C>>().zone(name))
    }

    /// Parses `KEY zone=NAME:SIZE`; `other` parses any other parameter, and returns the rate.
    ///
    /// # Errors
    /// nginx's messages for invalid or missing parameters.
    pub fn define(
        node: &Node,
        cx: &mut Cx<'_>,
        mut other: impl FnMut(&Word) -> Result<u64, Fault>,
    ) -> Result<(), Fault> {
        let key = Template::compile(&node.args[0].value, variables(cx))?;
        let mut named = None;
        let mut rate = None;
        for word in &node.args[1..] {
            match word.after("zone=") {
                Some(value) => named = Some(name_and_size(word, value)?),
                None => rate = Some(other(word)?),
            }
        }
        let directive = node.text();
        let missing = || format!("\"{directive}\" must have \"zone\" parameter");
        let (name, size) = named.filter(|(name, _)| !name.is_empty()).ok_or_else(missing)?;
        Zones::declare(cx, name, size, usage::<C>(cx))?;
        let zone = cx.registry::<Named<C>>().zone(name);
        if let Some(before) = zone.definition.get() {
            let (name, key) = (&zone.name, String::from_utf8_lossy(before.key.source()));
            return Err(format!("{directive} \"{name}\" is already bound to key \"{key}\"").into());
        }
        let definition = Definition { key, rate: rate.unwrap_or(DEFAULT_RATE), size };
        let _ = zone.definition.set(definition);
        Ok(())
    }

    /// The definition. [`Live::bind`] is called when it is known.
    pub fn definition(&self) -> Option<&Definition> {
        self.definition.get()
    }

    /// The contents, once [`Live::bind`] has set them.
    pub fn contents(&self) -> Option<&Arc<C>> {
        self.contents.get()
    }
}

/// The default rate: one request per second.
const DEFAULT_RATE: u64 = 1000;

/// Parses `NAME:SIZE`, the value of `zone=`.
///
/// # Errors
/// nginx's message, for an invalid size or one that is too small.
pub fn name_and_size<'w>(word: &Word, value: &'w [u8]) -> Result<(&'w [u8], u64), Fault> {
    let invalid = || Fault::new(format!("invalid zone size \"{}\"", word.shown())).at(word);
    let colon = value.iter().position(|&byte| byte == b':').ok_or_else(invalid)?;
    let size = parse_size(&value[colon + 1..]).ok_or_else(invalid)?;
    if size < MIN_ZONE {
        return Err(Fault::new(format!("zone \"{}\" is too small", word.shown())).at(word));
    }
    Ok((&value[..colon], size))
}

impl<C: Contents> Live<C> {
    /// No zones.
    pub const fn empty() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    /// Gives the zones of an assembly their contents: those in use with the same name and size, or
    /// new ones.
    ///
    /// # Errors
    /// nginx's message, if a zone in use has another key.
    pub fn bind(&self, registries: &mut TypeMap) -> Result<(), Fault> {
        let Some(named) = registries.get::<Named<C>>() else { return Ok(()) };
        let mut live = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        live.retain(|_, used| used.contents.strong_count() > 0);
        for zone in named.0.values() {
            let Some(Definition { key, size, .. }) = zone.definition.get() else { continue };
            let known = live.get(&zone.name).filter(|used| used.size == *size);
            let contents = match known.and_then(|used| Some((used, used.contents.upgrade()?))) {
                Some((used, _)) if used.key != key.source() => {
                    return Err(changed_key::<C>(&zone.name, key.source(), &used.key));
                }
                Some((_, contents)) => contents,
                None => Arc::new(C::new(*size)),
            };
            let used = Used {
                contents: Arc::downgrade(&contents),
                size: *size,
                key: key.source().to_vec(),
            };
            live.insert(zone.name.clone(), used);
            let _ = zone.contents.set(contents);
        }
        Ok(())
    }
}

fn changed_key<C: Contents>(name: &str, new: &[u8], old: &[u8]) -> Fault {
    let text = String::from_utf8_lossy;
    Fault::new(format!(
        "{} \"{name}\" uses the \"{}\" key while previously it used the \"{}\" key",
        C::USAGE,
        text(new),
        text(old)
    ))
    .nowhere()
}

/// The part of a zone's size that nginx's allocator leaves for nodes. The pool's head, a record for
/// each page, and a page of the module are deducted.
pub fn room(size: u64) -> u64 {
    const PAGE: u64 = 4096;
    const PAGE_RECORD: u64 = 24;
    const HEAD: u64 = 704;
    (size.saturating_sub(HEAD) / (PAGE + PAGE_RECORD)).saturating_sub(1) * PAGE
}

/// The size of a node in nginx's allocator: the next power of two, or whole pages.
pub fn node_size(bytes: usize) -> u64 {
    const PAGE: u64 = 4096;
    let bytes = bytes as u64;
    if bytes > PAGE / 2 { bytes.next_multiple_of(PAGE) } else { bytes.next_power_of_two().max(8) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_megabyte_holds_the_documented_number_of_states() {
        // About 16 thousand states of 64 bytes, or 8 thousand of 128.
        assert_eq!(room(1 << 20) / node_size(40), 16_192);
        assert_eq!(room(1 << 20) / node_size(84), 8_096);
        assert_eq!(node_size(3000), 4096);
    }
}
