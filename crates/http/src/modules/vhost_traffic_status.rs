//! The directives of nginx-module-vts, which have no effect: `status_zone` and `api` show what it
//! shows.

use weir_conf::{Cx, Fault, Node, Slot, directives};

use crate::module::Module;

pub(crate) const MODULE: Module = Module {
    name: "vhost_traffic_status",
    tables: &[&VhostTrafficStatus::table(&VHOST_TRAFFIC_STATUS)],
    ..Module::NONE
};

static VHOST_TRAFFIC_STATUS: Slot<VhostTrafficStatus> = Slot::new();

directives! {
    /// The directives of nginx-module-vts. They have no effect; use `status_zone`, `prometheus` and
    /// `api`.
    pub(crate) struct VhostTrafficStatus as Unused in [http, server, location] {
        "vhost_traffic_status" [any]: "..." => ignore,
        "vhost_traffic_status_average_method" [any]: "..." => ignore,
        "vhost_traffic_status_bypass_limit" [any]: "..." => ignore,
        "vhost_traffic_status_bypass_stats" [any]: "..." => ignore,
        "vhost_traffic_status_display" [any]: "..." => ignore,
        "vhost_traffic_status_display_format" [any]: "..." => ignore,
        "vhost_traffic_status_display_jsonp" [any]: "..." => ignore,
        "vhost_traffic_status_display_sum_key" [any]: "..." => ignore,
        "vhost_traffic_status_dump" [any]: "..." => ignore,
        "vhost_traffic_status_filter" [any]: "..." => ignore,
        "vhost_traffic_status_filter_by_host" [any]: "..." => ignore,
        "vhost_traffic_status_filter_by_set_key" [any]: "..." => ignore,
        "vhost_traffic_status_filter_check_duplicate" [any]: "..." => ignore,
        "vhost_traffic_status_filter_max_node" [any]: "..." => ignore,
        "vhost_traffic_status_histogram_buckets" [any]: "..." => ignore,
        "vhost_traffic_status_ignore_status" [any]: "..." => ignore,
        "vhost_traffic_status_limit" [any]: "..." => ignore,
        "vhost_traffic_status_limit_check_duplicate" [any]: "..." => ignore,
        "vhost_traffic_status_limit_traffic" [any]: "..." => ignore,
        "vhost_traffic_status_limit_traffic_by_set_key" [any]: "..." => ignore,
        "vhost_traffic_status_measure_all_status_codes" [any]: "..." => ignore,
        "vhost_traffic_status_measure_status_codes" [any]: "..." => ignore,
        "vhost_traffic_status_stats_by_upstream" [any]: "..." => ignore,
        "vhost_traffic_status_zone" [any]: "..." => ignore,
    }
}

fn ignore(_: &mut Unused, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    let name = node.name.text();
    let instead = match name.strip_prefix("vhost_traffic_status").unwrap_or_default() {
        "_zone" => "\"status_zone\" in each server and \"zone\" in each upstream",
        "_display" | "_display_format" => "\"prometheus\" or \"api\"",
        "_filter_by_set_key" => "\"status_zone\" in locations",
        "_limit" | "_limit_traffic" | "_limit_traffic_by_set_key" => {
            "\"limit_req\" and \"limit_conn\""
        }
        _ => "\"status_zone\", \"prometheus\" and \"api\"",
    };
    cx.no_effect(format!("\"{name}\" has no effect, use {instead} instead"));
    Ok(())
}
