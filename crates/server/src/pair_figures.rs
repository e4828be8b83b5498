//! The state of the pair in the worker, for `/ha` of the API and for Prometheus: what the guard
//! says of the addresses, the links to the other nodes, and the mirror.

use serde_json::{Value, json};
use weir_engine::clock::{self, Wall};
use weir_ha::link;
use weir_ha::readiness::{self, Slot};
use weir_http::instance::{self, iso};
use weir_http::metrics::{self, Exposition, Labels, Source, Value as Sample};

/// Begins to show it. Once per process.
pub(crate) fn begin() {
    instance::show_pair(state);
    metrics::add(collect);
}

/// The state of the pair; `None` without an `ha` block. Waits for the thread of the links.
fn state() -> Option<Value> {
    let document = link::ask_keeper();
    let own = match &document {
        Some(document) => document["status"].clone(),
        // No links were made: only addresses are shared.
        None => {
            let said = readiness::own().and_then(Slot::guard_says)?;
            json!({ "ready": said.unfit.is_none(), "addresses": said.to_json() })
        }
    };
    Some(shown(&document.unwrap_or_default(), &own))
}

/// What the document of the links, which may be `Null`, and a node's own status say.
fn shown(document: &Value, own: &Value) -> Value {
    let names = document["groups"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut groups = held(own);
    for (number, group) in groups.iter_mut().enumerate() {
        group["addresses"] = names.get(number).cloned().unwrap_or_else(|| json!([]));
    }
    let links = document["links"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut state = json!({
        "node": document["node"].as_str().unwrap_or_default(),
        "fit": own["ready"],
        "groups": groups,
        "links": links.iter().map(|link| link_to(link, own)).collect::<Vec<_>>(),
        "mirror": document["mirror"],
    });
    if own["addresses"]["unfit"].is_string() {
        state["unfit"] = own["addresses"]["unfit"].clone();
    }
    state
}

/// The groups of addresses in the status of a node, as shown.
fn held(status: &Value) -> Vec<Value> {
    let now = clock::msec();
    let groups = status["addresses"]["groups"].as_array().into_iter().flatten();
    let show = |group: &Value| {
        let age = group["time"].as_u64().unwrap_or_default();
        json!({
            "holds": group["holds"],
            "for_ms": age,
            "since": iso(now.saturating_sub(age)),
            "why": group["why"],
        })
    };
    groups.map(show).collect()
}

/// A link as shown: its state, and what its node says of itself.
fn link_to(link: &Value, own: &Value) -> Value {
    let said = &link["status"];
    let since = link["since"].as_i64().unwrap_or_default();
    let mut shown = json!({
        "node": link["node"],
        "up": link["up"],
        "since": iso(u64::try_from(since).unwrap_or_default().saturating_mul(1000)),
        "waiting": link["waiting"],
        "reason": link["reason"].as_str().unwrap_or_default(),
    });
    if !said.is_null() {
        shown["weir"] = said["weir"].clone();
        shown["fit"] = said["ready"].clone();
        shown["same_configuration"] = json!(said["configuration"] == own["configuration"]);
        shown["groups"] = Value::Array(held(said));
        if said["addresses"]["unfit"].is_string() {
            shown["unfit"] = said["addresses"]["unfit"].clone();
        }
    }
    shown
}

fn collect(_: &Source, out: &mut Exposition) {
    if let Some(state) = state() {
        write(&state, out);
    }
}

fn write(state: &Value, out: &mut Exposition) {
    if let Some(fit) = state["fit"].as_bool() {
        out.gauge("weir_ha_fit", "Whether this node may hold addresses.").sample(Labels::NONE, fit);
    }
    of_addresses(state, out);
    of_links(state, out);
    of_mirror(&state["mirror"], out);
}

fn of_addresses(state: &Value, out: &mut Exposition) {
    let groups = state["groups"].as_array().map(Vec::as_slice).unwrap_or_default();
    let labels = groups.iter().enumerate().map(|(number, group)| {
        let names = group["addresses"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let names = names.collect::<Vec<_>>().join(" ");
        Labels::of(&[("group", number.to_string().as_str()), ("addresses", names.as_str())])
    });
    let labels = labels.collect::<Vec<_>>();
    let about = "Whether this node holds a group of addresses.";
    let mut held = out.gauge("weir_ha_addresses_held", about);
    for (labels, group) in labels.iter().zip(groups) {
        held.sample(labels, group["holds"] == true);
    }
    let about = "When this node took a group of addresses or gave it up.";
    let mut changed = out.gauge("weir_ha_addresses_changed_timestamp_seconds", about);
    let Wall { secs, millis } = clock::wall();
    let now = secs as f64 + f64::from(millis) / 1000.0;
    for (labels, group) in labels.iter().zip(groups) {
        let age = group["for_ms"].as_u64().unwrap_or_default() as f64 / 1000.0;
        changed.sample(labels, Sample::Real(now - age));
    }
}

/// A family with a number for each node.
type OfNodes = (&'static str, &'static str, fn(&Value) -> Option<Sample>);

fn of_nodes(nodes: &Value, families: &[OfNodes], out: &mut Exposition) {
    for (name, about, value) in families {
        let mut family = out.gauge(name, about);
        for node in nodes.as_array().into_iter().flatten() {
            if let (Some(name), Some(value)) = (node["node"].as_str(), value(node)) {
                family.sample(&Labels::of(&[("node", name)]), value);
            }
        }
    }
}

fn flag(value: &Value) -> Option<Sample> {
    value.as_bool().map(Sample::from)
}

fn of_links(state: &Value, out: &mut Exposition) {
    let families: &[OfNodes] = &[
        ("weir_ha_link_up", "Whether the link to a node is up.", |link| flag(&link["up"])),
        ("weir_ha_link_waiting_messages", "Messages that wait for the link to a node.", |link| {
            link["waiting"].as_u64().map(Sample::from)
        }),
        ("weir_ha_partner_fit", "Whether a node says that it may hold addresses.", |link| {
            flag(&link["fit"])
        }),
        (
            "weir_ha_partner_configuration_same",
            "Whether a node has the same files of the configuration as this one.",
            |link| flag(&link["same_configuration"]),
        ),
    ];
    of_nodes(&state["links"], families, out);
}

fn of_mirror(mirror: &Value, out: &mut Exposition) {
    let families: &[OfNodes] = &[
        ("weir_ha_mirror_connected", "Whether a node takes part in the mirror.", |node| {
            flag(&node["connected"])
        }),
        (
            "weir_ha_mirror_lag_parts",
            "Parts of the mirror that a node has not been sent yet.",
            |node| node["waiting"].as_u64().map(Sample::from),
        ),
    ];
    of_nodes(&mirror["nodes"], families, out);
    let numbers = [
        ("weir_ha_mirror_records", "Records that the nodes share.", "records"),
        ("weir_ha_mirror_left_out_records", "Records without room here.", "left_out"),
        ("weir_ha_mirror_untold_counts", "Counts that had no room on the link.", "untold"),
    ];
    for (name, about, field) in numbers {
        if let Some(number) = mirror[field].as_u64() {
            out.gauge(name, about).sample(Labels::NONE, number);
        }
    }
    if mirror["has_configuration"] == true {
        let about = "Whether all nodes are known to have the configuration of this one.";
        let known = mirror["acknowledged"] == true;
        out.gauge("weir_ha_mirror_acknowledged", about).sample(Labels::NONE, known);
    }
}

#[cfg(test)]
mod tests {
    use weir_http::metrics::Format;

    use super::*;

    /// What a guard says, an hour after the address has moved.
    fn own() -> Value {
        let group = json!({ "holds": true, "time": 3_600_000, "why": "node \"b\" is silent" });
        json!({ "ready": true, "configuration": "c", "addresses": { "groups": [group] } })
    }

    fn document() -> Value {
        let said = json!({ "weir": "0.1.0", "ready": false, "configuration": "c",
            "addresses": { "unfit": "the disk is full", "groups": [
                { "holds": false, "time": 1, "why": "not fit" }] } });
        json!({
            "node": "a",
            "groups": [["192.0.2.10/24", "2001:db8::10/64"]],
            "links": [
                { "node": "b", "up": true, "since": 1, "waiting": 2, "reason": "", "status": said },
                { "node": "c", "up": false, "since": 1, "waiting": 0, "reason": "it is away" },
            ],
            "mirror": null,
        })
    }

    #[test]
    fn addresses_and_partners_are_told() {
        let state = shown(&document(), &own());
        let group = &state["groups"][0];
        assert_eq!((&group["holds"], &group["for_ms"]), (&json!(true), &json!(3_600_000)));
        assert_eq!(group["addresses"], json!(["192.0.2.10/24", "2001:db8::10/64"]));
        assert_eq!(state["links"][0]["unfit"], "the disk is full");
        assert_eq!(state["links"][0]["same_configuration"], true);
        assert_eq!(state["links"][1].get("fit"), None, "it has said nothing");
        let mut out = Exposition::new(Format::Text);
        write(&state, &mut out);
        let text = out.finish();
        for line in [
            "weir_ha_fit 1",
            "weir_ha_addresses_held{group=\"0\",addresses=\"192.0.2.10/24 2001:db8::10/64\"} 1",
            "weir_ha_partner_fit{node=\"b\"} 0",
            "weir_ha_link_up{node=\"c\"} 0",
            "weir_ha_link_waiting_messages{node=\"b\"} 2",
        ] {
            assert!(text.lines().any(|known| known == line), "{line} in {text}");
        }
        assert!(!text.contains("partner_fit{node=\"c\"}"), "{text}");
    }

    /// Without links, the guard alone is asked.
    #[test]
    fn a_node_without_links_tells_of_its_addresses() {
        let state = shown(&Value::Null, &own());
        assert_eq!((&state["node"], &state["links"]), (&json!(""), &json!([])));
        assert_eq!((&state["groups"][0]["addresses"], &state["fit"]), (&json!([]), &json!(true)));
    }
}
