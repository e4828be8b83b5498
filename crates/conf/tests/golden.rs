//! `golden/NAME.conf` must give the messages in `golden/NAME.txt`, in both forms. The first message
//! is nginx 1.31.5's. `WEIR_BLESS=1 cargo test -p weir-conf` writes the files anew.
#![allow(missing_docs)]

use std::fmt::Write;
use std::path::Path;
use std::{env, fs};
use weir_conf::environment::Memory;
use weir_conf::{Cx, Fault, Node, Slot, Table, assemble, directives, pending};

static BLOCKS: Slot<Blocks> = Slot::new();

directives! {
    /// The blocks of nginx; all other directives are pending.
    struct Blocks as BlocksWritten in [http, server, location] {
        "events" in [main] opens events [0]: "",
        "http" in [main] opens http [0]: "",
        "server" in [http] opens server [0]: "",
        "upstream" in [http] opens upstream [1]: "name",
        "location" in [server, location] opens location [1, 2]: "[ = | ~ | ~* | ^~ ] uri",
        "if" in [server] opens server_if [1+]: "(condition)",
        "if" in [location] opens location_if [1+]: "(condition)",
        "map" in [http] block [2]: "string $variable" => rows,
    }
}

fn rows(_: &mut BlocksWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    for row in node.block.iter().flatten() {
        cx.row(row);
    }
    cx.rows_done(node);
    Ok(())
}

pending! {
    /// A few directives of nginx, for their names, contexts and arities.
    static OTHERS = {
        "keepalive_timeout" in [upstream] [1];
        "keepalive_timeout" in [http, server, location] [1, 2];
        "listen" in [server, stream_server, mail_server] [1+];
        "log_format" in [http, stream] [2+];
        "proxy_buffering" in [http, server, location] [1];
        "proxy_pass" in [location, location_if, limit_except, stream_server] [1];
        "return" in [stream_server] [1];
        "return" in [server, location, server_if, location_if] [1, 2];
        "root" in [http, server, location, location_if] [1];
        "sendfile" in [http, server, location, location_if] [1];
        "worker_connections" in [events] [1];
        "worker_processes" in [main] [1];
    }
}

const TABLES: &[&Table] = &[&Blocks::table(&BLOCKS), &OTHERS];

fn messages(name: &str, text: Vec<u8>) -> String {
    let path = format!("/conf/{name}.conf");
    let env = Memory::default().with(&path, text);
    let assembly = assemble(TABLES, Path::new(&path), Path::new("/"), None, &env);
    let mut out = String::new();
    for diagnostic in assembly.diagnostics.iter().filter(|found| found.severity.is_fatal()) {
        let _ = writeln!(out, "{}", diagnostic.one_line(&assembly.sources));
        out.push_str(&diagnostic.pretty(&assembly.sources, false).unwrap_or_default());
    }
    out
}

#[test]
fn messages_are_as_recorded() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut checked = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "conf") {
            continue;
        }
        let name = path.file_stem().unwrap().to_string_lossy();
        let got = messages(&name, fs::read(&path).unwrap());
        let recorded = path.with_extension("txt");
        if env::var_os("WEIR_BLESS").is_some() {
            fs::write(&recorded, &got).unwrap();
        }
        assert_eq!(got, fs::read_to_string(&recorded).unwrap_or_default(), "{name}");
        checked += 1;
    }
    assert!(checked > 0);
}
