//! Every kind of row of `directives!`, set, repeated, inherited and merged.
#![allow(missing_docs)]

use std::path::Path;
use std::sync::Arc;
use weir_conf::environment::Memory;
use weir_conf::value::{Bufs, Msec, Off, Offset, Pair, PrefixPath, Size};
use weir_conf::{
    Assembly, Block, BlockId, Contexts, Cx, Fault, Inherit, Local, Many, Node, Slot, Table,
    assemble, bitmask, directives, keywords,
};

keywords! {
    enum Mode { "on" => On, "off" => Off, "try" => Try }
}

bitmask! {
    struct When { "error" => ERROR = 1, "timeout" => TIMEOUT = 2, "http_500" => HTTP_500 = 4 }
}

static CORE: Slot<Core> = Slot::new();
static SUB: Slot<Sub> = Slot::new();
static PROXY: Slot<Transfer> = Slot::new();
static GRPC: Slot<Transfer> = Slot::new();
static PEERS: Slot<Peers> = Slot::new();
static NUMBERED: Slot<Numbered> = Slot::new();

directives! {
    /// The blocks.
    struct Core as CoreWritten in [http, server, location] {
        /// Opens http.
        "http" in [main] opens http [0]: "{ ... }",
        /// A server.
        "server" in [http] opens server [0]: "{ ... }" => open_server,
        /// A location.
        "location" in [server, location] opens location [1, 2]: "[ = | ~ ] uri",
        /// Depends on the context.
        "if" in [server] opens server_if [1+]: "(condition)",
        "if" in [location] opens location_if [1+]: "(condition)",
        /// Its content is checked at its end.
        "upstream" in [http] opens upstream [1]: "name" then close_upstream,
        // The servers opened, in order.
        field servers: Local<Vec<BlockId>>
    }
}

fn open_server(core: &mut CoreWritten, _: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    core.servers.get_or_insert_default().push(cx.child_id());
    Ok(())
}

fn close_upstream(_: &mut CoreWritten, _: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    if cx.written(&PEERS).servers.is_none() {
        return Err("no servers are inside upstream".into());
    }
    Ok(())
}

directives! {
    /// Another table with a directive of the same name.
    struct Peers in [upstream] {
        "server" => servers: Many<Vec<weir_conf::Word>>
    }
}

directives! {
    /// Values.
    struct Sub as SubWritten in [http, server, location] {
        "flag" => flag: bool = true,
        "mode" => mode: Mode = Mode::Off,
        "when" => when: When = When::ERROR.union(When::TIMEOUT),
        "size" => size: Size = Size::k(8),
        "body" => body: Offset = Offset::m(1),
        "wait" => wait: Msec = Msec::seconds(60),
        "bufs" => bufs: Bufs = Bufs::new(8, 4096),
        "number" => number: u32,
        "header" => headers: Many<Pair>,
        "tag" in [http, location] => tag: Option<String>,
        "rate" => rate: Off<Offset>,
        "dir" => dir: PrefixPath,
        "once" => once: Local<bool> = false,
        "set" in [server, location, location_if] [2]: "$variable value" => set_set,
        "push" [1+]: "value ..." => set_set,
        "pairs" in [http] block [0]: "{ ... }" => set_pairs,
        field code: Local<Vec<String>>,
        field pairs: Inherit<Vec<(String, String)>>,
        field depth: Inherit<u32> = 0,
    }
    finish = Sub::finish;
}

fn set_set(sub: &mut SubWritten, node: &Node, _: &mut Cx<'_>) -> Result<(), Fault> {
    let words = node.args.iter().map(|word| word.text().into_owned());
    sub.code.get_or_insert_default().extend(words);
    Ok(())
}

fn set_pairs(sub: &mut SubWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    let pairs = sub.pairs.get_or_insert_default();
    for row in node.block.iter().flatten() {
        cx.row(row);
        let [value] = row.args.as_slice() else {
            return Err("invalid number of the pair parameters".into());
        };
        pairs.push((row.text().into_owned(), value.text().into_owned()));
    }
    cx.rows_done(node);
    Ok(())
}

impl Sub {
    fn finish(&mut self, parent: Option<&Self>, cx: &mut Cx<'_>) -> Result<(), Fault> {
        self.depth = parent.map_or(0, |parent| parent.depth + 1);
        if self.size.0 > self.body.0 {
            let size = cx.origin("size");
            let fault = Fault::new("\"size\" must not be larger than \"body\"");
            return Err(size.map_or(fault.clone(), |size| fault.caret(size)));
        }
        Ok(())
    }
}

directives! {
    /// One struct under two prefixes.
    struct Transfer in [http, server, location] {
        "buffering" => buffering: bool = true,
        "redirect" => redirect: bool = true,
    }
}

directives! {
    /// Values that depend on the block itself.
    struct Numbered in [http, server] {
        "numbered" => on: bool,
        field block: Local<Option<BlockId>>,
    }
    finish = Numbered::finish;
}

impl Numbered {
    fn finish(&mut self, _: Option<&Self>, cx: &mut Cx<'_>) -> Result<(), Fault> {
        self.block = self.on.then(|| cx.block_id());
        Ok(())
    }
}

const TABLES: &[&Table] = &[
    &Core::table(&CORE),
    &Sub::table(&SUB),
    &Transfer::table(&PROXY).prefix("proxy_"),
    &Transfer::table(&GRPC).prefix("grpc_").except(&["redirect"]),
    &Peers::table(&PEERS),
    &Numbered::table(&NUMBERED),
];

fn read(text: &str) -> Assembly {
    let env = Memory::default()
        .with("/c/nginx.conf", text)
        .with("/c/pairs/1", "c d;\n")
        .with("/c/pairs/2", "e f;\n")
        .with("/c/deeper", "location / { location / { location / { include deeper; } } }");
    assemble(TABLES, Path::new("/c/nginx.conf"), Path::new("/p"), None, &env)
}

fn fine(text: &str) -> Assembly {
    let assembly = read(text);
    assert_eq!(assembly.one_lines(), [""; 0]);
    assembly
}

fn first(text: &str) -> String {
    let assembly = read(text);
    assembly.one_lines().first().cloned().unwrap_or_default()
}

#[test]
fn values_are_set_and_inherited() {
    let assembly = fine(
        "http { flag off; size 16k; body 1g; wait 1m30s; bufs 4 32k; number 7; mode TRY;
            header a b; header c d; once on; when http_500; rate off; dir html; tag x;
            server { header e f; location / { rate 2m; } location = /x { flag on; } } }",
    );
    let http = &assembly.root.blocks[0];
    let server = &http.blocks[0];
    let (slash, exact) = (&server.blocks[0], &server.blocks[1]);
    assert_eq!(exact.args[1].text(), "/x");
    let sub = slash.settings.get(&SUB);
    assert_eq!((sub.flag, sub.size, sub.body), (false, Size::k(16), Offset(1 << 30)));
    assert_eq!((sub.wait, sub.bufs, sub.number), (Msec::seconds(90), Bufs::new(4, 32768), 7));
    assert_eq!((sub.mode, sub.when), (Mode::Try, When::HTTP_500));
    assert_eq!(sub.headers.iter().map(|pair| pair.key.text()).collect::<Vec<_>>(), ["e"]);
    assert_eq!(sub.rate.on(), Some(&Offset::m(2)));
    assert_eq!(sub.dir.0, Path::new("/p/html"));
    assert_eq!((sub.once, http.settings.get(&SUB).once), (false, true));
    assert_eq!((sub.tag.as_deref(), sub.depth), (Some("x"), 2));
    assert!(exact.settings.get(&SUB).flag);
    let span = slash.settings.origin(&SUB, "size").unwrap();
    assert_eq!(assembly.sources.line(span.file, span.start), 1);
    assert_eq!(slash.settings.origin(&SUB, "code"), None);
}

#[test]
fn blocks_share_what_they_do_not_write() {
    let assembly =
        fine("http { proxy_buffering off; server { location / { grpc_buffering off; } } }");
    let server = &assembly.root.blocks[0].blocks[0];
    let location = &server.blocks[0];
    assert!(Arc::ptr_eq(&server.settings.arc(&PROXY), &location.settings.arc(&PROXY)));
    assert!(!location.settings.get(&PROXY).buffering && !location.settings.get(&GRPC).buffering);
    assert!(server.settings.get(&GRPC).buffering);
}

#[test]
fn blocks_alike_share_what_finish_makes() {
    let assembly = fine(
        "http { size 16k; body 1g;
            server { location / { } } server { location / { } location = /x { flag on; } }
            server { size 8k; location / { } } }",
    );
    let servers = &assembly.root.blocks[0].blocks;
    let sub = |block: &Block| block.settings.arc(&SUB);
    let same = |a: &Block, b: &Block| Arc::ptr_eq(&sub(a), &sub(b));
    assert!(same(&servers[0], &servers[1]));
    assert!(same(&servers[0].blocks[0], &servers[1].blocks[0]));
    assert!(!same(&servers[0], &servers[0].blocks[0]));
    assert!(!same(&servers[1].blocks[0], &servers[1].blocks[1]));
    assert!(!same(&servers[1], &servers[2]));
    let depths = servers.iter().map(|server| sub(&server.blocks[0]).depth);
    assert_eq!(depths.collect::<Vec<_>>(), [2, 2, 2]);
    assert_eq!(sub(&servers[2].blocks[0]).size, Size::k(8));
    assert!(servers[0].settings.origin(&SUB, "size").is_some());
}

#[test]
fn what_finish_makes_for_one_block_is_not_shared() {
    let assembly = fine("http { numbered on; server { } server { } }");
    for server in &assembly.root.blocks[0].blocks {
        assert_eq!(server.settings.get(&NUMBERED).block, Some(server.id));
    }
    let assembly = fine("http { server { } server { } }");
    let servers = &assembly.root.blocks[0].blocks;
    let numbered = |at: usize| servers[at].settings.arc(&NUMBERED);
    assert!(Arc::ptr_eq(&numbered(0), &numbered(1)));
}

#[test]
fn setters_write_fields_and_open_blocks() {
    let assembly = fine(
        "http { push a; server { set $a b; if ($x) { } location / { if ($y) { set c d; } } }
           upstream u { server 127.0.0.1; } }",
    );
    let http = &assembly.root.blocks[0];
    let server = &http.blocks[0];
    assert_eq!(http.settings.get(&CORE).servers, [server.id]);
    assert_eq!(http.settings.get(&SUB).code, ["a"]);
    assert_eq!(server.settings.get(&SUB).code, ["$a", "b"]);
    assert_eq!(server.blocks[0].context, Contexts::SERVER_IF);
    let inner = &server.blocks[1].blocks[0];
    assert_eq!((inner.context, inner.args[0].text().as_ref()), (Contexts::LOCATION_IF, "($y)"));
    assert_eq!(inner.settings.get(&SUB).code, ["c", "d"]);
    assert_eq!(http.blocks[1].settings.get(&PEERS).servers.len(), 1);
    assert_eq!(assembly.root.walk().len(), 7);
}

#[test]
fn raw_blocks_include_files() {
    let assembly = fine("http { pairs { a b; include pairs/*; } }");
    let pairs = &assembly.root.blocks[0].settings.get(&SUB).pairs;
    let pairs: Vec<_> = pairs.iter().map(|(a, b)| format!("{a}{b}")).collect();
    assert_eq!(pairs, ["ab", "cd", "ef"]);
}

/// The walk and the tree are recursive, through all files.
#[test]
fn blocks_of_included_files_nest_to_the_limit_of_one_file() {
    let assembly = read("http { server { include deeper; } }");
    assert_eq!(assembly.one_lines(), ["[emerg] too many nested blocks in /c/deeper:1"]);
}

#[test]
fn faults_are_worded_as_in_nginx() {
    for (text, message) in [
        (
            "http { flag of; }",
            "invalid value \"of\" in \"flag\" directive, it must be \"on\" or \"off\"",
        ),
        ("http { flag on; flag off; }", "\"flag\" directive is duplicate"),
        ("http { flag; }", "invalid number of arguments in \"flag\" directive"),
        ("http { size 1g; }", "\"size\" directive invalid value"),
        ("http { wait 1x; }", "\"wait\" directive invalid value"),
        ("http { number x; }", "\"number\" directive invalid number"),
        ("http { mode x; }", "invalid value \"x\""),
        ("http { when error x; }", "invalid value \"x\""),
        ("http { pairs { a b; a b c; } }", "invalid number of the pair parameters"),
        ("http { pairs { a b { } } }", "unexpected \"{\""),
        ("http { upstream u { } }", "no servers are inside upstream"),
        ("http { server { tag x; } }", "\"tag\" directive is not allowed here"),
        ("http { server { proxy_bufering on; } }", "unknown directive \"proxy_bufering\""),
        ("http { grpc_redirect on; }", "unknown directive \"grpc_redirect\""),
        ("http { server; }", "directive \"server\" has no opening \"{\""),
        ("http { flag on { } }", "directive \"flag\" is not terminated by \";\""),
        ("http { server { size 8m; } }", "\"size\" must not be larger than \"body\""),
        ("http { include x; }", "open() \"/c/x\" failed (2: No such file or directory)"),
    ] {
        assert_eq!(first(text), format!("[emerg] {message} in /c/nginx.conf:1"), "{text}");
    }
}

#[test]
fn warnings_do_not_forbid() {
    let assembly = read("http { when error; when error; }");
    assert!(assembly.ok());
    assert_eq!(assembly.one_lines(), ["[warn] duplicate value \"error\" in /c/nginx.conf:1"]);
}

#[test]
fn a_table_moves_into_the_contexts_of_stream() {
    const LEVELS: &[(Contexts, Contexts)] =
        &[(Contexts::HTTP, Contexts::STREAM), (Contexts::SERVER, Contexts::STREAM_SERVER)];
    const MOVED: Table = Sub::table(&SUB).moved(LEVELS);
    let of = |name: &str| {
        let mut rows = MOVED.rows();
        rows.find(|(known, _)| known == name).map(|(_, row)| MOVED.contexts_of(row).to_string())
    };
    assert_eq!(of("flag").as_deref(), Some("stream, server in stream"));
    assert_eq!(of("set").as_deref(), Some("server in stream"));
    assert_eq!(of("tag").as_deref(), Some("stream"));
    assert_eq!(MOVED.contexts(), Contexts::STREAM.union(Contexts::STREAM_SERVER));
    assert!(Sub::table(&SUB).contexts().intersects(Contexts::LOCATION));
}
