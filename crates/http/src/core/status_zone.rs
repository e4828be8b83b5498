//! `status_zone`: request counters by zone
//! (<https://nginx.org/en/docs/http/ngx_http_api_module.html#status_zone>).

use weir_conf::{Contexts, Cx, Fault, Inherit, Node, Settings, Slot, directives};
use weir_engine::tls::counters::Counters as Handshakes;

use crate::counters::ZoneCounters;

/// The slot of the table.
pub(crate) static STATUS_ZONE: Slot<StatusZone> = Slot::new();

directives! {
    /// Request counters by zone.
    pub(crate) struct StatusZone as StatusZoneWritten in [server, location, location_if] {
        /// The zone that counts the requests of a server, or those that end in a location. Several
        /// may share a zone. `off` disables it for a location.
        "status_zone" [1]: "zone | off" => set_zone,
        field server: Inherit<Option<ZoneCounters>>,
        field location: Inherit<Option<ZoneCounters>>,
        field handshakes: Inherit<Option<Handshakes>>,
    }
}

fn set_zone(own: &mut StatusZoneWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    let word = &node.args[0];
    let name = word.text();
    if name.is_empty() {
        return Err(Fault::new(format!("invalid zone name \"{name}\"")).at(word));
    }
    let of_server = Contexts::SERVER.intersects(cx.context());
    if of_server {
        own.handshakes = Some(Some(Handshakes::of_zone(&name)));
    }
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

/// The zones of a block.
#[derive(Clone, Debug)]
pub struct Zones {
    /// That of its server.
    pub(crate) server: Option<ZoneCounters>,
    /// That of the location.
    pub(crate) location: Option<ZoneCounters>,
    /// Whether there is any.
    pub(crate) any: bool,
}

impl Zones {
    pub(crate) fn of(settings: &Settings) -> Self {
        let StatusZone { server, location, .. } = settings.get(&STATUS_ZONE);
        let any = server.is_some() || location.is_some();
        Self { server: server.clone(), location: location.clone(), any }
    }
}
