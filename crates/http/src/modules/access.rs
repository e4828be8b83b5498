//! `allow` and `deny` (<https://nginx.org/en/docs/http/ngx_http_access_module.html>).

use weir_conf::Slot;
use weir_edge::access::AccessRules;
use weir_engine::error_log::Level;

use crate::core::{ACCESS, Satisfy};
use crate::module::{Handler, Module, Phase, PhaseHandler, Verdict};
use crate::request::Request;

pub(crate) const MODULE: Module = Module {
    name: "access",
    tables: &[&AccessRules::table(&RULES)],
    handlers: &[PhaseHandler {
        phase: Phase::Access,
        enabled: |settings| settings.get(&RULES).rules.is_some(),
        handler: Handler::Sync(handle),
    }],
    ..Module::NONE
};

static RULES: Slot<AccessRules> = Slot::new();

fn handle(request: &mut Request) -> Verdict {
    let found = request.get(&RULES).rules.as_ref().and_then(|rules| rules.find(&request.remote));
    match found {
        None => Verdict::Next,
        Some(false) => Verdict::Granted,
        Some(true) => {
            if request.get(&ACCESS).satisfy == Satisfy::All {
                request.log(Level::Error, "access forbidden by rule");
            }
            Verdict::Status(403)
        }
    }
}
