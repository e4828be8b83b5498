//! Session affinity: the part of `sticky` in requests and responses (nginx:
//! `ngx_http_upstream_sticky_module`).

use weir_script::VarId;
use weir_upstream::settings::StickyConfig;
use weir_upstream::{CookieMoment, Group, Peer, Pick};

use super::clock;
use super::course::Pass;
use crate::request::{Request, State};

/// The session of a request, and the cookie of its response.
#[derive(Default)]
pub(crate) struct SessionBinding {
    /// The id of a session, from the request.
    id: Vec<u8>,
    /// The value of `Set-Cookie` for the peer chosen last.
    cookie: Option<Vec<u8>>,
}

/// The session of each request.
static BOUND: State<SessionBinding> = State::new(SessionBinding::default);

/// The sid of the peer that the session is bound to; empty if there is none yet.
pub(crate) fn wanted(request: &mut Request, group: &Group, config: &StickyConfig) -> Vec<u8> {
    let id = first_value(request, &config.lookup);
    let Some(sessions) = group.sessions() else { return id };
    let found = if id.is_empty() { None } else { sessions.find(&id, clock::millis()) };
    request.state(&BOUND).id = id;
    found.unwrap_or_default().into_bytes()
}

/// The value of the first variable that has one.
fn first_value(request: &mut Request, variables: &[VarId]) -> Vec<u8> {
    let mut value = Vec::new();
    for &variable in variables {
        if request.variable(variable, &mut value) && !value.is_empty() {
            return value;
        }
        value.clear();
    }
    value
}

fn config<'a>(pass: &'a Pass<'_>) -> Option<&'a StickyConfig> {
    pass.target.upstream()?.plan.sticky.as_ref()
}

/// Prepares the cookie of the chosen peer for the response.
pub(crate) fn chosen(request: &mut Request, pass: &Pass<'_>, peer: &Peer) {
    let Some(config) = config(pass) else { return };
    let Some(cookie) = &config.cookie else { return };
    let domain = config.domain.as_ref().map(|template| request.eval(template));
    let samesite = config.samesite.as_ref().map(|template| request.eval(template));
    let moment = CookieMoment {
        domain: domain.as_deref().unwrap_or_default(),
        samesite: samesite.as_deref().unwrap_or_default(),
        now: weir_engine::clock::wall_secs(),
    };
    let mut value = cookie.value(&peer.sid, moment);
    crate::field::clean(&mut value, 0);
    request.state(&BOUND).cookie = Some(value);
}

/// Adds the cookie to the response, whatever its source.
pub(crate) fn set_cookie(request: &mut Request, pass: &Pass<'_>) {
    if config(pass).is_none_or(|config| config.cookie.is_none()) {
        return;
    }
    if let Some(cookie) = request.state(&BOUND).cookie.take() {
        request.response.headers.push(b"Set-Cookie", &cookie);
    }
}

/// Learns the session once the head of the response is complete.
pub(crate) fn headed(request: &mut Request, pass: &Pass<'_>, pick: &Pick<'_>) {
    if config(pass).is_some_and(|config| config.after_header) {
        learn(request, pass, pick);
    }
}

/// Learns the session once the peer has answered in full.
pub(crate) fn served(request: &mut Request, pass: &Pass<'_>, pick: &Pick<'_>) {
    if config(pass).is_some_and(|config| !config.after_header) {
        learn(request, pass, pick);
    }
}

fn learn(request: &mut Request, pass: &Pass<'_>, pick: &Pick<'_>) {
    let (Some(config), Some(peer)) = (config(pass), pick.peer()) else { return };
    let Some(sessions) = pass.target.group().sessions() else { return };
    let created = first_value(request, &config.create);
    let now = clock::millis();
    if !created.is_empty() {
        return sessions.learn(&created, &peer.sid, None, now);
    }
    // A request without a session that was known at its start moves none that began meanwhile.
    if let Some(bound) = request.state_if(&BOUND)
        && !pick.bound().is_empty()
    {
        sessions.learn(&bound.id, &peer.sid, Some(pick.bound()), now);
    }
}
