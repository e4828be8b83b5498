//! Checks that need the whole of `http {}`.

use std::collections::HashMap;

use weir_conf::{Block, Contexts, Diagnostic, Severity, Span};
use weir_script::names::Refused;

use super::{Kind, ServerNames, servers};
use crate::core::{self, location::Pattern, server_name, server_name::ServerName};

/// Reports duplicate locations and conflicting server names. Like nginx, it stops at the first
/// fault, and does nothing after an earlier one. `root` is the root of the assembled tree.
pub(crate) fn check(root: &Block, diagnostics: &mut Vec<Diagnostic>) {
    if diagnostics.iter().any(|diagnostic| diagnostic.severity.is_fatal()) {
        return;
    }
    let servers: Vec<&Block> = servers::servers(root).collect();
    if let Some(fault) = servers.iter().find_map(|server| duplicate_location(server)) {
        diagnostics.push(fault);
        return;
    }
    for shared in servers::ports(&servers).addresses() {
        if shared.servers.len() < 2 && !server_name::captures(servers[shared.default]) {
            continue;
        }
        let members = shared.servers.iter().map(|&at| servers[at]);
        if !check_names(members, &shared.address.to_string(), diagnostics) {
            return;
        }
    }
}

/// Reports conflicting and invalid names. Returns whether nginx would continue.
fn check_names<'a>(
    servers: impl Iterator<Item = &'a Block>,
    address: &str,
    diagnostics: &mut Vec<Diagnostic>,
) -> bool {
    let mut names = ServerNames::default();
    for server in servers {
        for name in &*server_name::names(server) {
            let ServerName::Plain(name) = name else { continue };
            let shown = String::from_utf8_lossy(name);
            match names.add(name, ()) {
                Ok(()) => {}
                Err(Refused::Conflict) => diagnostics.push(Diagnostic::new(
                    Severity::Warn,
                    format!("conflicting server name \"{shown}\" on {address}, ignored"),
                    None,
                )),
                Err(Refused::Invalid) => {
                    diagnostics.push(Diagnostic::new(
                        Severity::Emerg,
                        format!("invalid server name or wildcard \"{shown}\" on {address}"),
                        None,
                    ));
                    return false;
                }
            }
        }
    }
    true
}

/// The first location with the name and kind of another on its level. Inner levels come first.
fn duplicate_location(block: &Block) -> Option<Diagnostic> {
    let mut statics: Vec<(&Pattern, &Block)> =
        locations(block).filter(|(pattern, _)| is_static(pattern)).collect();
    statics.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
    // nginx descends into prefix and exact locations, in the order of their names.
    if let Some(inner) = statics.iter().find_map(|(_, inside)| duplicate_location(inside)) {
        return Some(inner);
    }
    let mut seen: HashMap<(&[u8], bool), Span> = HashMap::new();
    statics.iter().find_map(|(pattern, location)| {
        let key = (pattern.name.as_slice(), pattern.kind == Kind::Exact);
        let first = seen.insert(key, location.span)?;
        let name = String::from_utf8_lossy(&pattern.name);
        let message = format!("duplicate location \"{name}\"");
        let fault = Diagnostic::new(Severity::Emerg, message, Some(location.span));
        Some(Diagnostic { first: Some(first), ..fault })
    })
}

fn is_static(pattern: &Pattern) -> bool {
    matches!(pattern.kind, Kind::Exact | Kind::Prefix { .. })
}

fn locations(block: &Block) -> impl Iterator<Item = (&Pattern, &Block)> {
    block
        .blocks
        .iter()
        .filter(|inside| inside.context == Contexts::LOCATION)
        .filter_map(|inside| Some((inside.settings.get(&core::LOCATION).pattern.as_ref()?, inside)))
}
