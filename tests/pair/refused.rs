//! Hosts on which keepalived is missing, too old or not allowed to do its work: `-t`, the start and
//! `weir ha` name what to do.

use std::path::Path;
use std::process::Output;

use super::*;
use crate::harness::run;

/// Runs the binary on a host whose keepalived is another file.
fn with_keepalived(node: &Node<'_>, file: &Path, words: &str) -> Output {
    let keepalived = std::fs::canonicalize("/usr/sbin/keepalived").unwrap();
    let script = format!(
        "mount --bind {} {} && exec ip netns exec {} {} {words} -p {} -c nginx.conf -e error.log",
        file.display(),
        keepalived.display(),
        node.namespace(),
        node.binary.display(),
        node.path().display()
    );
    run("unshare", &["--mount", "sh", "-c", &script])
}

#[test]
fn a_keepalived_that_does_not_do_is_named_with_what_to_do() {
    use std::os::unix::fs::PermissionsExt;
    let Some((network, directory)) = hosts(1) else { return };
    let conf = Node::conf("", node::HA, "");
    let node = Node::unstarted(&network, &directory, 1, &conf);
    let script = "#!/bin/sh\necho 'Keepalived v2.0.20 (01/22,2020)' >&2\n";
    let old = directory.write("keepalived", script);
    std::fs::set_permissions(&old, std::fs::Permissions::from_mode(0o755)).unwrap();
    for (file, wanted) in [
        (
            Path::new("/dev/null"),
            "keepalived, which is not installed (Debian: apt install keepalived)",
        ),
        (&old, "is version 2.0.20, and version 2.2 or newer is needed: update keepalived"),
    ] {
        for words in ["-t", "ha show", ""] {
            let output = with_keepalived(&node, file, words);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            if said.contains("mount:") || said.contains("unshare:") {
                return skipped(&said);
            }
            assert!(!output.status.success() && said.contains(wanted), "{words:?}: {said}");
        }
    }
}

#[test]
fn missing_capabilities_are_named() {
    let Some((network, directory)) = hosts(1) else { return };
    let conf = Node::conf("", node::HA, "");
    let node = Node::unstarted(&network, &directory, 1, &conf);
    let mut command = network.command(node.namespace(), "setpriv");
    command.args(["--bounding-set", "-net_admin,-net_raw"]).arg(&node.binary).arg("-t");
    command.arg("-p").arg(node.path()).args(["-c", "nginx.conf", "-e", "error.log"]);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if said.contains("setpriv") {
        return skipped(&said);
    }
    let wanted = "keepalived needs CAP_NET_ADMIN and CAP_NET_RAW, which this process does not have";
    assert!(said.contains(wanted), "{said}");
    assert!(said.contains("\"--cap-add=NET_ADMIN --cap-add=NET_RAW\""), "{said}");
}
