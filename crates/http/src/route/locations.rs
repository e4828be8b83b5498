//! Location matching (nginx: `ngx_http_core_find_location`).
//!
//! An exact location wins. Otherwise the longest prefix is taken and its nested locations are
//! searched; then the first matching regular expression replaces it, unless the prefix forbids that
//! (`^~`). See <https://nginx.org/en/docs/http/ngx_http_core_module.html#location>.

use std::cmp::Ordering;

use smallvec::SmallVec;
use weir_script::CaptureRegex;

use super::{Kind, Location, Matched};

/// The locations of one level.
#[derive(Default)]
pub struct Locations {
    /// Exact and prefix locations, sorted by name, one entry for each name.
    statics: Vec<Static>,
    /// Regular expression locations, in the order of the file.
    regexes: Vec<(CaptureRegex, Location)>,
    /// Named locations, on the level of a server only.
    named: Vec<Location>,
    /// Whether an entry of `statics` redirects to its slash. Most levels have none.
    redirects: bool,
}

struct Static {
    name: Box<[u8]>,
    exact: Option<Box<Location>>,
    prefix: Option<Box<Location>>,
    /// The index of the longest other prefix location that the name starts with.
    parent: Option<usize>,
}

/// The result of [`super::Server::find`].
pub struct FoundLocation<'a> {
    /// The location; the server's own level if none matches.
    pub location: &'a Location,
    /// The captures of regular expressions, in matching order; the last ones give `$1`.
    pub captures: SmallVec<[Matched<'a>; 1]>,
    /// Whether the URI lacks only the final slash of a location that passes requests on. The
    /// response is then a 301 to the location's name.
    pub redirect_to_slash: bool,
}

/// The result of searching a level (nginx: NGX_OK, NGX_DONE, NGX_AGAIN, NGX_DECLINED).
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Exact,
    Redirect,
    Prefix,
    Nothing,
}

impl Locations {
    /// Sorts the locations of a level. Of duplicates, which [`super::check`] refuses, the first one
    /// is kept.
    pub(super) fn new(locations: Vec<(Location, Option<CaptureRegex>)>) -> Self {
        let mut level = Self::default();
        for (location, regex) in locations {
            match (location.kind, regex) {
                (Kind::Named, _) => level.named.push(location),
                (_, Some(regex)) => level.regexes.push((regex, location)),
                _ => level.statics.push(Static::new(location)),
            }
        }
        level.statics.sort_by(|a, b| a.name.cmp(&b.name));
        level.statics.dedup_by(|second, first| first.absorb(second));
        level.link_parents();
        level.redirects = level.statics.iter().any(Static::redirects);
        level
    }

    fn link_parents(&mut self) {
        // A stack of prefix locations. Names are sorted, so those that begin with the same prefix
        // follow each other.
        let mut open: Vec<usize> = Vec::new();
        for at in 0..self.statics.len() {
            let name = &self.statics[at].name;
            while open.last().is_some_and(|&top| !name.starts_with(&self.statics[top].name)) {
                open.pop();
            }
            self.statics[at].parent = open.last().copied();
            if self.statics[at].prefix.is_some() {
                open.push(at);
            }
        }
    }

    /// A named location, by its name with the `@`.
    pub fn named(&self, name: &[u8]) -> Option<&Location> {
        self.named.iter().find(|location| location.name == name)
    }

    /// Whether the level has named locations.
    pub fn has_named(&self) -> bool {
        !self.named.is_empty()
    }

    /// The locations of this level, without nested ones.
    pub fn iter(&self) -> impl Iterator<Item = &Location> {
        let statics = self.statics.iter().flat_map(|s| s.exact.iter().chain(&s.prefix));
        let statics = statics.map(|location| &**location);
        statics.chain(self.regexes.iter().map(|(_, location)| location)).chain(&self.named)
    }

    /// The location for a normalised URI, or `fallback` if there is none.
    pub fn find<'a>(&'a self, uri: &[u8], fallback: &'a Location) -> FoundLocation<'a> {
        let mut found = FoundLocation {
            location: fallback,
            captures: SmallVec::new(),
            redirect_to_slash: false,
        };
        let end = self.search(uri, &mut found);
        found.redirect_to_slash = end == End::Redirect;
        found
    }

    /// Whether there are no locations.
    fn is_empty(&self) -> bool {
        self.statics.is_empty() && self.regexes.is_empty()
    }

    fn search<'a>(&'a self, uri: &[u8], found: &mut FoundLocation<'a>) -> End {
        if self.is_empty() {
            return End::Nothing;
        }
        let mut end = self.search_statics(uri, found);
        let mut prefer_prefix = false;
        if end == End::Prefix {
            let location = found.location;
            prefer_prefix = location.kind == Kind::Prefix { noregex: true };
            if !location.nested.is_empty() {
                end = location.nested.search(uri, found);
            }
        }
        if matches!(end, End::Exact | End::Redirect) || prefer_prefix {
            return end;
        }
        for (regex, location) in &self.regexes {
            if let Some(matched) = Matched::new(regex, uri) {
                found.location = location;
                found.captures.push(matched);
                // Like nginx, this ignores a redirect below a regular expression.
                location.nested.search(uri, found);
                return End::Exact;
            }
        }
        end
    }

    fn search_statics<'a>(&'a self, uri: &[u8], found: &mut FoundLocation<'a>) -> End {
        // Every name between a prefix of the URI and the URI itself begins with that prefix. So the
        // longest prefix location is the last name up to the URI, or one of its parents.
        let after = self.statics.partition_point(|entry| *entry.name <= *uri);
        let mut candidate = after.checked_sub(1);
        if let Some(entry) = candidate.map(|at| &self.statics[at])
            && *entry.name == *uri
        {
            if let Some(exact) = &entry.exact {
                found.location = exact;
                return End::Exact;
            }
            if let Some(prefix) = &entry.prefix {
                found.location = prefix;
                return End::Prefix;
            }
        }
        if self.redirects
            && let Some(location) = self.search_redirect(uri)
        {
            found.location = location;
            return End::Redirect;
        }
        while let Some(at) = candidate {
            let entry = &self.statics[at];
            if let Some(prefix) = &entry.prefix
                && uri.starts_with(&entry.name)
            {
                found.location = prefix;
                return End::Prefix;
            }
            candidate = entry.parent;
        }
        End::Nothing
    }

    /// The entry whose name is the URI and a slash, if it redirects.
    fn search_redirect(&self, uri: &[u8]) -> Option<&Location> {
        let wanted = || uri.iter().chain(b"/");
        let at = self.statics.binary_search_by(|entry| entry.name.iter().cmp(wanted())).ok()?;
        let entry = &self.statics[at];
        entry.redirects().then_some(entry.exact.as_deref().or(entry.prefix.as_deref())).flatten()
    }
}

impl Static {
    fn new(location: Location) -> Self {
        let name = location.name.as_slice().into();
        let (exact, prefix) = match location.kind {
            Kind::Exact => (Some(Box::new(location)), None),
            _ => (None, Some(Box::new(location))),
        };
        Self { name, exact, prefix, parent: None }
    }

    /// Merges another entry into this one if it has the same name. Returns whether it does.
    fn absorb(&mut self, other: &mut Self) -> bool {
        let same = self.name.cmp(&other.name) == Ordering::Equal;
        if same {
            self.exact = self.exact.take().or_else(|| other.exact.take());
            self.prefix = self.prefix.take().or_else(|| other.prefix.take());
        }
        same
    }

    fn redirects(&self) -> bool {
        self.exact.iter().chain(&self.prefix).any(|location| location.auto_redirect)
    }
}
