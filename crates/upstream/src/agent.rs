//! Agents: programs beside servers that say in a line what these can take, by the protocol of
//! HAProxy's agent check. `wire::agent` reads the lines; the machine of the health checks
//! ([`check`](crate::check)) asks for them; what was said lies beside the peer ([`said`]), and
//! takes effect there ([`hear`]).

pub(crate) mod config;
mod hear;
mod probe;
pub(crate) mod said;

pub use config::{AgentAddress, AgentConfig};
pub use said::AgentView;

use std::{rc::Rc, sync::Arc};

use weir_engine::duty::Duty;

use crate::{
    agent::probe::AgentProbe,
    check::{CheckConfig, CheckPlan},
    group::Group,
    registry::Registry,
};

impl Group {
    /// The duty to ask the agents of the servers of this group and its heirs. `None` without an
    /// `agent_check`.
    pub(crate) fn agent_duty(&self, registry: &Arc<Registry>) -> Option<Duty> {
        let config = self.config.agent.clone()?;
        let check = CheckConfig {
            name: String::new(),
            what: format!("{config:?}"),
            interval: config.interval,
            jitter: 0,
            fails: 1,
            passes: 1,
            port: None,
            mandatory: false,
        };
        let probe = Box::new(move || Rc::new(AgentProbe::new(config.clone())) as Rc<_>);
        let what = format!("ask the agents of {}", self.config.key);
        Some(self.probing_duty(what, registry, CheckPlan { checks: vec![check], probe }))
    }
}
