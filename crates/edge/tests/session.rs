//! The settings that http and stream share, in the contexts of stream and for a host other than a
//! request of http.
#![allow(missing_docs)]

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use weir_conf::environment::Memory;
use weir_conf::{
    Assembly, Block, Contexts, Cx, Fault, LogFile as Handle, Many, Node, Slot, Table, assemble,
    directives,
};
use weir_edge::Session;
use weir_edge::access::AccessRules;
use weir_edge::access_log::{self, Logging};
use weir_edge::limit_conn;
use weir_edge::listen::{self, Options, Ports, Protocols};
use weir_edge::tls::Ssl;
use weir_engine::Addr;
use weir_engine::error_log::Level;
use weir_engine::listen::Transport;
use weir_engine::log_files::LogFile;
use weir_script::variables::{StreamVariables, variables};
use weir_script::{Captures, GeoBlock, Host, MapBlock, Scope, SplitClientsBlock, Template, VarId};
use weir_upstream::shared_zone::{self, HasNodes};

/// The contexts of http and their equivalents in stream.
const LEVELS: &[(Contexts, Contexts)] =
    &[(Contexts::HTTP, Contexts::STREAM), (Contexts::SERVER, Contexts::STREAM_SERVER)];

static SERVERS: Slot<Servers> = Slot::new();
static RULES: Slot<AccessRules> = Slot::new();
static LOG: Slot<Logging> = Slot::new();
static SSL: Slot<Ssl> = Slot::new();

const TABLES: [&Table; 4] = [
    &Servers::table(&SERVERS),
    &AccessRules::table(&RULES).moved(LEVELS),
    &Logging::table(&LOG).moved(LEVELS),
    &Ssl::table(&SSL).moved(LEVELS).except(&["ssl_buffer_size", "ssl_early_data"]),
];

directives! {
    /// The directives that a stream module would have.
    struct Servers as ServersWritten in [stream, stream_server] {
        "stream" in [main] opens stream [0]: "{ … }",
        "server" in [stream] opens stream_server [0]: "{ … }",
        "listen" in [stream_server] [1+]: "address" => add_listen,
        "limit_conn_zone" in [stream] [2, 3]: "key zone=name:size [sync]" => define_zone,
        "map" in [stream] => maps: Many<MapBlock>,
        "geo" in [stream] => geos: Many<GeoBlock>,
        "split_clients" in [stream] => splits: Many<SplitClientsBlock>,
        "set" in [stream_server] [2]: "$variable value" => add_set,
        field listens: weir_conf::Local<Vec<(Vec<Addr>, Options)>>,
        field sets: weir_conf::Local<Vec<(VarId, Template)>>,
    }
}

fn add_listen(own: &mut ServersWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    let addresses = listen::addresses(&node.args[0], 0, cx)?;
    let mut options = Options::default();
    for word in &node.args[1..] {
        if word.is("udp") {
            options.set_datagram("udp", &node.args[1..])?;
        } else if !options.parameter(word, &mut |_| {})? {
            return Err(Fault::parameter(word));
        }
    }
    own.listens.get_or_insert_default().push((addresses, options));
    Ok(())
}

fn define_zone(_: &mut ServersWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    limit_conn::define_zone(node, cx)
}

fn add_set(own: &mut ServersWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    let vars = variables(cx);
    let name = vars.define_word(&node.args[0].value)?;
    let value = Template::compile(&node.args[1].value, vars)?;
    own.sets.get_or_insert_default().push((name, value));
    Ok(())
}

/// A session of stream, reduced to the needs of this test.
#[derive(Default)]
struct Stream {
    values: HashMap<VarId, Vec<u8>>,
    captures: Captures,
    told: RefCell<Vec<String>>,
    file: Option<Arc<LogFile>>,
}

impl Host for Stream {
    fn variable(&mut self, id: VarId, out: &mut Vec<u8>) -> bool {
        let value = self.values.get(&id);
        out.extend_from_slice(value.map_or(b"", Vec::as_slice));
        value.is_some()
    }

    fn capture(&mut self, n: usize, out: &mut Vec<u8>) -> bool {
        let value = self.captures.get(n);
        out.extend_from_slice(value.unwrap_or_default());
        value.is_some()
    }
}

impl Scope for Stream {
    fn captures(&mut self) -> &mut Captures {
        &mut self.captures
    }

    fn assign(&mut self, id: VarId, value: &[u8]) {
        self.values.insert(id, value.to_vec());
    }
}

impl Session for Stream {
    fn log(&self, _: Level, message: &str) {
        self.told.borrow_mut().push(message.to_owned());
    }

    fn log_file(&self, _: Handle) -> Option<Arc<LogFile>> {
        self.file.clone()
    }
}

struct Read(Assembly);

impl Read {
    fn new(text: &str) -> Self {
        let env = Memory::default().with("/c", text);
        let assembly = assemble(&TABLES, Path::new("/c"), Path::new("/p"), None, &env);
        assert_eq!(assembly.one_lines(), [""; 0]);
        Self(assembly)
    }

    fn stream(&self) -> &Block {
        &self.0.root.blocks[0]
    }

    fn server(&self) -> &Block {
        &self.stream().blocks[0]
    }

    /// A session in which `$who` has a value.
    fn session(&mut self, who: &str) -> Stream {
        let StreamVariables(vars) = self.0.registries.entry();
        let id = vars.reference("who");
        Stream { values: [(id, who.into())].into(), ..Stream::default() }
    }
}

#[test]
fn addresses_of_both_transports_are_listened_at() {
    let read = Read::new(
        "stream { server { listen 127.0.0.1:53 proxy_protocol backlog=7; listen 127.0.0.1:53 udp; } }",
    );
    let mut ports = Ports::default();
    for (addresses, options) in &read.server().settings.get(&SERVERS).listens {
        assert_eq!(ports.add(0, &addresses[0], options), Ok(None));
    }
    let tcp = &ports.bound(Transport::Stream)[0];
    assert_eq!((tcp.spec.name().as_str(), tcp.spec.options.backlog), ("tcp 127.0.0.1:53", 7));
    assert!(tcp.addresses[0].options.protocols.has(Protocols::PROXY));
    assert_eq!(ports.bound(Transport::Datagram)[0].spec.name(), "udp 127.0.0.1:53");
}

#[test]
fn the_first_rule_decides() {
    let read = Read::new("stream { allow 10.0.0.0/8; deny all; server { } }");
    let rules = read.server().settings.get(&RULES).rules.clone().expect("two rules");
    let denies =
        |ip: &str| rules.find(&Addr::Inet((ip.parse::<std::net::IpAddr>().unwrap(), 1).into()));
    assert_eq!((denies("10.1.2.3"), denies("11.1.2.3")), (Some(false), Some(true)));
}

#[test]
fn a_log_tells_of_a_session_under_its_condition() {
    let mut read =
        Read::new("stream { log_format f '<$who>'; server { access_log a.log f if=$who; } }");
    let path = std::env::temp_dir().join(format!("weir-edge-{}", std::process::id()));
    let file = Arc::new(LogFile::open(&path).unwrap());
    for who in ["a", "0", "b"] {
        let mut session = read.session(who);
        session.file = Some(Arc::clone(&file));
        read.server().settings.get(&LOG).write(&mut session);
        assert_eq!(session.told.take(), [""; 0]);
    }
    access_log::flush();
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(text, "<a>\n<b>\n");
}

#[test]
fn certificates_are_named_by_variables_of_any_host() {
    let mut read = Read::new(
        "stream { server { ssl_certificate /none/$who.crt; ssl_certificate_key /none/$who.key; } }",
    );
    let context = read.server().settings.get(&SSL).context.clone().expect("a certificate");
    assert!(context.is_computed());
    let fault = context.compute(&mut read.session("a.example")).expect_err("no such file");
    assert!(
        fault.to_string().starts_with("cannot load certificate \"/none/a.example.crt\""),
        "{fault}"
    );
}

#[test]
fn computed_variables_have_any_host() {
    let mut read = Read::new(
        "stream {
            map $who $kind { ~^a(.) <$1>; default other; }
            geo $who $net { 10.0.0.0/8 inner; }
            split_clients $who $share { 100% all; }
            server { set $copy $who; }
        }",
    );
    let mut session = read.session("ab");
    let own = read.stream().settings.get(&SERVERS);
    let mut out = Vec::new();
    own.maps[0].eval(&mut session, &mut out);
    own.splits[0].eval(&mut session, &mut out);
    for (_, value) in &read.server().settings.get(&SERVERS).sets {
        value.eval(&mut session, &mut out);
    }
    assert_eq!(out, b"<b>allab");
    let mut session = read.session("10.9.9.9");
    let geo = &read.stream().settings.get(&SERVERS).geos[0];
    let address = geo.address(&mut session, None, &mut Vec::new());
    assert_eq!(geo.geo.find(address), b"inner");
}

#[test]
fn a_shared_zone_needs_nodes() {
    let conf = |zone: &str| Read::new(&format!("stream {{ {zone} server {{ }} }}"));
    let mut alone = conf("limit_conn_zone a zone=alone:1m;");
    limit_conn::ZONES.bind(&mut alone.0.registries).unwrap();
    let mut shared = conf("limit_conn_zone a zone=both:1m sync;");
    let fault = limit_conn::ZONES.bind(&mut shared.0.registries).unwrap_err();
    let shown = fault.diagnose("", None).one_line(&shared.0.sources);
    let words = "[emerg] parameter \"sync\" needs the nodes to share with: an \"ha\" block with two \
                 nodes or more in /c:1";
    assert_eq!(shown, words);
    *shared.0.registries.entry::<HasNodes>() = HasNodes(true);
    limit_conn::ZONES.bind(&mut shared.0.registries).unwrap();
    let names = || shared_zone::in_use().into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(names(), [Arc::from("both")]);
    // A reload takes the parameter away.
    let mut apart = conf("limit_conn_zone a zone=both:1m;");
    limit_conn::ZONES.bind(&mut apart.0.registries).unwrap();
    assert!(names().is_empty());
}
