//! From a valid assembly to a configuration that serves.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use weir_conf::{Assembly, Block, Contexts, Diagnostic, Environment, Places, Severity, SourceMap};
use weir_edge::listen::ListenSpec;
use weir_edge::shared::Shared;
use weir_script::{VarId, Variables};
use weir_upstream::{Registry, Resolver, ResolverConfig, Side};

use super::Configuration;
use crate::certificates::{ServerCertificate, certificates};
use crate::core::RESOLVER;
use crate::module::{Handlers, Modules, Prepare};
use crate::recorder::settings::RECORDS;
use crate::route::build::Builder;
use crate::route::{check, servers};
use crate::variables::Source;
use crate::variables::definitions::Definitions;

/// A configuration that has been read and checked.
pub struct SnapshotPlan {
    modules: Modules,
    root: Block,
    sources: Arc<[Source]>,
    /// The names of the variables, in the order of the sources.
    variable_names: Arc<[Box<str>]>,
    variable_ids: Arc<HashMap<Box<str>, VarId>>,
    hostname: String,
    prefix: PathBuf,
    places: Arc<Places>,
}

impl SnapshotPlan {
    /// Completes an assembly: modules check the whole, variables get their definitions. Faults are
    /// added to the assembly's diagnostics. Without any, this returns a plan, which takes the
    /// assembly's tree.
    pub fn build(assembly: &mut Assembly, env: &dyn Environment, prefix: PathBuf) -> Option<Self> {
        check::check(&assembly.root, &mut assembly.diagnostics);
        let modules = assembly.registries.entry::<Definitions>().modules();
        for prepare in modules.iter().filter_map(|module| module.prepare) {
            let Assembly { root, registries, diagnostics, .. } = assembly;
            let mut whole = Prepare { root, registries, env, diagnostics };
            if let Err(fault) = prepare(&mut whole) {
                diagnostics.push(fault.diagnose("", None));
            }
        }
        let mut variables = assembly.registries.take::<Variables>();
        let mut pending = Vec::new();
        let definitions = assembly.registries.take::<Definitions>();
        // Pages may use names that the configuration only defines.
        for name in definitions.names() {
            variables.reference(name);
        }
        let variable_ids = variables.names().map(|(id, name)| (name.into(), id)).collect();
        let sources = match definitions.resolve(&variables, &mut pending) {
            Ok(sources) => {
                let warn =
                    |name| format!("the \"{name}\" variable is not supported yet and is empty");
                let told = pending.into_iter().map(warn);
                let told = told.map(|text| Diagnostic::new(Severity::Warn, text, None));
                assembly.diagnostics.extend(told);
                sources.into()
            }
            Err(fault) => {
                let message = fault.to_string();
                let names = definitions.rows().map(|row| row.name);
                let names: Vec<&str> = names.chain(definitions.names()).collect();
                assembly.diagnostics.push(unknown_variable(message, &names, &assembly.sources));
                return None;
            }
        };
        let variable_names = variables.names().map(|(_, name)| name.into()).collect();
        if !assembly.ok() {
            return None;
        }
        let hostname = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let root = std::mem::take(&mut assembly.root);
        let records = |block: &Block| block.settings.get(&RECORDS).recording.on;
        let places = match root.walk().iter().any(|block| is_of_requests(block) && records(block)) {
            true => assembly.sources.places().into(),
            false => Arc::default(),
        };
        Some(Self {
            modules,
            root,
            sources,
            variable_names,
            variable_ids: Arc::new(variable_ids),
            hostname,
            prefix,
            places,
        })
    }

    /// The listening sockets of this configuration.
    pub fn listeners(&self) -> Vec<ListenSpec> {
        servers::listeners(&self.root)
    }

    /// The certificates of its servers.
    pub fn certificates(&self) -> Vec<ServerCertificate<'_>> {
        certificates(&self.root)
    }

    /// Builds the configuration as requests see it. This is all work that grows with its size, so
    /// it must run where nothing waits for it. `files` are the open log files in the order of their
    /// handles.
    pub fn configuration(&self, shared: &Shared, registry: &Registry) -> Configuration {
        let files = shared.files();
        let modules = self.modules;
        let handlers = |settings: &_, _: Contexts| Handlers::collect(modules, settings, files);
        let passes = |settings: &_| modules.iter().any(|m| m.passes.is_some_and(|p| p(settings)));
        let connects =
            |settings: &_| modules.iter().any(|m| m.connects.is_some_and(|p| p(settings)));
        let builder = Builder { handlers: &handlers, passes: &passes, connects: &connects };
        Configuration {
            modules,
            resolvers: resolvers(&self.root, registry),
            routes: builder.build(&self.root),
            sources: self.sources.clone(),
            variable_names: self.variable_names.clone(),
            variable_ids: self.variable_ids.clone(),
            hostname: self.hostname.as_str().into(),
            prefix: self.prefix.as_path().into(),
            shared: shared.clone(),
            places: Arc::clone(&self.places),
        }
    }
}

/// One resolver for each set of name servers in the configuration.
fn resolvers(root: &Block, registry: &Registry) -> Vec<Resolver> {
    let mut resolvers: Vec<Resolver> = Vec::new();
    for block in root.walk() {
        if !is_of_requests(block) {
            continue;
        }
        let Some(config) = &block.settings.get(&RESOLVER).resolver else { continue };
        if !resolvers.iter().any(|known| known.config() == config) {
            resolvers.push(registry.resolver(config));
        }
    }
    resolvers
}

/// Whether requests can be in a block.
fn is_of_requests(block: &Block) -> bool {
    block.context.intersects(OF_REQUESTS)
}

/// The blocks that requests can be in.
const OF_REQUESTS: Contexts = Contexts::SERVER
    .union(Contexts::LOCATION)
    .union(Contexts::LOCATION_IF)
    .union(Contexts::LIMIT_EXCEPT);

/// nginx's message about an undefined variable, with its position and a suggestion.
fn unknown_variable(message: String, names: &[&str], sources: &SourceMap) -> Diagnostic {
    let mut fault = Diagnostic::new(Severity::Emerg, message, None);
    if let Some(name) = fault.message.split('"').nth(1) {
        fault.word = sources.variable(name);
        let meant = weir_conf::nearest(name, names.iter().copied());
        fault.hint = meant.map(|meant| format!("did you mean \"${meant}\"?"));
    }
    fault
}

/// The name servers of `http {}`, or of `stream {}`, with their timeout in milliseconds.
pub fn resolver(side: Side, root: &Block) -> Option<(ResolverConfig, u64)> {
    if side == Side::Stream {
        return crate::pending::stream::resolver(root);
    }
    let http = root.blocks.iter().find(|block| block.context == Contexts::HTTP)?;
    let own = http.settings.get(&RESOLVER);
    Some((own.resolver.clone()?, own.timeout.0.as_millis() as u64))
}
