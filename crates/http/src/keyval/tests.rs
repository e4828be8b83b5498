use super::*;

const NOW: u64 = 1_000_000;

fn config(name: &str) -> ZoneConfig {
    ZoneConfig {
        name: name.to_owned(),
        size: 64 << 10,
        kind: Kind::String,
        timeout: None,
        state: None,
    }
}

fn new(value: &str) -> NewValue {
    NewValue { value: value.to_owned(), expire: None }
}

fn one(key: &str, value: &str) -> Vec<(String, NewValue)> {
    vec![(key.to_owned(), new(value))]
}

fn keys(zone: &Keyval, now: u64) -> Vec<String> {
    zone.pairs(now).into_iter().map(|(key, _)| key).collect()
}

#[test]
fn pairs_come_change_and_go() {
    let zone = Keyval::of(&config("come"), &[], NOW);
    let two = [one("a", "1"), one("b", "2")].concat();
    zone.add(two.clone(), NOW).unwrap();
    assert_eq!(zone.add(two, NOW), Err(ChangeError::NotEmpty));
    assert_eq!(zone.add(one("a", "3"), NOW), Err(ChangeError::Exists));
    zone.add(one("c", "3"), NOW).unwrap();
    zone.change("a", Some("4".into()), None, NOW).unwrap();
    assert_eq!(zone.get("a", NOW).as_deref(), Some("4"));
    assert_eq!(zone.change("x", Some("4".into()), None, NOW), Err(ChangeError::NotFound));
    zone.remove("b", NOW).unwrap();
    assert_eq!(zone.remove("b", NOW), Err(ChangeError::NotFound));
    assert_eq!(keys(&zone, NOW), ["a", "c"]);
    zone.clear(NOW).unwrap();
    assert_eq!(keys(&zone, NOW), [""; 0]);
}

#[test]
fn pairs_expire() {
    let timed = ZoneConfig { timeout: Some(100), ..config("expire") };
    let zone = Keyval::of(&timed, &[], NOW);
    zone.add(one("a", "1"), NOW).unwrap();
    let own = NewValue { value: "2".into(), expire: Some(1000) };
    zone.add(vec![("b".into(), own)], NOW).unwrap();
    zone.add(one("c", "3"), NOW).unwrap();
    zone.change("c", None, Some(500), NOW).unwrap();
    assert_eq!(keys(&zone, NOW + 99), ["a", "b", "c"]);
    assert_eq!(keys(&zone, NOW + 100), ["b", "c"]);
    assert_eq!(zone.get("a", NOW + 100), None);
    assert_eq!(zone.change("a", None, None, NOW + 100), Err(ChangeError::NotFound));
    // An expired key is free again.
    zone.add(one("a", "4"), NOW + 100).unwrap();
    assert_eq!(keys(&zone, NOW + 500), ["b"]);
}

#[test]
fn a_reload_keeps_the_pairs() {
    let zone = Keyval::of(&config("reload"), &[], NOW);
    zone.add(one("a", "1"), NOW).unwrap();
    assert!(Arc::ptr_eq(&zone, &Keyval::of(&config("reload"), &[], NOW)));
    let larger = ZoneConfig { size: 128 << 10, ..config("reload") };
    let larger = Keyval::of(&larger, &[], NOW);
    assert_eq!(larger.get("a", NOW).as_deref(), Some("1"));
    let other = ZoneConfig { kind: Kind::Ip, ..config("reload") };
    assert_eq!(keys(&Keyval::of(&other, &[], NOW), NOW), [""; 0]);
}

#[test]
fn a_change_is_saved_or_the_caller_told() {
    let folder = std::env::temp_dir().join(format!("weir-keyval-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("one.keyval");
    let saved = ZoneConfig { state: Some(path.clone()), ..config("saved") };
    let zone = Keyval::of(&saved, &[], NOW);
    zone.add(one("a", "1"), NOW).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), r#"{"a":"1"}"#);
    std::fs::remove_dir_all(&folder).unwrap();
    let told = zone.remove("a", NOW);
    assert!(matches!(told, Err(ChangeError::NotSaved(reason)) if reason.contains("No such file")));
    assert_eq!(zone.get("a", NOW), None);
}
