use super::*;

fn build(rows: &[&str]) -> Result<(Geo, Vec<String>), Fault> {
    let mut builder = GeoBuilder::default();
    let mut warnings = Vec::new();
    for row in rows {
        let words: Vec<_> = row.split_whitespace().map(str::as_bytes).collect();
        builder.row(&words, &mut |warning| warnings.push(warning))?;
    }
    Ok((builder.build(), warnings))
}

fn find(geo: &Geo, address: &str) -> String {
    String::from_utf8_lossy(geo.find(address.parse().ok())).into_owned()
}

#[test]
fn the_longest_network_wins() {
    let (geo, warnings) = build(&[
        "default 0",
        "10.0.0.0/8 8",
        "10.1.0.0/16 16",
        "10.1.2.3 32",
        "2001:db8::/32 six",
        "delete 10.1.0.0/16",
        "255.255.255.255 none",
    ])
    .unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    for (address, value) in [
        ("1.1.1.1", "0"),
        ("10.2.0.1", "8"),
        ("10.1.0.1", "8"),
        ("10.1.2.3", "32"),
        ("::ffff:10.1.2.3", "32"),
        ("2001:db8::1", "six"),
        ("::1", "0"),
        ("unix:", "none"),
    ] {
        assert_eq!(find(&geo, address), value, "{address}");
    }
    let (empty, _) = build(&[]).unwrap();
    assert_eq!(find(&empty, "1.1.1.1"), "");
}

#[test]
fn networks_are_complained_about_as_in_nginx() {
    let (geo, warnings) = build(&[
        "default a",
        "default b",
        "10.0.0.1/8 c",
        "10.0.0.0/8 d",
        "delete 11.0.0.0/8",
        "proxy 192.168.1.1/16",
    ])
    .unwrap();
    assert_eq!(
        warnings,
        [
            "duplicate network \"default\", value: \"b\", old value: \"a\"",
            "duplicate network \"default\", value: \"b\", old value: \"a\"",
            "low address bits of 10.0.0.1/8 are meaningless",
            "duplicate network \"10.0.0.0/8\", value: \"d\", old value: \"c\"",
            "no network \"11.0.0.0/8\" to delete",
            "low address bits of 192.168.1.1/16 are meaningless",
        ]
    );
    assert_eq!(find(&geo, "10.0.0.1"), "d");
    let fails = |row: &str| build(&[row]).unwrap_err().to_string();
    assert_eq!(fails("1.2.3 x"), "invalid network \"1.2.3\"");
    assert_eq!(fails("1.2.3.4"), "invalid number of the geo parameters");
    let late = build(&["1.2.3.4 x", "ranges"]).unwrap_err().to_string();
    assert!(late.starts_with("the \"ranges\" directive must be the first"), "{late}");
}

#[test]
fn ranges() {
    let (geo, warnings) = build(&[
        "ranges",
        "default d",
        "10.0.0.0-10.3.255.255 wide",
        "10.1.0.10-10.1.0.20 split",
        "10.1.0.10-10.1.0.12 front",
        "10.1.0.19-10.1.0.20 back",
        "10.1.0.19-10.1.0.20 back2",
        "9.0.0.0-9.0.0.9 before",
        "delete 9.0.0.0-9.0.0.9",
        "delete 9.0.0.0-9.0.0.9",
    ])
    .unwrap();
    for (address, value) in [
        ("10.0.0.0", "wide"),
        ("10.1.0.9", "wide"),
        ("10.1.0.12", "front"),
        ("10.1.0.15", "split"),
        ("10.1.0.20", "back2"),
        ("10.1.0.21", "wide"),
        ("10.3.255.255", "wide"),
        ("10.4.0.0", "d"),
        ("9.0.0.1", "d"),
        ("::1", "d"),
    ] {
        assert_eq!(find(&geo, address), value, "{address}");
    }
    assert_eq!(
        warnings,
        [
            "duplicate range \"10.1.0.19-10.1.0.20\", value: \"back2\", old value: \"back\"",
            "no address range \"9.0.0.0-9.0.0.9\" to delete",
        ]
    );
    let over =
        build(&["ranges", "10.0.0.5-10.0.0.9 a", "10.0.0.7-10.0.0.12 b"]).unwrap_err().to_string();
    assert_eq!(over, "range \"10.0.0.7-10.0.0.12\" overlaps \"10.0.0.5-10.0.0.9\"");
    let bad = build(&["ranges", "10.0.0.9-10.0.0.5 a"]).unwrap_err().to_string();
    assert_eq!(bad, "invalid range \"10.0.0.9-10.0.0.5\"");
}

#[test]
fn proxies_speak_for_their_clients() {
    let (geo, _) = build(&["proxy 127.0.0.0/8", "proxy_recursive", "1.0.0.0/8 one"]).unwrap();
    let lines = [&b"1.2.3.4, 127.0.0.5"[..]];
    let client = geo.client("127.0.0.1".parse().unwrap(), lines);
    assert_eq!(geo.find(Some(client)), b"one");
}
