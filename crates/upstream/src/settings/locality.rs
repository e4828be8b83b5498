//! `prefer_locality LOCALITY … [overflow=PERCENT]` in an `upstream` block.

use weir_conf::{Fault, Node, Word, value::parse_number};
use weir_script::Template;

use crate::locality::{LocalityConfig, MAX_PREFERRED};

/// The preferred localities of a block.
#[derive(Clone, Debug)]
pub(crate) struct Preferred {
    /// Their names, the first one most.
    pub(crate) names: Vec<Template>,
    pub(crate) config: LocalityConfig,
}

/// Reads the directive; `template` compiles a name.
pub(super) fn read(
    node: &Node,
    mut template: impl FnMut(&[u8]) -> Result<Template, Fault>,
) -> Result<Preferred, Fault> {
    let (mut words, mut overflow) = (Vec::new(), None);
    for word in &node.args {
        match word.after("overflow=") {
            None => words.push(word),
            Some(text) if overflow.is_none() => {
                overflow = Some(percent(text).ok_or_else(|| Fault::parameter(word))?);
            }
            Some(_) => return Err(Fault::parameter(word)),
        }
    }
    let overflow = overflow.unwrap_or(Some(LocalityConfig::OVERFLOW));
    if words.is_empty() {
        return Err(Fault::bad_count(&node.name));
    }
    if words.len() > MAX_PREFERRED {
        return Err(Fault::new(format!("more than {MAX_PREFERRED} localities")));
    }
    let mut name = |word: &&Word| match word.value.is_empty() {
        true => Err(Fault::new("locality is empty").at(word)),
        false => template(&word.value),
    };
    let names = words.iter().map(&mut name).collect::<Result<_, _>>()?;
    Ok(Preferred { names, config: LocalityConfig { overflow } })
}

/// The largest percentage of `overflow=`.
const MAX_PERCENT: u64 = 100_000;

/// A percentage from 100 on; `None` for `off`.
#[allow(clippy::option_option, reason = "the outer one is a fault")]
fn percent(text: &[u8]) -> Option<Option<u64>> {
    if text == b"off" {
        return Some(None);
    }
    let percent = parse_number(text.strip_suffix(b"%").unwrap_or(text))?;
    (100..=MAX_PERCENT).contains(&percent).then_some(Some(percent))
}
