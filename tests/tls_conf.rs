//! TLS settings: files in all formats, and names that only OpenSSL knows.

use crate::harness::{Certificate, Server, Setup, run};

/// A TLS server with these settings, on the configuration's last line but one.
fn setup(settings: &str) -> Setup {
    let setup = Server::http(&format!(
        "server {{ listen 127.0.0.1:%port% ssl; ssl_certificate a.crt; ssl_certificate_key a.key;
         {settings}
         }}"
    ));
    Certificate::self_signed(setup.directory(), "a", "a.test");
    setup
}

fn checked(setup: &Setup) -> (bool, String) {
    let output = setup.check();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[track_caller]
fn accepts(settings: &str) {
    let (accepted, told) = checked(&setup(settings));
    assert!(accepted, "{settings}: {told}");
}

#[track_caller]
fn refuses(settings: &str, expected: &str) {
    let (accepted, told) = checked(&setup(settings));
    assert!(!accepted && told.contains(expected), "{settings}: {told}");
}

#[test]
fn curves_have_openssls_names() {
    let names = "secp160k1:secp224k1:sect163r2:sect193r1:sect571r1:brainpoolP512r1:secp521r1:X448";
    accepts(&format!("ssl_ecdh_curve {names}:X25519;"));
    for name in ["sect283k1", "sect409r1", "secp192k1", "secp160r2"] {
        accepts(&format!("ssl_ecdh_curve {name};"));
    }
    refuses("ssl_ecdh_curve nope;", "SSL_CTX_set1_curves_list(\"nope\") failed");
    accepts("ssl_conf_command ECDHParameters P-256;");
}

#[test]
fn ciphers_have_openssls_names() {
    for ciphers in ["AES128-SHA", "DHE-RSA-AES256-GCM-SHA384:kRSA", "DEFAULT@SECLEVEL=1", "aNULL"] {
        accepts(&format!("ssl_ciphers {ciphers};"));
    }
    accepts("location / { proxy_pass https://127.0.0.1:1; proxy_ssl_ciphers AES128-SHA; }");
    refuses("ssl_ciphers nope;", "no cipher match");
    refuses("ssl_ciphers RC4-SHA;", "no cipher match");
}

#[test]
fn dhe_parameters_of_either_kind() {
    for (algorithm, head) in [("DH", "BEGIN DH PARAMETERS"), ("DHX", "BEGIN X9.42 DH PARAMETERS")] {
        let setup = setup("ssl_dhparam dh.pem;");
        let file = setup.directory().join("dh.pem");
        let file = file.to_str().unwrap();
        let group = if algorithm == "DH" { "group:ffdhe2048" } else { "dh_rfc5114:3" };
        let arguments = ["genpkey", "-genparam", "-algorithm", algorithm, "-pkeyopt", group];
        let output = run("openssl", &[&arguments[..], &["-out", file]].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(setup.directory().read("dh.pem").contains(head));
        let (accepted, told) = checked(&setup);
        assert!(accepted, "{told}");
    }
    refuses("ssl_dhparam a.crt;", "PEM_read_bio_DHparams(");
}

#[test]
fn encrypted_keys_of_all_formats() {
    let setup = setup("ssl_password_file passwords;");
    setup.directory().write("passwords", "wrong\nsecret\n");
    let plain = setup.directory().join("plain.key");
    let key = setup.directory().join("a.key");
    std::fs::copy(&key, &plain).unwrap();
    let (plain, key) = (plain.to_str().unwrap(), key.to_str().unwrap());
    let pkcs8 = ["pkcs8", "-topk8", "-passout", "pass:secret", "-in", plain, "-out", key, "-v2"];
    let ec = ["ec", "-passout", "pass:secret", "-in", plain, "-out", key];
    let ways: [(&[&str], &[&str]); 6] = [
        (&pkcs8, &["aes-128-cbc"]),
        (&pkcs8, &["aes-192-cbc"]),
        (&pkcs8, &["aes-256-cbc", "-v2prf", "hmacWithSHA512"]),
        (&pkcs8, &["aes-256-cbc", "-v2prf", "hmacWithSHA1"]),
        (&ec, &["-aes128"]),
        (&ec, &["-aes256"]),
    ];
    for (command, way) in ways {
        let output = run("openssl", &[command, way].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(setup.directory().read("a.key").contains("ENCRYPTED"), "{way:?}");
        let (accepted, told) = checked(&setup);
        assert!(accepted, "{way:?}: {told}");
    }
    setup.directory().write("passwords", "wrong\n");
    let (accepted, told) = checked(&setup);
    assert!(!accepted && told.contains("bad decrypt"), "{told}");
}

#[test]
fn a_byte_order_mark_before_pem() {
    let setup = setup("");
    for name in ["a.crt", "a.key"] {
        let text = setup.directory().read(name);
        setup.directory().write(name, format!("\u{feff}{text}"));
    }
    let (accepted, told) = checked(&setup);
    assert!(accepted, "{told}");
}

#[test]
fn settings_without_effect_are_reported_with_their_position() {
    for (settings, expected) in [
        ("ssl_protocols TLSv1 TLSv1.2;", "protocols older than TLSv1.2 are not supported, ignored"),
        ("ssl_ecdh_curve secp521r1:X25519;", "the curve \"secp521r1\" is not supported, ignored"),
        ("ssl_ciphers HIGH:AES128-SHA;", "the ciphers \"AES128-SHA\" are not supported, ignored"),
        ("ssl_ciphers AES128-SHA;", "none of the ciphers is supported, TLSv1.2 is not served"),
        ("ssl_conf_command Options KTLS;", "\"ssl_conf_command Options KTLS\" is not supported"),
        (
            "location / { proxy_pass https://127.0.0.1:1; proxy_ssl_protocols TLSv1 TLSv1.3; }",
            "protocols older than TLSv1.2 are not supported, ignored",
        ),
    ] {
        let setup = setup(settings);
        let (accepted, told) = checked(&setup);
        let text = setup.directory().read("nginx.conf");
        let line = text.lines().position(|line| line.contains(settings)).unwrap() + 1;
        let place = format!("nginx.conf:{line}\n");
        let found = told.lines().filter(|line| line.contains(expected)).collect::<Vec<_>>();
        assert!(accepted && found.len() == 1, "{settings}: {told}");
        assert!(format!("{}\n", found[0]).ends_with(&place), "{place}: {told}");
    }
}

#[test]
fn stapling_without_an_issuer_or_a_responder_is_ignored() {
    let setup = setup("ssl_stapling on;");
    let (accepted, told) = checked(&setup);
    // It is its own issuer only if it is trusted.
    let file = setup.directory().join("a.crt");
    let shown = file.display();
    let issuer = format!(
        "[warn] \"ssl_stapling\" ignored, issuer certificate not found for certificate \
         \"{shown}\"\n"
    );
    assert!(accepted && told.contains(&issuer), "{told}");
    for (responder, fault) in [
        ("", format!("no OCSP responder URL in the certificate \"{shown}\"")),
        (
            "ssl_stapling_responder https://ca/;",
            format!(
                "invalid URL prefix in OCSP responder \"https://ca/\" in the certificate \
                 \"{shown}\""
            ),
        ),
        (
            "ssl_stapling_responder http://a:0;",
            format!("invalid port in OCSP responder \"a:0\" in the certificate \"{shown}\""),
        ),
    ] {
        let setup =
            self::setup(&format!("ssl_stapling on; ssl_trusted_certificate a.crt; {responder}"));
        let (accepted, told) = checked(&setup);
        let fault = fault
            .replace(&shown.to_string(), &setup.directory().join("a.crt").display().to_string());
        let line = format!("[warn] \"ssl_stapling\" ignored, {fault}\n");
        assert!(accepted && told.contains(&line), "{told}");
    }
}

#[test]
fn faults_of_ocsp_settings() {
    let verify = "ssl_verify_client on; ssl_client_certificate a.crt;";
    for (settings, expected) in [
        (
            "ssl_ocsp on; ssl_verify_client optional_no_ca;",
            "[emerg] \"ssl_ocsp\" is incompatible with \"ssl_verify_client optional_no_ca\"\n",
        ),
        (
            "ssl_ocsp on; ssl_ocsp_responder ca.test;",
            "[emerg] invalid URL prefix in OCSP responder \"ca.test\" in \"ssl_ocsp_responder\"\n",
        ),
        (
            "ssl_ocsp on; ssl_ocsp_responder http://[::1;",
            "[emerg] invalid host in OCSP responder \"[::1\" in \"ssl_ocsp_responder\"\n",
        ),
        ("ssl_ocsp_cache shared:a:1k;", "[emerg] OCSP cache \"shared:a:1k\" is too small"),
        ("ssl_ocsp_cache shared:a;", "[emerg] invalid OCSP cache \"shared:a\""),
        (
            "ssl_stapling on; ssl_certificate_compression on;",
            "[emerg] \"ssl_stapling\" is incompatible with \"ssl_certificate_compression\"\n",
        ),
    ] {
        let needed = if settings.contains("optional_no_ca") { "" } else { verify };
        let (accepted, told) = checked(&setup(&format!("{needed} {settings}")));
        assert!(!accepted && told.contains(expected), "{settings}: {told}");
    }
    let (accepted, told) = checked(&setup(&format!(
        "{verify} ssl_ocsp leaf; ssl_ocsp_cache shared:a:1m; ssl_early_data on;"
    )));
    assert!(accepted && !told.contains("[warn]"), "{told}");
}
