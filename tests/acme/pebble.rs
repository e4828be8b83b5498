//! What happens to certificates and accounts at an authority after they were issued.

use super::{USUAL, kept, serial, server, shown, wait_for};
use crate::harness::{Pebble, is_nginx, until, until_some};

/// Whoever has got the key revokes the certificate. Pebble gives no renewal information, so the
/// operator says that another one is wanted.
#[test]
fn one_that_was_revoked_is_replaced_when_the_operator_says_so() {
    if is_nginx() {
        return;
    }
    let Some(pebble) = Pebble::start(&[]) else { return };
    let conf = USUAL.replace("acme_certificate ca", "acme_certificate ca key=rsa:2048");
    let server = server(&pebble, &conf).start();
    let tls = pebble.tls.number();
    let first = serial(&wait_for(&server, tls, "a.test"));
    let file = until_some("the file", || kept(&server, "ca").into_iter().next());
    assert_eq!(pebble.status(&first), "Valid");
    let key = std::fs::read(&file).unwrap();
    pebble.revoke(&file);
    assert_eq!(pebble.status(&first), "Revoked");
    std::fs::write(file.with_extension("renew"), "").unwrap();
    server.reload_http(&conf);
    let second = until_some("another certificate", || {
        shown(&server, tls, "a.test").map(|text| serial(&text)).filter(|now| *now != first)
    });
    assert_eq!((pebble.status(&second).as_str(), pebble.issued()), ("Valid", 2));
    until("its file", || std::fs::read(&file).unwrap() != key);
}

/// Started anew, Pebble knows neither the account nor the certificate that is to be replaced.
#[test]
fn an_authority_that_has_forgotten_everything_gets_the_account_again() {
    if is_nginx() {
        return;
    }
    let Some(mut pebble) = Pebble::start(&[]) else { return };
    let server = server(&pebble, USUAL).start();
    let tls = pebble.tls.number();
    let first = serial(&wait_for(&server, tls, "a.test"));
    let file = until_some("the file", || kept(&server, "ca").into_iter().next());
    let account = server.directory().read("acme_ca/account.key");
    pebble.stop();
    pebble.launch();
    std::fs::write(file.with_extension("renew"), "").unwrap();
    server.reload_http(USUAL);
    until("another certificate", || {
        shown(&server, tls, "a.test").is_some_and(|text| serial(&text) != first)
    });
    assert_eq!(server.directory().read("acme_ca/account.key"), account);
    assert_eq!(server.error_log().matches("the account is ").count(), 2);
    assert_eq!(server.error_log().matches("[error]").count(), 0, "{}", server.error_log());
}
