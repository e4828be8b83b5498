//! What a partner tells that does not fit, is nonsense or too much.

use super::*;

#[test]
fn what_does_not_fit_is_left_out() {
    let a = group(vec![server(80), server(81)]);
    change(&a, "127.0.0.1:80", Change { backup: Some(true), ..Change::default() });
    change(&a, "127.0.0.1:81", weight(2));
    a.edit(&Edit::Add(named("b.test"))).unwrap();
    // A method without backup servers, and no resolver.
    let other = GroupConfig {
        method: MethodHandle(Arc::new(Hash)),
        resolver: None,
        ..config(vec![server(80), server(81)])
    };
    let b = Group::new(other, None);
    b.take_over(news(&a), 0);
    assert_eq!(content(&b).len(), 2);
    assert!(!content(&b)["127.0.0.1:80"].2);
    assert_eq!(content(&b)["127.0.0.1:81"].0.weight, 2);
    // Without a zone nothing is edited.
    let fixed = Group::new(GroupConfig { zone: None, ..config(vec![server(80)]) }, None);
    fixed.take_over(news(&a), 0);
    assert!(fixed.roster().edits.is_empty() && fixed.shared().is_empty());
}

#[test]
fn nonsense_of_a_partner_changes_nothing() {
    let b = group(vec![server(80)]);
    let before = servers(&b);
    let take = |place: &str, text: &str| {
        let edited = Edited::read_record(text.as_bytes(), Side::Http);
        let broken = usize::from(edited.is_none());
        let news = edited.map(|edited| (place.to_owned(), Some(edited)));
        b.take_over(news.into_iter().collect(), broken);
        assert_eq!(servers(&b), before, "{place} {text}");
    };
    let own = "own 0 127.0.0.1:80";
    for broken in [
        "",
        ";",
        "gone",
        "gone x conf;",
        "here 1;",
        "here 1 conf 0 0 127.0.0.1:80 - 127.0.0.1:80",
        "here 1 conf 0 0 127.0.0.1:80 weight 127.0.0.1:80;",
        "here 1 conf 0 0 127.0.0.1:80 weight=x 127.0.0.1:80;",
        "here 1 conf 0 0 127.0.0.1:80 weight=9 127.0.0.1:80 weight=0;",
        "here 1 conf 0 0 example.test:80 - example.test:80;",
        "here 1 conf 4294967295 0 127.0.0.1:80 - 127.0.0.1:80 weight=2;",
        "here 1 conf 0 0 127.0.0.1:80 - 127.0.0.1:80; gone 9 conf;",
        "here 1 { conf; }",
        "here 1 conf 0 0 127.0.0.1:80 - 127.0.0.1:80 \"route=",
    ] {
        take(own, broken);
    }
    // From the far future, about another server, an address that is none, and unknown words.
    take(own, &format!("gone {} conf;", u64::MAX));
    take(own, &format!("here 0 conf 0 0 127.0.0.1:80 weight={} 127.0.0.1:80 weight=2;", u64::MAX));
    take("own 0 127.0.0.1:81", "here 7 run_time 5 0 127.0.0.1:82 - 127.0.0.1:82;");
    take("own 0 127.0.0.1:80", "here 7 run_time 5 1 127.0.0.1:80 - 127.0.0.1:80 weight=3;");
    take("resolved", "gone 7 conf;");
    take("", "gone 7 run_time;");
    take("listed 0 127.0.0.1:80", "here 7 run_time 5 0 127.0.0.1:80 - 127.0.0.1:80 down;");
    // The clock of this node goes on as before.
    assert!(b.edit(&Edit::Change(ServerId(0), weight(2))).is_ok());
    // A number that is taken.
    let news = "here 7 run_time 0 0 127.0.0.1:82 - 127.0.0.1:82;";
    let edited = Edited::read_record(news.as_bytes(), Side::Http);
    b.take_over(vec![("own 0 127.0.0.1:82".into(), edited)], 0);
    assert_ne!(id_of(&b, "127.0.0.1:82"), ServerId(0));
}

#[test]
fn what_is_absent_has_a_limit() {
    let b = group(vec![server(80)]);
    let gone = |number: u64| {
        let text = format!("gone {number} run_time;");
        (format!("own 0 x{number}"), Edited::read_record(text.as_bytes(), Side::Http))
    };
    b.take_over((1..=5000).map(gone).collect(), 0);
    let awaited = |number: u64| {
        let text = format!("here 0 conf 1 0 10.0.0.1:1 weight={number} 10.0.0.1:1;");
        (format!("listed 0 x{number}"), Edited::read_record(text.as_bytes(), Side::Http))
    };
    let mut roster = b.roster();
    let mut merging = Merging::new(&b, &mut roster);
    (1..=5000).map(awaited).for_each(|(place, edited)| merging.take(place, edited));
    assert!(!merging.end());
    assert!(merging.again.is_empty(), "it would come again and again");
    assert_eq!(roster.edits.by_place.len(), 4096);
    assert!(roster.edits.of("own 0 x5000").is_some() && roster.edits.of("own 0 x1").is_none());
}
