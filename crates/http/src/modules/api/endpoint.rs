//! What a path of the API offers.

use std::ops::RangeInclusive;

use weir_wire::h1::Method;

use super::call::{Answer, Call};
use super::failure::Failure;
use super::fields::Shape;

/// The versions of the API. Later ones add paths and fields.
pub(super) const VERSIONS: RangeInclusive<u8> = 1..=9;

/// Carries a call out.
pub(super) type Action = fn(&Call) -> Result<Answer, Failure>;

/// What a path offers.
pub(super) struct Endpoint {
    /// The segments behind the version; `*` is a name or number.
    pub(super) path: &'static str,
    /// The first version that has it.
    pub(super) since: u8,
    pub(super) shape: Shape,
    get: Action,
    post: Option<Action>,
    patch: Option<Action>,
    delete: Option<Action>,
}

impl Endpoint {
    pub(super) const fn new(path: &'static str, shape: Shape, get: Action) -> Self {
        Self { path, since: 1, shape, get, post: None, patch: None, delete: None }
    }

    pub(super) const fn since(self, since: u8) -> Self {
        Self { since, ..self }
    }

    pub(super) const fn post(self, action: Action) -> Self {
        Self { post: Some(action), ..self }
    }

    pub(super) const fn patch(self, action: Action) -> Self {
        Self { patch: Some(action), ..self }
    }

    pub(super) const fn delete(self, action: Action) -> Self {
        Self { delete: Some(action), ..self }
    }

    /// The function of a method.
    pub(super) fn action(&self, method: Method) -> Option<Action> {
        match method {
            Method::Get | Method::Head => Some(self.get),
            Method::Post => self.post,
            Method::Patch => self.patch,
            Method::Delete => self.delete,
            _ => None,
        }
    }

    /// The names of its methods.
    pub(super) fn methods(&self) -> Vec<&'static str> {
        let more = [("POST", self.post), ("PATCH", self.patch), ("DELETE", self.delete)];
        let more = more.into_iter().filter_map(|(name, action)| action.map(|_| name));
        ["GET", "HEAD"].into_iter().chain(more).collect()
    }

    /// Whether it is that of a path.
    pub(super) fn is_at(&self, path: &[String]) -> bool {
        let mut own = self.path.split('/').filter(|segment| !segment.is_empty());
        let mut path = path.iter();
        loop {
            match (own.next(), path.next()) {
                (None, None) => return true,
                (Some("*"), Some(name)) if !name.is_empty() => {}
                (Some(own), Some(name)) if own == name => {}
                _ => return false,
            }
        }
    }
}

/// Finds the endpoint of a path in a version.
pub(super) type Find = fn(u8, &[String]) -> Result<&'static Endpoint, Failure>;
