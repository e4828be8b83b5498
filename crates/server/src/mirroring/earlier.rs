//! The way back of a node that was started with changed files, which serve until the other nodes
//! have judged them: if these are not put in force everywhere, what was in force before serves
//! again, as on the other nodes. The changed files stay where they are.

use std::sync::Arc;

use weir_engine::Level;
use weir_ha::Refusal;
use weir_ha::mirror::Durable;
use weir_ha::set::FileSet;

use crate::cycle::Draft;
use crate::master::Master;
use crate::reload;

/// Puts the set that is durably in force here in force again, unless it is.
pub(super) fn put_in_force(master: &mut Master) {
    match draft(master) {
        Ok(None) => {}
        Ok(Some(draft)) => {
            let what = "mirror: the configuration before the changed files is in force again; they \
                        stay, and a reload proposes them once more";
            master.console.log(Level::Warn, what);
            reload::put_in_force(master, draft);
        }
        Err(refusal) => {
            let what = format_args!(
                "mirror: the configuration before the changed files cannot be put in force again: \
                 {refusal}"
            );
            master.console.log(Level::Alert, what);
        }
    }
}

/// The earlier configuration; `None` if it is in force, or there is none.
///
/// # Errors
/// Why it cannot be put in force here any more.
fn draft(master: &mut Master) -> Result<Option<Draft>, Refusal> {
    let Some(Some((state, bytes))) = super::stored(master) else { return Ok(None) };
    let in_force = master.cycle.set.as_ref();
    if in_force.is_some_and(|in_force| FileSet::are_same(in_force, &bytes)) {
        return Ok(None);
    }
    let state = Durable::decode(&state).map_err(|error| Refusal::from(error.to_string()))?;
    let mut draft = super::read(master, &state.set(Arc::clone(&bytes)))?;
    draft.set = Some(bytes);
    Ok(Some(draft))
}
