//! `health_check`: servers of groups are probed, and get no requests while they fail
//! (<https://nginx.org/en/docs/http/ngx_http_upstream_hc_module.html>).
//!
//! The schedule, the thresholds and the health are [`weir_upstream`]'s. Here are the directives,
//! the probes ([`probe`]) and the tests of their responses ([`expect`]).

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use weir_conf::{Cx, Fault, Local, Node, Slot, directives};
use weir_engine::duty::Duty;
use weir_upstream::{CheckPlan, Registry, UpstreamRef, Upstreams};

use crate::module::{Module, Prepare};
use crate::pass::destination::{OwnPass, Passed};
use crate::snapshot::Configuration;

mod expect;
mod grpc;
mod parameters;
mod probe;

use expect::{Expectation, Expectations, set_body, set_header, set_require, set_status};
use parameters::{HealthCheck, set_check};
use probe::{HttpProbe, Place};

pub(crate) const MODULE: Module = Module {
    name: "upstream_hc",
    tables: &[&HealthChecks::table(&HEALTH_CHECKS)],
    prepare: Some(prepare),
    duties: Some(duties),
    ..Module::NONE
};

static HEALTH_CHECKS: Slot<HealthChecks> = Slot::new();

directives! {
    /// Active health checks.
    pub(crate) struct HealthChecks as HealthChecksWritten in [location] {
        /// Probes the servers of the group that the location passes requests to. The group needs a
        /// `zone`. A server that fails a probe gets no requests until it passes again. Probes are
        /// made with the settings of the location, such as `proxy_set_header`,
        /// `proxy_connect_timeout` and `proxy_ssl_verify`. Parameters: `interval=5s`, `jitter=0`,
        /// `fails=1`, `passes=1`, `uri=/`, `port=`, `match=`, `mandatory [persistent]`,
        /// `keepalive_time=`, and last `type=grpc [grpc_service=] [grpc_status=0]`, which asks by
        /// the health checking protocol of gRPC instead of a `uri`.
        "health_check" [0+]: "[parameters]" => set_check,
        /// Defines tests for the responses of health checks. A response has to pass all of them.
        "match" in [http] opens matching [1]: "name" then close_match => open_match,
        /// Tests the status code, or with `!` that it is none of these.
        "status" in [matching] [1+]: "[!] code | code-code ..." => set_status,
        /// Tests a header field: whether it is there, or with `!` missing; or its value.
        "header" in [matching] [1, 2, 3]: "name | ! name | name = | != | ~ | !~ value"
            => set_header,
        /// Tests the first 256 KiB of the body against a regular expression.
        "body" in [matching] [2]: "~ | !~ regex" => set_body,
        /// Tests that none of these variables is empty or `0`.
        "require" in [matching] [1+]: "$variable ..." => set_require,
        field checks: Local<Vec<HealthCheck>>,
        field tests: Local<Vec<expect::Test>>,
    }
    finish = HealthChecks::finish;
}

fn open_match(_: &mut HealthChecksWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    let (name, span) = (&node.args[0], cx.span());
    cx.registry::<Expectations>().declare(&name.text(), span).map_err(|fault| fault.at(name))
}

fn close_match(own: &mut HealthChecksWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    let tests = own.tests.take().unwrap_or_default();
    cx.registry::<Expectations>().define(&node.args[0].text(), tests);
    Ok(())
}

impl HealthChecks {
    /// Announces the checks of a location to its group, which numbers them.
    fn finish(&mut self, _: Option<&Self>, cx: &mut Cx<'_>) -> Result<(), Fault> {
        if self.checks.is_empty() {
            return Ok(());
        }
        let block = cx.block_id();
        let passed = cx.registry::<Passed>().of(block);
        for check in &mut self.checks {
            let Some(upstream) = passed else {
                let message = "\"health_check\" needs a \"proxy_pass\" or \"grpc_pass\" without \
                               variables in its location";
                return Err(Fault::new(message).in_place(check.span));
            };
            if check.grpc.is_some() && cx.registry::<OwnPass>().protocol(block) != Some("grpc") {
                let message = "\"health_check type=grpc\" needs a \"grpc_pass\" in its location";
                return Err(Fault::new(message).in_place(check.span));
            }
            let number = cx.registry::<Upstreams>().check(upstream, check.config.clone());
            let number = number.map_err(|fault| fault.in_place(check.span))?;
            check.place = Some((upstream, number));
        }
        Ok(())
    }
}

/// Looks whether every `match=` has its block.
fn prepare(whole: &mut Prepare<'_>) -> Result<(), Fault> {
    match whole.registries.entry::<Expectations>().undefined() {
        Some(fault) => Err(fault),
        None => Ok(()),
    }
}

/// One duty per group with checks.
fn duties(
    configuration: &Arc<Configuration>,
    registry: &Arc<Registry>,
    generation: &Arc<dyn Any + Send + Sync>,
) -> Vec<Duty> {
    let mut places: BTreeMap<usize, (UpstreamRef, Vec<Place>)> = BTreeMap::new();
    for (server, location) in configuration.locations() {
        for (at, check) in location.settings.get(&HEALTH_CHECKS).checks.iter().enumerate() {
            let Some((upstream, number)) = check.place else { continue };
            let (_, places) =
                places.entry(upstream.index()).or_insert_with(|| (upstream, Vec::new()));
            places.push(Place { number, server, block: location.block, at });
        }
    }
    let duty = |(upstream, places): (UpstreamRef, Vec<Place>)| {
        let upstream = configuration.upstream(upstream);
        let (held, generation) = (Arc::clone(configuration), Arc::clone(generation));
        let probe = move || HttpProbe::shared(&held, &generation, &places);
        let checks = upstream.plan.group.checks.clone();
        upstream.group.check_duty(registry, CheckPlan { checks, probe: Box::new(probe) })
    };
    places.into_values().map(duty).collect()
}

/// The tests of a check; None for those of every check without `match=`.
type Tests = Option<Arc<Expectation>>;

#[cfg(test)]
mod tests;
