//! `status_zone`: request counters by zone
//! (<https://nginx.org/en/docs/http/ngx_http_api_module.html#status_zone>).

use weir_conf::{Contexts, Cx, Fault, Inherit, Node, Slot, directives};

use crate::counters::{Processing, Served, ZoneCounters};
use crate::module::{Handler, Module, Phase, PhaseHandler, Verdict};
use crate::request::{Origin, Request, State};

pub(crate) const MODULE: Module = Module {
    name: "status_zone",
    tables: &[&StatusZone::table(&STATUS_ZONE)],
    handlers: &[
        PhaseHandler {
            phase: Phase::PostRead,
            enabled: |settings| settings.get(&STATUS_ZONE).server.is_some(),
            handler: Handler::Sync(begin),
        },
        PhaseHandler {
            phase: Phase::Log,
            enabled: |settings| {
                let zones = settings.get(&STATUS_ZONE);
                zones.server.is_some() || zones.location.is_some()
            },
            handler: Handler::Sync(end),
        },
    ],
    ..Module::NONE
};

static STATUS_ZONE: Slot<StatusZone> = Slot::new();
static BEGUN: State<Option<Processing>> = State::kept(Option::default);

directives! {
    /// Request counters by zone.
    pub(crate) struct StatusZone as StatusZoneWritten in [server, location, location_if] {
        /// The zone that counts the requests of a server, or those that end in a location. Several
        /// may share a zone. `off` disables it for a location.
        "status_zone" [1]: "zone | off" => set_zone,
        field server: Inherit<Option<ZoneCounters>>,
        field location: Inherit<Option<ZoneCounters>>,
    }
}

fn set_zone(own: &mut StatusZoneWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    let word = &node.args[0];
    let name = word.text();
    if name.is_empty() {
        return Err(Fault::new(format!("invalid zone name \"{name}\"")).at(word));
    }
    let of_server = Contexts::SERVER.intersects(cx.context());
    let (zone, counters) = match of_server {
        true => (&mut own.server, ZoneCounters::of_server(&name)),
        false => (&mut own.location, ZoneCounters::of_location(&name)),
    };
    let off = !of_server && word.is("off");
    match zone.replace((!off).then_some(counters)) {
        None => Ok(()),
        Some(_) => Err(Fault::duplicate()),
    }
}

fn begin(request: &mut Request) -> Verdict {
    let zone = request.get(&STATUS_ZONE).server.clone();
    *request.state(&BEGUN) = zone.map(|zone| zone.begin());
    Verdict::Next
}

fn end(request: &mut Request) -> Verdict {
    if !matches!(request.origin, Origin::Main) {
        return Verdict::Next;
    }
    let has_begun = request.state(&BEGUN).take().is_some();
    let status = match (request.error_status, request.response.status) {
        (error @ 1.., _) => error,
        (_, status) => status,
    };
    let sent = request.client.bytes_sent;
    let served = Served {
        received: request.length + request.body.raw,
        sent,
        status: (sent > 0).then_some(status),
    };
    let zones = request.get(&STATUS_ZONE);
    if let Some(zone) = &zones.server {
        if !has_begun {
            zone.count_request();
        }
        zone.count(served);
    }
    if let Some(zone) = &zones.location {
        zone.count_request();
        zone.count(served);
    }
    Verdict::Next
}
