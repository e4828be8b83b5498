//! Connections to a shared address that has left this host. Their clients' packets go to the node
//! that holds the address now, so they could only end by their timeouts. A worker that is ending
//! does not wait for them.

use std::net::IpAddr;
use std::time::Duration;

use weir_engine::duty::Duty;
use weir_engine::timer;
use weir_sys::{interface, own_sockets};

use crate::modules::core::Process;

/// How often the addresses are looked at.
const LOOK: Duration = Duration::from_millis(500);

/// The duty of an ending worker that shuts stranded connections down; `None` without shared
/// addresses.
pub(crate) fn duty(process: &Process) -> Option<Duty> {
    let shared = process.shows.as_ref()?.addresses.clone();
    let key = format!("stranded connections of {shared:?}");
    let begin = move || {
        let shared = shared.clone();
        async move {
            loop {
                let gone = gone(&shared);
                if !gone.is_empty() {
                    // Without /proc, they end by their timeouts.
                    let _ = own_sockets::shut_down(&gone);
                }
                timer::sleep(LOOK).await;
            }
        }
    };
    Some(Duty::new(key, begin))
}

/// The shared addresses that no interface of this host has.
fn gone(shared: &[IpAddr]) -> Vec<IpAddr> {
    let Ok(own) = interface::addresses() else { return Vec::new() };
    shared.iter().filter(|ip| !own.iter().any(|(_, own)| own == *ip)).copied().collect()
}
