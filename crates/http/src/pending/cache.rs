//! The cache of responses, under the prefix of each protocol that has one
//! (<https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_cache>). Its directives are
//! checked, but nothing is cached yet.

use std::collections::HashMap;

use weir_conf::value::{Msec, Offset, parse_number, parse_offset, parse_sec, parse_size};
use weir_conf::{
    Contexts, Cx, Fault, Inherit, Node, Slot, Table, Word, bitmask, directives, value::parse_msec,
};
use weir_script::{Template, Variables};
use weir_upstream::{Causes, Zones};

use crate::core::value::Predicates;
use crate::pass::store;
use crate::pass::transfer::NextUpstream;

static PROXY: Slot<Caching> = Slot::new();
static FASTCGI: Slot<Caching> = Slot::new();
static UWSGI: Slot<Caching> = Slot::new();
static SCGI: Slot<Caching> = Slot::new();

/// The cache directives of HTTP only.
const HTTP_ONLY: &[&str] = &["cache_convert_head"];

/// The tables of the cache.
pub(super) const TABLES: &[&Table] = &[
    &Caching::table(&PROXY).prefix("proxy_").unsupported(),
    &Caching::table(&FASTCGI).prefix("fastcgi_").except(HTTP_ONLY).unsupported(),
    &Caching::table(&UWSGI).prefix("uwsgi_").except(HTTP_ONLY).unsupported(),
    &Caching::table(&SCGI).prefix("scgi_").except(HTTP_ONLY).unsupported(),
];

bitmask! {
    /// The methods whose responses are cached.
    pub(super) struct CachedMethods {
        "GET" => GET = 2,
        "HEAD" => HEAD = 4,
        "POST" => POST = 8,
    }
}

directives! {
    /// The cache.
    pub(super) struct Caching as CachingWritten in [http, server, location] {
        "cache" [1]: "zone | off" => set_cache,
        "cache_key" => key: Option<Template>,
        "cache_path" in [http] [2+]: "path keys_zone=name:size [parameter ...]" => set_path,
        "cache_bypass" => bypass: Predicates,
        "no_cache" => no_cache: Predicates,
        "cache_valid" [1+]: "[code ...] time" => set_valid,
        "cache_min_uses" => min_uses: u64 = 1,
        "cache_max_range_offset" => max_range_offset: Option<Offset>,
        "cache_use_stale" => use_stale: NextUpstream = NextUpstream(Causes::OFF),
        "cache_methods" => methods: CachedMethods,
        "cache_convert_head" => convert_head: bool = true,
        "cache_lock" => lock: bool = false,
        "cache_lock_timeout" => lock_timeout: Msec = Msec::seconds(5),
        "cache_lock_age" => lock_age: Msec = Msec::seconds(5),
        "cache_revalidate" => revalidate: bool = false,
        "cache_background_update" => background_update: bool = false,
        // The zone, or None for `off`.
        field zone: Inherit<Option<CacheZone>>,
    }
    finish = Caching::finish;
}

/// The argument of `…_cache`.
#[derive(Clone, Debug)]
enum CacheZone {
    Off,
    Named(String),
    Computed,
}

/// The declared zones, with their directives.
#[derive(Default)]
struct Declared(HashMap<String, String>);

/// Sets `…_cache`. A block can have a cache or a store, but not both.
fn set_cache(own: &mut CachingWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    if own.zone.is_some() {
        return Err(Fault::duplicate());
    }
    let word = &node.args[0];
    if word.is("off") {
        own.zone = Some(Some(CacheZone::Off));
        return Ok(());
    }
    store::exclude(node, cx, "cache", "store")?;
    let template = Template::compile(&word.value, cx.registry::<Variables>())?;
    own.zone = Some(Some(match template.literal() {
        None => CacheZone::Computed,
        Some(_) => {
            Zones::declare(cx, &word.value, 0, usage(&node.text()))?;
            CacheZone::Named(word.text().into_owned())
        }
    }));
    Ok(())
}

/// The usage of a zone, which tells the protocols apart.
fn usage(name: &str) -> &'static str {
    let known = ["fastcgi cache", "uwsgi cache", "scgi cache"];
    let protocol = name.split('_').next().unwrap_or_default();
    known.into_iter().find(|usage| usage.starts_with(protocol)).unwrap_or("proxy cache")
}

/// The minimum size of a keys zone: two pages.
const MIN_KEYS: u64 = 2 * 4096;

fn set_path(_: &mut CachingWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    let directive = node.text();
    let mut zone = None;
    for word in &node.args[1..] {
        if let Some(text) = word.after("keys_zone=") {
            zone = Some(keys_zone(word, text)?);
        } else if !parameter(word)? {
            return Err(Fault::parameter(word));
        }
    }
    let Some((name, size)) = zone.filter(|(name, _)| !name.is_empty()) else {
        let message = format!("\"{directive}\" must have \"keys_zone\" parameter");
        return Err(Fault::new(message));
    };
    Zones::declare(cx, name.as_bytes(), size, usage(&directive))?;
    let Declared(declared) = cx.registry();
    if declared.insert(name.clone(), directive.into_owned()).is_some() {
        return Err(Fault::new(format!("duplicate zone \"{name}\"")));
    }
    Ok(())
}

fn keys_zone(word: &Word, text: &[u8]) -> Result<(String, u64), Fault> {
    let invalid = || Fault::new(format!("invalid keys zone size \"{}\"", word.shown())).at(word);
    let colon = text.iter().position(|&byte| byte == b':').ok_or_else(invalid)?;
    let size = parse_size(&text[colon + 1..]).ok_or_else(invalid)?;
    if size < MIN_KEYS {
        return Err(Fault::new(format!("keys zone \"{}\" is too small", word.shown())).at(word));
    }
    Ok((String::from_utf8_lossy(&text[..colon]).into_owned(), size))
}

/// Checks a parameter of `…_cache_path`. Returns whether it is known.
fn parameter(word: &Word) -> Result<bool, Fault> {
    if let Some(levels) = word.after("levels=") {
        return match are_levels(levels) {
            true => Ok(true),
            false => Err(Fault::new(format!("invalid \"levels\" \"{}\"", word.shown())).at(word)),
        };
    }
    if let Some(value) = word.after("use_temp_path=") {
        return match value {
            b"on" | b"off" => Ok(true),
            _ => Err(Fault::new(format!(
                "invalid use_temp_path value \"{}\", it must be \"on\" or \"off\"",
                word.shown()
            ))
            .at(word)),
        };
    }
    type Check = fn(&[u8]) -> bool;
    const CHECKS: &[(&str, Check)] = &[
        ("inactive", |text| parse_sec(text).is_some()),
        ("max_size", |text| parse_offset(text).is_some()),
        ("min_free", |text| parse_offset(text).is_some()),
        ("loader_files", |text| parse_number(text).is_some()),
        ("loader_sleep", |text| parse_msec(text).is_some()),
        ("loader_threshold", |text| parse_msec(text).is_some()),
        ("manager_files", |text| parse_number(text).is_some()),
        ("manager_sleep", |text| parse_msec(text).is_some()),
        ("manager_threshold", |text| parse_msec(text).is_some()),
    ];
    for (name, check) in CHECKS {
        if let Some(value) = word.after(&format!("{name}=")) {
            return match check(value) {
                true => Ok(true),
                false => {
                    let message = format!("invalid {name} value \"{}\"", word.shown());
                    Err(Fault::new(message).at(word))
                }
            };
        }
    }
    Ok(false)
}

/// Whether a text is empty, or one to three digits 1 or 2 with colons between.
fn are_levels(text: &[u8]) -> bool {
    const MAX_LEVELS: usize = 3;
    let mut levels = text.split(|&byte| byte == b':');
    let right = |level: &[u8]| matches!(level, b"1" | b"2");
    text.is_empty() || (levels.clone().count() <= MAX_LEVELS && levels.all(right))
}

fn set_valid(_: &mut CachingWritten, node: &Node, _: &mut Cx<'_>) -> Result<(), Fault> {
    let Some((time, statuses)) = node.args.split_last() else { return Ok(()) };
    if parse_sec(&time.value).is_none() {
        return Err(Fault::new(format!("invalid time value \"{}\"", time.shown())).at(time));
    }
    let right =
        |word: &&Word| word.is("any") || matches!(parse_number(&word.value), Some(100..=599));
    match statuses.iter().find(|word| !right(word)) {
        Some(word) => Err(Fault::new(format!("invalid status \"{}\"", word.shown())).at(word)),
        None => Ok(()),
    }
}

impl Caching {
    fn finish(&mut self, _: Option<&Self>, cx: &mut Cx<'_>) -> Result<(), Fault> {
        if cx.context() == Contexts::HTTP {
            return Ok(());
        }
        let prefix = cx.prefix();
        if let Some(CacheZone::Named(name)) = &self.zone {
            let Declared(declared) = cx.registry();
            let here = declared.get(name).is_some_and(|by| by.starts_with(prefix));
            if !here {
                let message = format!("\"{prefix}cache\" zone \"{name}\" is unknown");
                return Err(Fault::new(message));
            }
        }
        let on = matches!(self.zone, Some(CacheZone::Named(_) | CacheZone::Computed));
        if on && self.key.is_none() && prefix != "proxy_" {
            cx.warn(format!("no \"{prefix}cache_key\" for \"{prefix}cache\""));
        }
        Ok(())
    }
}
