//! How a request is passed on: the decision of the handler of its location, and the settings in
//! force for it.

use std::sync::Arc;

use weir_conf::Slot;
use weir_engine::error_log::Level;
use weir_upstream::Causes;

use super::destination::{Destination, Schemes};
use super::protocol::{OutgoingBody, Protocol, TrailerRules};
use super::target::Target;
use super::tls::UpstreamTls;
use super::transfer::Transfer;
use crate::cache::settings::Caching;
use crate::module::{Pending, Verdict};
use crate::request::Request;
use crate::route::Location;
use crate::snapshot::Held;

/// The decision of a handler that passes requests on.
pub enum Passing<'a> {
    /// Pass the request on.
    Now(Course),
    /// Pass the request on, once the destination is known.
    Later(Pending<'a, Result<Course, Verdict>>),
    /// Do not pass the request on.
    Not(Verdict),
}

impl<'a> Passing<'a> {
    /// Passes the request on to the destination that `find` finds in its location, as `plan` says
    /// for a target.
    #[inline]
    pub(crate) fn to(
        request: &'a mut Request,
        find: impl Fn(&Location) -> Option<&Destination> + 'static,
        schemes: &'static Schemes,
        plan: impl Fn(&mut Request, Held<Location>, Target) -> Course + 'static,
    ) -> Self {
        let location = request.location.clone();
        let Some(destination) = find(&location) else {
            // The handler comes from an `if` block whose settings a later `if` block replaced.
            request.log(Level::Alert, "no upstream configuration");
            return Self::Not(Verdict::Status(500));
        };
        if let Some(target) = Target::at_once(request, destination) {
            return Self::Now(follow(request, location, target, plan));
        }
        Self::Later(Box::pin(async move {
            let Some(Destination::Computed(url)) = find(&location) else {
                return Err(Verdict::Status(500));
            };
            let target = Target::compute(request, url, schemes).await?;
            Ok(follow(request, location, target, plan))
        }))
    }
}

/// Begins a pass toward a target.
#[inline]
fn follow(
    request: &mut Request,
    location: Held<Location>,
    target: Target,
    plan: impl Fn(&mut Request, Held<Location>, Target) -> Course,
) -> Course {
    request.attempts.begin_pass(target.scheme.text);
    plan(request, location, target)
}

/// How to pass a request on, as its location's handler decides.
pub struct Course {
    /// The location, held because the request may leave it.
    pub location: Held<Location>,
    /// The settings for passing.
    pub transfer: fn(&Location) -> &Transfer,
    /// The conditions for another peer, in place of those in the settings.
    pub next_upstream: Option<Causes>,
    /// The TLS settings, if connections use TLS.
    pub tls: Option<&'static Slot<UpstreamTls>>,
    /// The settings of the cache, if the protocol has one.
    pub(crate) cache: Option<&'static Slot<Caching>>,
    /// The protocol.
    pub protocol: Box<dyn Protocol>,
    /// The destination.
    pub target: Target,
}

/// The passing of one request to upstreams.
pub(crate) struct Pass<'a> {
    /// The location.
    pub location: &'a Held<Location>,
    /// Its settings for passing.
    pub settings: &'a Transfer,
    /// The conditions for another peer.
    pub next_upstream: Causes,
    /// The TLS settings, if connections use TLS.
    pub tls: Option<&'a UpstreamTls>,
    /// The protocol.
    pub protocol: Box<dyn Protocol>,
    /// The destination.
    pub target: &'a Target,
    /// The framing of the client's body.
    pub body: OutgoingBody,
    /// The rules for the client's trailers, if they are passed on.
    pub trailers: Option<Arc<dyn TrailerRules>>,
    /// Whether the exchange goes on if the client leaves.
    pub outlasts_client: bool,
}

impl Pass<'_> {
    /// The key of connections that are kept for this location only.
    pub(crate) fn tag(&self) -> u64 {
        u64::from(self.location.block.0)
    }
}
