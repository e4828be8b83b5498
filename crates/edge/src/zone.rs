//! Zones: the state of limits, by key. A reload finds a zone by its name, and all threads share it.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use weir_conf::value::parse_size;
use weir_conf::{Cx, Fault, Node, Span, TypeMap, Word};
use weir_engine::error_log::Level;
use weir_script::Template;
use weir_script::variables::{is_stream, variables};
use weir_upstream::shared_zone::{self, HasNodes, SharedZone};
use weir_upstream::{MIN_ZONE, Zones};

use crate::Session;

/// What a zone has counted, whatever it is for.
pub trait Tally: Send + Sync {
    /// Its counters, by nginx's names.
    fn counts(&self) -> Vec<(&'static str, u64)>;

    /// Starts the counters over.
    fn reset(&self);

    /// The use of its memory.
    fn memory(&self) -> Memory;
}

/// The memory of a zone in bytes, as nginx's allocator would use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// The memory for nodes.
    pub size: u64,
    /// The part in use.
    pub used: u64,
}

/// The contents of zones by usage and name; the newest of a name comes last.
type InUse = BTreeMap<(&'static str, String), Vec<Weak<dyn Tally>>>;

static IN_USE: Mutex<InUse> = Mutex::new(BTreeMap::new());

/// The zones in use of one usage, by name.
pub fn in_use(usage: &str) -> Vec<(String, Arc<dyn Tally>)> {
    living(|known| known == usage)
}

/// The zones in use of every usage. Names are unique among them.
pub fn all_in_use() -> Vec<(String, Arc<dyn Tally>)> {
    living(|_| true)
}

fn living(is_wanted: impl Fn(&str) -> bool) -> Vec<(String, Arc<dyn Tally>)> {
    let mut zones = IN_USE.lock().unwrap_or_else(PoisonError::into_inner);
    zones.retain(|_, same| same.iter().any(|zone| zone.strong_count() > 0));
    let wanted = zones.iter().filter(|((usage, _), _)| is_wanted(usage));
    let newest = |same: &[Weak<dyn Tally>]| same.iter().rev().find_map(Weak::upgrade);
    wanted.filter_map(|((_, name), same)| Some((name.clone(), newest(same)?))).collect()
}

/// Adds the contents of a zone to those in use.
pub fn enlist(usage: &'static str, name: &str, contents: Weak<dyn Tally>) {
    let mut zones = IN_USE.lock().unwrap_or_else(PoisonError::into_inner);
    let same = zones.entry((usage, name.to_owned())).or_default();
    same.retain(|zone| zone.strong_count() > 0);
    same.push(contents);
}

/// The contents of a zone.
pub trait Contents: Tally + 'static {
    /// The module's name, which keeps its zones apart from those of others.
    const USAGE: &'static str;

    /// The name of stream's module, if there is one.
    const STREAM_USAGE: &'static str = Self::USAGE;

    /// An empty zone with a size in bytes.
    fn new(size: u64) -> Self;

    /// The zone as one that is shared with other nodes, whose keys have this rate, and limits with
    /// bursts of at most `burst`, in thousandths of a request.
    fn shared(self: Arc<Self>, rate: u64, burst: u64) -> Arc<dyn SharedZone>;
}

/// A zone in the configuration. The directive that uses a zone may precede the one that defines it.
pub struct Zone<C> {
    /// Its name.
    pub name: String,
    /// The module that uses it.
    usage: &'static str,
    definition: OnceLock<Definition>,
    /// The largest burst of the limits that use it, in thousandths of a request.
    burst: AtomicU64,
    contents: OnceLock<Arc<C>>,
}

/// The definition of a zone.
pub struct Definition {
    /// The key. Requests with equal keys share a count.
    pub key: Template,
    /// The rate in thousandths of a request per second, for modules that limit rates.
    pub rate: u64,
    /// Whether its counts add up over nodes.
    pub sync: bool,
    /// The place of `sync`.
    sync_place: Option<Span>,
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
    fn zone(&mut self, name: &[u8], usage: &'static str) -> Arc<Zone<C>> {
        let zone = self.0.entry(name.to_vec()).or_insert_with(|| {
            let name = String::from_utf8_lossy(name).into_owned();
            let (definition, burst) = (OnceLock::new(), AtomicU64::new(0));
            Arc::new(Zone { name, usage, definition, burst, contents: OnceLock::new() })
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
        let usage = usage::<C>(cx);
        Zones::declare(cx, name, 0, usage)?;
        Ok(cx.registry::<Named<C>>().zone(name, usage))
    }

    /// Parses `KEY zone=NAME:SIZE [sync]`; `other` parses any other parameter, and returns the
    /// rate. Without `sync`, there are as many arguments as in nginx, `count`.
    ///
    /// # Errors
    /// nginx's messages for invalid or missing parameters.
    pub fn define(
        node: &Node,
        cx: &mut Cx<'_>,
        count: usize,
        mut other: impl FnMut(&Word) -> Result<u64, Fault>,
    ) -> Result<(), Fault> {
        let is_sync = |word: &&Word| word.is("sync");
        let sync = node.args[1..].iter().find(is_sync);
        if node.args.len() != count + usize::from(sync.is_some()) {
            return Err(Fault::bad_count(&node.name));
        }
        let key = Template::compile(&node.args[0].value, variables(cx))?;
        let mut named = None;
        let mut rate = None;
        for word in &node.args[1..] {
            match word.after("zone=") {
                Some(value) => named = Some(name_and_size(word, value)?),
                None if is_sync(&word) => {}
                None => rate = Some(other(word)?),
            }
        }
        let directive = node.text();
        let missing = || format!("\"{directive}\" must have \"zone\" parameter");
        let (name, size) = named.filter(|(name, _)| !name.is_empty()).ok_or_else(missing)?;
        let usage = usage::<C>(cx);
        Zones::declare(cx, name, size, usage)?;
        let zone = cx.registry::<Named<C>>().zone(name, usage);
        if let Some(before) = zone.definition.get() {
            let (name, key) = (&zone.name, String::from_utf8_lossy(before.key.source()));
            return Err(format!("{directive} \"{name}\" is already bound to key \"{key}\"").into());
        }
        let definition = Definition {
            key,
            rate: rate.unwrap_or(DEFAULT_RATE),
            sync: sync.is_some(),
            sync_place: sync.map(|word| word.span),
            size,
        };
        let _ = zone.definition.set(definition);
        Ok(())
    }

    /// Notes the burst of a limit that uses the zone, in thousandths of a request.
    pub fn note_burst(&self, burst: u64) {
        self.burst.fetch_max(burst, Relaxed);
    }

    /// Shares the contents with other nodes, or no longer.
    fn share(&self, definition: &Definition, contents: &Arc<C>) {
        if definition.sync {
            let shared = Arc::clone(contents).shared(definition.rate, self.burst.load(Relaxed));
            shared_zone::share(self.usage, &self.name, Arc::downgrade(&shared));
        } else {
            shared_zone::keep_apart(self.usage, &self.name);
        }
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
    /// nginx's message, if a zone in use has another key; a zone with `sync` without other nodes.
    pub fn bind(&self, registries: &mut TypeMap) -> Result<(), Fault> {
        let has_nodes = registries.get::<HasNodes>().is_some_and(|nodes| nodes.0);
        let Some(named) = registries.get::<Named<C>>() else { return Ok(()) };
        let mut live = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        live.retain(|_, used| used.contents.strong_count() > 0);
        for zone in named.0.values() {
            let Some(definition) = zone.definition.get() else { continue };
            let Definition { key, size, .. } = definition;
            if let (Some(place), false) = (definition.sync_place, has_nodes) {
                return Err(Fault::new(shared_zone::NO_NODES).in_place(place));
            }
            let known = live.get(&zone.name).filter(|used| used.size == *size);
            let contents = match known.and_then(|used| Some((used, used.contents.upgrade()?))) {
                Some((used, _)) if used.key != key.source() => {
                    return Err(changed_key::<C>(&zone.name, key.source(), &used.key));
                }
                Some((_, contents)) => contents,
                None => {
                    let contents = Arc::new(C::new(*size));
                    let counted: Weak<C> = Arc::downgrade(&contents);
                    enlist(zone.usage, &zone.name, counted);
                    contents
                }
            };
            zone.share(definition, &contents);
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

/// The size of a page of nginx's allocator, in bytes.
pub const PAGE: u64 = 4096;

/// The part of a zone's size that nginx's allocator leaves for nodes. The pool's head, a record for
/// each page, and a page of the module are deducted.
pub fn room(size: u64) -> u64 {
    const PAGE_RECORD: u64 = 24;
    const HEAD: u64 = 704;
    (size.saturating_sub(HEAD) / (PAGE + PAGE_RECORD)).saturating_sub(1) * PAGE
}

/// The size of a node in nginx's allocator: the next power of two, or whole pages.
pub fn node_size(bytes: usize) -> u64 {
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
