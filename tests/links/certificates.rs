//! Certificates out of their time in a configuration that all nodes have.

use std::fs;
use std::process::Command;

use super::configuration::{answer, change, conf, mirrored};
use crate::harness::{Directory, Port, Signal, is_nginx, until};

const PAST: [&str; 2] = ["20200101000000Z", "20200201000000Z"];
const PRESENT: [&str; 2] = ["20200101000000Z", "20991231235959Z"];
const FUTURE: [&str; 2] = ["20990101000000Z", "20991231235959Z"];

/// Writes a self-signed certificate and its key, valid between two times.
fn certificate(directory: &Directory, label: &str, [from, to]: [&str; 2]) {
    directory.write("index", "");
    directory.write("serial", "01\n");
    directory.write(
        "ca.cnf",
        "[ca]\ndefault_ca = own\n[own]\ndatabase = index\nserial = serial\nnew_certs_dir = .\n\
         default_md = sha256\npolicy = any\n[any]\ncommonName = supplied\n",
    );
    let (key, certificate) = (format!("{label}.key"), format!("{label}.crt"));
    let request = ["req", "-new", "-nodes", "-newkey", "ec", "-subj", "/CN=a.test"];
    let request = [&request[..], &["-pkeyopt", "ec_paramgen_curve:prime256v1"]].concat();
    let sign = ["ca", "-batch", "-config", "ca.cnf", "-selfsign", "-notext", "-in", "request"];
    for arguments in [
        [&request[..], &["-keyout", &key, "-out", "request"]].concat(),
        [&sign[..], &["-keyfile", &key, "-startdate", from, "-enddate", to]].concat(),
    ] {
        let mut command = Command::new("openssl");
        let output = command.args(&arguments).current_dir(directory.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    fs::rename(directory.join("01.pem"), directory.join(&certificate)).unwrap();
}

/// A configuration whose servers have a certificate.
fn with(port: &Port, text: &str, label: &str) -> String {
    let tls = format!("ssl_certificate {label}.crt; ssl_certificate_key {label}.key;");
    conf(port, text).replace("access_log off;", &format!("access_log off; {tls}"))
}

#[test]
fn a_change_brings_no_certificate_out_of_its_time() {
    if is_nginx() {
        return;
    }
    let port = Port::reserve();
    let (a, b) = mirrored(&port);
    b.wait_lines("mirror: version 1 of a of the configuration is in force", 1);
    let files = a.server.directory();
    for (label, time) in [("past", PAST), ("present", PRESENT), ("future", FUTURE)] {
        certificate(files, label, time);
    }
    // Each message names the file, the server and the date.
    for (label, fault) in [
        ("past", "has expired on Feb  1 00:00:00 2020 GMT"),
        ("future", "is not valid before Jan  1 00:00:00 2099 GMT"),
    ] {
        change(&a, &with(&port, "two", label));
        let path = files.join(&format!("{label}.crt")).display().to_string();
        a.wait_lines(
            &format!(
                "[emerg] {}#{}: mirror: the configuration is not in force: the certificate \
                 \"{path}\" of server \"\" {fault}; it is ",
                a.server.pid(),
                a.server.pid()
            ),
            1,
        );
    }
    assert_eq!((answer(&a), answer(&b)), ("one".to_owned(), "one".to_owned()));
    change(&a, &with(&port, "three", "present"));
    a.wait_lines("mirror: version 2 of a is in force on all nodes", 1);
    assert_eq!((answer(&a), answer(&b)), ("three".to_owned(), "three".to_owned()));
    // A renewal that went wrong, at the other node.
    let theirs = b.server.directory();
    certificate(theirs, "present", PAST);
    b.server.signal(Signal::HUP);
    b.wait_lines("present.crt\" of server \"\" has expired on Feb  1", 1);
    // One that goes right.
    certificate(theirs, "present", PRESENT);
    b.server.signal(Signal::HUP);
    b.wait_lines("mirror: version 3 of b is in force on all nodes", 1);
    assert_eq!(files.read("present.crt"), theirs.read("present.crt"));
}

#[test]
fn another_node_refuses_a_certificate_that_this_one_has() {
    if is_nginx() {
        return;
    }
    let port = Port::reserve();
    let (a, b) = mirrored(&port);
    b.wait_lines("mirror: version 1 of a of the configuration is in force", 1);
    certificate(a.server.directory(), "own", PAST);
    // Without a mirror, a node is as lenient as nginx.
    let on = with(&port, "two", "own");
    let off = on.replace("local local.conf;", "local local.conf; mirror off;");
    for conf in [&off, &on] {
        let before = a.lines("exited with code 0");
        change(&a, conf);
        a.wait_lines("exited with code 0", before + 1);
    }
    a.wait_lines("mirror: the configuration is not in force: refused by b: the certificate \"", 1);
    let fault = "own.crt\" of server \"\" has expired on Feb  1 00:00:00 2020 GMT; it is ";
    a.wait_lines(fault, 1);
    // The nodes go on with what both have.
    a.wait_lines("the configuration before the changed files is in force again", 1);
    until("the earlier configuration", || answer(&a) == "one");
    assert_eq!(answer(&b), "one");
    certificate(a.server.directory(), "own", PRESENT);
    change(&a, &with(&port, "four", "own"));
    until("the renewal", || answer(&a) == "four" && answer(&b) == "four");
    assert_eq!(a.server.directory().read("own.crt"), b.server.directory().read("own.crt"));
}

#[test]
fn a_node_that_was_away_follows_even_into_an_expired_certificate() {
    if is_nginx() {
        return;
    }
    let port = Port::reserve();
    let (mut a, mut b) = mirrored(&port);
    b.wait_lines("mirror: version 1 of a of the configuration is in force", 1);
    b.server.pause();
    a.server.pause();
    certificate(a.server.directory(), "own", PAST);
    a.server.directory().write("nginx.conf", with(&port, "two", "own"));
    a.server.resume();
    a.wait_lines("mirror: version 2 of a is applied here, but not yet everywhere", 1);
    b.server.resume();
    until("the newer configuration", || answer(&b) == "two");
    // It holds no other change up.
    a.wait_status("link to b: up");
    change(&b, &with(&port, "three", "own"));
    until("the change", || answer(&a) == "three" && answer(&b) == "three");
    b.wait_lines("own.crt\" of server \"\" has expired on Feb  1 00:00:00 2020 GMT", 1);
}
