//! `weir ha status`: what the guard knows of the addresses, what the worker knows of the other
//! nodes, and what lies beside the configuration.

use crate::console::{say, say_line};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use weir_ha::Refusal;
use weir_ha::link::show;

use super::{Server, ask, length};

/// The age in milliseconds from which what a node says over its link counts: it says it each
/// second, and addresses move faster.
const SETTLED: u64 = 3000;

/// The most sets that are named.
const MOST_ASIDE: usize = 16;

/// Prints the status.
///
/// # Errors
/// The guard or the worker does not answer; what the other one says has been printed.
pub(super) fn run(server: &Server, json: bool) -> Result<(), Refusal> {
    let shares = server.draft.ha().is_some_and(|ha| !ha.addresses.is_empty());
    let (mut status, mut fault) = match shares.then(|| ask(server)) {
        Some(Ok(status)) => (status, None),
        Some(Err(reason)) => (json!({ "fault": reason.to_string() }), Some(reason)),
        None => (json!({}), None),
    };
    match show::ask(server.links.path()) {
        Ok(links) => status["links"] = links,
        Err(error) if server.links.is_made() && fault.is_none() => {
            fault = Some(format!("the server shows no links: {error}").into());
        }
        Err(_) => {}
    }
    status["aside"] = aside(server.links.path());
    join(&mut status);
    if json {
        say_line(format_args!("{status:#}"));
        return fault.map_or(Ok(()), Err);
    }
    if status["groups"].is_array() {
        say(in_words(&status));
    }
    if !server.links.is_made() && !shares {
        say_line("no links to other nodes: \"weir ha init\" or \"weir ha join\" makes them");
    } else if status["links"].is_object() {
        say(show::text(&status["links"], unix_time()));
    }
    for kept in status["aside"].as_array().into_iter().flatten() {
        let path = kept.as_str().unwrap_or_default();
        say_line(format_args!(
            "kept aside: {path} (another configuration, made apart from it, has replaced it)"
        ));
    }
    fault.map_or(Ok(()), Err)
}

/// The wall clock in seconds since 1970.
fn unix_time() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |time| i64::try_from(time.as_secs()).unwrap_or(i64::MAX))
}

/// The configurations that others have replaced, until somebody removes them.
fn aside(identity: &Path) -> Value {
    let folder = identity.join("mirror/aside");
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<Value> = entries
        // What single files had before is there after each change.
        .filter(|entry| entry.file_name() != "files")
        .map(|entry| Value::from(entry.path().to_string_lossy()))
        .collect();
    found.sort_by_key(Value::to_string);
    found.truncate(MOST_ASIDE);
    Value::Array(found)
}

/// Adds to each group what other nodes say of it over their links: who else holds it, and why its
/// holder has it.
fn join(status: &mut Value) {
    let links = status["links"]["links"].as_array().cloned().unwrap_or_default();
    let block = status["links"]["status"]["block"].clone();
    let node = status["node"].clone();
    let Some(groups) = status["groups"].as_array_mut() else { return };
    for (number, group) in groups.iter_mut().enumerate() {
        let is_here = group["here"] == "holds";
        let is_settled = group["here_for_ms"].as_u64() > Some(SETTLED)
            && group["holder_for_ms"].as_u64() > Some(SETTLED);
        let mut holders: Vec<Value> = is_here.then(|| node.clone()).into_iter().collect();
        holders.extend([&group["holder"], &group["also_held_by"]].map(Value::clone));
        for link in links.iter().filter(|link| link["up"] == true) {
            let said = &link["status"];
            let theirs = &said["addresses"]["groups"][number];
            // Groups have the same numbers in equal blocks alone.
            if said["block"] != block || theirs["holds"] != true {
                continue;
            }
            if group["holder"] == link["node"] {
                group["holder_says"] = theirs["why"].clone();
            }
            if is_settled && theirs["time"].as_u64() > Some(SETTLED) {
                holders.push(link["node"].clone());
                if group["holder"].is_null() {
                    group["holder"] = link["node"].clone();
                    group["holder_for_ms"] = theirs["time"].clone();
                    group["holder_says"] = theirs["why"].clone();
                    group["unheard"] = json!(true);
                }
            }
        }
        holders.retain(|holder| !holder.is_null());
        holders.sort_by_key(Value::to_string);
        holders.dedup();
        let silent = links.iter().filter(|link| link["up"] != true).map(|link| &link["node"]);
        group["unknown"] =
            silent.filter(|node| is_here && !holders.contains(node)).cloned().collect();
        group["split"] = json!(holders.len() > 1);
        group["holders"] = Value::Array(holders);
    }
}

/// The status of the addresses for people.
fn in_words(status: &Value) -> String {
    let weir = [&status["links"]["status"]["weir"], &status["weir"]];
    let weir = weir.iter().find_map(|version| version.as_str());
    let weir = weir.map(|version| format!(", Weir {version}")).unwrap_or_default();
    let mut out = format!("This is node \"{}\"{weir}, ", text(&status["node"]));
    match status["unfit"].as_str() {
        None => out.push_str("fit to hold addresses.\n"),
        Some(reason) => out.push_str(&format!("not fit to hold addresses: {reason}.\n")),
    }
    if let (Some(worker), Some(guard)) =
        (status["links"]["status"]["weir"].as_str(), status["weir"].as_str())
        && worker != guard
    {
        out.push_str(&format!("Its guard process runs Weir {guard}.\n"));
    }
    for group in status["groups"].as_array().into_iter().flatten() {
        group_in_words(group, &mut out);
    }
    out
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or("?").to_owned()
}

fn names(nodes: &Value) -> String {
    let nodes = nodes.as_array().into_iter().flatten();
    nodes.map(|node| format!("\"{}\"", text(node))).collect::<Vec<_>>().join(" and ")
}

fn group_in_words(group: &Value, out: &mut String) {
    let addresses: Vec<_> = group["addresses"].as_array().into_iter().flatten().map(text).collect();
    out.push_str(&format!("{}\n", addresses.join(", ")));
    let span = |field: &str| length(group[field].as_u64().unwrap_or(0));
    match group["holder"].as_str() {
        Some(node) => {
            let why = group["holder_says"].as_str().filter(|why| !why.is_empty());
            let why = why.map(|why| format!(": {why}")).unwrap_or_default();
            out.push_str(&format!(
                "    held by node \"{node}\" for {}{why}\n",
                span("holder_for_ms")
            ));
        }
        None => out.push_str("    held by no node that this one hears\n"),
    }
    if group["unheard"] == true {
        out.push_str(
            "    it says so over its link, but no advert of it comes: let VRRP (IP protocol 112) \
             pass between the nodes\n",
        );
    }
    if group["split"] == true {
        out.push_str(&format!(
            "    HELD TWICE, by nodes {}: clients reach one or the other, until the nodes hear \
             each other's adverts (VRRP, IP protocol 112)\n",
            names(&group["holders"])
        ));
    } else if group["unknown"].as_array().is_some_and(|nodes| !nodes.is_empty()) {
        out.push_str(&format!(
            "    {} cannot be asked over a link: a node that does not hear this one holds them, \
             too\n",
            names(&group["unknown"])
        ));
    }
    let (here, why) = (text(&group["here"]), text(&group["why"]));
    out.push_str(&format!("    here: {here} for {}: {why}\n", span("here_for_ms")));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(holder: &Value, here: &str) -> Value {
        json!({
            "addresses": ["192.0.2.10/24", "2001:db8::10/64"],
            "holder": holder, "holder_for_ms": 12_345, "also_held_by": null,
            "here": here, "here_for_ms": 130_000, "why": "it says why",
        })
    }

    fn link(node: &str, holds: bool) -> Value {
        let groups = json!([{"holds": holds, "time": 5000, "why": "it rained there"}]);
        json!({
            "node": node, "up": true,
            "status": {"block": "x", "addresses": {"unfit": null, "groups": groups}},
        })
    }

    fn status(group: &Value, links: &[Value]) -> Value {
        let links = json!({"node": "b", "status": {"weir": "1", "block": "x"}, "links": links});
        let mut status =
            json!({"node": "b", "weir": "1", "unfit": null, "groups": [group], "links": links});
        join(&mut status);
        status
    }

    #[test]
    fn a_status_reads_as_a_text() {
        let shown = status(&group(&json!("a"), "waits"), &[link("a", true)]);
        assert_eq!(shown["groups"][0]["split"], false);
        assert_eq!(
            in_words(&shown),
            "This is node \"b\", Weir 1, fit to hold addresses.\n\
             192.0.2.10/24, 2001:db8::10/64\n    held by node \"a\" for 12.3 s: it rained there\n\
             \x20   here: waits for 2 min: it says why\n"
        );
        let unfit = json!({"node": "a", "unfit": "it rains", "weir": "2", "groups": []});
        assert_eq!(
            in_words(&unfit),
            "This is node \"a\", Weir 2, not fit to hold addresses: it rains.\n"
        );
        let mut upgraded = status(&group(&json!("a"), "waits"), &[]);
        upgraded["weir"] = json!("0");
        assert!(in_words(&upgraded).contains("\nIts guard process runs Weir 0.\n"));
    }

    #[test]
    fn two_holders_are_said_whoever_has_noticed() {
        let mut heard = group(&json!("b"), "holds");
        heard["also_held_by"] = json!("a");
        for shown in [
            // By adverts, without links; and over a link, without adverts.
            status(&heard, &[]),
            status(&group(&json!("b"), "holds"), &[link("a", true)]),
            // A third node sees two others.
            status(&group(&json!("a"), "waits"), &[link("b", true)]),
        ] {
            assert_eq!(shown["groups"][0]["holders"], json!(["a", "b"]));
            let text = in_words(&shown);
            assert!(text.contains("HELD TWICE, by nodes \"a\" and \"b\": "), "{text}");
        }
        // A move a moment ago is none.
        let mut fresh = group(&json!("b"), "holds");
        fresh["here_for_ms"] = json!(500);
        assert_eq!(status(&fresh, &[link("a", true)])["groups"][0]["split"], false);
        // The blocks differ, so the groups may be others.
        let mut other = link("a", true);
        other["status"]["block"] = json!("y");
        let shown = status(&group(&json!("b"), "holds"), &[other]);
        assert_eq!(shown["groups"][0]["split"], false);
    }

    #[test]
    fn a_holder_whose_adverts_do_not_come_is_named_by_its_link() {
        let shown = status(&group(&Value::Null, "unfit"), &[link("a", true)]);
        let text = in_words(&shown);
        assert!(text.contains("held by node \"a\" for 5.0 s: it rained there\n"), "{text}");
        assert!(text.contains("no advert of it comes: let VRRP (IP protocol 112) pass"), "{text}");
        let shown = status(&group(&Value::Null, "unfit"), &[link("a", false)]);
        assert!(in_words(&shown).contains("held by no node that this one hears"));
    }

    #[test]
    fn a_node_without_a_link_may_hold_addresses_too() {
        let down = json!({"node": "a", "up": false});
        let text = in_words(&status(&group(&json!("b"), "holds"), std::slice::from_ref(&down)));
        assert!(text.contains("    \"a\" cannot be asked over a link: "), "{text}");
        let text = in_words(&status(&group(&json!("a"), "waits"), &[down]));
        assert!(!text.contains("cannot be asked"), "{text}");
    }
}
