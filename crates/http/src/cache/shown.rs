//! The use of the cache by a request, as it shows in variables and in the request to the upstream.

use weir_wire::header::Known;

use super::index::Claim;
use super::rfc9111::demands::Demands;

/// How the cache was used (`$upstream_cache_status`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// There was no response.
    Miss,
    /// The cache was not asked.
    Bypass,
    /// The response's time was over, and it was fetched anew.
    Expired,
    /// The response's time was over, and it is used nevertheless.
    Stale,
    /// The response's time is over, and it is used while it is updated.
    Updating,
    /// The response's time was over, and it has not changed.
    Revalidated,
    /// The response was in the cache.
    Hit,
}

impl Status {
    /// All of them, in the order of their numbers.
    pub(crate) const ALL: [Self; 7] = [
        Self::Miss,
        Self::Bypass,
        Self::Expired,
        Self::Stale,
        Self::Updating,
        Self::Revalidated,
        Self::Hit,
    ];

    /// Whether the response comes from the upstream.
    pub(crate) fn is_fetched(self) -> bool {
        matches!(self, Self::Miss | Self::Bypass | Self::Expired)
    }

    /// The value of `$upstream_cache_status`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Miss => "MISS",
            Self::Bypass => "BYPASS",
            Self::Expired => "EXPIRED",
            Self::Stale => "STALE",
            Self::Updating => "UPDATING",
            Self::Revalidated => "REVALIDATED",
            Self::Hit => "HIT",
        }
    }
}

/// The use of the cache by a request.
#[derive(Default)]
pub(crate) struct CacheUse {
    /// How it was used; None if there is none.
    pub(crate) status: Option<Status>,
    /// The key.
    pub(crate) key: Vec<u8>,
    /// Whether the response being fetched may be kept, so that it is fetched as a whole and without
    /// the client's conditions ([`is_condition`]).
    pub(crate) fetches: bool,
    /// Whether GET is sent in place of HEAD.
    pub(crate) converts: bool,
    /// The conditions of a revalidation.
    pub(crate) conditions: Option<Conditions>,
    /// The turn to update a response, in a request that was made for that.
    pub(crate) update: Option<Claim>,
    /// Whether a response is updated beside the request, and the end of the connection waits for
    /// that.
    pub(crate) end_waits: bool,
    /// Whether the request was made to update a response.
    pub(crate) is_background: bool,
    /// What the request demands, where RFC 9111 is followed.
    pub(crate) demands: Option<Demands>,
}

/// The validators of a response that is asked about.
#[derive(Clone, Debug, Default)]
pub(crate) struct Conditions {
    /// `Last-Modified`.
    pub(crate) modified: Option<Vec<u8>>,
    /// `ETag`.
    pub(crate) etag: Option<Vec<u8>>,
}

/// The maximum length of an ETag that is asked about, in bytes.
const LONGEST_ETAG: usize = 128;

impl Conditions {
    /// Those of a response with this status and these fields. Only a successful response is asked
    /// about.
    pub(crate) fn of(status: u16, fields: &weir_wire::header::Headers) -> Self {
        if !matches!(status, 200 | 206) {
            return Self::default();
        }
        let modified = fields.get(Known::LastModified);
        let modified = modified.filter(|date| weir_wire::date::parse(date).is_some());
        let etag = fields.get(Known::ETag).filter(|etag| etag.len() <= LONGEST_ETAG);
        Self { modified: modified.map(<[u8]>::to_vec), etag: etag.map(<[u8]>::to_vec) }
    }

    /// The fields that ask, with their values.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (Known, &[u8])> {
        let all = [(Known::IfModifiedSince, &self.modified), (Known::IfNoneMatch, &self.etag)];
        all.into_iter().filter_map(|(known, value)| Some((known, value.as_deref()?)))
    }
}

/// Whether a field of the client's is judged by the cache, which fetches whole responses.
pub(crate) fn is_condition(known: Known) -> bool {
    matches!(
        known,
        Known::IfModifiedSince
            | Known::IfUnmodifiedSince
            | Known::IfNoneMatch
            | Known::IfMatch
            | Known::Range
            | Known::IfRange
    )
}

impl CacheUse {
    /// Begins to pass the request on, perhaps once more in another location. Only the purpose of
    /// the request stays.
    pub(crate) fn begin_pass(&mut self) {
        let update = self.update.take();
        let is_background = self.is_background;
        self.reset();
        (self.update, self.is_background) = (update, is_background);
    }

    /// Resets everything, and keeps the memory.
    pub(crate) fn reset(&mut self) {
        let Self {
            status,
            key,
            fetches,
            converts,
            conditions,
            update,
            end_waits,
            is_background,
            demands,
        } = self;
        (*status, *demands) = (None, None);
        key.clear();
        (*fetches, *converts, *end_waits, *is_background) = (false, false, false, false);
        // Most requests have neither, and need not look for what to drop.
        if conditions.is_some() {
            *conditions = None;
        }
        if update.is_some() {
            *update = None;
        }
    }
}
