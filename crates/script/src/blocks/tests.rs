use std::path::Path;

use weir_conf::environment::Memory;
use weir_conf::{Assembly, Many, Slot, Table, assemble, directives};

use super::*;
use crate::host::fake::Fake;

static TABLES: Slot<Tables> = Slot::new();

directives! {
    /// The blocks under test.
    struct Tables as TablesWritten in [main] {
        /// A map.
        "map" => maps: Many<MapBlock>,
        /// A geo.
        "geo" => geos: Many<GeoBlock>,
        /// A split_clients.
        "split_clients" => splits: Many<SplitClientsBlock>,
        /// A text.
        "text" => text: Option<Template>,
    }
}

fn read(text: &str) -> Assembly {
    const ALL: &[&Table] = &[&Tables::table(&TABLES)];
    let env = Memory::default()
        .with("/etc/weir.conf", text)
        .with("/etc/more.conf", "~^b(?<rest>.*) [$rest];");
    assemble(ALL, Path::new("/etc/weir.conf"), Path::new("/"), None, &env)
}

fn faults(text: &str) -> Vec<String> {
    read(text).one_lines()
}

#[test]
fn blocks_become_tables() {
    let assembly = read(
        "map $a $b { include more.conf; default no; x yes; }\n\
         geo $a $g { 10.0.0.0/8 ten; }\n\
         split_clients $a $s { 50% half; * rest; }\n\
         text x$b;\n",
    );
    assert!(assembly.ok(), "{:?}", assembly.one_lines());
    let tables = assembly.root.settings.get(&TABLES);
    let mut host = Fake::default();
    let mut ask = |value: &str| {
        let map = &tables.maps[0];
        let source = map.source.variable().unwrap();
        host.values.insert(source, value.as_bytes().to_vec());
        let mut out = Vec::new();
        map.eval(&mut host, &mut out);
        out.push(b' ');
        let mut scratch = Vec::new();
        let geo = &tables.geos[0];
        out.extend_from_slice(geo.geo.find(geo.address(&mut host, None, &mut scratch)));
        out.push(b' ');
        tables.splits[0].eval(&mut host, &mut out);
        String::from_utf8(out).unwrap()
    };
    assert_eq!(ask("X"), "yes  half");
    assert_eq!(ask("bcd"), "[cd]  rest");
    assert_eq!(ask("10.1.1.1"), "no ten half");
    assert_eq!(tables.text.as_ref().unwrap().source(), b"x$b");
}

#[test]
fn faults_have_the_line_of_their_row() {
    for (text, fault) in [
        ("map $a b { }", "invalid variable name \"b\" in /etc/weir.conf:1"),
        ("map $a $b {\n x 1;\n X 2; }", "conflicting parameter \"x\" in /etc/weir.conf:3"),
        ("map $a $b {\n x; }", "invalid number of the map parameters in /etc/weir.conf:2"),
        ("map $a $b {\n x $;\n}", "invalid variable name in /etc/weir.conf:2"),
        ("geo b { }", "invalid variable name \"b\" in /etc/weir.conf:1"),
        ("geo $b {\n x 1; }", "invalid network \"x\" in /etc/weir.conf:2"),
        ("split_clients a $b {\n 1 1; }", "invalid percent value \"1\" in /etc/weir.conf:2"),
        (
            "split_clients a $b {\n 60% 1;\n 50% 2;\n}",
            "percent total is greater than 100% in /etc/weir.conf:4",
        ),
        ("text ${a;", "the closing bracket in \"a\" variable is missing in /etc/weir.conf:1"),
    ] {
        assert_eq!(faults(text)[0], format!("[emerg] {fault}"));
    }
    assert_eq!(
        faults("geo $b {\n default 1;\n 10.0.0.1/8 2;\n}"),
        ["[warn] low address bits of 10.0.0.1/8 are meaningless in /etc/weir.conf:3"]
    );
}
