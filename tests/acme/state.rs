//! The directories of issuers (`state_path`): lost, moved, shared, full, and with files that cannot
//! be used. What is in force stays in force, and nothing is ordered twice.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use super::authority::Authority;
use super::faults::{CONF, plain};
use super::{kept, serial, shown, wait_for};
use crate::harness::{
    Directory, Server, Signal, binary, children, is_nginx, is_root, run, send_signal, skipped,
    until, until_some,
};

fn server(authority: &Authority, more: &str) -> Server {
    Server::http(CONF).set("ca", authority.lines()).set("more", more).alerts_expected().start()
}

fn serial_at(server: &Server) -> Option<String> {
    shown(server, server.port("port"), "a.test").map(|text| serial(&text))
}

/// An authority, a server with a certificate of it, and the certificate's serial number; `None` if
/// nginx is tested.
fn ordered(more: &str) -> Option<(Authority, Server, String)> {
    if is_nginx() {
        return None;
    }
    let authority = Authority::start();
    let server = server(&authority, more);
    wait_for(&server, server.port("port"), "a.test");
    let first = serial_at(&server).unwrap();
    Some((authority, server, first))
}

/// Starts the server anew and waits for what it shows.
fn restarted(server: &mut Server) -> String {
    server.pause();
    server.resume();
    until_some("a certificate", || serial_at(server))
}

/// The files of a folder below the server's.
fn files(server: &Server, folder: &str) -> Vec<String> {
    let all = std::fs::read_dir(server.directory().join(folder)).into_iter().flatten();
    all.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn has(server: &Server, folder: &str, ending: &str) -> bool {
    files(server, folder).iter().any(|name| name.ends_with(ending))
}

#[test]
fn a_directory_that_is_lost_or_moved_is_filled_again() {
    let Some((authority, mut server, first)) = ordered("") else { return };
    let is_full = |server: &Server, folder: &str| {
        until("the files", || has(server, folder, ".pem") && has(server, folder, "account.key"));
    };
    is_full(&server, "acme_ca");
    std::fs::remove_dir_all(server.directory().join("acme_ca")).unwrap();
    server.reload_http(&CONF.replace("%more%", ""));
    is_full(&server, "acme_ca");
    server.reload_http(&CONF.replace("%more%", "state_path %dir%/other/;"));
    is_full(&server, "other");
    std::fs::remove_dir_all(server.directory().join("acme_ca")).unwrap();
    assert_eq!(restarted(&mut server), first);
    assert_eq!((authority.issued(), authority.accounts()), (1, 1));
}

/// By a reload and by a start.
#[test]
fn an_issuer_with_another_name_goes_on() {
    let Some((authority, mut server, first)) = ordered("state_path %dir%/state;") else { return };
    until("the files", || has(&server, "state", ".pem"));
    let named = |name: &str| {
        let conf = CONF.replace("%more%", "state_path %dir%/state;");
        conf.replace("acme_issuer ca ", &format!("acme_issuer {name} "))
            .replace("acme_certificate ca;", &format!("acme_certificate {name};"))
    };
    server.reload_http(&named("renamed"));
    assert_eq!(serial_at(&server), Some(first.clone()));
    server.pause();
    server.rewrite_http(&named("other"));
    server.resume();
    assert_eq!(until_some("a certificate", || serial_at(&server)), first);
    // It orders with the same account.
    let file = files(&server, "state").into_iter().find(|name| name.ends_with(".pem")).unwrap();
    let mark = server.directory().join("state").join(file).with_extension("renew");
    std::fs::write(mark, "").unwrap();
    server.reload_http(&named("third"));
    until("another certificate", || serial_at(&server).is_some_and(|now| now != first));
    server.wait_log("acme issuer \"third\": a.test: a new certificate");
    assert_eq!((authority.issued(), authority.accounts()), (2, 1));
}

#[test]
fn two_issuers_share_a_directory() {
    if is_nginx() {
        return;
    }
    let authorities = [Authority::start(), Authority::start()];
    let one = |number: usize| {
        let lines = authorities[number].lines();
        format!(
            "acme_issuer ca{number} {{ {lines} state_path %dir%/state; }}
            server {{ listen 127.0.0.1:%port{number}% ssl; server_name a.test;
                acme_certificate ca{number}; ssl_certificate $acme_certificate;
                ssl_certificate_key $acme_certificate_key; }}"
        )
    };
    let mut server = Server::http(&(one(0) + &one(1))).start();
    let at = |server: &Server, number: usize| {
        serial(&wait_for(server, server.port(&format!("port{number}")), "a.test"))
    };
    let first = [0, 1].map(|number| at(&server, number));
    until("the files", || {
        files(&server, "state").iter().filter(|n| n.ends_with(".pem")).count() == 2
    });
    until("the account", || has(&server, "state", "account.url"));
    let key = server.directory().read("state/account.key");
    server.pause();
    server.resume();
    assert_eq!([0, 1].map(|number| at(&server, number)), first);
    for file in files(&server, "state").iter().filter(|name| name.ends_with(".pem")) {
        let mark = server.directory().join("state").join(file).with_extension("renew");
        std::fs::write(mark, "").unwrap();
    }
    server.reload_http(&(one(0) + &one(1)));
    for number in [0, 1] {
        until("another certificate", || at(&server, number) != first[number]);
        assert_eq!(authorities[number].issued(), 2);
    }
    // Both have the same key.
    assert_eq!(server.directory().read("state/account.key"), key);
}

/// Broken, of another version, of others, or not to be read: only a certificate that cannot be used
/// is ordered again, and what was there is kept.
#[test]
fn files_that_cannot_be_used_are_told_and_kept() {
    let Some((authority, mut server, _)) = ordered("") else { return };
    until("the file", || kept(&server, "ca").len() == 1);
    server.pause();
    let file = kept(&server, "ca").into_iter().next().unwrap();
    let good = std::fs::read(&file).unwrap();
    let text = String::from_utf8(good.clone()).unwrap();
    let foreign = Directory::new();
    crate::harness::Certificate::self_signed(&foreign, "x", "a.test");
    let key_of_another = foreign.read("x.key") + text.split_once("-----BEGIN CERT").unwrap().1;
    let of_others = {
        crate::harness::Certificate::self_signed(&foreign, "b", "b.test");
        foreign.read("b.key") + &foreign.read("b.crt")
    };
    let set_aside = PathBuf::from(format!("{}.unusable", file.display()));
    let broken: [(&str, Vec<u8>); 6] = [
        ("empty", Vec::new()),
        ("truncated", good[..good.len() / 2].to_vec()),
        ("binary", vec![0xff; 5000]),
        ("large", vec![b'x'; 2 << 20]),
        ("another key", key_of_another.into_bytes()),
        ("of others", of_others.into_bytes()),
    ];
    for (number, (what, content)) in broken.into_iter().enumerate() {
        std::fs::write(&file, &content).unwrap();
        std::fs::write(server.directory().join("error.log"), "").unwrap();
        server.resume();
        server.wait_log("is not used");
        wait_for(&server, server.port("port"), "a.test");
        until("the file", || {
            kept(&server, "ca").len() == 1 && std::fs::read(&file).unwrap() != content
        });
        assert_eq!(std::fs::read(&set_aside).unwrap(), content, "{what}");
        assert_eq!((authority.issued(), authority.accounts()), (2 + number, 1), "{what}");
        assert_eq!(server.error_log().matches("is not used").count(), 1, "{what}");
        server.pause();
    }
    // Those beside it cost nothing.
    let folder = file.parent().unwrap();
    let issued = authority.issued();
    for (name, content) in [
        (file.with_extension("order"), "{\"version\": 9}"),
        (file.with_extension("order"), "\u{0}"),
        (folder.join("account.url"), "https://other.test/1\nof another version\n"),
        (folder.join("notes.txt"), "x"),
    ] {
        std::fs::write(&name, content).unwrap();
        let before = std::fs::read(&file).unwrap();
        restarted(&mut server);
        server.pause();
        assert_eq!(std::fs::read(&file).unwrap(), before, "{}", name.display());
        assert_eq!(authority.issued(), issued, "{}", name.display());
    }
}

/// A backup that root has put back: the worker's user may not read it.
#[test]
fn files_of_another_user_are_told_and_kept() {
    if is_nginx() {
        return;
    }
    if !is_root() {
        return skipped("files of other users need root");
    }
    let Some((authority, mut server, _)) = ordered("") else { return };
    until("the file", || kept(&server, "ca").len() == 1);
    server.pause();
    let file = kept(&server, "ca").into_iter().next().unwrap();
    let account = file.with_file_name("account.key");
    let before = [&file, &account].map(|path| std::fs::read(path).unwrap());
    for path in [&file, &account] {
        chown(path, Some(0), Some(0)).unwrap();
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)).unwrap();
    }
    server.resume();
    server.wait_log("Permission denied");
    wait_for(&server, server.port("port"), "a.test");
    until("the file", || std::fs::metadata(&file).is_ok_and(|own| own.uid() != 0));
    let aside = |path: &Path| std::fs::read(format!("{}.unusable", path.display())).unwrap();
    assert_eq!([&file, &account].map(|path| aside(path)), before);
    assert_eq!((authority.issued(), authority.accounts()), (2, 2));
    assert_eq!(server.error_log().matches("the certificate in ").count(), 1);
    // Put back in order, everything is as before.
    restarted(&mut server);
    assert_eq!((authority.issued(), authority.accounts()), (2, 2));
}

/// What nginx's module has got is used on.
#[test]
fn files_of_nginx_are_taken_over() {
    let Some((authority, mut server, first)) = ordered("") else { return };
    until("the file", || kept(&server, "ca").len() == 1);
    server.pause();
    let file = kept(&server, "ca").into_iter().next().unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    let (key, chain) = text.split_at(text.find("-----BEGIN CERTIFICATE").unwrap());
    let owner = std::fs::metadata(&file).unwrap().uid();
    std::fs::remove_file(&file).unwrap();
    let put = |name: &str, text: &str| {
        let path = file.with_file_name(name);
        std::fs::write(&path, text).unwrap();
        let _ = chown(&path, Some(owner), None);
    };
    put("a.test-5a3b.crt", chain);
    put("a.test-5a3b.key", key);
    // Only the URL, as nginx writes it.
    put("account.url", "http://other.test/account/1");
    // One that does not fit is not used, however new it is.
    put("a.test-ffff.crt", chain);
    put("a.test-ffff.key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    server.resume();
    server.wait_log("a.test-5a3b.crt\" is used");
    assert_eq!(until_some("a certificate", || serial_at(&server)), first);
    until("its own file", || kept(&server, "ca").len() == 1);
    assert_eq!(authority.issued(), 1);
}

/// A file system of its own, which is full, and then read-only.
#[test]
fn a_full_disk_loses_nothing() {
    if is_nginx() {
        return;
    }
    let private = ["--mount", "--propagation", "private", "true"];
    if !is_root() || !run("unshare", &private).status.success() {
        return skipped("it may not mount a file system");
    }
    let authority = Authority::start();
    let programs = Directory::new();
    let setup = Server::http(CONF).set("ca", authority.lines()).set("more", "");
    let folder = setup.directory().join("acme_ca");
    std::fs::create_dir(&folder).unwrap();
    let script = format!(
        "#!/bin/sh\nexec unshare --mount --propagation private sh -c '\
         mount -t tmpfs -o size=64k weir {} && exec {} \"$@\"' sh \"$@\"\n",
        folder.display(),
        binary().display()
    );
    let program = programs.write("weir", script);
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    let server = setup.binary(&program).alerts_expected().start();
    wait_for(&server, server.port("port"), "a.test");
    let first = serial_at(&server).unwrap();
    let inside = PathBuf::from(format!("/proc/{}/root{}", server.pid(), folder.display()));
    let pem = || {
        let all = std::fs::read_dir(&inside).unwrap().map(|entry| entry.unwrap().path());
        all.into_iter().find(|path| path.extension().is_some_and(|ending| ending == "pem"))
    };
    let file = until_some("the file", pem);
    let before = std::fs::read(&file).unwrap();
    let renew = || {
        std::fs::write(file.with_extension("renew"), "").unwrap();
        server.reload_http(&CONF.replace("%more%", ""));
    };
    let fill = || {
        let _ = std::fs::write(inside.join("filler"), vec![0; 1 << 20]);
        assert!(std::fs::write(inside.join("more"), [0; 5000]).is_err());
    };
    fill();
    renew();
    until("another certificate", || serial_at(&server).is_some_and(|now| now != first));
    server.wait_log("failed (28: No space left on device); it is in force");
    let log = server.error_log();
    let told: Vec<_> = log.lines().filter(|line| line.contains(".pem\" failed (28")).collect();
    assert!(told.len() == 1 && told[0].contains("; next try at "), "{told:?}");
    assert_eq!(std::fs::read(&file).unwrap(), before);
    assert_eq!(plain(&server), "plain");
    // A worker that is killed now leaves the old one, which is still good.
    let worker = children(server.pid())[0];
    send_signal(worker, Signal::KILL);
    until("the first certificate", || serial_at(&server).as_ref() == Some(&first));
    renew();
    until("another certificate", || serial_at(&server).is_some_and(|now| now != first));
    std::fs::remove_file(inside.join("filler")).unwrap();
    server.wait_log(".pem\" is written");
    assert_ne!(std::fs::read(&file).unwrap(), before);
    // Nothing can be removed, so a wish would be one for each start.
    let issued = authority.issued();
    std::fs::write(file.with_extension("renew"), "").unwrap();
    let (pid, place) = (server.pid().to_string(), folder.to_str().unwrap());
    let mount = ["--target", &pid, "--mount", "mount", "-o", "remount,ro", place];
    assert!(run("nsenter", &mount).status.success());
    server.reload_http(&CONF.replace("%more%", ""));
    server.wait_log("it is not heeded");
    send_signal(children(server.pid())[0], Signal::KILL);
    until("a certificate", || serial_at(&server).is_some());
    assert_eq!(authority.issued(), issued);
}

/// As in nginx, the configuration is accepted.
#[test]
fn a_file_in_the_place_of_the_directory_is_told_once() {
    if is_nginx() {
        return;
    }
    let authority = Authority::start();
    let setup = Server::http(CONF).set("ca", authority.lines()).set("more", "").file("acme_ca", "");
    let server = setup.start();
    wait_for(&server, server.port("port"), "a.test");
    let first = serial_at(&server);
    server.wait_log(".pem\" failed (20: Not a directory); it is in force");
    std::fs::remove_file(server.directory().join("acme_ca")).unwrap();
    server.reload_http(&CONF.replace("%more%", ""));
    until("the files", || {
        has(&server, "acme_ca", ".pem") && has(&server, "acme_ca", "account.key")
    });
    assert_eq!((serial_at(&server), authority.issued()), (first, 1));
    let log = server.error_log();
    assert_eq!(log.matches(".pem\" failed (20: Not a directory); it is in force").count(), 1);
}
