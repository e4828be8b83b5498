//! The tables of all crates, and the settings of the process.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use weir_conf::{Assembly, Block, Contexts, Environment, Layout, Settled, Table};
use weir_engine::Level;
use weir_engine::error_log::directive::{self, ERROR_LOGS, ErrorLogs};
use weir_engine::log_files::LogFile;
use weir_ha::settings::{HA, Ha};
use weir_sys::user;

use crate::bundle::Bundle;
use crate::children::Logs;
use crate::console::Console;
use crate::cycle;
use crate::environment::Recorded;
use crate::foreign;
use crate::load_error::LoadError;
use crate::modules;
use crate::modules::core::{CORE, Core, Process, Shows, User};
use crate::modules::events::{EVENTS, Events};
use crate::paths;
use crate::serve::{self, Configuration, Plan};

/// The worker's user if neither the configuration nor the layout names one.
const DEFAULT_USER: &str = "nobody";

/// The group names of that user on different systems.
const DEFAULT_GROUPS: [&str; 2] = ["nobody", "nogroup"];

/// The tables of the `ha` block.
pub(crate) const HA_TABLES: [&Table; 2] =
    [&weir_ha::settings::BLOCK_TABLE, &weir_ha::settings::TABLE];

/// The tables of all directives.
pub(crate) fn tables() -> Vec<&'static Table> {
    let mut tables = modules::TABLES.to_vec();
    tables.push(&directive::TABLE);
    tables.extend(HA_TABLES);
    tables.extend(serve::tables());
    tables
}

/// Reads and checks a configuration.
pub(crate) fn assemble(
    conf: &Path,
    prefix: &Path,
    globals: Option<&str>,
    env: &dyn Environment,
) -> Assembly {
    let mut registries = serve::registries();
    registries.insert(foreign::MODULES);
    weir_conf::assemble_with(registries, &tables(), conf, prefix, globals, env)
}

/// The process's own settings, detached from an assembly that a plan consumes.
pub(crate) struct Main {
    core: Arc<Settled<Core>>,
    /// `None` without an `events` block.
    events: Option<Arc<Settled<Events>>>,
    /// The main error log.
    logs: Arc<Settled<ErrorLogs>>,
    /// Some error log of the configuration is standard error, which therefore is not redirected.
    stderr_is_log: bool,
    raw_sockets: bool,
    /// The `ha` block.
    ha: Option<Arc<Settled<Ha>>>,
}

impl Main {
    /// Takes the settings of an assembly.
    pub(crate) fn of(assembly: &Assembly) -> Self {
        let root = &assembly.root;
        let events = root.blocks.iter().find(|block| block.context == Contexts::EVENTS);
        Self {
            core: root.settings.arc(&CORE),
            events: events.map(|block| block.settings.arc(&EVENTS)),
            logs: root.settings.arc(&ERROR_LOGS),
            stderr_is_log: logs_to_stderr(root),
            raw_sockets: serve::needs_raw_sockets(assembly),
            ha: root.children(Contexts::HA).next().map(|block| block.settings.arc(&HA)),
        }
    }

    /// The settings of master and worker with defaults filled in.
    ///
    /// # Errors
    /// There is no `events` block, or no user to run as; the error has been logged.
    pub(crate) fn process(&self, prefix: &Path, console: &Console) -> Result<Process, ()> {
        let Self { core, events, .. } = self;
        let Some(events) = events else {
            console.log(Level::Emerg, "no \"events\" section in configuration");
            return Err(());
        };
        let user = match &core.user.0 {
            None if user::is_root() => Some(default_user(console)?),
            named => named.clone(),
        };
        let pid = core.pid.as_deref().unwrap_or(Layout::built().pid_path);
        let timeout = core.shutdown_timeout.map(|time| time.0);
        // Without shared addresses there is no guard to see it.
        let shares = self.ha().filter(|ha| !ha.addresses.is_empty());
        Ok(Process {
            daemon: core.daemon,
            master: core.master_process,
            pid: paths::full_name(prefix, Path::new(pid)),
            user,
            threads: core.workers.0.max(1),
            priority: core.priority.0,
            affinity: core.affinity.clone(),
            open_files: core.open_files,
            core_size: core.core_size.map(|size| size.0),
            shutdown_timeout: timeout.filter(|time| !time.is_zero()),
            working_directory: core.working_directory.as_ref().map(Into::into),
            env: core.env.clone(),
            raw_sockets: self.raw_sockets,
            connections: events.connections.0,
            multi_accept: events.multi_accept,
            method: events.method.0,
            shows: shares.map(|ha| Shows {
                stall: ha.stall.0,
                required: ha.require.iter().map(|required| required.name.clone()).collect(),
                addresses: ha.addresses.iter().map(|shared| shared.address).collect(),
            }),
        })
    }

    /// The `ha` block.
    pub(crate) fn ha(&self) -> Option<&Ha> {
        self.ha.as_deref().map(|ha| &**ha)
    }

    /// The main error log.
    pub(crate) fn logs(&self) -> &ErrorLogs {
        &self.logs
    }

    /// The complete configuration to serve with.
    pub(crate) fn ready(self, generation: u64, plan: Plan, process: Process) -> Ready {
        let Self { logs, stderr_is_log, ha, .. } = self;
        let stage = Stage::Planned(Box::new(plan));
        Ready { generation, stage, process, logs, stderr_is_log, ha }
    }
}

/// A valid configuration. The master keeps the current one, so that a worker it forks has it in its
/// copy of the master's memory.
pub(crate) struct Ready {
    /// The number of the configuration, counted per master from 1.
    pub(crate) generation: u64,
    stage: Stage,
    pub(crate) process: Process,
    /// The main error log.
    pub(crate) logs: Arc<Settled<ErrorLogs>>,
    /// Some error log of the configuration is standard error.
    pub(crate) stderr_is_log: bool,
    /// The `ha` block.
    ha: Option<Arc<Settled<Ha>>>,
}

/// The stage of a configuration on its way to serving.
enum Stage {
    Planned(Box<Plan>),
    /// With its log files.
    Built(Configuration, Logs),
}

impl Ready {
    /// Builds the configuration that serves requests. `logs` are the open log files in the order of
    /// their handles.
    pub(crate) fn build(&mut self, logs: &Logs) {
        if let Stage::Planned(plan) = &self.stage {
            self.stage = Stage::Built(plan.configuration(logs), Arc::clone(logs));
        }
    }

    /// The `ha` block.
    pub(crate) fn ha(&self) -> Option<&Ha> {
        self.ha.as_deref().map(|ha| &**ha)
    }

    /// The log files of a built configuration; empty for a planned one.
    pub(crate) fn log_files(&self) -> &[Arc<LogFile>] {
        match &self.stage {
            Stage::Planned(_) => &[],
            Stage::Built(_, logs) => logs,
        }
    }

    /// The configuration that serves requests, built now if it is only planned. `logs` are the same
    /// files as for [`Self::build`].
    pub(crate) fn into_configuration(self, logs: &Logs) -> Configuration {
        match self.stage {
            Stage::Planned(plan) => plan.configuration(logs),
            Stage::Built(configuration, _) => configuration,
        }
    }

    /// Reads a configuration from a bundle, in a worker that is already serving.
    ///
    /// # Errors
    /// The reason why the configuration is unusable.
    pub(crate) fn read(bundle: &Bundle, console: &Console) -> Result<Self, LoadError> {
        let env = Recorded(bundle);
        let globals = bundle.globals.as_deref();
        let mut assembly = assemble(&bundle.conf, &bundle.prefix, globals, &env);
        let main = Main::of(&assembly);
        let plan = Plan::build(&mut assembly, &env, bundle.prefix.clone());
        let plan = plan.ok_or_else(|| LoadError::Configuration(cycle::first_fault(&assembly)))?;
        let unknown = || LoadError::Configuration("unknown user of the worker process".to_owned());
        let process = main.process(&bundle.prefix, console).map_err(|()| unknown())?;
        Ok(main.ready(bundle.generation, plan, process))
    }
}

impl fmt::Debug for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ready").field("generation", &self.generation).finish_non_exhaustive()
    }
}

fn logs_to_stderr(block: &Block) -> bool {
    block.settings.get(&ERROR_LOGS).has_stderr() || block.blocks.iter().any(logs_to_stderr)
}

fn default_user(console: &Console) -> Result<User, ()> {
    let failed = |function: &str, name: &str| {
        console.log(Level::Emerg, format_args!("{function}(\"{name}\") failed"));
    };
    let layout = Layout::built();
    let name = layout.user.unwrap_or(DEFAULT_USER);
    let found = user::user(name).ok().flatten();
    let (uid, _) = found.ok_or_else(|| failed("getpwnam", name))?;
    let own = layout.group.or(layout.user);
    let groups = own.as_ref().map_or(&DEFAULT_GROUPS[..], std::slice::from_ref);
    let group = groups.iter().find_map(|name| user::group(name).ok().flatten());
    let gid = group.ok_or_else(|| failed("getgrnam", groups[0]))?;
    Ok(User { name: name.to_owned(), uid, gid })
}
