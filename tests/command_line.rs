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

/// What programs look for in the output of `-V`: certbot (the version, SNI, the module, the TLS
/// library), agents that monitor nginx (paths, the library), roles that set nginx up, and scripts
/// of services (`--user`, folders for temporary files).
#[test]
fn programs_find_in_the_output_of_capital_v_what_they_look_for() {
    if is_nginx() {
        return;
    }
    let directory = Directory::new();
    let nginx = directory.join("nginx");
    std::os::unix::fs::symlink(binary(), &nginx).unwrap();
    let output = Command::new(&nginx).arg("-V").output().unwrap();
    assert!(output.status.success() && output.stdout.is_empty());
    let text = stderr(&output);
    // The first version is taken for nginx's, by patterns as `([^/]+)/([0-9.]+)`.
    let version = text.strip_prefix("nginx version: nginx/").unwrap();
    let version = version.split(|c: char| !c.is_ascii_digit() && c != '.').next().unwrap();
    assert_eq!(version.split('.').filter(|part| part.parse::<u32>().is_ok()).count(), 3, "{text}");
    // `built with (name) (version)`, and then a blank.
    let (_, library) = text.split_once("\nbuilt with OpenSSL ").unwrap();
    assert!(library.starts_with(|c: char| c.is_ascii_digit()) && library.contains(' '), "{text}");
    assert!(text.lines().any(|line| line == "TLS SNI support enabled"), "{text}");
    let (_, arguments) = text.split_once("configure arguments: ").unwrap();
    assert_eq!(arguments.lines().count(), 1, "{text}");
    // Arguments are divided at blanks, without quotes.
    assert!(arguments.split_whitespace().all(|word| word.starts_with("--")), "{text}");
    let words: Vec<&str> = arguments.split_whitespace().collect();
    for module in [
        "http_ssl_module",
        "http_stub_status_module",
        "http_realip_module",
        "http_sub_module",
        "http_addition_module",
        "http_auth_request_module",
        "http_dav_module",
        "http_flv_module",
        "http_mp4_module",
        "http_gunzip_module",
        "http_gzip_static_module",
        "http_slice_module",
        "http_random_index_module",
        "http_secure_link_module",
        "threads",
        "file-aio",
    ] {
        assert!(words.contains(&&*format!("--with-{module}")), "{module}: {text}");
    }
    for module in ["headers-more", "brotli", "echo-nginx", "zstd"] {
        assert!(arguments.contains(module), "{module}: {text}");
    }
    for path in [
        "prefix",
        "sbin-path",
        "modules-path",
        "conf-path",
        "error-log-path",
        "http-log-path",
        "pid-path",
        "lock-path",
        "http-client-body-temp-path",
        "http-proxy-temp-path",
    ] {
        let found = words.iter().find_map(|word| word.strip_prefix(&*format!("--{path}=")));
        assert!(found.is_some_and(|found| found.starts_with('/') || found == "stderr"), "{path}");
    }
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

/// As in `weir adopt | head -1`.
#[test]
fn a_command_whose_output_nobody_reads_goes_on() {
    if is_nginx() {
        return;
    }
    for command in ["adopt", "top"] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut weir = Command::new(binary());
        let output = weir.args([command, "--no-such-word"]).stdout(writer).output().unwrap();
        assert_eq!((output.status.code(), stderr(&output)), (Some(1), String::new()), "{command}");
    }
}
