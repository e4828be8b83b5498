//! The shares of the servers of a set, by their reports.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use crate::{clock::Now, peer::Peer, report::WHOLE};

/// The largest share, in thousandths of the nominal weight.
const MOST: f64 = 1_000_000.0;

/// Brings the shares of a set up to date. A server without a weight has the mean of the others, in
/// proportion to its nominal weight. With fewer than two weights, the nominal ones are in force
/// (gRPC proposal A58).
pub(crate) fn refresh(peers: &[Arc<Peer>], now: Now) {
    let Some(config) = peers.first().and_then(|peer| peer.report.as_ref()) else { return };
    let relative = |peer: &Arc<Peer>| {
        let weight = peer.state.reported.weight(config, now.millis)?;
        Some(weight / f64::from(peer.limits.weight.max(1)))
    };
    let (mut sum, mut count) = (0.0, 0_u32);
    for weight in peers.iter().filter_map(relative) {
        sum += weight;
        count += 1;
    }
    let mean = sum / f64::from(count.max(1));
    for peer in peers {
        let own = relative(peer).filter(|_| count > 1 && mean.is_finite());
        let share =
            own.map_or(WHOLE, |own| (own / mean * WHOLE as f64).round().clamp(1.0, MOST) as u64);
        peer.state.reported.share.store(share, Relaxed);
    }
}
