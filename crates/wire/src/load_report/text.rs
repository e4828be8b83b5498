//! `TEXT name:value,name:value`.

use super::{MAPS, MAX_ITEMS, Reading, number};

/// Reads the items.
pub(super) fn read(text: &[u8], into: &mut Reading<'_>) -> Option<()> {
    let mut names: [&[u8]; MAX_ITEMS] = [&[]; MAX_ITEMS];
    for (place, item) in text.split(|&byte| byte == b',').enumerate() {
        let colon = item.iter().position(|&byte| byte == b':')?;
        let (name, value) = (item[..colon].trim_ascii(), item[colon + 1..].trim_ascii());
        if names.get(..place)?.contains(&name) {
            return None;
        }
        *names.get_mut(place)? = name;
        let value = number(value)?;
        let of_map = |(map, _): &(&'static str, &str)| {
            let rest = name.strip_prefix(map.as_bytes())?.strip_prefix(b".")?;
            Some((*map, rest))
        };
        match MAPS[..2].iter().find_map(of_map) {
            Some((map, key)) => into.add(Some(map), key, value)?,
            None => into.add(None, name, value)?,
        }
    }
    Some(())
}
