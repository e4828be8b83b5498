//! Building [`Routes`] from the assembled tree.

use std::sync::Arc;

use weir_conf::{Block, Contexts, Settings};
use weir_edge::listen::{Protocols, Shared};
use weir_engine::listen::Transport;
use weir_script::CaptureRegex;
use weir_wire::uri;

use super::servers::{ports, servers};
use super::{
    Endpoint, Kind, Listener, Location, Locations, Routes, Server, ServerAt, ServerNames, Usual,
};
use crate::core::listen::HTTP2;
use crate::core::server_name::{self, ServerName};
use crate::core::{self, location::Pattern};
use crate::module::Handlers;

/// Builds [`Routes`], with functions of the modules about the settings of a block.
pub(crate) struct Builder<'a> {
    /// The handlers of a block.
    pub(crate) handlers: &'a dyn Fn(&Settings, Contexts) -> Handlers,
    /// Whether a block itself passes requests on to an upstream (`proxy_pass`).
    pub(crate) passes: &'a dyn Fn(&Settings) -> bool,
    /// Whether a block serves CONNECT (`tunnel_pass`).
    pub(crate) connects: &'a dyn Fn(&Settings) -> bool,
}

impl Builder<'_> {
    /// Builds the routes of the tree with this root, which [`check`](super::check::check()) found
    /// right.
    pub(crate) fn build(&self, root: &Block) -> Routes {
        let blocks: Vec<&Block> = servers(root).collect();
        let servers: Vec<Arc<Server>> =
            blocks.iter().map(|block| Arc::new(self.server(block))).collect();
        let bound = ports(&blocks).bound(Transport::Stream);
        let listeners = bound
            .into_iter()
            .map(|bound| {
                let endpoint = |shared| self.endpoint(shared, &blocks, &servers);
                Listener {
                    name: bound.spec.name(),
                    endpoints: bound.addresses.iter().map(endpoint).collect(),
                    bound,
                }
            })
            .collect();
        Routes { servers, listeners }
    }

    fn endpoint(
        &self,
        shared: &Shared<usize>,
        blocks: &[&Block],
        servers: &[Arc<Server>],
    ) -> Endpoint {
        let needed = shared.servers.len() > 1 || server_name::captures(blocks[shared.default]);
        let servers: Box<[_]> = shared.servers.iter().map(|&at| Arc::clone(&servers[at])).collect();
        let default = shared.servers.iter().position(|&at| at == shared.default).unwrap_or(0);
        let has = |protocol| shared.options.protocols.has(protocol);
        Endpoint {
            ssl: has(Protocols::SSL),
            http2: has(HTTP2),
            proxy_protocol: has(Protocols::PROXY),
            default: Arc::clone(&servers[default]),
            default_at: ServerAt(default as u32),
            servers,
            names: needed.then(|| names(&shared.servers, blocks)),
        }
    }

    fn server(&self, block: &Block) -> Server {
        let own = Pattern { kind: Kind::Server, name: Vec::new() };
        let mut location = self.location(block, own);
        Server {
            name: server_name::first(block),
            settings: block.settings.clone(),
            locations: std::mem::take(&mut location.nested),
            location,
            allow_connect: block.walk().iter().any(|inner| (self.connects)(&inner.settings)),
            block: block.id,
        }
    }

    /// Builds a block with everything inside.
    fn location(&self, block: &Block, pattern: Pattern) -> Location {
        let passes = (self.passes)(&block.settings);
        let mut nested = Vec::new();
        let mut blocks = Vec::new();
        for child in &block.blocks {
            let Some(pattern_inside) = child_pattern(child, &pattern) else { continue };
            if child.context == Contexts::LOCATION {
                if never_asked(&pattern_inside, &pattern) {
                    continue;
                }
                nested.push(self.nested(child, pattern_inside));
            } else {
                blocks.push((child.id, self.location(child, pattern_inside)));
            }
        }
        Location {
            auto_redirect: passes && pattern.name.ends_with(b"/"),
            escaped_name: escape(&pattern.name),
            name: pattern.name,
            kind: pattern.kind,
            block: block.id,
            span: block.span,
            settings: block.settings.clone(),
            usual: Usual::of(&block.settings),
            handlers: (self.handlers)(&block.settings, block.context),
            nested: Locations::new(nested),
            blocks,
        }
    }

    fn nested(&self, block: &Block, pattern: Pattern) -> (Location, Option<CaptureRegex>) {
        let regex = block.settings.get(&core::LOCATION).regex.clone();
        (self.location(block, pattern), regex)
    }
}

/// The names of the servers at an address. `members` are indices into `blocks`.
fn names(members: &[usize], blocks: &[&Block]) -> ServerNames<ServerAt> {
    let mut names = ServerNames::default();
    for (at, &member) in (0..).zip(members) {
        for name in server_name::names(blocks[member]).iter() {
            match name {
                // The check has warned about conflicts; the first name stays.
                ServerName::Plain(name) => drop(names.add(name, ServerAt(at))),
                ServerName::Regex(regex) => names.add_regex(regex.clone(), ServerAt(at)),
            }
        }
    }
    names
}

/// The pattern of a block inside a server or a location; None if requests never enter it.
fn child_pattern(child: &Block, outer: &Pattern) -> Option<Pattern> {
    let like_outer = |kind| Pattern { kind, name: outer.name.clone() };
    match child.context {
        Contexts::LOCATION => child.settings.get(&core::LOCATION).pattern.clone(),
        Contexts::SERVER_IF | Contexts::LOCATION_IF => Some(like_outer(Kind::If)),
        Contexts::LIMIT_EXCEPT => Some(like_outer(Kind::LimitExcept)),
        _ => None,
    }
}

/// Whether a location is ignored, as nginx ignores prefix locations inside a regular expression.
fn never_asked(inside: &Pattern, outer: &Pattern) -> bool {
    let regex = |pattern: &Pattern| matches!(pattern.kind, Kind::Regex { .. });
    regex(outer) && !regex(inside)
}

fn escape(name: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(name.len());
    uri::escape(uri::Escape::Uri, name, &mut escaped);
    escaped
}
