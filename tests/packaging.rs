//! The Debian package, as far as a running server shows it, and `docs/howto/install.md`. `cargo xtask
//! package --check` has the rest.

use std::process::{Command, Output};

use crate::harness::{Client, Daemon, Port, Server, Setup, Signal, is_nginx, send_signal};

/// The script by which a new version of the package takes over.
const UPGRADE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/debian/upgrade");

fn upgrade(setup: &Setup) -> Output {
    let pid_file = setup.directory().join("weir.pid");
    Command::new("sh").arg(UPGRADE).arg(pid_file).output().unwrap()
}

#[test]
fn the_package_upgrades_what_runs_or_lets_it_run_on() {
    if is_nginx() {
        return;
    }
    let port = Port::reserve();
    let conf = "pid %dir%/weir.pid; error_log %dir%/error.log; events { }
        http {
            access_log off;
            server { listen 127.0.0.1:%number%; return 200 $pid; }
        }";
    let setup = Server::conf(conf).set("number", port.number());
    let output = setup.run(&[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let directory = setup.directory();
    let first = Daemon::of(directory, "weir.pid");

    let output = upgrade(&setup);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    first.wait();
    let second = Daemon::of(directory, "weir.pid");
    assert_ne!(second.pid, first.pid);

    let conf = directory.read("nginx.conf");
    directory.write("nginx.conf", format!("no_such_directive;\n{conf}"));
    let output = upgrade(&setup);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("did not start"), "{said}");
    assert_eq!(Daemon::of(directory, "weir.pid").pid, second.pid);
    let address = format!("127.0.0.1:{}", port.number());
    assert_eq!(Client::connect(&address).get("/").status, 200);
    send_signal(second.pid, Signal::QUIT);
    second.wait();
}

/// Paths in `docs/howto/install.md` are those of the package.
#[test]
fn the_page_names_the_packages_paths() {
    let page = include_str!("../docs/howto/install.md");
    let package = [
        include_str!("../xtask/src/package.rs"),
        include_str!("../packaging/debian/nginx.conf"),
        include_str!("../packaging/debian/default"),
        include_str!("../packaging/debian/postrm"),
    ]
    .concat();
    let quoted = page.split('`').skip(1).step_by(2);
    let paths: Vec<&str> = quoted.filter(|text| text.starts_with('/')).collect();
    assert!(paths.len() > 8, "{paths:?}");
    let lost: Vec<_> =
        paths.iter().filter(|path| !package.contains(path.trim_start_matches('/'))).collect();
    assert!(lost.is_empty(), "{lost:?} are not in the package");
    assert!(package.contains("WEIR_OPTIONS"));
}
