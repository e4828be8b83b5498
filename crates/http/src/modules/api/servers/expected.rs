//! `if` in the body of a change: what it takes for granted about its server. Whoever saw a weight
//! of 2 changes the weight 2, and not what another has made of it meanwhile; a number that belongs
//! to another server after a restart changes nothing.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value};
use weir_upstream::ServerView;

use crate::modules::api::failure::Failure;

/// The parameters that a server has to have, as they are shown; all of them if there are none.
#[derive(Debug, Default)]
pub(super) struct Expected(Map<String, Value>);

/// Held by changes with `if` from the look at a server to its change, so that of two that expect
/// the same one is refused.
static CHANGING: Mutex<()> = Mutex::new(());

impl Expected {
    /// # Errors
    /// It is no object.
    pub(super) fn read(value: Value) -> Result<Self, Failure> {
        match value {
            Value::Object(expected) => Ok(Self(expected)),
            _ => Err(refusal("invalid \"if\" value")),
        }
    }

    /// To be held until the change is made.
    pub(super) fn alone(&self) -> Option<MutexGuard<'static, ()>> {
        let lock = || CHANGING.lock().unwrap_or_else(PoisonError::into_inner);
        (!self.0.is_empty()).then(lock)
    }

    /// Checks a server, with how it is shown.
    ///
    /// # Errors
    /// The first difference.
    pub(super) fn check(&self, server: &ServerView, shown: &Value) -> Result<(), Failure> {
        for (name, expected) in &self.0 {
            let found = shown.get(name).unwrap_or(&Value::Null);
            if found != expected {
                let id = server.id;
                let text = format!("server \"{id}\" has \"{name}\" {found} and not {expected}");
                return Err(Failure::new(412, "UpstreamServerDiffers", text));
            }
        }
        Ok(())
    }

    /// Checks that nothing is expected of a server that is to be added.
    ///
    /// # Errors
    /// Something is.
    pub(super) fn check_none(&self) -> Result<(), Failure> {
        match self.0.is_empty() {
            true => Ok(()),
            false => Err(refusal("unknown parameter \"if\"")),
        }
    }
}

fn refusal(text: &str) -> Failure {
    Failure::bad("UpstreamConfFormatError", text)
}
