//! The configurations of `docs/examples`, of which the reference shows paragraphs: each is
//! accepted, and warned of only where a directive does nothing.

use std::path::Path;
use std::process::Command;

use crate::harness::{Certificate, Directory, binary, is_nginx, run};

/// The folder of the examples.
const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/examples");

/// What stands in an example, and what in its place in a test: ports for everybody.
const CHANGES: &[(&str, &str)] =
    &[("listen 80;", "listen 8080;"), ("]:80;", "]:8080;"), ("listen 443 ", "listen 8443 ")];

/// Messages about what an example shows and Weir does nothing about, or this host is not.
const EXPECTED: [&str; 4] =
    ["has no effect", "is obsolete", "ignored", "this host is none of the nodes"];

#[test]
fn every_example_is_accepted() {
    if is_nginx() {
        return;
    }
    let directory = surroundings();
    let mut faults = String::new();
    for entry in std::fs::read_dir(EXAMPLES).unwrap() {
        let path = entry.unwrap().path();
        let told = told_of(&directory, &path);
        let unexpected = |line: &&str| {
            line.contains(": [") && !EXPECTED.iter().any(|expected| line.contains(expected))
        };
        faults.extend(told.lines().filter(unexpected).map(|line| format!("{line}\n")));
        // This host is not of the pair in the example, and that is all that is wrong.
        let foreign = told.contains("this host is none of the nodes");
        if !foreign && !told.contains("test is successful") {
            faults.push_str(&format!("{} is refused\n", path.display()));
        }
    }
    assert!(faults.is_empty(), "{faults}");
}

/// The messages of `-t` about an example.
fn told_of(directory: &Directory, example: &Path) -> String {
    let mut text = std::fs::read_to_string(example).unwrap();
    for (from, to) in CHANGES {
        text = text.replace(from, to);
    }
    let var = format!("{}/var/", directory.path().display());
    let name = format!("conf/{}", example.file_name().unwrap().to_str().unwrap());
    directory.write(&name, text.replace("/var/", &var));
    let prefix = format!("{}/", directory.path().display());
    let output = Command::new(binary()).args(["-t", "-p", &prefix, "-c", &name]).output().unwrap();
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A folder with every file that an example names.
fn surroundings() -> Directory {
    let directory = Directory::new();
    for name in ["run", "lock", "log/weir", "spool/weir", "cache/weir", "lib/weir", "tmp"] {
        std::fs::create_dir_all(directory.join(&format!("var/{name}"))).unwrap();
    }
    std::fs::create_dir_all(directory.join("conf/tls")).unwrap();
    Certificate::self_signed(&directory, "conf/tls/example.com", "example.com");
    let certificate = directory.read("conf/tls/example.com.crt");
    directory.write("conf/tls/ca.crt", certificate);
    directory.write("conf/tls/ticket.key", [7; 80]);
    directory.write("conf/dictionary.zstd", [7; 4096]);
    for name in ["tls/passwords", "users", "local.conf", "uwsgi_params", "scgi_params"] {
        directory.write(&format!("conf/{name}"), "");
    }
    directory.write("conf/tls/ech.pem", "");
    // The response "try later".
    directory.write("conf/tls/status.der", [0x30, 3, 0x0a, 1, 3]);
    let tls = directory.join("conf/tls");
    directory.write("conf/tls/index", "");
    directory
        .write("conf/tls/ca.cnf", "[ca]\ndefault_ca=d\n[d]\ndatabase=index\ndefault_md=sha256\n");
    let list = "cd \"$0\" && openssl ca -config ca.cnf -gencrl -crldays 30 -cert ca.crt \
                -keyfile example.com.key -out ca.crl && \
                openssl genpkey -genparam -algorithm DH -pkeyopt group:ffdhe2048 -out dhparam.pem";
    let output = run("sh", &["-c", list, tls.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    directory
}
