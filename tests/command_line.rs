//! The binary's output about itself, and the paths of its files.

use std::process::{Command, Output};

use crate::harness::{Directory, binary, is_nginx};

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn common_words_for_help_and_version_are_accepted() {
    if is_nginx() {
        return;
    }
    for word in ["--help", "help"] {
        let output = Command::new(binary()).arg(word).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && output.stderr.is_empty(), "{word}");
        assert!(text.contains("-s signal") && text.contains("demo"), "{text}");
    }
    let output = Command::new(binary()).arg("--version").output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("weir version: weir/"));
}

/// Scripts parse the output of `-v` for nginx's version.
#[test]
fn under_the_name_nginx_the_version_is_one_line() {
    let directory = Directory::new();
    let nginx = directory.join("nginx");
    std::os::unix::fs::symlink(binary(), &nginx).unwrap();
    let output = Command::new(&nginx).arg("-v").output().unwrap();
    let text = stderr(&output);
    assert!(text.starts_with("nginx version: nginx/1."), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
}

/// Programs that manage nginx's files look for `--conf-path=` in the output of `-V`.
#[test]
fn the_default_paths_are_shown_and_used() {
    let output = Command::new(binary()).arg("-V").output().unwrap();
    let text = stderr(&output);
    let (_, arguments) = text.split_once("configure arguments:").unwrap();
    let of = |name: &str| arguments.split_whitespace().find_map(|word| word.strip_prefix(name));
    // Without explicit paths, nginx's are relative to the prefix and not listed.
    let Some(conf) = of("--conf-path=").filter(|_| of("--prefix=").is_some()) else {
        assert!(is_nginx(), "{text}");
        return;
    };
    let directory = Directory::new();
    let prefix = format!("{}/", directory.path().display());
    let output =
        Command::new(binary()).args(["-t", "-p", &prefix, "-e", "stderr"]).output().unwrap();
    assert!(stderr(&output).contains(&format!("{conf} ")), "{}", stderr(&output));
}

/// A server with its own prefix does not share folders with one that uses the default paths,
/// possibly as another user.
#[test]
fn temporary_folders_are_below_a_given_prefix() {
    if is_nginx() {
        return;
    }
    let directory = Directory::new();
    let conf = "pid x.pid; error_log e.log; events {} http { access_log off; server {} }";
    directory.write("x.conf", conf);
    let prefix = format!("{}/", directory.path().display());
    let output =
        Command::new(binary()).args(["-t", "-p", &prefix, "-c", "x.conf", "-e", "e.log"]).output();
    assert!(output.unwrap().status.success());
    assert!(directory.join("client_body_temp").is_dir());
    assert!(directory.join("proxy_temp").is_dir());
}
