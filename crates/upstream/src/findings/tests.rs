use std::sync::Arc;

use weir_engine::Addr;
use weir_wire::agent::parse;

use super::record;
use crate::{
    agent::config::AgentConfig,
    check::CheckConfig,
    clock::Now,
    config::GroupConfig,
    group::Group,
    health::{Health, Source},
    outlier::config::OutlierConfig,
    registry::Registry,
    shared_groups::FoundHealth,
    shared_records::Owner,
    upstreams::Side,
    view::PeerStatus,
};

const NOW: Now = Now { seconds: 1000, millis: 1_000_000 };

const KEY: &[u8] = b"http u";

/// A node with a group of four servers.
struct Node {
    registry: Arc<Registry>,
    group: Arc<Group>,
}

fn check(what: &str, mandatory: bool) -> CheckConfig {
    CheckConfig { mandatory, what: what.into(), fails: 2, passes: 2, ..CheckConfig::every(5000) }
}

fn config(checks: &[CheckConfig]) -> GroupConfig {
    let addresses = (1..=4).map(|port| Addr::Inet(([127, 0, 0, 1], port).into())).collect();
    GroupConfig {
        zone: Some("u".into()),
        checks: checks.to_vec(),
        ..GroupConfig::implicit(Side::Http.key("u"), "u", addresses)
    }
}

impl Node {
    fn with(config: &GroupConfig) -> Self {
        let registry = Arc::new(Registry::default());
        Self { group: registry.group(config), registry }
    }

    fn new(checks: &[CheckConfig]) -> Self {
        Self::with(&config(checks))
    }

    fn owner(&self) -> FoundHealth {
        FoundHealth(Arc::clone(&self.registry))
    }

    /// Results of a check of a server: `+` a pass, `-` a failure.
    fn probe(&self, server: usize, number: usize, results: &str) {
        let check = &self.group.config.checks[number];
        for result in results.bytes() {
            self.group.peers()[server].judge(number, check, result == b'+', NOW);
        }
    }

    /// What it tells.
    fn found(&self) -> Vec<u8> {
        let all = self.owner().all();
        let [(key, text)] = &all[..] else { panic!("{all:?}") };
        assert_eq!(key, KEY);
        text.clone()
    }

    fn hear(&self, node: &str, text: Option<&[u8]>) {
        self.owner().apply(&[node.as_bytes(), b"\0", KEY].concat(), text);
    }

    fn healths(&self) -> String {
        let letter = |health| match health {
            Health::Good => 'g',
            Health::Checking => 'c',
            Health::Unhealthy => 'u',
        };
        self.group.peers().iter().map(|peer| letter(peer.health())).collect()
    }
}

#[test]
fn a_fresh_node_begins_with_what_another_has_found() {
    for (mandatory, fresh, heard) in [(true, "cccc", "ugcc"), (false, "gggg", "uggg")] {
        let checks = [check("/", mandatory)];
        let (a, b) = (Node::new(&checks), Node::new(&checks));
        a.probe(0, 0, "--");
        a.probe(1, 0, "+");
        assert_eq!(b.healths(), fresh);
        b.hear("a", Some(&a.found()));
        assert_eq!(b.healths(), heard);
        let view = b.group.view(NOW).peers;
        assert_eq!(view[0].state, PeerStatus::Unhealthy);
        assert_eq!((view[0].checks.checks, view[0].checks.unhealthy), (0, 1));
        assert_eq!(view[0].checks.last_passed, None);
        assert!(view[0].downstart.is_some());
        // It tells nobody what it has only heard.
        assert_eq!(b.found(), Node::new(&checks).found());
        // The other one goes on, and it follows.
        a.probe(0, 0, "++");
        b.hear("a", Some(&a.found()));
        assert_eq!(&b.healths()[..2], "gg");
        assert!(b.group.view(NOW).peers[0].downstart.is_none());
    }
}

#[test]
fn the_first_result_here_decides_what_others_find_unhealthy() {
    let checks = [check("/", false)];
    let (a, b) = (Node::new(&checks), Node::new(&checks));
    (0..4).for_each(|server| a.probe(server, 0, "--"));
    b.hear("a", Some(&a.found()));
    assert_eq!(b.healths(), "uuuu");
    b.probe(0, 0, "+");
    b.probe(1, 0, "-");
    assert_eq!(b.healths(), "guuu");
    // From then on its own results count alone.
    b.hear("a", Some(&a.found()));
    assert_eq!(b.healths(), "guuu");
    b.probe(1, 0, "+");
    assert_eq!(b.healths(), "guuu");
    b.probe(1, 0, "+");
    b.probe(0, 0, "-");
    assert_eq!(b.healths(), "gguu");
    b.probe(0, 0, "-");
    assert_eq!(b.healths(), "uguu");
    a.probe(0, 0, "++");
    b.hear("a", Some(&a.found()));
    assert_eq!(b.healths(), "uguu");
    assert_eq!(b.group.view(NOW).peers[1].checks.unhealthy, 1);
}

/// A single failure of several is no verdict.
#[test]
fn what_others_find_good_still_has_to_fail_as_often_as_the_check_says() {
    let checks = [check("/", true)];
    let (a, b) = (Node::new(&checks), Node::new(&checks));
    a.probe(0, 0, "+");
    b.hear("a", Some(&a.found()));
    b.probe(0, 0, "-");
    assert_eq!(b.healths(), "gccc");
    // There is no verdict of its own yet.
    a.probe(0, 0, "--");
    b.hear("a", Some(&a.found()));
    assert_eq!(b.healths(), "uccc");
    b.probe(0, 0, "+");
    assert_eq!(b.healths(), "gccc");
    b.probe(0, 0, "--");
    assert_eq!(b.healths(), "uccc");
}

#[test]
fn a_server_that_one_of_several_nodes_reaches_lives() {
    let checks = [check("/", false)];
    let nodes = [0; 3].map(|_| Node::new(&checks));
    let [a, b, c] = &nodes;
    a.probe(0, 0, "--");
    b.probe(0, 0, "+");
    c.hear("a", Some(&a.found()));
    assert_eq!(c.healths(), "uggg");
    c.hear("b", Some(&b.found()));
    assert_eq!(c.healths(), "gggg");
    b.probe(0, 0, "--");
    c.hear("b", Some(&b.found()));
    assert_eq!(c.healths(), "uggg");
    // A node that starts anew knows nothing, and one that tells nothing says nothing.
    c.hear("b", Some(&Node::new(&checks).found()));
    assert_eq!(c.healths(), "uggg");
    c.hear("a", None);
    assert_eq!(c.healths(), "gggg");
}

#[test]
fn a_node_that_goes_away_takes_nothing_back_and_makes_no_server_good() {
    let checks = [check("/", true)];
    let (a, b) = (Node::new(&checks), Node::new(&checks));
    a.probe(0, 0, "--");
    a.probe(1, 0, "+");
    b.hear("a", Some(&a.found()));
    b.owner().leave("a");
    let again = || b.group.line_up(b.group.lines());
    again();
    assert_eq!(b.healths(), "ugcc");
    // A server that comes now has to be checked here.
    b.group.peers()[1].await_verdicts([Source::Check(0)].into_iter().collect(), NOW);
    again();
    assert_eq!(b.healths(), "uccc");
    b.hear("a", Some(&a.found()));
    assert_eq!(b.healths(), "ugcc");
}

#[test]
fn another_check_has_proved_nothing_yet() {
    let (a, b) = (Node::new(&[check("/new", false)]), Node::new(&[check("/old", false)]));
    a.probe(0, 0, "--");
    b.probe(0, 0, "+");
    b.hear("a", Some(&a.found()));
    assert_eq!(b.healths(), "gggg");
    let b = Node { group: b.registry.group(&config(&[check("/new", false)])), ..b };
    assert_eq!(b.found(), Node::new(&[check("/new", false)]).found());
    b.hear("a", Some(&a.found()));
    assert_eq!(b.healths(), "uggg");
}

#[test]
fn checks_are_known_by_what_they_ask() {
    let a = Node::new(&[check("/one", false), check("/two", false)]);
    a.probe(0, 0, "--");
    a.probe(1, 1, "--");
    let others = [check("/two", false), CheckConfig { port: Some(9), ..check("/one", false) }];
    let b = Node::new(&others);
    b.hear("a", Some(&a.found()));
    assert_eq!(b.healths(), "gugg");
    let relaxed = CheckConfig { interval: 9, fails: 7, ..check("/one", true) };
    let c = Node::new(&[relaxed]);
    c.hear("a", Some(&a.found()));
    assert_eq!(c.healths(), "uccc");
    // A node without checks of its own has nobody to contradict.
    let d = Node::new(&[]);
    d.hear("a", Some(&a.found()));
    assert_eq!(d.healths(), "gggg");
}

#[test]
fn servers_that_come_later_and_reloads_find_what_is_known() {
    let checks = [check("/", false)];
    let (a, b) = (Node::new(&checks), Node::new(&checks));
    (0..4).for_each(|server| a.probe(server, 0, "--"));
    let few = |count: usize| {
        let mut config = config(&checks);
        config.servers[0].addresses.truncate(count);
        config
    };
    let b = Node { group: b.registry.group(&few(2)), ..b };
    b.hear("a", Some(&a.found()));
    assert_eq!(b.healths(), "uu");
    b.probe(0, 0, "+");
    assert_eq!(b.healths(), "gu");
    // The addresses of a name change.
    let lines = b.registry.group(&few(4)).lines();
    b.group.line_up(lines);
    assert_eq!(b.healths(), "guuu");
    // A check that goes and comes back begins anew.
    let b = Node::new(&checks);
    b.probe(0, 0, "+");
    let b = Node { group: b.registry.group(&config(&[])), ..b };
    assert_eq!(b.healths(), "gggg");
    let b = Node { group: b.registry.group(&config(&checks)), ..b };
    assert_eq!(b.healths(), "gggg");
    b.hear("a", Some(&a.found()));
    assert_eq!(b.healths(), "uuuu");
}

#[test]
fn a_killed_worker_leaves_its_own_verdicts_as_such() {
    let checks = [check("/", true)];
    let (a, b) = (Node::new(&checks), Node::new(&checks));
    (0..4).for_each(|server| a.probe(server, 0, "--"));
    b.probe(0, 0, "+");
    b.probe(1, 0, "-");
    let record = b.group.health_record();
    let after = Node::new(&checks);
    after.group.apply_health(record.as_bytes(), NOW);
    assert_eq!(after.healths(), "gucc");
    assert_eq!(after.found(), b.found());
    after.hear("a", Some(&a.found()));
    assert_eq!(after.healths(), "guuu");
    after.probe(1, 0, "+");
    assert_eq!(after.healths(), "guuu", "it has to pass twice");
}

#[test]
fn ejections_stay_here() {
    let with_outliers = |checks: &[CheckConfig]| GroupConfig {
        outliers: Some(OutlierConfig::default()),
        ..config(checks)
    };
    let checks = [check("/", false)];
    let (a, b) = (Node::with(&with_outliers(&checks)), Node::new(&checks));
    let before = a.found();
    let peer = &a.group.peers()[0];
    peer.restore_ejection(NOW.millis + 500);
    peer.set_health(Source::Outlier, Health::Unhealthy, NOW);
    assert_eq!(a.found(), before);
    b.hear("a", Some(&a.found()));
    assert_eq!(b.healths(), "gggg");
    // A group that only ejects tells nothing.
    assert!(Node::with(&with_outliers(&[])).owner().all().is_empty());
}

#[test]
fn an_agent_is_heard_through_another_node() {
    let agent = AgentConfig { port: Some(9), interval: 1, timeout: 1, send: Vec::new() };
    let config = GroupConfig { agent: Some(agent), ..config(&[]) };
    let (a, b) = (Node::with(&config), Node::with(&config));
    let say = |node: &Node, server: usize, line: &str| {
        let line = parse(line.as_bytes(), |_| panic!("unknown word"));
        node.group.peers()[server].hear(&line, NOW);
    };
    for (server, line) in ["down", "drain", "maxconn:7 weight:3", "maint"].into_iter().enumerate() {
        say(&a, server, line);
    }
    b.hear("a", Some(&a.found()));
    let states = || b.group.view(NOW).peers.iter().map(|peer| peer.state).collect::<Vec<_>>();
    let heard = [PeerStatus::Unhealthy, PeerStatus::Draining, PeerStatus::Up, PeerStatus::Down];
    assert_eq!(states(), heard);
    let agent = b.group.view(NOW).peers[2].agent.unwrap();
    assert_eq!((agent.max_conns, agent.reached), (Some(7), None));
    // What is heard here counts, and an agent that says nothing for a node that is away still does.
    say(&b, 0, "up");
    b.hear("a", Some(&a.found()));
    b.hear("a", None);
    assert_eq!(states()[..2], [PeerStatus::Up, PeerStatus::Draining]);
    assert_ne!(b.found(), Node::with(&config).found());
}

#[test]
fn malformed_findings_are_refused() {
    let checks = [check("/", false)];
    let name = &record::names(&checks)[0];
    let node = Node::new(&checks);
    let good = format!("{name}\n1 1 0 0 0 127.0.0.1:1\n");
    node.hear("a", Some(good.as_bytes()));
    assert_eq!(node.healths(), "uggg");
    let many = format!("{}\n1 1 0 0 0 127.0.0.1:1\n", vec![name.as_str(); 17].join(" "));
    let lines = ["1 1 0 0 127.0.0.1:1", "-1 1 0 0 0 127.0.0.1:1", "1 1 0 0 0", "x", " ", "\0"];
    let texts = lines.iter().map(|line| format!("{name}\n{line}\n")).chain([many, String::new()]);
    for text in texts {
        node.hear("a", Some(text.as_bytes()));
        assert_eq!(node.healths(), "gggg", "{text:?}");
    }
    node.hear("a", Some(b"\xff\xfe\n"));
    assert_eq!(node.healths(), "gggg");
    for key in [&b""[..], b"\0", b"a\0", b"a\0http other", b"\xff\0http u", b"http u"] {
        node.owner().apply(key, Some(good.as_bytes()));
    }
    assert_eq!(node.healths(), "gggg");
    // Numbers beyond all limits say what they can.
    let all = u64::MAX;
    node.hear("a", Some(format!("{name}\n{all} {all} {all} {all} {all} 127.0.0.1:1\n").as_bytes()));
    assert_eq!(node.healths(), "uggg");
    record::fuzz(format!("{name} {name}\n{all} 1 {all} {all} {all} 127.0.0.1:1\n").as_bytes());
}

#[test]
fn the_text_has_a_limit() {
    let addresses = (0..20_000u16).map(|port| Addr::Inet(([127, 0, 0, 1], port).into())).collect();
    let checks = vec![check("/", false)];
    let implicit = GroupConfig::implicit(Side::Http.key("u"), "u", addresses);
    let node = Node::with(&GroupConfig { zone: Some("u".into()), checks, ..implicit });
    for peer in node.group.peers() {
        peer.judge(0, &node.group.config.checks[0], true, NOW);
    }
    let text = node.found();
    assert!(text.len() <= 1 << 19 && text.ends_with(b"\n"));
    assert!(record::Findings::read(&text).is_some());
}
