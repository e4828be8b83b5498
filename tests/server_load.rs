//! Servers that say what they can take: agents, as HAProxy's, and ORCA's load reports. nginx has
//! neither.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::harness::{Backend, Client, Reply, Server, Setup, is_nginx, until, until_some};
use crate::health_checks::kill_worker;

/// The answer of an agent to a connection.
type Answer = dyn FnMut(&mut TcpStream) + Send;

/// An agent, which answers with a line that changes.
struct Agent {
    address: SocketAddr,
    answer: Arc<Mutex<Box<Answer>>>,
    /// The number of its connections.
    asked: Arc<Mutex<usize>>,
}

impl Agent {
    fn new(line: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let answer: Arc<Mutex<Box<Answer>>> = Arc::new(Mutex::new(Box::new(|_| {})));
        let asked = Arc::new(Mutex::new(0));
        let agent = Self { address, answer: Arc::clone(&answer), asked: Arc::clone(&asked) };
        agent.say(line);
        // It ends with the tests.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                (*answer.lock().unwrap())(&mut stream.unwrap());
                *asked.lock().unwrap() += 1;
            }
        });
        agent
    }

    /// The line from now on.
    fn say(&self, line: &str) {
        let line = format!("{line}\n");
        self.does(move |stream| {
            let _ = stream.write_all(line.as_bytes());
        });
    }

    fn does(&self, answer: impl FnMut(&mut TcpStream) + Send + 'static) {
        *self.answer.lock().unwrap() = Box::new(answer);
    }

    fn asked(&self) -> usize {
        *self.asked.lock().unwrap()
    }

    /// Waits until it was asked two more times, so that the first line is in force.
    fn wait(&self) {
        let before = self.asked();
        until("the agent to be asked", || self.asked() >= before + 2);
    }
}

/// A configuration with the group `u` of two servers with agents.
fn conf(group: &str) -> String {
    format!(
        "upstream u {{
             zone u 64k;
             server %a% agent_port=%agent_a%;
             server %b% agent_port=%agent_b%;
             {group}
         }}
         server {{
             listen 127.0.0.1:%port%;
             location / {{ proxy_pass http://u; }}
             location /api {{ api write=on; }}
         }}"
    )
}

struct Scene {
    server: Server,
    agents: [Agent; 2],
    backends: [Backend; 2],
}

fn prepare(conf: &str) -> (Setup, [Agent; 2], [Backend; 2]) {
    let agents = [Agent::new("up"), Agent::new("up")];
    let backends = [Backend::text("a"), Backend::text("b")];
    let [a, b] = &backends;
    let setup = Server::http(conf)
        .set("a", a.address())
        .set("b", b.address())
        .set("agent_a", agents[0].address.port())
        .set("agent_b", agents[1].address.port());
    (setup, agents, backends)
}

fn scene(group: &str) -> Scene {
    let (setup, agents, backends) = prepare(&conf(group));
    Scene { server: setup.start(), agents, backends }
}

fn peer(server: &Server, place: usize) -> Value {
    let found: Value = serde_json::from_str(&server.text("/api/9/http/upstreams/u")).unwrap();
    found["peers"][place].clone()
}

impl Scene {
    /// Says a line, and waits until the API shows the state of the server.
    #[track_caller]
    fn say(&self, place: usize, line: &str, state: &str, weight: f64) {
        self.agents[place].say(line);
        let shown = || {
            let peer = peer(&self.server, place);
            peer["state"] == state && peer["effective_weight"] == json!(weight)
        };
        until(&format!("{state} with {weight}"), shown);
    }

    /// The servers of so many requests.
    fn answers(&self, count: usize) -> [usize; 2] {
        answers(&self.server, count)
    }
}

fn answers(server: &Server, count: usize) -> [usize; 2] {
    let mut found = [0, 0];
    for _ in 0..count {
        found[usize::from(server.text("/") == "b")] += 1;
    }
    found
}

#[test]
fn agents_change_what_their_servers_take() {
    if is_nginx() {
        return;
    }
    let scene = scene("agent_check interval=10ms timeout=10s;");
    scene.say(0, "up 100%", "up", 1.0);
    assert_eq!(scene.answers(20), [10, 10]);
    scene.say(0, "25%", "up", 0.25);
    assert_eq!(scene.answers(20), [4, 16]);
    scene.say(0, "weight:3", "up", 3.0);
    assert_eq!(scene.answers(20), [15, 5]);
    scene.say(0, "drain", "draining", 3.0);
    assert_eq!(scene.answers(20), [0, 20]);
    scene.say(0, "ready 0%", "draining", 0.0);
    assert_eq!(scene.answers(20), [0, 20]);
    scene.say(0, "maint", "down", 0.0);
    assert_eq!(scene.answers(20), [0, 20]);
    scene.say(0, "ready 100% down # on fire", "unhealthy", 1.0);
    assert_eq!(scene.answers(20), [0, 20]);
    // What is down stays down until it is up.
    scene.say(0, "50%", "unhealthy", 0.5);
    assert_eq!(scene.answers(20), [0, 20]);
    scene.say(0, "up 100%", "up", 1.0);
    assert_eq!(scene.answers(20), [10, 10]);
    let of = format!(", agent of peer {} in upstream \"u\"", scene.backends[0].address());
    let log = scene.server.error_log();
    for line in ["is draining", "is in maintenance", "is ready", "is down", "is up"] {
        assert!(log.contains(&format!("peer {line}{of}")), "{line}: {log}");
    }
    assert_eq!(log.matches(&format!("peer is down{of}")).count(), 1);
}

/// What an agent does in place of an answer.
type Trouble = fn(&mut TcpStream);

/// What was said stays in force while nothing new is heard, however the agent fails.
#[test]
fn an_agent_that_cannot_be_asked_changes_nothing() {
    if is_nginx() {
        return;
    }
    let scene = scene("agent_check interval=20ms timeout=200ms;");
    let troubles: [(&str, Trouble); 4] = [
        ("closed the connection before the end of a line", |stream| {
            let _ = stream.write_all(b"up 100%");
        }),
        ("sent a line that is too long", |stream| {
            let _ = stream.write_all(&[b'u'; 5000]);
        }),
        ("timed out", |stream| {
            // Single bytes do not prolong the time.
            while stream.write_all(b" ").is_ok() {
                std::thread::park_timeout(std::time::Duration::from_millis(20));
            }
        }),
        ("timed out", |stream| {
            let _ = stream.read(&mut [0]);
        }),
    ];
    let [own, _] = &scene.agents;
    let mut lost = 0;
    for (reason, trouble) in troubles {
        scene.say(0, "10% down", "unhealthy", 0.1);
        until("the agent to be reached", || peer(&scene.server, 0)["agent"]["reached"] == true);
        own.does(trouble);
        until("the loss", || peer(&scene.server, 0)["agent"]["reached"] == false);
        own.wait();
        lost += 1;
        let log = scene.server.error_log();
        let line = format!("{reason} at {}, its last words stay in force, agent of", own.address);
        assert!(log.contains(&line), "{line}: {log}");
        let warned = log.lines().filter(|line| line.contains("[warn]"));
        assert_eq!(warned.filter(|line| line.contains("stay in force")).count(), lost, "{log}");
        let shown = peer(&scene.server, 0);
        assert_eq!(
            (&shown["state"], &shown["effective_weight"]),
            (&json!("unhealthy"), &json!(0.1))
        );
        assert_eq!(scene.answers(4), [0, 4]);
    }
    scene.say(0, "up", "up", 0.1);
    scene.server.wait_log("answers again, agent of peer");
}

#[test]
fn a_reload_forgets_nothing_that_an_agent_has_said() {
    if is_nginx() {
        return;
    }
    let text = conf("agent_check interval=10ms timeout=10s;");
    let (setup, agents, _backends) = prepare(&text);
    let server = setup.main("worker_processes 2;").start();
    agents[0].say("50% maxconn:7 down");
    until("the words", || peer(&server, 0)["state"] == "unhealthy");
    // From here on they are asked once an hour.
    server.reload_http(&text.replace("10ms", "1h"));
    agents[0].wait_once(&server);
    let asked = [agents[0].asked(), agents[1].asked()];
    let least = text.replace("10ms", "1h").replace("zone u 64k;", "zone u 64k; least_conn;");
    server.reload_http(&least);
    let said =
        json!({"state": "ready", "up": false, "weight": "50%", "max_conns": 7, "reached": true});
    assert_eq!(peer(&server, 0)["agent"], said);
    assert_eq!(answers(&server, 10), [0, 10]);
    assert_eq!([agents[0].asked(), agents[1].asked()], asked, "an unchanged question is not due");
    // A group without agents heeds none, and one that has them again begins anew.
    let without = least.replace("agent_check", "#").replace("timeout=10s;", "\n");
    server.reload_http(&without);
    assert_eq!(answers(&server, 10), [5, 5]);
    assert_eq!(peer(&server, 0).get("agent"), None);
    agents[0].say("drain");
    server.reload_http(&least);
    until("the words", || peer(&server, 0)["state"] == "draining");
    assert_eq!(peer(&server, 0)["agent"]["weight"], "100%");
}

/// What agents have said is known to the successor of a killed worker, even if they are gone.
#[test]
fn a_killed_worker_leaves_what_agents_have_said() {
    if is_nginx() {
        return;
    }
    let text = conf("agent_check interval=10ms timeout=10s;")
        .replace("location /api", "location = /alive { return 204; } location /api");
    let (setup, agents, backends) = prepare(&text);
    let server = setup.alerts_expected().start();
    let scene = Scene { server, agents, backends };
    scene.say(0, "weight:3 maxconn:7", "up", 3.0);
    scene.say(1, "drain", "draining", 1.0);
    // They are noted by then. From here on there is no answer.
    scene.agents.iter().for_each(Agent::wait);
    for agent in &scene.agents {
        agent.does(|stream| {
            let _ = stream.read(&mut [0]);
        });
    }
    for _ in 0..3 {
        kill_worker(&scene.server);
        assert_eq!(scene.answers(10), [10, 0]);
        let shown = peer(&scene.server, 0);
        assert_eq!(
            shown["agent"],
            json!({"state": "ready", "up": true, "weight": "3", "max_conns": 7})
        );
        assert_eq!(shown["effective_weight"], json!(3.0));
    }
}

impl Agent {
    /// Waits for the question that a changed check brings.
    fn wait_once(&self, server: &Server) {
        let mut last = self.asked();
        until("the last question", || {
            let answered = peer(server, 0)["agent"]["reached"] == true;
            let now = self.asked();
            let is_quiet = now == std::mem::replace(&mut last, now);
            std::thread::park_timeout(std::time::Duration::from_millis(100));
            answered && is_quiet && now == self.asked()
        });
    }
}

#[test]
fn an_agent_gets_what_is_to_be_sent_at_its_own_address() {
    if is_nginx() {
        return;
    }
    let agent = Agent::new("");
    let text = conf("agent_check port=%agent_c% interval=10ms timeout=10s \"send=load of a?\\n\";")
        .replace(" agent_port=%agent_a%", "")
        .replace("agent_port=%agent_b%", "agent_port=1 agent_addr=127.0.0.9");
    let (setup, _agents, _backends) = prepare(&text);
    let heard = Arc::new(Mutex::new(String::new()));
    let into = Arc::clone(&heard);
    agent.does(move |stream| {
        let mut question = [0; 11];
        let _ = stream.read_exact(&mut question);
        *into.lock().unwrap() = String::from_utf8_lossy(&question).into_owned();
        let _ = stream.write_all(b"20% non\x1bsense\r\nand more");
    });
    let server = setup.set("agent_c", agent.address.port()).start();
    until("its answer", || peer(&server, 0)["effective_weight"] == json!(0.2));
    assert_eq!(*heard.lock().unwrap(), "load of a?\n");
    server.wait_log("unknown word \"non\\x1bsense\", agent of peer");
    let lost = until_some("the other", || {
        let log = server.error_log();
        log.lines().find(|line| line.contains("127.0.0.9:1")).map(str::to_owned)
    });
    assert!(lost.contains("connect() failed (111: Connection refused) at 127.0.0.9:1"), "{lost}");
    assert_eq!(peer(&server, 1)["state"], "up");
}

/// In maintenance there are no probes, but questions to the agent, which ends it.
#[test]
fn maintenance_stops_health_checks() {
    if is_nginx() {
        return;
    }
    let text = conf("agent_check interval=10ms timeout=10s;")
        .replace("location /api", "location = /check { %check% } location /api")
        .replace(
            "%check%",
            "internal; proxy_pass http://u; health_check uri=/health interval=10ms;",
        );
    let (setup, agents, backends) = prepare(&text);
    let server = setup.start();
    let probes = || backends[0].seen().iter().filter(|seen| seen.target() == "/health").count();
    until("a probe", || probes() > 0);
    agents[0].say("maint");
    until("maintenance", || peer(&server, 0)["state"] == "down");
    let other = || backends[1].seen().len();
    let (before, others) = (probes(), other());
    until("more probes of the other server", || other() > others + 20);
    // One may have been under way.
    assert!(probes() <= before + 1);
    agents[0].say("ready");
    until("probes", || probes() > before + 3);
    assert_eq!(peer(&server, 0)["state"], "up");
}

/// Requests wait in the queue for the limit that an agent sets, and are called when it rises.
#[test]
fn an_agent_limits_the_requests_of_its_server() {
    if is_nginx() {
        return;
    }
    let gate = Arc::new(Mutex::new(()));
    let held = Arc::clone(&gate);
    let backend = Backend::new(move |seen| {
        if seen.target() == "/held" {
            drop(held.lock());
        }
        Reply::ok("a")
    });
    let text = conf("queue 10; agent_check interval=10ms timeout=10s;")
        .replace("server %b%", "server %b% down");
    let (setup, agents, _backends) = prepare(&text);
    let server = setup.set("a", backend.address()).start();
    agents[0].say("maxconn:1");
    until("the limit", || peer(&server, 0)["agent"]["max_conns"] == 1);
    let closed = gate.lock().unwrap();
    let send = |target: &str| {
        let mut client = server.client();
        client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        client
    };
    let mut first = send("/held");
    backend.wait(0);
    let mut second = send("/next");
    let queued = || {
        let found: Value = serde_json::from_str(&server.text("/api/9/http/upstreams/u")).unwrap();
        found["queue"]["size"].clone()
    };
    until("the queue", || queued() == 1);
    assert_eq!(backend.count(), 1);
    agents[0].say("maxconn:2");
    assert_eq!(second.response().text(), "a");
    drop(closed);
    assert_eq!(first.response().text(), "a");
}

/// A backend whose responses have this line, which changes.
fn reporter(name: &'static str) -> (Backend, Arc<Mutex<String>>) {
    let line = Arc::new(Mutex::new(String::new()));
    let current = Arc::clone(&line);
    let backend = Backend::new(move |_| Reply::with("200 OK", &current.lock().unwrap(), name));
    (backend, line)
}

fn report(line: &Mutex<String>, report: &str) {
    *line.lock().unwrap() = format!("Endpoint-Load-Metrics: {report}\r\n");
}

#[test]
fn reports_change_the_shares_of_servers() {
    if is_nginx() {
        return;
    }
    let ((a, of_a), (b, of_b)) = (reporter("a"), reporter("b"));
    let conf = "upstream u {
            zone u 64k; server %a%; server %b%;
            load_report blackout=0 metric=named_metrics.queue;
        }
        server {
            listen 127.0.0.1:%port%;
            location / { proxy_pass http://u; }
            location /shown { proxy_pass http://u; proxy_pass_header Endpoint-Load-Metrics;
                add_header X-Report $upstream_http_endpoint_load_metrics; }
            location /api { api; }
        }";
    let server = Server::http(conf)
        .set("a", a.address())
        .set("b", b.address())
        .main("worker_processes 2;")
        .start();
    assert_eq!(answers(&server, 20), [10, 10]);
    report(&of_a, "TEXT cpu_utilization:0.5,rps_fractional:100");
    report(&of_b, "JSON {\"cpu_utilization\": 0.5, \"rps_fractional\": 300}");
    let weights = |expected: [f64; 2]| {
        until("the shares", || {
            answers(&server, 2);
            [0, 1].map(|place| peer(&server, place)["effective_weight"].as_f64())
                == expected.map(Some)
        });
    };
    weights([0.5, 1.5]);
    let [of_20_a, of_20_b] = answers(&server, 40);
    assert!((9..=11).contains(&of_20_a), "{of_20_a} and {of_20_b}");
    // The named metric precedes, and errors count as use.
    report(&of_a, "TEXT cpu_utilization:0.1,rps_fractional:100,named_metrics.queue:0.5");
    report(&of_b, "TEXT named_metrics.queue:0.25,rps_fractional:100,eps:25");
    weights([1.0, 1.0]);
    // A report with a bad item says nothing.
    let bad = peer(&server, 1)["load_reports"]["bad"].as_u64().unwrap();
    report(&of_b, "TEXT named_metrics.queue:0.25,rps_fractional:9000,eps:NaN");
    until("bad reports", || {
        answers(&server, 2);
        peer(&server, 1)["load_reports"]["bad"].as_u64().unwrap() > bad
    });
    weights([1.0, 1.0]);
    // The field is for the server in front, unless it is asked for.
    assert_eq!(server.get("/").header("Endpoint-Load-Metrics"), None);
    let shown = server.get("/shown");
    assert!(shown.header("Endpoint-Load-Metrics").unwrap().starts_with("TEXT "));
    assert_eq!(shown.header("X-Report"), shown.header("Endpoint-Load-Metrics"));
}

/// Without the directive, the field is like any other.
#[test]
fn reports_are_passed_on_without_the_directive() {
    let (a, of_a) = reporter("a");
    report(&of_a, "TEXT cpu_utilization:0.5,rps_fractional:100");
    let conf = "server { listen 127.0.0.1:%port%; location / { proxy_pass http://%a%; } }";
    let server = Server::http(conf).set("a", a.address()).start();
    let response = server.get("/");
    assert_eq!(
        response.header("Endpoint-Load-Metrics"),
        Some("TEXT cpu_utilization:0.5,rps_fractional:100")
    );
}

/// The blocks of a kind in the howto.
fn blocks(kind: &str) -> Vec<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/howto/server-load.md");
    let text = std::fs::read_to_string(path).unwrap();
    let fence = format!("```{kind}\n");
    let parts = text.split(fence.as_str()).skip(1);
    parts.map(|part| part.split("```").next().unwrap().to_owned()).collect()
}

/// `docs/howto/server-load.md`, with other addresses and paths.
#[test]
fn the_howto_does_what_it_says() {
    if is_nginx() {
        return;
    }
    let ((a, of_a), (b, of_b)) = (reporter("a"), reporter("b"));
    let (agents, backends) = ([Agent::new(""), Agent::new("")], [a, b]);
    let mut conf = blocks("nginx").concat().replace("listen 80;", "listen 127.0.0.1:%port%;");
    conf = conf.replace("listen 81;", "listen 127.0.0.1:%port2%;").replace("port=9090 ", "");
    for (number, (agent, backend)) in agents.iter().zip(&backends).enumerate() {
        let server = format!("server 10.0.0.{}:8080;", number + 1);
        assert_eq!(conf.matches(&server).count(), 2);
        let (at, agent) = (backend.address(), agent.address.port());
        conf = conf.replace(&server, &format!("server {at} agent_port={agent};"));
    }
    let server = Server::http(&conf).start();
    let drain = server.directory().join("drain");
    let script = blocks("sh").concat().replace("/run/drain", drain.to_str().unwrap());
    let script = server.directory().write("load-agent", script);
    for agent in &agents {
        let script = script.clone();
        agent.does(move |stream| {
            let said = std::process::Command::new("/bin/sh").arg(&script).output().unwrap();
            stream.write_all(&said.stdout).unwrap();
        });
    }
    let shown = |place: usize| {
        let all: Value =
            serde_json::from_str(&server.text("/api/9/http/upstreams/backend")).unwrap();
        all["peers"][place].clone()
    };
    until("the agents", || [0, 1].iter().all(|&place| shown(place)["agent"]["reached"] == true));
    let mut example: Value = serde_json::from_str(&blocks("json").concat()).unwrap();
    let weight = shown(0)["agent"]["weight"].as_str().unwrap().to_owned();
    assert!(["100%", "50%"].contains(&weight.as_str()), "{weight}");
    example["agent"]["weight"] = weight.into();
    assert_eq!(shown(0)["agent"], example["agent"]);
    assert!(shown(0)["effective_weight"].is_number());
    std::fs::write(&drain, "").unwrap();
    until("the drain", || [0, 1].iter().all(|&place| shown(place)["state"] == "draining"));
    std::fs::remove_file(&drain).unwrap();
    until("the return", || [0, 1].iter().all(|&place| shown(place)["state"] == "up"));

    // Both forms of the field are good reports.
    let forms = blocks("").concat();
    let mut forms = forms.lines().filter(|line| line.starts_with("Endpoint-Load-Metrics: "));
    for line in [of_a, of_b] {
        *line.lock().unwrap() = format!("{}\r\n", forms.next().unwrap());
    }
    let counted = |place: usize| {
        let all: Value =
            serde_json::from_str(&server.text("/api/9/http/upstreams/reporting")).unwrap();
        all["peers"][place]["load_reports"].clone()
    };
    until("reports of both servers", || {
        let mut client = Client::connect(server.address("port2"));
        let response = client.get("/");
        assert_eq!(response.header("Endpoint-Load-Metrics"), None);
        [0, 1].iter().all(|&place| counted(place)["good"] != 0)
    });
    assert_eq!([counted(0)["bad"].clone(), counted(1)["bad"].clone()], [json!(0), json!(0)]);
}
