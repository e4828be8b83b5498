use std::{collections::BTreeMap, sync::Mutex};

use weir_engine::{
    Addr,
    duty::Duties,
    event_loop::{block_on, yield_now},
};

use super::*;
use crate::{
    balance::least_conn::LeastConn,
    check::{config::CheckConfig, probe::Probing, tally::CheckCounts},
    config::{GroupConfig, MethodHandle},
    edit::{Change, Edit},
    health::Health,
    resolver::ServiceAddress,
    server::{Name, Server, ServerId},
    upstreams::Side,
};

/// The servers as the probes find them, and what the checker has logged.
#[derive(Default)]
struct World {
    /// The results by port; a missing one never comes.
    results: Mutex<BTreeMap<u16, Probed>>,
    /// The probed ports in order.
    probed: Mutex<Vec<u16>>,
    log: Mutex<Vec<String>>,
}

impl World {
    fn set(&self, port: u16, result: Probed) {
        self.results.lock().unwrap().insert(port, result);
    }

    fn count(&self, port: u16) -> usize {
        self.probed.lock().unwrap().iter().filter(|probed| **probed == port).count()
    }

    /// Waits for more probes of a port.
    async fn wait(&self, port: u16, more: usize) {
        let before = self.count(port);
        until(|| self.count(port) >= before + more).await;
    }

    fn log(&self) -> Vec<String> {
        std::mem::take(&mut self.log.lock().unwrap())
    }

    fn plan(self: &Arc<Self>, checks: Vec<CheckConfig>) -> CheckPlan {
        let world = Arc::clone(self);
        CheckPlan { checks, probe: Box::new(move || Rc::new(WorldProbe(Arc::clone(&world)))) }
    }
}

struct WorldProbe(Arc<World>);

impl Probe for WorldProbe {
    fn probe(&self, _: usize, address: Addr) -> Probing {
        let port = address.port().unwrap_or(0);
        self.0.probed.lock().unwrap().push(port);
        let result = self.0.results.lock().unwrap().get(&port).copied();
        Box::pin(async move {
            let Some(probed) = result else { return std::future::pending().await };
            let reasons = match probed {
                Probed::Passed => Vec::new(),
                _ => vec![(Level::Error, "it said no while asking".to_owned())],
            };
            Finding { probed, doing: "asking".into(), reasons }
        })
    }

    fn log(&self, check: usize, level: Level, message: &str) {
        self.0.log.lock().unwrap().push(format!("{check} [{level}] {message}"));
    }
}

/// A check as often as possible.
fn check() -> CheckConfig {
    CheckConfig { name: "m".into(), ..CheckConfig::every(1) }
}

fn server(port: u16) -> Server {
    let address = Addr::Inet(([127, 0, 0, 1], port).into());
    Server { text: address.to_string(), addresses: vec![address], ..Server::default() }
}

fn config(ports: &[u16], checks: Vec<CheckConfig>) -> GroupConfig {
    GroupConfig {
        zone: Some("u".into()),
        servers: ports.iter().map(|&port| server(port)).collect(),
        checks,
        ..GroupConfig::implicit(Side::Http.key("u"), "u", Vec::new())
    }
}

async fn until(mut happened: impl FnMut() -> bool) {
    while !happened() {
        yield_now().await;
    }
}

fn health(group: &Group) -> Vec<Health> {
    group.peers().iter().map(|peer| peer.health()).collect()
}

/// A world, and a group in it whose duty runs.
struct Scene {
    world: Arc<World>,
    registry: Arc<Registry>,
    duties: Duties,
}

impl Scene {
    fn new() -> Self {
        Self { world: Arc::default(), registry: Arc::default(), duties: Duties::default() }
    }

    /// Loads a configuration.
    fn load(&mut self, config: &GroupConfig) -> Arc<Group> {
        let group = self.registry.group(config);
        let plan = self.world.plan(config.checks.clone());
        self.duties.reconcile(vec![group.check_duty(&self.registry, plan)]);
        group
    }
}

#[test]
fn a_server_fails_and_recovers() {
    block_on(async {
        let mut scene = Scene::new();
        let world = Arc::clone(&scene.world);
        world.set(81, Probed::Passed);
        world.set(82, Probed::Failed);
        let checks = vec![CheckConfig { fails: 2, passes: 3, ..check() }];
        let group = scene.load(&config(&[81, 82], checks));
        until(|| health(&group) == [Health::Good, Health::Unhealthy]).await;
        let of = "health check \"m\" of peer 127.0.0.1:82 in upstream \"u\"";
        assert_eq!(
            world.log()[..3],
            [
                format!("0 [error] it said no while asking, {of}"),
                format!("0 [info] it said no while asking, {of}"),
                format!("0 [warn] peer is unhealthy while asking, {of}"),
            ]
        );
        world.set(82, Probed::Passed);
        until(|| health(&group) == [Health::Good, Health::Good]).await;
        let log = world.log();
        assert_eq!(log.last(), Some(&format!("0 [notice] peer is healthy while asking, {of}")));
        let counts = group.view(Now::current()).peers[1].checks;
        assert!(counts.fails >= 2 && counts.checks >= counts.fails + 3, "{counts:?}");
        assert_eq!((counts.unhealthy, counts.last_passed), (1, Some(true)));
    });
}

/// A probe that never ends holds up nobody else, and is stopped with its server.
#[test]
fn servers_come_and_go() {
    block_on(async {
        let mut scene = Scene::new();
        let world = Arc::clone(&scene.world);
        let checks = vec![CheckConfig { mandatory: true, ..check() }];
        let group = scene.load(&config(&[81, 82], checks));
        assert_eq!(health(&group), [Health::Checking; 2]);
        until(|| world.count(81) == 1 && world.count(82) == 1).await;
        world.set(83, Probed::Passed);
        group.edit(&Edit::Add(server(83))).unwrap();
        assert_eq!(health(&group)[2], Health::Checking);
        let downtimes = |group: &Group| -> Vec<Option<u64>> {
            let view = group.view(Now::current().plus_millis(1));
            view.peers.iter().map(|peer| peer.downstart.filter(|_| peer.downtime > 0)).collect()
        };
        assert!(downtimes(&group).iter().all(Option::is_some), "they take no requests yet");
        until(|| health(&group)[2] == Health::Good).await;

        // The waiting probe of a server that is down is stopped. It is asked anew afterwards.
        let admit = |admission| {
            let change = Change {
                down: Some(admission == Admission::Down),
                drain: Some(admission == Admission::Draining),
                ..Change::default()
            };
            group.edit(&Edit::Change(ServerId(0), change)).unwrap();
        };
        admit(Admission::Down);
        world.wait(83, 5).await;
        world.set(81, Probed::Passed);
        admit(Admission::Open);
        until(|| health(&group)[0] == Health::Good).await;

        group.edit(&Edit::Remove(ServerId(2))).unwrap();
        world.wait(81, 2).await;
        let last = world.count(83);
        world.wait(81, 5).await;
        assert_eq!((world.count(83), world.count(82)), (last, 1));
    });
}

#[test]
fn a_reload_forgets_nothing() {
    block_on(async {
        let mut scene = Scene::new();
        let world = Arc::clone(&scene.world);
        world.set(81, Probed::Passed);
        world.set(82, Probed::Failed);
        let check = CheckConfig { fails: 3, passes: 3, mandatory: true, ..check() };
        let group = scene.load(&config(&[81, 82], vec![check.clone()]));
        until(|| health(&group) == [Health::Good, Health::Unhealthy]).await;
        // Another method, another probe, another server: the old ones are as they were.
        let mut next = config(&[81, 82, 83], vec![CheckConfig { what: "else".into(), ..check }]);
        next.method = MethodHandle(Arc::new(LeastConn));
        let heir = scene.load(&next);
        assert_eq!(health(&heir), [Health::Good, Health::Unhealthy, Health::Checking]);
        drop(group);
        world.set(83, Probed::Passed);
        until(|| health(&heir) == [Health::Good, Health::Unhealthy, Health::Good]).await;
        let counts = |heir: &Group, place: usize| heir.view(Now::current()).peers[place].checks;
        assert!(counts(&heir, 1).fails > 0 && counts(&heir, 1).unhealthy == 1);
        // The probes of a plan that is replaced go on with the new one.
        let before = counts(&heir, 0).checks;
        scene.load(&next);
        until(|| counts(&heir, 0).checks > before + 3).await;
    });
}

#[test]
fn a_check_that_goes_takes_its_verdicts_with_it() {
    block_on(async {
        let mut scene = Scene::new();
        let world = Arc::clone(&scene.world);
        world.set(81, Probed::Failed);
        let group = scene.load(&config(&[81], vec![check(), check()]));
        until(|| health(&group) == [Health::Unhealthy]).await;
        let without = scene.load(&config(&[81], vec![]));
        assert_eq!(health(&without), [Health::Good]);
        assert_eq!(health(&group), [Health::Unhealthy], "its requests go on as before");
        drop(group);
        world.set(81, Probed::Nothing);
        // A server that takes requests does not stop for a new check.
        let again = CheckConfig { mandatory: true, ..check() };
        let group = scene.load(&config(&[81], vec![again]));
        assert_eq!(health(&group), [Health::Good]);
    });
}

#[test]
fn faults_of_our_own_say_nothing_about_a_server() {
    block_on(async {
        let mut scene = Scene::new();
        let world = Arc::clone(&scene.world);
        world.set(81, Probed::Nothing);
        let group = scene.load(&config(&[81], vec![check()]));
        world.wait(81, 3).await;
        assert_eq!(health(&group), [Health::Good]);
        assert_eq!(group.view(Now::current()).peers[0].checks, CheckCounts::default());
        assert!(world.log()[0].starts_with("0 [error] it said no while asking"));
        world.set(81, Probed::TimedOut);
        until(|| health(&group) == [Health::Unhealthy]).await;
    });
}

#[test]
fn a_check_may_have_a_port_of_its_own() {
    block_on(async {
        let mut scene = Scene::new();
        let world = Arc::clone(&scene.world);
        world.set(8080, Probed::Failed);
        let checks = vec![CheckConfig { port: Some(8080), ..check() }];
        let group = scene.load(&config(&[81], checks));
        until(|| health(&group) == [Health::Unhealthy]).await;
        let last = world.log().pop().unwrap();
        assert!(last.ends_with("of peer 127.0.0.1:81 in upstream \"u\", port 8080"), "{last}");
        assert_eq!(world.count(81), 0);
    });
}

/// Addresses of a name wait for their probes as they come.
#[test]
fn the_addresses_of_a_name_are_checked() {
    block_on(async {
        let mut scene = Scene::new();
        let world = Arc::clone(&scene.world);
        let name = Name { host: "a.test".into(), port: 81, service: None };
        let server = Server { text: "a.test:81".into(), resolve: Some(name), ..Server::default() };
        let checks = vec![CheckConfig { mandatory: true, ..check() }];
        let group = scene.load(&GroupConfig { servers: vec![server], ..config(&[], checks) });
        let at = |last| ServiceAddress {
            address: ([127, 0, 0, last], 81).into(),
            target: String::new(),
            priority: 0,
            weight: 1,
        };
        group.apply(ServerId(0), &[at(1)], 0);
        assert_eq!(health(&group), [Health::Checking]);
        world.set(81, Probed::Passed);
        // The probe that waits was begun before.
        world.wait(81, 1).await;
        group.apply(ServerId(0), &[at(2), at(3)], 0);
        assert_eq!(health(&group), [Health::Checking; 2]);
        until(|| health(&group) == [Health::Good; 2]).await;
    });
}
