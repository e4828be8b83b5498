use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::*;
use crate::top::line::cells;
use crate::top::servers::{Kinds, Order};

fn peer(id: u64, state: &str, requests: u64) -> Value {
    json!({
        "id": id, "server": format!("10.0.0.{id}:80"), "state": state, "weight": 2,
        "requests": requests, "active": 3, "responses": {"5xx": requests / 10},
        "header_time": 12, "fails": 1, "health_checks": {"fails": 4}, "backup": false,
        "reasons": if state == "unhealthy" { json!(["health_check"]) } else { json!([]) },
    })
}

fn said(requests: u64, state: &str) -> Value {
    json!({
        "nginx": {"build": "weir-0.1.0", "generation": 2},
        "connections": {"active": 5, "idle": 6, "accepted": requests, "dropped": 0},
        "http/requests": {"total": requests, "current": 1},
        "http/upstreams": {"app": {"peers": [peer(1, state, requests)], "keepalive": 7}},
        "http/server_zones": {"site": {"requests": requests, "responses": {"2xx": requests}}},
    })
}

fn state(state: &str) -> State {
    let start = Instant::now();
    let mut shown = State::new("a:1/api".to_owned(), Sample::of(start, said(100, "up")));
    shown.look(Sample::of(start + Duration::from_secs(2), said(300, state)));
    shown
}

fn look(state: &mut State, peers: &[Value]) {
    let groups = json!({"app": {"peers": peers, "keepalive": 0}});
    let at = state.now.at() + Duration::from_secs(2);
    state.look(Sample::of(at, json!({ "http/upstreams": groups })));
}

fn texts(state: &State) -> Vec<String> {
    lines(state, 100, 20).into_iter().map(|line| line.text).collect()
}

/// The addresses on the page of servers, in their order.
fn servers(state: &State) -> Vec<String> {
    let found = texts(state).into_iter().filter(|text| text.contains(":80 "));
    found.map(|text| text.split_whitespace().next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn rates_are_between_two_samples() {
    let texts = texts(&state("up"));
    assert!(texts[0].contains("weir 0.1.0  a:1/api  generation 2"), "{texts:?}");
    assert!(texts[1].contains("requests 90/s") && texts[1].contains("5 active, 6 idle"));
    assert_eq!(texts[4], "app: 1 of 1 up, 100 requests/s, 7 kept connections");
    let words: Vec<_> = texts[5].split_whitespace().collect();
    assert_eq!(words, ["10.0.0.1:80", "up", "2", "100", "10", "3", "12", "ms", "-", "1"]);
}

#[test]
fn a_server_that_takes_nothing_says_why() {
    let mut state = state("unhealthy");
    state.select(2);
    let lines = lines(&state, 100, 20);
    assert!(lines[5].text.ends_with("4 failed checks"), "{lines:?}");
    assert_eq!((lines[4].style, lines[5].style), (Style::Bad, Style::Bad));
    state.turn(Page::Wrong);
    let texts = texts(&state);
    assert!(texts[2].ends_with("[0 wrong] 2 wrong"), "{texts:?}");
    assert_eq!(texts[4], "upstream app: none of 1 servers takes requests");
    assert_eq!(texts[5], "10.0.0.1:80 of app is unhealthy: 4 failed checks");
}

#[test]
fn every_page_fits_into_every_terminal() {
    let mut state = state("unhealthy");
    let long = "\u{65e5}\u{672c}".repeat(100);
    let zones = json!({ long.clone(): {"requests": 1} });
    let mut peer = peer(1, "up", 1);
    peer["server"] = json!(long.clone());
    let groups = json!({ long: {"peers": [peer.clone()]} });
    let at = state.now.at() + Duration::from_secs(1);
    state.look(Sample::of(at, json!({"http/server_zones": zones, "http/upstreams": groups})));
    for (columns, most) in [(80, 24), (40, 10), (20, 5), (10, 3)] {
        for rows in 0..=most {
            for (page, name) in Page::ALL {
                state.turn(page);
                let lines = lines(&state, columns, rows);
                assert_eq!(lines.len(), rows, "{name}");
                if rows >= 3 && columns >= 20 {
                    let names = lines.iter().find(|line| line.text.contains(name)).unwrap();
                    assert!(cells(&names.text) <= columns, "{names:?}");
                }
            }
            state.turn(Page::Servers);
            state.show(Found::Server("x".to_owned(), peer.clone()));
            assert_eq!(lines(&state, columns, rows).len(), rows);
            state.show(Found::Keys);
            assert_eq!(lines(&state, columns, rows).len(), rows);
        }
    }
    // The rows of tables are cut where their columns end.
    state.turn(Page::Zones);
    let zone = &lines(&state, 60, 20)[4].text;
    assert!(cells(zone) <= 60 && zone.contains('~') && zone.ends_with('-'), "{zone}");
}

#[test]
fn long_pages_scroll_below_their_head() {
    let mut state = state("up");
    let zones: serde_json::Map<_, _> =
        (0..100).map(|at| (format!("zone{at:03}"), json!({"requests": at}))).collect();
    state.look(Sample::of(Instant::now(), json!({ "http/server_zones": zones })));
    state.turn(Page::Zones);
    state.selected = 50;
    let shown = texts(&state);
    assert!(shown[3].starts_with("ZONE") && shown[4].starts_with("zone050"), "{shown:?}");
    state.selected = 1000;
    let shown = texts(&state);
    assert!(shown[17].starts_with("zone099"), "{shown:?}");
    state.question.find = "other".to_owned();
    let shown = texts(&state);
    assert!(shown[4].starts_with("no zones") && shown[18].starts_with("[only with \"other\"]"));
}

#[test]
fn what_is_selected_stays_selected_where_it_moves_to() {
    let mut state = state("up");
    look(&mut state, &[peer(1, "up", 1), peer(2, "up", 2), peer(3, "up", 3)]);
    state.select(2);
    let selected = |state: &State| {
        let lines = lines(state, 100, 20);
        lines.into_iter().find(|line| line.style == Style::Selected).unwrap().text
    };
    assert!(selected(&state).contains("10.0.0.2:80"));
    // What fails comes first, and another one was removed.
    look(&mut state, &[peer(3, "unavail", 3), peer(2, "up", 2)]);
    assert_eq!(servers(&state), ["10.0.0.3:80", "10.0.0.2:80"]);
    assert!(selected(&state).contains("10.0.0.2:80"));
    // It was removed itself: another row is selected, of a list that has fewer.
    look(&mut state, &[peer(3, "up", 3)]);
    assert!(selected(&state).contains("10.0.0.3:80"));
    // All about a server stays there when that is removed, and says so.
    state.show(Found::Server("app".to_owned(), peer(3, "up", 3)));
    look(&mut state, &[peer(4, "up", 3)]);
    let texts = texts(&state);
    assert!(texts[3].starts_with("10.0.0.3:80 of app"), "{texts:?}");
    assert!(texts[4].starts_with("it is not on the page any more"), "{texts:?}");
}

#[test]
fn orders_and_kinds() {
    let mut state = state("up");
    look(&mut state, &[peer(1, "up", 0), peer(2, "down", 0), peer(3, "up", 0)]);
    look(&mut state, &[peer(1, "up", 10), peer(2, "down", 0), peer(3, "up", 200)]);
    assert_eq!(servers(&state), ["10.0.0.2:80", "10.0.0.1:80", "10.0.0.3:80"]);
    state.question.order = Order::Requests;
    assert_eq!(servers(&state), ["10.0.0.3:80", "10.0.0.1:80", "10.0.0.2:80"]);
    state.question.order = Order::Listed;
    assert_eq!(servers(&state), ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"]);
    state.question.kinds = Kinds::Out;
    assert_eq!(servers(&state), ["10.0.0.2:80"]);
    state.question.kinds = Kinds::Failing;
    assert_eq!(servers(&state), [""; 0]);
}

#[test]
fn a_part_of_a_large_group_says_so() {
    let mut state = state("up");
    let summary = json!({
        "servers": 5000, "states": {"up": 4998, "unhealthy": 1, "unavail": 1}, "requests": 0,
    });
    let group = json!({"peers": [peer(1, "unhealthy", 1)], "matching": 5000, "summary": summary});
    let groups = json!({ "app": group });
    let at = state.now.at() + Duration::from_secs(2);
    state.look(Sample::of(at, json!({ "http/upstreams": groups })));
    let texts = texts(&state);
    assert!(texts[4].starts_with("app: 4998 of 5000 up, 2 failing, 0 requests/s, 4999 more"));
}
