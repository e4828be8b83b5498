//! The variables that a configuration defines.

use std::collections::HashMap;

use weir_conf::Fault;
use weir_script::Variables;

use super::{Compute, Source, VariableRow, find_row, rows};
use crate::core::blocks::ReservedNames;
use crate::module::Modules;

/// The variables that the configuration defines. A registry of the assembly.
#[derive(Default)]
pub(crate) struct Definitions {
    modules: Modules,
    sources: HashMap<String, Source>,
}

impl Definitions {
    /// Definitions with the built-in variables of these modules only.
    pub(crate) fn of(modules: Modules) -> Self {
        Self { modules, sources: HashMap::new() }
    }

    /// The modules of the built-in variables.
    pub(crate) fn modules(&self) -> Modules {
        self.modules
    }

    /// Every built-in variable.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &'static VariableRow> + use<> {
        rows(self.modules)
    }

    /// The row of a settable built-in variable.
    pub(crate) fn settable(&self, name: &str) -> Option<&'static VariableRow> {
        let name = name.to_ascii_lowercase();
        self.rows().find(|row| !row.prefix && row.name == name && row.set.is_some())
    }

    /// The names that no other variable may have.
    pub(crate) fn reserved(&self) -> ReservedNames {
        ReservedNames(fixed_names(self.modules).collect())
    }

    /// Whether the configuration may define a name: it is not that of a fixed built-in variable.
    fn may_define(&self, name: &str) -> bool {
        !fixed_names(self.modules).any(|fixed| fixed == name)
    }

    /// Defines `$name` as computed by `compute`. With `cached`, its value is kept for the request.
    ///
    /// # Errors
    /// nginx's `the duplicate "x" variable`, if a built-in variable has that name.
    pub(crate) fn compute(
        &mut self,
        name: &str,
        cached: bool,
        compute: Compute,
    ) -> Result<(), Fault> {
        let name = name.to_ascii_lowercase();
        if !self.may_define(&name) {
            return Err(Fault::new(format!("the duplicate \"{name}\" variable")));
        }
        self.sources.insert(name, Source::Compute(compute, cached));
        Ok(())
    }

    /// Defines `$name` for stored values (`set $name …`). A variable computed from the
    /// configuration stays so; a stored value takes precedence in its request.
    ///
    /// # Errors
    /// nginx's `the duplicate "x" variable`, for a built-in variable that cannot be set.
    pub(crate) fn stored(&mut self, name: &str) -> Result<(), Fault> {
        let name = name.to_ascii_lowercase();
        if !self.may_define(&name) {
            return Err(Fault::new(format!("the duplicate \"{name}\" variable")));
        }
        self.sources.entry(name).or_insert(Source::Stored);
        Ok(())
    }

    /// Defines `$name` for `set`: `unset` computes it for requests that use it before it is set.
    /// Other definitions of the variable stay in force.
    ///
    /// # Errors
    /// As [`Definitions::stored`].
    pub(crate) fn unset(&mut self, name: &str, unset: Compute) -> Result<(), Fault> {
        let name = name.to_ascii_lowercase();
        if !self.may_define(&name) {
            return Err(Fault::new(format!("the duplicate \"{name}\" variable")));
        }
        if find_row(self.modules, &name).is_none() {
            self.sources.entry(name).or_insert(Source::Compute(unset, true));
        }
        Ok(())
    }

    /// The names that the configuration defines.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.sources.keys().map(String::as_str)
    }

    /// The sources of all names that are referenced, for a snapshot. An nginx variable that is not
    /// supported yet has no value; its name is added to `pending`.
    ///
    /// # Errors
    /// nginx's `unknown "x" variable`, for the first undefined name.
    pub(crate) fn resolve(
        &self,
        used: &Variables,
        pending: &mut Vec<String>,
    ) -> Result<Vec<Source>, Fault> {
        used.names()
            .map(|(id, name)| {
                if let Some(source) = self.sources.get(name) {
                    return Ok(source.clone());
                }
                // Named captures are defined without a source, as matches store their values.
                let captured = || used.is_defined(id).then_some(Source::Stored);
                find_row(self.modules, name)
                    .or_else(captured)
                    .or_else(|| {
                        let known = crate::pending::variables::is_pending(name);
                        known.then(|| {
                            pending.push(name.to_owned());
                            Source::Stored
                        })
                    })
                    .ok_or_else(|| Fault::new(format!("unknown \"{name}\" variable")))
            })
            .collect()
    }
}

/// The names that only the server may define (nginx: those that are not `NGX_HTTP_VAR_CHANGEABLE`).
fn fixed_names(modules: Modules) -> impl Iterator<Item = &'static str> {
    let fixed = |row: &&VariableRow| !row.prefix && !row.changeable;
    let rows = rows(modules).filter(fixed).map(|row| row.name);
    rows.chain(OWN_OF_FAMILIES.iter().copied()).chain(crate::pending::variables::fixed())
}

/// Members of prefix families that are fixed in nginx: the configuration may not define them.
const OWN_OF_FAMILIES: &[&str] = &[
    "http_host",
    "http_referer",
    "http_user_agent",
    "http_via",
    "sent_http_cache_control",
    "sent_http_connection",
    "sent_http_content_length",
    "sent_http_content_type",
    "sent_http_keep_alive",
    "sent_http_last_modified",
    "sent_http_link",
    "sent_http_location",
    "sent_http_transfer_encoding",
];
