//! Requests of one session to one server: what `sticky` wants of a request.

use weir_upstream::Group;
use weir_upstream::settings::StickyConfig;

use crate::request::Request;

/// The peer that the session is bound to, by its sid; empty when there is none yet.
pub fn wanted(request: &mut Request, group: &Group, config: &StickyConfig) -> Vec<u8> {
    let _ = (request, group, config);
    Vec::new()
}
