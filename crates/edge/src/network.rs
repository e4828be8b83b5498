//! Networks as `allow`, `deny` and `set_real_ip_from` write them.

use weir_conf::{Cx, Word};
use weir_script::cidr::Cidr;

/// Reads a network, and warns of bits that mean nothing. `None`: the word is neither an address nor
/// a network.
pub(crate) fn read(word: &Word, cx: &mut Cx<'_>) -> Option<Cidr> {
    let parsed = Cidr::parse(&word.value)?;
    if parsed.low_bits {
        cx.warn(format!("low address bits of {} are meaningless", word.shown()));
    }
    Some(parsed.cidr)
}
