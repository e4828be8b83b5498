//! The networks in `allow`, `deny` and `set_real_ip_from`.

use weir_conf::{Cx, Word};
use weir_script::cidr::Cidr;

/// Parses an address or a network, and warns about bits after the prefix. `None` if the word is
/// neither.
pub(crate) fn read(word: &Word, cx: &mut Cx<'_>) -> Option<Cidr> {
    let parsed = Cidr::parse(&word.value)?;
    if parsed.low_bits {
        cx.warn(format!("low address bits of {} are meaningless", word.shown()));
    }
    Some(parsed.cidr)
}
