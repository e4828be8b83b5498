//! What the guard needs to know of a configuration, as the master sends it.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::Refusal;
use crate::keepalived::{self, Here, Mode};
use crate::settings::Ha;

/// The version of plans and of the messages between master and guard. A guard of another version
/// is replaced, which moves the addresses.
pub const VERSION: u64 = 2;

/// A plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The place of this node in `nodes`.
    pub here: usize,
    /// All nodes with their addresses.
    pub nodes: Vec<(String, Vec<IpAddr>)>,
    /// The interval of adverts.
    pub advert: Duration,
    /// The time after which a thread counts as stalled.
    pub stall: Duration,
    /// The required upstreams.
    pub required: Vec<String>,
    /// The configuration of keepalived.
    pub conf: String,
    /// The groups of addresses.
    pub groups: Vec<PlannedGroup>,
    /// The guard's folder, which follows from the pid file.
    pub folder: PathBuf,
    /// The file that is there while this node has left the pair (`weir ha leave`).
    pub left: PathBuf,
    /// The error log, as [`crate::guard::log::describe`] writes it.
    pub log: Value,
}

/// Addresses that move together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedGroup {
    /// Its VRRP identifier.
    pub router_id: u8,
    /// Its addresses, each with the length of its prefix and its interface.
    pub addresses: Vec<(IpAddr, u8, String)>,
    /// The configuration of keepalived with which it takes its addresses back.
    pub urgent: String,
}

impl Plan {
    /// The plan of a node whose guard's files lie in `folder`; `left` is the file that says that it
    /// has left the pair. The error log is still to be set.
    ///
    /// # Errors
    /// See [`keepalived::configuration`].
    pub fn of(ha: &Ha, here: &Here, folder: &Path, left: PathBuf) -> Result<Self, Refusal> {
        let conf = |mode| keepalived::configuration(ha, here, folder, mode);
        let group = |(number, group): (usize, crate::settings::Group<'_>)| {
            let addresses = group.addresses.iter().map(|known| {
                let interface = known.interface.as_ref().unwrap_or(&here.interface);
                (known.address, known.prefix, interface.clone())
            });
            Ok(PlannedGroup {
                router_id: ha.router_id.0.saturating_add(u8::try_from(number).unwrap_or(u8::MAX)),
                addresses: addresses.collect(),
                urgent: conf(Mode::Urgent(number))?,
            })
        };
        let groups = ha.groups().into_iter().enumerate().map(group);
        Ok(Self {
            here: here.node,
            nodes: ha.nodes.iter().map(|n| (n.name.clone(), n.addresses.clone())).collect(),
            advert: ha.advert.0,
            stall: ha.stall.0,
            required: ha.require.iter().map(|required| required.name.clone()).collect(),
            conf: conf(Mode::Usual)?,
            groups: groups.collect::<Result<_, Refusal>>()?,
            folder: folder.to_owned(),
            left,
            log: Value::Null,
        })
    }

    /// The name of the node.
    pub fn name(&self) -> &str {
        &self.nodes[self.here].0
    }

    /// The node with this address.
    pub fn node_of(&self, address: IpAddr) -> Option<&str> {
        let mut nodes = self.nodes.iter();
        nodes.find(|(_, known)| known.contains(&address)).map(|(name, _)| name.as_str())
    }

    /// All virtual addresses.
    pub fn addresses(&self) -> impl Iterator<Item = &(IpAddr, u8, String)> {
        self.groups.iter().flat_map(|group| &group.addresses)
    }

    /// The plan as JSON.
    pub fn to_json(&self) -> Vec<u8> {
        let nodes = self.nodes.iter().map(|(name, addresses)| json!([name, texts(addresses)]));
        let groups = self.groups.iter().map(|group| {
            let addresses = group.addresses.iter();
            let addresses =
                addresses.map(|(address, prefix, on)| json!([address.to_string(), prefix, on]));
            json!({
                "router_id": group.router_id,
                "addresses": addresses.collect::<Vec<_>>(),
                "urgent": group.urgent,
            })
        });
        let plan = json!({
            "version": VERSION,
            "here": self.here,
            "nodes": nodes.collect::<Vec<_>>(),
            "advert": millis(self.advert),
            "stall": millis(self.stall),
            "required": self.required,
            "conf": self.conf,
            "groups": groups.collect::<Vec<_>>(),
            "folder": self.folder.to_string_lossy(),
            "left": self.left.to_string_lossy(),
            "log": self.log,
        });
        plan.to_string().into_bytes()
    }

    /// Reads a plan; `None` if it is of another version.
    pub fn from_json(bytes: &[u8]) -> Option<Self> {
        let plan: Value = serde_json::from_slice(bytes).ok()?;
        if plan["version"].as_u64()? != VERSION {
            return None;
        }
        let nodes = plan["nodes"].as_array()?.iter().map(|node| {
            let addresses = node[1].as_array()?.iter().map(|text| text.as_str()?.parse().ok());
            Some((node[0].as_str()?.to_owned(), addresses.collect::<Option<Vec<_>>>()?))
        });
        let nodes = nodes.collect::<Option<Vec<_>>>()?;
        let groups = plan["groups"].as_array()?.iter().map(|group| {
            let addresses = group["addresses"].as_array()?.iter().map(|known| {
                let prefix = u8::try_from(known[1].as_u64()?).ok()?;
                Some((known[0].as_str()?.parse().ok()?, prefix, known[2].as_str()?.to_owned()))
            });
            Some(PlannedGroup {
                router_id: u8::try_from(group["router_id"].as_u64()?).ok()?,
                addresses: addresses.collect::<Option<Vec<_>>>()?,
                urgent: group["urgent"].as_str()?.to_owned(),
            })
        });
        let required = plan["required"].as_array()?.iter();
        let here = usize::try_from(plan["here"].as_u64()?).ok()?;
        Some(Self {
            here: Some(here).filter(|&here| here < nodes.len())?,
            nodes,
            advert: Duration::from_millis(plan["advert"].as_u64()?),
            stall: Duration::from_millis(plan["stall"].as_u64()?),
            required: required
                .map(|name| Some(name.as_str()?.to_owned()))
                .collect::<Option<_>>()?,
            conf: plan["conf"].as_str()?.to_owned(),
            groups: groups.collect::<Option<Vec<_>>>()?,
            folder: plan["folder"].as_str()?.into(),
            left: plan["left"].as_str()?.into(),
            log: plan["log"].clone(),
        })
    }

    /// A plan with two groups, for tests: the second of two nodes.
    #[cfg(test)]
    pub(crate) fn example() -> Self {
        let group = |last| PlannedGroup {
            router_id: 94,
            addresses: vec![([192, 0, 2, last].into(), 24, "eth0".into())],
            urgent: "x".into(),
        };
        Self {
            here: 1,
            nodes: vec![
                ("a".into(), vec![[10, 0, 0, 1].into()]),
                ("b".into(), vec!["fd00::2".parse().unwrap(), [10, 0, 0, 2].into()]),
            ],
            advert: Duration::from_millis(100),
            stall: Duration::from_millis(250),
            required: vec!["backend".into()],
            conf: "global_defs {\n}\n".into(),
            groups: vec![group(1), group(2)],
            folder: "/run/weir-ha/x".into(),
            left: "/var/lib/weir/ha/left".into(),
            log: json!([{"level": "warn"}]),
        }
    }
}

fn texts(addresses: &[IpAddr]) -> Vec<String> {
    addresses.iter().map(IpAddr::to_string).collect()
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_survives_the_transfer() {
        let plan = Plan::example();
        assert_eq!(Plan::from_json(&plan.to_json()), Some(plan.clone()));
        assert_eq!(plan.name(), "b");
        assert_eq!(plan.node_of([10, 0, 0, 1].into()), Some("a"));
    }

    #[test]
    fn anything_else_is_refused() {
        let text = String::from_utf8(Plan::example().to_json()).unwrap();
        for (from, to) in [
            ("\"version\":2", "\"version\":3"),
            ("\"here\":1", "\"here\":2"),
            ("10.0.0.1", "10.0.0"),
            ("\"router_id\":94", "\"router_id\":256"),
        ] {
            assert!(text.contains(from), "{from}");
            assert_eq!(Plan::from_json(text.replace(from, to).as_bytes()), None, "{to}");
        }
        assert_eq!(Plan::from_json(b"{"), None);
    }
}
