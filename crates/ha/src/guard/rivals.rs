//! keepalived processes that are not ours, and that would quarrel about the same addresses.

use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::program::PROGRAM;
use crate::plan::Plan;

/// keepalived's own configuration.
const DEFAULT_CONF: &str = "/etc/keepalived/keepalived.conf";

/// The limit of a configuration that is looked at.
const LONGEST: u64 = 1 << 20;

/// What another keepalived in this network namespace has in common with the plan, each in words.
pub(super) fn find(plan: &Plan, folder: &Path) -> Vec<String> {
    let Ok(own) = std::fs::metadata("/proc/self/ns/net") else { return Vec::new() };
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let mut seen: Vec<PathBuf> = Vec::new();
    let mut quarrels = Vec::new();
    for pid in pids {
        let Some(conf) = conf_of(pid, own.ino()) else { continue };
        if conf.starts_with(folder) || seen.contains(&conf) {
            continue;
        }
        let length = std::fs::metadata(&conf).map_or(0, |found| found.len());
        let text =
            if length > LONGEST { Ok(String::new()) } else { std::fs::read_to_string(&conf) };
        let common = quarrel(&text.unwrap_or_default(), plan);
        quarrels.extend(
            common.map(|what| {
                format!("keepalived process {pid} ({}) also has {what}", conf.display())
            }),
        );
        seen.push(conf);
    }
    quarrels
}

/// The configuration of a keepalived in this network namespace.
fn conf_of(pid: i32, namespace: u64) -> Option<PathBuf> {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    let its = std::fs::metadata(format!("/proc/{pid}/ns/net")).ok()?;
    if name.trim_end() != PROGRAM || its.ino() != namespace {
        return None;
    }
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let words =
        line.split(|&byte| byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
    // It may be named from its working directory, as the guard's is.
    let from = std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
    Some(from.join(conf_named(&words.collect::<Vec<_>>())))
}

/// The file that a command line names.
fn conf_named(words: &[String]) -> PathBuf {
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let next = match word.as_str() {
            "-f" | "--use-file" => words.next().map(String::as_str),
            word => word
                .strip_prefix("--use-file=")
                .or_else(|| word.strip_prefix("-f").filter(|rest| !rest.is_empty())),
        };
        if let Some(file) = next {
            return file.into();
        }
    }
    DEFAULT_CONF.into()
}

/// What a configuration has in common with a plan.
fn quarrel(text: &str, plan: &Plan) -> Option<String> {
    let lines = text.lines().map(|line| line.split(['#', '!']).next().unwrap_or_default());
    for line in lines {
        let mut words = line.split_whitespace();
        let first = words.next().unwrap_or_default();
        if first == "virtual_router_id"
            && let Some(id) = words.next().and_then(|word| word.parse::<u8>().ok())
            && plan.groups.iter().any(|group| group.router_id == id)
        {
            return Some(format!(
                "virtual_router_id {id}: give \"ha\" another one with \"virtual_router_id\""
            ));
        }
        let address = first.split('/').next().and_then(|text| text.parse::<IpAddr>().ok());
        if let Some(address) = address
            && plan.addresses().any(|(known, ..)| *known == address)
        {
            return Some(format!("the address {address}: take it out of one of both"));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_common_number_or_address_is_named() {
        let plan = Plan::example();
        let with = |line: &str| quarrel(&format!("vrrp_instance x {{\n  {line}\n}}\n"), &plan);
        assert!(with("virtual_router_id 94 # x").unwrap().contains("virtual_router_id 94"));
        assert!(with("192.0.2.1/24 dev eth0").unwrap().contains("192.0.2.1"));
        for line in ["virtual_router_id 95", "#virtual_router_id 94", "192.0.2.3", "! 192.0.2.1"] {
            assert_eq!(with(line), None, "{line}");
        }
    }

    #[test]
    fn the_file_of_a_command_line_is_found() {
        let named = |line: &str| {
            let words: Vec<_> = line.split(' ').map(str::to_owned).collect();
            conf_named(&words).display().to_string()
        };
        assert_eq!(named("keepalived -n -f /x"), "/x");
        assert_eq!(named("keepalived -f/x"), "/x");
        assert_eq!(named("keepalived --use-file=/x"), "/x");
        assert_eq!(named("keepalived -n"), DEFAULT_CONF);
    }
}
