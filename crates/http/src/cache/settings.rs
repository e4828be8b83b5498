//! The directives of the cache, under the prefix of each protocol that has one
//! (<https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_cache>).

use std::sync::Arc;

use weir_conf::table::Fixed;
use weir_conf::value::{Msec, Offset};
use weir_conf::{
    Arity, Contexts, Cx, Fault, Inherit, Local, Node, Slot, Table, Value, Word, bitmask, directives,
};
use weir_script::{Template, Variables};
use weir_upstream::Causes;
use weir_wire::h1::Method;

use super::valid::Validity;
use super::zone::{self, AllZones, Zone};
use crate::core::value::Predicates;
use crate::pass::store;
use crate::pass::transfer::add_causes;

bitmask! {
    /// The methods whose responses are cached.
    pub(crate) struct CachedMethods {
        /// GET, always.
        "GET" => GET = 2,
        /// HEAD, always.
        "HEAD" => HEAD = 4,
        /// POST.
        "POST" => POST = 8,
    }
}

directives! {
    /// Caching of responses.
    pub(crate) struct Caching as CachingWritten in [http, server, location] {
        /// Keeps responses in the cache with this zone. The name may have variables; an empty name
        /// and `off` mean no cache.
        "cache" [1]: "zone | off" => set_cache,
        /// The key of responses. With `proxy_pass` by default the scheme, the host and the URI of
        /// the request as it is passed on; otherwise empty, so that all requests get one response.
        "cache_key" => key: Option<Template>,
        /// Defines a cache: a folder with levels of subfolders, and a zone of memory for its keys.
        /// Responses that nobody asks for during `inactive` are removed, and beyond `max_size` or
        /// below `min_free` those that were used least recently. An index in the folder spares the
        /// next process a look at all files.
        "cache_path" in [http] [2+]: "path [levels=levels] [use_temp_path=on|off] \
            keys_zone=name:size [inactive=time] [max_size=size] [min_free=size] \
            [manager_files=number] [manager_sleep=time] [manager_threshold=time] \
            [loader_files=number] [loader_sleep=time] [loader_threshold=time] [purger=on|off] \
            [purger_files=number] [purger_sleep=time] [purger_threshold=time]" => set_path,
        /// Does not answer from the cache if a value is neither empty nor "0".
        "cache_bypass" => bypass: Predicates,
        /// Does not keep the response if a value is neither empty nor "0".
        "no_cache" => no_cache: Predicates,
        /// How long responses with these statuses are kept that do not say it themselves; without
        /// statuses, those with 200, 301 and 302; with `any`, all.
        "cache_valid" [1+]: "[code ...] time" => set_valid,
        /// The number of requests after which a response is kept.
        "cache_min_uses" => min_uses: u64 = 1,
        /// The offset from which a range is fetched without being kept.
        "cache_max_range_offset" => max_range_offset: Option<Offset>,
        /// When a response is used though its time is over: as in `next_upstream`, and while it is
        /// updated.
        "cache_use_stale" => use_stale: UseStale = UseStale(Causes::OFF),
        /// The methods of requests whose responses are kept; GET and HEAD always are.
        "cache_methods" => methods: CachedMethods,
        /// Fetches with GET for HEAD.
        "cache_convert_head" => convert_head: bool = true,
        /// Lets one request at a time fetch a response that is not kept yet.
        "cache_lock" => lock: bool = false,
        /// The time that others wait for it. Then they fetch theirs, which is not kept.
        "cache_lock_timeout" => lock_timeout: Msec = Msec::seconds(5),
        /// The time after which another one may fetch.
        "cache_lock_age" => lock_age: Msec = Msec::seconds(5),
        /// Removes the response with the request's key, with all its variants, instead of answering
        /// from it, if a value is neither empty nor "0". A key that ends in an asterisk means all
        /// keys that begin so. The answer is 204, or 404 if there was nothing. With `purger=on`,
        /// what such a key means is not used any more, and the purger deletes it afterwards.
        "cache_purge" => purge: Predicates,
        /// Asks whether a response whose time is over has changed.
        "cache_revalidate" => revalidate: bool = false,
        /// Updates a response beside the request, which is answered from the cache.
        "cache_background_update" => background_update: bool = false,
        /// Keeps and uses responses as RFC 9111 asks of a shared cache, in place of nginx's rules:
        /// heeds all of `Cache-Control` in responses and requests, counts the age, asks whether
        /// responses have changed, and removes those whose targets other methods have changed.
        "cache_rfc9111" => rfc9111: bool = false,
        /// With `…_cache_rfc9111`: the fields that say in place of `Cache-Control` and `Expires`
        /// how responses are kept, the most specific first (RFC 9213), as `CDN-Cache-Control`.
        "cache_control_targets" => control_targets: Vec<Word>,
        // The zone, or None for `off`.
        field zone: Inherit<Option<CacheZone>>,
        field valid: Inherit<Option<Validity>>,
        // The prefix of the directives, for messages.
        field prefix: Local<String>,
    }
    finish = Caching::finish;
}

/// `…_cache_use_stale`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UseStale(pub(crate) Causes);

impl Value for UseStale {
    const SYNTAX: &'static str = "error | timeout | invalid_header | updating | http_500 | \
        http_502 | http_503 | http_504 | http_403 | http_404 | http_429 | off ...";
    const ARITY: Arity = Arity::at_least(1);

    fn parse(node: &Node, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        let mut none = Self(Causes::default());
        none.again(node, cx)?;
        Ok(none)
    }

    fn again(&mut self, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
        let directive = node.text();
        let words = Causes::WORDS.iter().filter(|(name, cause)| {
            *cause != Causes::NON_IDEMPOTENT && crate::pass::transfer::is_said(&directive, name)
        });
        self.0 = add_causes(self.0, node, words.copied(), cx)?;
        Ok(())
    }

    fn show(&self) -> Option<String> {
        (self.0 == Causes::OFF).then(|| "off".to_owned())
    }
}

/// The argument of `…_cache`.
#[derive(Clone, Debug)]
pub(crate) enum CacheZone {
    /// `off`.
    Off,
    /// The zone with a fixed name.
    Named(Arc<Zone>),
    /// The zone with the name that the template gives.
    Computed(Template, Arc<AllZones>),
}

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
        None => CacheZone::Computed(template, zone::all(node, cx)),
        Some(_) => CacheZone::Named(zone::refer(&word.value, node, cx)?),
    }));
    Ok(())
}

fn set_path(_: &mut CachingWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    zone::define(node, cx)
}

fn set_valid(own: &mut CachingWritten, node: &Node, _: &mut Cx<'_>) -> Result<(), Fault> {
    own.valid.get_or_insert_default().get_or_insert_default().add(node)
}

/// What is fixed for applications.
struct OfApplications;

impl Fixed<Caching> for OfApplications {
    fn fix(caching: &mut Caching) {
        // The method is a parameter like others, which is set.
        caching.convert_head = false;
    }
}

impl Caching {
    /// The table of a protocol of applications (FastCGI, SCGI, uwsgi).
    pub(crate) const fn of_applications(slot: &'static Slot<Self>, prefix: &'static str) -> Table {
        let table = Self::table(slot).prefix(prefix).except(&["cache_convert_head"]);
        table.fixed::<Self, OfApplications>()
    }

    fn finish(&mut self, _: Option<&Self>, cx: &mut Cx<'_>) -> Result<(), Fault> {
        let prefix = cx.prefix();
        self.prefix = prefix.to_owned();
        if cx.context() == Contexts::HTTP {
            return Ok(());
        }
        if let Some(CacheZone::Named(zone)) = &self.zone
            && !zone::is_known(zone, prefix)
        {
            let name = &zone.name;
            return Err(Fault::new(format!("\"{prefix}cache\" zone \"{name}\" is unknown")));
        }
        if self.is_on() && self.key.is_none() && prefix != "proxy_" {
            cx.warn(format!("no \"{prefix}cache_key\" for \"{prefix}cache\""));
        }
        if self.is_on() && !self.rfc9111 && !self.control_targets.is_empty() {
            cx.warn(format!(
                "\"{prefix}cache_control_targets\" has no effect without \"{prefix}cache_rfc9111 on\""
            ));
        }
        Ok(())
    }

    /// Whether responses may be kept.
    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        matches!(self.zone, Some(CacheZone::Named(_) | CacheZone::Computed(..)))
    }

    /// The zones that the location may use.
    pub(super) fn zones(&self) -> Vec<&Zone> {
        match &self.zone {
            None | Some(CacheZone::Off) => Vec::new(),
            Some(CacheZone::Named(zone)) => vec![zone],
            Some(CacheZone::Computed(_, zones)) => zones.iter().map(|zone| &**zone).collect(),
        }
    }

    /// Whether responses to requests with this method are kept.
    pub(super) fn keeps(&self, method: Method) -> bool {
        match method {
            Method::Get | Method::Head => true,
            Method::Post => self.methods.has(CachedMethods::POST),
            _ => false,
        }
    }
}
