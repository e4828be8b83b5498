//! Nested files, `-g`, the order of messages, limits.
#![allow(missing_docs)]

use std::path::Path;
use weir_conf::environment::Memory;
use weir_conf::{
    Assembly, Contexts, Cx, Fault, Many, Node, Open, Slot, Table, Value, assemble, directives,
    dump, pending, reference,
};

static CORE: Slot<Core> = Slot::new();
static LEVEL: Slot<Level> = Slot::new();

directives! {
    /// Blocks.
    struct Core as CoreWritten in [main] {
        /// Opens http.
        "http" opens http [0]: "" after check_http,
        "server" in [http] opens server [0]: "",
        "daemon" => daemon: bool = true,
        "seen" => seen: Many<String>,
        "map" in [http] block [1]: "$variable" => rows,
    }
}

directives! {
    /// Settings of a server.
    struct Level in [http, server] {
        /// How much.
        ///
        /// More is more.
        "level" as "height" => level: u32 = 3
    }
    finish = Level::finish;
}

impl Level {
    fn finish(&mut self, parent: Option<&Self>, cx: &mut Cx<'_>) -> Result<(), Fault> {
        let expected = if parent.is_some() { Contexts::SERVER } else { Contexts::HTTP };
        assert_eq!(cx.context(), expected);
        if self.level > 9 { Err("too high a level".into()) } else { Ok(()) }
    }
}

fn rows(_: &mut CoreWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    for row in node.block.iter().flatten() {
        cx.row(row);
        if row.args.len() != 1 {
            return Err("invalid number of the map parameters".into());
        }
    }
    cx.rows_done(node);
    Ok(())
}

fn check_http(_: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    let http = cx.blocks().last().ok_or("no block")?;
    let at = |server: &Open| server.settled(&LEVEL).or(http.settled(&LEVEL)).map(|at| at.level);
    let total: u32 = http.blocks().iter().filter_map(at).sum();
    if total == 13 { Err(Fault::new("unlucky").nowhere()) } else { Ok(()) }
}

pending! {
    /// A few directives of nginx, for their names, contexts and arities.
    static OTHERS = {
        "daemon" in [main] [1];
        "sub_filter" in [http, server, location] [2];
        "types" in [http, server, location] [0] block;
    }
}

const TABLES: &[&Table] = &[&Core::table(&CORE), &Level::table(&LEVEL), &OTHERS];

fn read_with(globals: Option<&str>, files: &[(&str, &str)]) -> Assembly {
    let env = files.iter().fold(Memory::default(), |env, (path, text)| env.with(path, *text));
    assemble(TABLES, Path::new("/c/nginx.conf"), Path::new("/p"), globals, &env)
}

fn read(files: &[(&str, &str)]) -> Assembly {
    read_with(None, files)
}

#[test]
fn files_nest_and_keep_their_names_and_lines() {
    let assembly = read(&[
        ("/c/nginx.conf", "seen a;\ninclude sub/*.conf;\nseen d; include none/*;\n"),
        ("/c/sub/1.conf", "seen b;\ninclude /other;\n"),
        ("/c/sub/2.conf", "\nseen c;\nnonsense;"),
        ("/other", "\n\nfoo;\n"),
    ]);
    assert_eq!(assembly.root.settings.get(&CORE).seen, ["a", "b", "c", "d"]);
    assert_eq!(
        assembly.one_lines(),
        [
            "[emerg] unknown directive \"foo\" in /other:3",
            "[emerg] unknown directive \"nonsense\" in /c/sub/2.conf:3"
        ]
    );
    let text = String::from_utf8(dump(&assembly.sources)).unwrap();
    assert_eq!(text.matches("# configuration file ").count(), 4);
}

#[test]
fn what_cannot_be_opened_is_told() {
    let line = |text| read(&[("/c/nginx.conf", text)]).one_lines();
    let missing =
        "[emerg] open() \"/c/x\" failed (2: No such file or directory) in /c/nginx.conf:2";
    assert_eq!(line("\ninclude x; daemon on;"), [missing]);
    let count = "[emerg] invalid number of arguments in \"include\" directive in /c/nginx.conf:1";
    assert_eq!(line("include x y;"), [count]);
    let missing = "[emerg] open() \"/c/nginx.conf\" failed (2: No such file or directory)";
    assert_eq!(read(&[]).one_lines(), [missing]);
}

#[test]
fn a_file_that_includes_itself_ends() {
    let assembly = read(&[("/c/nginx.conf", "include nginx.conf;")]);
    let message = "[emerg] \"/c/nginx.conf\" is not read: includes are nested deeper than 200 in \
                   /c/nginx.conf:1";
    assert_eq!(assembly.one_lines(), [message]);
    let twice = read(&[("/c/nginx.conf", "include *.conf; include *.conf;")]);
    assert!(!twice.ok() && twice.one_lines().len() <= 501);
}

/// A chain of files, each of which includes the next `count` times deep.
fn chain(count: usize) -> Vec<(String, String)> {
    let file = |number: usize| match number {
        0 => ("/c/nginx.conf".to_owned(), "include 1;".to_owned()),
        _ if number == count => (format!("/c/{number}"), "seen last;".to_owned()),
        _ => (format!("/c/{number}"), format!("include {};", number + 1)),
    };
    (0..=count).map(file).collect()
}

#[test]
fn includes_nest_to_a_limit_that_is_named() {
    let read_chain = |count| {
        let files = chain(count);
        let files: Vec<_> = files.iter().map(|(p, t)| (p.as_str(), t.as_str())).collect();
        read(&files)
    };
    let last = read_chain(200);
    assert!(last.ok(), "{:?}", last.one_lines());
    assert_eq!(last.root.settings.get(&CORE).seen, ["last"]);
    let message = "[emerg] \"/c/201\" is not read: includes are nested deeper than 200 in /c/200:1";
    assert_eq!(read_chain(201).one_lines(), [message]);
}

#[test]
fn a_block_may_not_cross_files() {
    let assembly = read(&[("/c/nginx.conf", "http { include a; }"), ("/c/a", "level 1; }")]);
    assert_eq!(assembly.one_lines(), ["[emerg] unexpected \"}\" in /c/a:1"]);
}

#[test]
fn globals_come_first_and_have_no_lines() {
    let file = ("/c/nginx.conf", "daemon on;");
    let assembly = read_with(Some("daemon off;"), &[file]);
    assert_eq!(
        assembly.one_lines(),
        ["[emerg] \"daemon\" directive is duplicate in /c/nginx.conf:1"]
    );
    for (globals, message) in [
        ("daemon off", "unexpected end of parameter, expecting \";\""),
        ("http { }", "block directives are not supported in -g option"),
        ("nonsense;", "unknown directive \"nonsense\""),
        ("}", "unexpected \"}\""),
    ] {
        let lines = read_with(Some(globals), &[file]).one_lines();
        assert_eq!(lines[0], format!("[emerg] {message} in command line"));
    }
}

#[test]
fn messages_come_in_the_order_in_which_nginx_would_meet_them() {
    let text = "daemon x;
        http {
            map $a { a b; c; \"d\"e; }
            server { level 10; }
            nonsense;
            level 1 ; ;
        }
        daemon \"y\"z;";
    let assembly = read(&[("/c/nginx.conf", text)]);
    let expected = [
        "[emerg] invalid value \"x\" in \"daemon\" directive, it must be \"on\" or \"off\" in /c/nginx.conf:1",
        "[emerg] invalid number of the map parameters in /c/nginx.conf:3",
        "[emerg] unexpected \"e\" in /c/nginx.conf:3",
        "[emerg] unknown directive \"nonsense\" in /c/nginx.conf:5",
        "[emerg] unexpected \";\" in /c/nginx.conf:6",
        "[emerg] too high a level in /c/nginx.conf:7",
        "[emerg] unexpected \"z\" in /c/nginx.conf:8",
        "[emerg] invalid number of arguments in \"daemon\" directive in /c/nginx.conf:8",
    ];
    assert_eq!(assembly.one_lines(), expected);
}

#[test]
fn a_merged_block_is_checked_before_the_file_goes_on() {
    let text = "http { level 6; server { } server { level 7; } }\nnonsense;";
    let lines = read(&[("/c/nginx.conf", text)]).one_lines();
    assert_eq!(
        lines,
        ["[emerg] unlucky", "[emerg] unknown directive \"nonsense\" in /c/nginx.conf:2"]
    );
}

#[test]
fn pending_directives_are_checked_for_shape_and_warned_about() {
    let text = "http { server { sub_filter a b; sub_filter c; types { a b; } } }";
    let assembly = read(&[("/c/nginx.conf", text)]);
    let expected = [
        "[warn] \"sub_filter\" directive is not supported yet and has no effect in /c/nginx.conf:1",
        "[emerg] invalid number of arguments in \"sub_filter\" directive in /c/nginx.conf:1",
        "[warn] \"types\" directive is not supported yet and has no effect in /c/nginx.conf:1",
    ];
    assert_eq!(assembly.one_lines(), expected);
    let names = reference::pending_names(TABLES);
    assert!(
        names.iter().any(|name| name == "sub_filter") && !names.iter().any(|name| name == "daemon")
    );
}

#[test]
fn many_warnings_do_not_forbid() {
    let text = format!("http {{ {} }}", "sub_filter a b;\n".repeat(2000));
    let assembly = read(&[("/c/nginx.conf", &text)]);
    assert!(assembly.ok());
    assert_eq!(
        assembly.one_lines(),
        ["[warn] \"sub_filter\" directive is not supported yet and has no effect, 2000 times, \
             first in /c/nginx.conf:1"]
    );
    assert!(!read(&[("/c/nginx.conf", &(text + "nonsense;"))]).ok());
}

#[test]
fn the_reference_has_syntax_default_and_context() {
    let page = reference::page("Level", &[&Level::table(&LEVEL)], |_| None);
    assert_eq!(
        page,
        "# Level\n\nSettings of a server.\n\n## level\n\n| | |\n|---|---|\n| Syntax | `level height;` |\n\
         | Default | `level 3;` |\n| Context | http, server |\n\nHow much.\n\nMore is more.\n"
    );
    assert_eq!(bool::SYNTAX, "on | off");
}

#[test]
fn deep_blocks_and_odd_bytes_do_no_harm() {
    let deep = "a {".repeat(10_000);
    assert!(!read(&[("/c/nginx.conf", &deep)]).ok());
    weir_conf::fuzz(deep.as_bytes());
    let mut seed = 1u32;
    for _ in 0..300 {
        let bytes = std::iter::repeat_with(|| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            b"ab;{}\"'$\\#)\n \xff"[(seed >> 16) as usize % 14]
        });
        let bytes: Vec<u8> = bytes.take(200).collect();
        weir_conf::fuzz(&bytes);
    }
}
