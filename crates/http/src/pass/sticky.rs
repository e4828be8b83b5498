//! Requests of one session to one server: what `sticky` wants of a request, sets on a response and
//! learns from it (nginx: `ngx_http_upstream_sticky_module`).

use weir_script::VarId;
use weir_upstream::settings::StickyConfig;
use weir_upstream::{CookieMoment, Group, Peer, Pick};

use super::{Pass, clock};
use crate::request::{Request, State};

/// What a request brings along, and what its response is to set.
#[derive(Default)]
pub struct Bound {
    /// The sid of a peer or the id of a session, as found in the request.
    id: Vec<u8>,
    /// The value of `Set-Cookie` for the peer that was chosen last.
    cookie: Option<Vec<u8>>,
}

/// Where a request keeps it.
static BOUND: State<Bound> = State::new(Bound::default);

/// The peer that the session is bound to, by its sid; empty when there is none yet.
pub fn wanted(request: &mut Request, group: &Group, config: &StickyConfig) -> Vec<u8> {
    let id = first_value(request, &config.lookup);
    let sid = match group.sessions() {
        Some(_) if id.is_empty() => Vec::new(),
        Some(sessions) => sessions.find(&id, clock::millis()).unwrap_or_default().into_bytes(),
        None => id.clone(),
    };
    request.state(&BOUND).id = id;
    sid
}

/// The first variable that has a value.
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

/// A peer was chosen: its cookie is what the response will set.
pub fn chosen(request: &mut Request, pass: &Pass<'_>, peer: &Peer) {
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

/// Adds the cookie to the fields of a response that is about to be made, whoever makes it.
pub fn set_cookie(request: &mut Request, pass: &Pass<'_>) {
    if config(pass).is_none_or(|config| config.cookie.is_none()) {
        return;
    }
    if let Some(cookie) = request.state(&BOUND).cookie.take() {
        request.response.headers.push(b"Set-Cookie", &cookie);
    }
}

/// The head of a response is here.
pub fn headed(request: &mut Request, pass: &Pass<'_>, pick: &Pick<'_>) {
    if config(pass).is_some_and(|config| config.after_header) {
        learn(request, pass, pick);
    }
}

/// The peer is given back as one that answered.
pub fn served(request: &mut Request, pass: &Pass<'_>, pick: &Pick<'_>) {
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
        return sessions.learn(&created, &peer.sid, true, now);
    }
    if let Some(bound) = request.state_if(&BOUND)
        && !bound.id.is_empty()
    {
        sessions.learn(&bound.id, &peer.sid, false, now);
    }
}
