//! The servers of a group as text: in its `state` file, and in the journal for the successor of a
//! killed worker.
//!
//! A line of a state file is a `server` directive. The journal adds what a configuration does not
//! say: the server's number, its origin and its address.

mod edited;
mod health;

use std::{fmt::Write, sync::Arc};

use weir_conf::{FileId, Node, parser};
use weir_engine::{
    Level,
    error_log::process_log,
    journal,
    os_error::Failed,
    temp_file,
    url::{UrlOptions, parse_url},
};

use crate::{
    clock::Now,
    config::GroupConfig,
    edit::EditError,
    edited::Edited,
    group::Group,
    peer::{Peer, hex_md5},
    quoted::quoted,
    roster::{Host, Listed, Roster},
    server::{Admission, Limits, Name, Origin, Server, ServerId},
    set::Lines,
    settings::{Reading, Supported, read_server},
    shared_records,
};

/// The words of origins in the journal.
const CONF: &str = "conf";
const RUN_TIME: &str = "run_time";
const LISTED: &str = "listed";

/// The word before what was edited.
const EDITED: &str = "edited";

/// The address of a name in the journal, and the number of a listed server that has none.
const NO_ADDRESS: &str = "-";

/// A server with its parameters, to be written as a directive.
struct Line<'a> {
    text: &'a str,
    limits: &'a Limits,
    backup: bool,
    route: Option<&'a str>,
    name: Option<&'a Name>,
}

impl<'a> Line<'a> {
    fn of_host(host: &'a Host) -> Self {
        let server = &host.server;
        let (limits, route) = (&server.limits, server.route());
        let (backup, name) = (server.backup, Some(&host.name));
        Self { text: &server.text, limits, backup, route, name }
    }

    fn of_server(server: &'a Server) -> Self {
        let Server { text, addresses: _, limits, backup, route: _, resolve } = server;
        Self { text, limits, backup: *backup, route: server.route(), name: resolve.as_ref() }
    }

    fn of_peer(peer: &'a Peer, text: &'a str, backup: bool) -> Self {
        Self { text, limits: &peer.limits, backup, route: peer.own_route(), name: None }
    }

    /// Appends the arguments of the directive; defaults are left out.
    fn write(&self, out: &mut String) {
        let default = Limits::default();
        let Limits {
            weight,
            max_conns,
            max_fails,
            fail_timeout,
            slow_start,
            admission,
            agent,
            locality,
        } = self.limits;
        out.push_str(&quoted(self.text));
        let mut add = |name: &str, value: &dyn std::fmt::Display| {
            out.push(' ');
            out.push_str(&quoted(&format!("{name}{value}")));
        };
        if *weight != default.weight {
            add("weight=", weight);
        }
        if *max_conns != default.max_conns {
            add("max_conns=", max_conns);
        }
        if *max_fails != default.max_fails {
            add("max_fails=", max_fails);
        }
        if *fail_timeout != default.fail_timeout {
            add("fail_timeout=", fail_timeout);
        }
        if *slow_start != default.slow_start {
            add("slow_start=", slow_start);
        }
        if let Some(ip) = agent.ip {
            add("agent_addr=", &ip);
        }
        if let Some(port) = agent.port {
            add("agent_port=", &port);
        }
        if let Some(route) = self.route {
            add("route=", &route);
        }
        if let Some(locality) = locality {
            add("locality=", locality);
        }
        if let Some(name) = self.name {
            add("resolve", &"");
            if let Some(service) = &name.service {
                add("service=", service);
            }
        }
        if self.backup {
            add("backup", &"");
        }
        match admission {
            Admission::Open => {}
            Admission::Draining => add("drain", &""),
            Admission::Down => add("down", &""),
        }
    }
}

/// The content of a group's state file: servers that no source lists.
fn state_text(roster: &Roster, lines: &Lines) -> String {
    let mut found: Vec<(ServerId, Line<'_>)> = Vec::new();
    let hosts = roster.hosts.iter().filter(|host| host.origin != Origin::Listed);
    found.extend(hosts.map(|host| (host.id, Line::of_host(host))));
    for backup in [false, true] {
        let is_own = |peer: &&Arc<Peer>| is_fixed(peer) && peer.origin != Origin::Listed;
        let fixed = lines.get(backup).iter().filter(is_own);
        found.extend(fixed.map(|peer| (peer.id, Line::of_peer(peer, &peer.name, backup))));
    }
    found.sort_by_key(|(id, _)| *id);
    let mut text = String::new();
    for (_, line) in found {
        text.push_str("server ");
        line.write(&mut text);
        text.push_str(";\n");
    }
    text
}

/// The servers of a source, as a file that lists them.
pub(crate) fn listed_text(servers: &[Server]) -> String {
    let mut text = String::new();
    for server in servers {
        Line::of_server(server).write(&mut text);
        text.push('\n');
    }
    if servers.is_empty() { "none\n".to_owned() } else { text }
}

/// A group in the journal.
fn journal_text(config: &GroupConfig, roster: &Roster, lines: &Lines) -> String {
    let mut text = format!("as {} {};\n", as_written(config), roster.next_number());
    let mut add = |backup: bool, id: String, origin: Origin, address: &str, line: Line<'_>| {
        let origin = match origin {
            Origin::Conf => CONF,
            Origin::Listed => LISTED,
            Origin::RunTime | Origin::Resolved(_) => RUN_TIME,
        };
        let line_name = if backup { "backup" } else { "primary" };
        let _ = write!(text, "{line_name} {id} {origin} {} ", quoted(address));
        line.write(&mut text);
        text.push_str(";\n");
    };
    for host in &roster.hosts {
        let line = Line::of_host(host);
        let id = numbered(host.id, host.twin);
        add(host.server.backup, id, host.origin, NO_ADDRESS, line);
    }
    for backup in [false, true] {
        for peer in lines.get(backup).iter().filter(|peer| is_fixed(peer)) {
            let line = Line::of_peer(peer, &peer.server, backup);
            add(backup, numbered(peer.id, peer.twin), peer.origin, &peer.name, line);
        }
    }
    edited::write_journal(roster, lines, &mut text);
    for Listed { server, id } in &roster.listed {
        let id = id.map_or_else(|| NO_ADDRESS.to_owned(), |id| id.to_string());
        let _ = write!(text, "{LISTED} {id} ");
        Line::of_server(server).write(&mut text);
        text.push_str(";\n");
    }
    text
}

/// A number in the journal, and that among equal servers.
fn numbered(id: ServerId, twin: u32) -> String {
    if twin == 0 { id.to_string() } else { format!("{id}+{twin}") }
}

fn read_numbered(text: &str) -> Option<(ServerId, u32)> {
    let (id, twin) = text.split_once('+').unwrap_or((text, "0"));
    Some((ServerId(id.parse().ok()?), twin.parse().ok()?))
}

/// Whether a peer is listed itself, and not by its name.
fn is_fixed(peer: &Peer) -> bool {
    !matches!(peer.origin, Origin::Resolved(_))
}

/// What the configuration says about the servers. A group under another one drops its edits.
fn as_written(config: &GroupConfig) -> String {
    let mut written = match &config.state {
        Some(path) => format!("{}", path.display()),
        None => {
            let servers = config.servers.iter();
            let lines = servers.map(|it| (&it.text, &it.limits, it.backup, &it.route, &it.resolve));
            format!("{:?}", lines.collect::<Vec<_>>())
        }
    };
    if config.discover.is_some() {
        written.push_str(" and others");
    }
    hex_md5(written.as_bytes())
}

/// What nodes must have in common about a group's lines to have edits in common. The folder of a
/// state file is each node's own.
fn as_shared(config: &GroupConfig) -> String {
    let Some(path) = &config.state else { return as_written(config) };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let others = if config.discover.is_some() { " and others" } else { "" };
    hex_md5(format!("state {name}{others}").as_bytes())
}

impl Group {
    /// The key of a record that nodes have in common.
    pub(crate) fn shared_key(&self, place: &str) -> Vec<u8> {
        format!("{}\0{}\0{place}", self.config.key, self.lines_hash()).into_bytes()
    }

    /// What the configuration says about the servers, as a hash.
    pub(crate) fn lines_hash(&self) -> &str {
        self.lines_hash.get_or_init(|| as_shared(&self.config))
    }

    /// Notes the servers in the journal; the caller holds the roster.
    pub(crate) fn note(&self, roster: &Roster) {
        let text = journal_text(&self.config, roster, &self.lines());
        if let Err(error) = journal::put(&self.config.journal_key(), text.as_bytes()) {
            let what = format!("noting the servers of upstream \"{}\" failed", self.config.name);
            process_log().log(Level::Alert, 0, Failed(&what, &error));
        }
        self.tell_health_change();
    }

    /// Writes the state file, if the group has one.
    ///
    /// # Errors
    /// The file could not be written, which has been logged.
    pub(crate) fn save(&self) -> Result<(), EditError> {
        let Some(path) = &self.config.state else { return Ok(()) };
        let _only_one = self.saving.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let roster = self.roster();
        let mut text = state_text(&roster, &self.lines());
        if shared_records::has_mirror() {
            edited::write_versions(&roster, &self.lines(), &mut text);
        }
        drop(roster);
        temp_file::replace(path, text.as_bytes()).map_err(|error| {
            let (path, name) = (path.display(), &self.config.name);
            let what = format!("state file \"{path}\" of upstream \"{name}\" was not written");
            let message = Failed(&what, &error).to_string();
            process_log().log(Level::Alert, 0, &message);
            EditError::NotSaved(message)
        })
    }

    /// Restores the servers of a killed worker, if the configuration says the same about them, and
    /// their health.
    pub fn restore(&self) {
        self.restore_servers();
        self.restore_health(Now::current());
    }

    fn restore_servers(&self) {
        let Some(record) = journal::take(&self.config.journal_key()) else {
            return self.restore_versions();
        };
        let mut roster = self.roster();
        let (config, now) = (&self.config, self.lines());
        let Some((fresh, lines)) = read_record(&record, config, &roster, &now) else { return };
        roster.replace(fresh);
        self.line_up(lines);
        self.note(&roster);
        self.tell_names_change();
        drop(roster);
        // The worker may have been killed between its note and the file.
        if !self.is_saved() {
            let _ = self.save();
        }
    }

    /// Whether the state file, if there is one, has the current servers.
    fn is_saved(&self) -> bool {
        let Some(path) = &self.config.state else { return true };
        let text = state_text(&self.roster(), &self.lines());
        let is_same = |saved: String| {
            let servers = saved.lines().filter(|line| !line.starts_with(edited::COMMENT));
            servers.eq(text.lines())
        };
        std::fs::read_to_string(path).is_ok_and(is_same)
    }

    /// Restores what the state file says about edits, for a new process: its lines are those of the
    /// configuration.
    fn restore_versions(&self) {
        let Some(path) = &self.config.state else { return };
        let Ok(text) = std::fs::read(path) else { return };
        let (mut roster, mut lines) = (self.roster(), self.lines());
        if edited::read_versions_of(&text, self.config.side(), &mut roster, &mut lines) {
            self.line_up(lines);
            self.note(&roster);
        }
    }
}

/// The servers of a record: those of names, with the next number, and those with addresses, among
/// the resolved ones. `None` if the record is for another configuration, or broken.
fn read_record(
    record: &[u8],
    config: &GroupConfig,
    roster: &Roster,
    now: &Lines,
) -> Option<(Roster, Lines)> {
    let nodes = parser::parse(record, FileId(0)).nodes;
    let (first, servers) = nodes.split_first()?;
    let word = |node: &Node, place: usize| node.arg(place).map(|word| word.text().into_owned());
    if !first.name.is("as") || word(first, 0)? != as_written(config) {
        return None;
    }
    let mut roster = roster.emptied(word(first, 1)?.parse().ok()?);
    let reading = Reading { side: config.side(), supported: Supported::ALL, env: None };
    let mut lines = now.clone();
    lines.retain(|peer| !is_fixed(peer));
    for node in servers {
        if node.name.is(LISTED) {
            let id = word(node, 0)?.parse().ok().map(ServerId);
            let server = read_server(node.args.get(1..)?, reading).ok()?;
            roster.listed.push(Listed { server, id });
            continue;
        }
        if node.name.is(EDITED) {
            let edited = Edited::read(node.arg(1)?, node.args.get(2..)?, config.side())?;
            roster.edits.insert(word(node, 0)?, edited);
            continue;
        }
        let backup = node.name.is("backup");
        let (id, twin) = read_numbered(&word(node, 0)?)?;
        let origin = match word(node, 1)?.as_str() {
            CONF => Origin::Conf,
            LISTED => Origin::Listed,
            _ => Origin::RunTime,
        };
        let address = word(node, 2)?;
        let server = read_server(node.args.get(3..)?, reading).ok()?;
        if let Some(name) = server.resolve.clone() {
            let host = Host { twin, ..Host::new(id, origin, server, name) };
            roster.hosts.push(Arc::new(host));
            continue;
        }
        let options = UrlOptions { default_port: 0, uri_part: false, lookup: None };
        let address = parse_url(&address, options).ok()?.addresses.pop()?;
        let (limits, route) = (server.limits.clone(), server.route());
        let mut peer = Peer::new(address, &server.text, limits, route);
        (peer.id, peer.origin, peer.twin) = (id, origin, twin);
        roster.admit(&mut peer);
        lines.of(backup).push(Arc::new(peer));
    }
    roster.settle_edits(&lines);
    Some((roster, lines))
}

/// Reads bytes as a record and as a state file. Servers that can be read are written, and read
/// again as the same.
pub(crate) fn fuzz(bytes: &[u8]) {
    let config = GroupConfig::implicit("http u".into(), "u", Vec::new());
    let record = [format!("as {} 1;\n", as_written(&config)).as_bytes(), bytes].concat();
    let empty = Roster::of(&config).0;
    let _ = read_record(&record, &config, &empty, &Lines::default());
    health::fuzz(bytes, &config);
    edited::fuzz(bytes);
    let reading = Reading { side: config.side(), supported: Supported::ALL, env: None };
    let mut lines = Lines::default();
    let mut roster = empty.emptied(0);
    for node in parser::parse(bytes, FileId(0)).nodes {
        if let Ok(server) = read_server(&node.args, reading) {
            roster.add(&server, Origin::RunTime, &mut lines);
        }
    }
    let text = state_text(&roster, &lines);
    let (mut lines, mut again) = (Lines::default(), empty.emptied(0));
    for node in parser::parse(text.as_bytes(), FileId(0)).nodes {
        if let Ok(server) = read_server(&node.args, reading) {
            again.add(&server, Origin::RunTime, &mut lines);
        }
    }
    assert_eq!(state_text(&again, &lines), text);
}

#[cfg(test)]
mod tests;
