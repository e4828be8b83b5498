//! What was edited about a server as text: for other nodes, and in the journal and the state file.
//!
//! ```text
//!  gone VERSION conf|run_time;
//!  here VERSION conf|run_time ID TWIN ADDRESS|- VERSIONS|- SERVER [PARAMETERS];
//! ```
//!
//! In the journal only, it is `awaited` if another node has it, and `kept VERSION VERSIONS|-` if it
//! is beside its server. `VERSIONS` has the parameters whose version is not that of the server, as
//! in `weight=5,admission=7`.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write,
};

use weir_conf::{FileId, Word, parser};
use weir_engine::{
    Addr,
    url::{UrlOptions, parse_url},
};

use super::{CONF, EDITED, Line, NO_ADDRESS, RUN_TIME};
use crate::{
    config::GroupConfig,
    edit::renumber::renumber,
    edited::{Class, Described, Edited, Param, State, Versions},
    group::Group,
    quoted::quoted,
    roster::Roster,
    server::ServerId,
    set::Lines,
    settings::{Reading, Supported, read_server},
    upstreams::Side,
};

/// The beginning of comments in a state file.
pub(super) const COMMENT: &str = "# edited ";

/// The words of states.
const GONE: &str = "gone";
const HERE: &str = "here";
const AWAITED: &str = "awaited";
const KEPT: &str = "kept";

/// The end of the numbers that a node may give to a server. The rest is for this one.
const MOST_ID: u32 = 1 << 30;

/// The longest record that is read; longer than any server with its parameters.
const MOST_BYTES: usize = 8 << 10;

impl Edited {
    /// Its text without an end; `server` is what is here.
    pub(crate) fn text(&self, server: Option<&Described>) -> String {
        let (word, server) = match (&self.state, server) {
            (State::Awaited(server), _) => (AWAITED, &**server),
            (State::Here, Some(server)) => (HERE, server),
            (State::Here, None) => return format!("{GONE} {} {RUN_TIME}", self.version),
            (State::Gone { written }, _) => {
                let origin = if *written { CONF } else { RUN_TIME };
                return format!("{GONE} {} {origin}", self.version);
            }
        };
        let origin = if server.is_conf { CONF } else { RUN_TIME };
        let address = server.server.addresses.first().map(ToString::to_string);
        let address = address.unwrap_or_else(|| NO_ADDRESS.to_owned());
        let Described { id, twin, .. } = server;
        let mut text = format!("{word} {} {origin} {id} {twin} ", self.version);
        let _ = write!(text, "{} {} ", quoted(&address), self.versions());
        Line::of_server(&server.server).write(&mut text);
        text
    }

    fn versions(&self) -> String {
        let differing = Param::ALL.into_iter().filter_map(|(param, name)| {
            let version = self.params.of(param);
            (version != self.version).then(|| format!("{name}={version}"))
        });
        let differing: Vec<String> = differing.collect();
        if differing.is_empty() { NO_ADDRESS.to_owned() } else { differing.join(",") }
    }

    /// The record for other nodes.
    pub(crate) fn record(&self, server: Option<&Described>) -> Vec<u8> {
        // What this node awaits is elsewhere.
        let text = self.text(server);
        let text = match text.strip_prefix(AWAITED) {
            Some(rest) => HERE.to_owned() + rest,
            None => text,
        };
        (text + ";").into_bytes()
    }

    /// Reads the record of another node: the server is awaited, or gone.
    pub(crate) fn read_record(bytes: &[u8], side: Side) -> Option<Self> {
        if bytes.len() > MOST_BYTES {
            return None;
        }
        let parsed = parser::parse(bytes, FileId(0));
        let [node] = &parsed.nodes[..] else { return None };
        Self::read(&node.name, &node.args, side).filter(|edited| edited.state != State::Here)
    }

    /// Reads a text. A server that is here is awaited, until it is found.
    pub(crate) fn read(word: &Word, args: &[Word], side: Side) -> Option<Self> {
        let text = |place: usize| args.get(place).map(|word| word.text().into_owned());
        let version = text(0)?.parse().ok()?;
        if word.is(KEPT) {
            let params = read_versions(version, &text(1)?)?;
            return Some(Self { version, params, state: State::Here });
        }
        let is_conf = text(1)? == CONF;
        if word.is(GONE) {
            let state = State::Gone { written: is_conf };
            return Some(Self { version, params: Versions::all(version), state });
        }
        if !word.is(HERE) && !word.is(AWAITED) {
            return None;
        }
        let id = text(2)?.parse().ok().filter(|&id| id < MOST_ID).map(ServerId)?;
        let twin = text(3)?.parse().ok()?;
        let params = read_versions(version, &text(5)?)?;
        let reading = Reading { side, supported: Supported::ALL, env: None };
        let mut server = read_server(args.get(6..)?, reading).ok()?;
        if server.resolve.is_none() {
            let options = UrlOptions { default_port: 0, uri_part: false, lookup: None };
            server.addresses = parse_url(&text(4)?, options).ok()?.addresses;
            server.addresses.truncate(1);
            // Without a port, it is no address of a server.
            server.addresses.first().filter(|address| address.port() != Some(0))?;
        }
        let described = Box::new(Described { id, is_conf, twin, server });
        Some(Self { version, params, state: State::Awaited(described) })
    }
}

fn read_versions(version: u64, text: &str) -> Option<Versions> {
    let mut versions = Versions::all(version);
    if text == NO_ADDRESS {
        return Some(versions);
    }
    for part in text.split(',') {
        let (name, version) = part.split_once('=')?;
        // A later release may have further parameters.
        let known = Param::ALL.into_iter().find(|(_, known)| *known == name);
        if let Some((param, _)) = known {
            versions.set(param, version.parse().ok()?);
        }
    }
    Some(versions)
}

/// Appends to a journal what was edited when. Only addresses of names are not in it otherwise.
pub(super) fn write_journal(roster: &Roster, lines: &Lines, text: &mut String) {
    let is_resolved = |place: &String| Class::of(place) == Class::Resolved;
    let found = match roster.edits.by_place.keys().any(is_resolved) {
        true => roster.places(lines),
        false => BTreeMap::new(),
    };
    for (place, edited) in &roster.edits.by_place {
        let edited = match edited.state {
            State::Here if Class::of(place) != Class::Resolved => {
                format!("{KEPT} {} {}", edited.version, edited.versions())
            }
            _ => edited.text(found.get(place).map(|found| found.describe()).as_ref()),
        };
        let _ = writeln!(text, "{EDITED} {} {edited};", quoted(place));
    }
}

/// Appends to a state file what was edited when, for the nodes of a pair, as comments.
pub(super) fn write_versions(roster: &Roster, lines: &Lines, text: &mut String) {
    for (place, found) in roster.places(lines) {
        if Class::of(&place) == Class::Own {
            let edited = roster.edits.of(&place).cloned().unwrap_or_default();
            let edited = edited.text(Some(&found.describe()));
            let _ = writeln!(text, "{COMMENT}{} {edited};", quoted(&place));
        }
    }
    for (place, edited) in &roster.edits.by_place {
        if Class::of(place) == Class::Own && matches!(edited.state, State::Gone { .. }) {
            let _ = writeln!(text, "{COMMENT}{} {};", quoted(place), edited.text(None));
        }
    }
}

/// Reads these comments of a state file. Its lines precede. `false` if there are none.
pub(super) fn read_versions_of(
    text: &[u8],
    side: Side,
    roster: &mut Roster,
    lines: &mut Lines,
) -> bool {
    let here: HashMap<String, ServerId> = {
        let places = roster.places(lines).into_iter();
        places.map(|(place, found)| (place, found.id())).collect()
    };
    let mut numbers = Vec::new();
    let mut is_any = false;
    for line in String::from_utf8_lossy(text).lines() {
        let Some(line) = line.strip_prefix(COMMENT) else { continue };
        let parsed = parser::parse(line.as_bytes(), FileId(0));
        let Some(node) = parsed.nodes.first() else { continue };
        let place = node.name.text().into_owned();
        let edited = node.arg(0).and_then(|word| Edited::read(word, &node.args[1..], side));
        let Some(mut edited) = edited.filter(|_| Class::of(&place) == Class::Own) else { continue };
        match (here.get(&place), &edited.state) {
            (Some(id), State::Awaited(server)) => {
                numbers.push((*id, server.id));
                edited.state = State::Here;
            }
            (None, State::Gone { .. }) => {}
            // Somebody has edited the file.
            _ => continue,
        }
        roster.edits.insert(place, edited);
        is_any = true;
    }
    renumber(&numbers, roster, lines);
    is_any
}

/// Reads bytes as a record of another node, and makes it part of a group. What can be read is
/// written, and read as the same.
pub(super) fn fuzz(bytes: &[u8]) {
    let side = Side::Http;
    let Some(edited) = Edited::read_record(bytes, side) else { return };
    let again = Edited::read_record(&edited.record(None), side);
    assert_eq!(again.as_ref(), Some(&edited));
    let own = match &edited.state {
        State::Awaited(server) => server.own_place(),
        State::Here | State::Gone { .. } => None,
    };
    let config =
        GroupConfig::implicit(side.key("u"), "u", vec![Addr::Inet(([127, 0, 0, 1], 80).into())]);
    let group = Group::new(GroupConfig { zone: Some("u".into()), ..config }, None);
    let places = [own.unwrap_or_default(), "own 0 127.0.0.1:80".into(), "listed 0 x".into()];
    for place in places {
        group.take_over(vec![(place, Some(edited.clone()))], 0);
    }
    for (_, record) in group.shared() {
        assert!(Edited::read_record(&record, side).is_some());
    }
}
