//! The caches of a configuration, by the names of their zones.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use weir_conf::{Cx, Fault, Node, TypeMap};
use weir_upstream::Zones;

use super::path::CachePath;
use super::volume::Volume;

/// A cache in the configuration. A directive that uses it may precede the one that defines it.
#[derive(Debug)]
pub(crate) struct Zone {
    /// The name.
    pub(crate) name: String,
    definition: OnceLock<Definition>,
    volume: OnceLock<Arc<Volume>>,
}

#[derive(Debug)]
struct Definition {
    path: CachePath,
    /// The prefix of the directive, which tells protocols apart.
    prefix: String,
}

impl Zone {
    /// Where and how responses are kept. None before [`bind`], or if the zone is not supported.
    pub(crate) fn in_use(&self) -> Option<(&Arc<Volume>, &CachePath)> {
        Some((self.volume.get()?, &self.definition.get()?.path))
    }
}

/// The caches of a protocol, for directives that compute the name.
#[derive(Debug, Default)]
pub(crate) struct AllZones(OnceLock<HashMap<Vec<u8>, Arc<Zone>>>);

impl AllZones {
    /// The cache with this name.
    pub(crate) fn named(&self, name: &[u8]) -> Option<&Arc<Zone>> {
        self.0.get()?.get(name)
    }

    /// All caches.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Zone>> {
        self.0.get().into_iter().flat_map(HashMap::values)
    }
}

/// The caches of an assembly.
#[derive(Default)]
struct Named {
    zones: HashMap<String, Arc<Zone>>,
    by_prefix: HashMap<String, Arc<AllZones>>,
}

impl Named {
    fn zone(&mut self, name: &str) -> Arc<Zone> {
        let zone = self.zones.entry(name.to_owned()).or_insert_with(|| {
            let (definition, volume) = (OnceLock::new(), OnceLock::new());
            Arc::new(Zone { name: name.to_owned(), definition, volume })
        });
        Arc::clone(zone)
    }
}

/// The cache with this name, for a directive that uses it.
///
/// # Errors
/// nginx's message, if the name has another use.
pub(super) fn refer(name: &[u8], node: &Node, cx: &mut Cx<'_>) -> Result<Arc<Zone>, Fault> {
    Zones::declare(cx, name, 0, usage(&node.text()))?;
    Ok(cx.registry::<Named>().zone(&String::from_utf8_lossy(name)))
}

/// All caches of the protocol that a directive `…_cache` is for.
pub(super) fn all(node: &Node, cx: &mut Cx<'_>) -> Arc<AllZones> {
    let prefix = prefix(node, "cache");
    Arc::clone(cx.registry::<Named>().by_prefix.entry(prefix).or_default())
}

/// Defines a cache (`…_cache_path`).
///
/// # Errors
/// nginx's messages.
pub(super) fn define(node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    let directive = node.text().into_owned();
    let path = CachePath::parse(node, cx)?;
    path.create(cx)?;
    Zones::declare(cx, path.name.as_bytes(), path.limits.zone, usage(&directive))?;
    let prefix = prefix(node, "cache_path");
    let named: &mut Named = cx.registry();
    let same = named.zones.values().filter_map(|zone| zone.definition.get());
    let taken = same.map(|other| &other.path).any(|other| other.folder == path.folder);
    let name = path.name.clone();
    let zone = named.zone(&name);
    if taken && zone.definition.get().is_none() {
        let folder = path.folder.display();
        return Err(Fault::new(format!("the same path name \"{folder}\" used in another cache")));
    }
    let definition = Definition { path, prefix };
    zone.definition.set(definition).map_err(|_| Fault::new(format!("duplicate zone \"{name}\"")))
}

/// Whether a directive with this prefix may use the zone.
pub(super) fn is_known(zone: &Zone, prefix: &str) -> bool {
    zone.definition.get().is_some_and(|definition| definition.prefix == prefix)
}

/// Gives the caches of a protocol their volumes: those in use, or new ones. Called once the
/// configuration is complete.
pub(crate) fn bind(registries: &mut TypeMap, prefix: &str) {
    let named: &mut Named = registries.entry();
    let mut all = HashMap::new();
    for zone in named.zones.values().filter(|zone| is_known(zone, prefix)) {
        if let Some(definition) = zone.definition.get() {
            let _ = zone.volume.set(Volume::of(&zone.name, &definition.path));
            all.insert(zone.name.clone().into_bytes(), Arc::clone(zone));
        }
    }
    let _ = named.by_prefix.entry(prefix.to_owned()).or_default().0.set(all);
}

/// The prefix of a directive whose name ends in `own`.
fn prefix(node: &Node, own: &str) -> String {
    let name = node.text();
    name.strip_suffix(own).unwrap_or_default().to_owned()
}

/// The usage of a zone, which tells the protocols apart.
fn usage(name: &str) -> &'static str {
    let known = ["fastcgi cache", "uwsgi cache", "scgi cache"];
    let protocol = name.split('_').next().unwrap_or_default();
    known.into_iter().find(|usage| usage.starts_with(protocol)).unwrap_or("proxy cache")
}
