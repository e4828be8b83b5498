use super::*;

fn server(name: &str) -> Server {
    Server { text: name.to_owned(), ..Server::default() }
}

fn servers(names: &str) -> Vec<Server> {
    names.split_whitespace().map(server).collect()
}

fn list(names: &str) -> Report {
    Report::List(Listing { servers: servers(names), ..Listing::default() })
}

/// The list of a source to which servers register.
fn registered(names: &str, is_new: bool) -> Report {
    Report::List(Listing { servers: servers(names), is_new: Some(is_new), ..Listing::default() })
}

fn lost() -> Report {
    Report::Lost("connect() failed".into())
}

/// The names in orders, and their lines.
fn shown(orders: Orders) -> (Option<String>, Vec<String>) {
    let names = |servers: Vec<Server>| {
        servers.into_iter().map(|server| server.text).collect::<Vec<_>>().join(" ")
    };
    (orders.list.map(names), orders.lines.into_iter().map(|(_, line)| line).collect())
}

/// Tells a source's reports to a keeper, a second after another.
#[track_caller]
fn tell(keeper: &mut Keeper, now: &mut u64, report: Report, list: Option<&str>, lines: &[&str]) {
    *now += 1000;
    let (found, told) = shown(keeper.hear(report, *now));
    assert_eq!((found.as_deref(), told), (list, lines.iter().map(|&it| it.to_owned()).collect()));
}

#[test]
fn trouble_is_told_once_and_so_is_its_end() {
    let (mut keeper, mut now) = (Keeper::default(), 0);
    let mut step = |report, list, lines: &[&str]| tell(&mut keeper, &mut now, report, list, lines);
    step(list("a b"), Some("a b"), &[]);
    step(lost(), None, &["connect() failed, the last known 2 servers go on serving"]);
    step(lost(), None, &[]);
    step(list(""), None, &["lists no servers, the last known 2 servers go on serving"]);
    step(list(""), None, &[]);
    step(list("a"), Some("a"), &["lists servers again"]);
    step(list(""), None, &["lists no servers, the last known server goes on serving"]);
}

#[test]
fn a_list_may_be_empty_on_purpose() {
    let (mut keeper, mut now) = (Keeper::new(servers("a b"), false), 0);
    let purpose = || Report::List(Listing { may_be_empty: true, ..Listing::default() });
    tell(&mut keeper, &mut now, purpose(), Some(""), &[]);
    tell(&mut keeper, &mut now, lost(), None, &["connect() failed, no servers are known"]);
    tell(&mut keeper, &mut now, list(""), None, &["lists no servers, no servers are known"]);
}

#[test]
fn a_bad_entry_is_named_once() {
    let (mut keeper, mut now) = (Keeper::default(), 0);
    let with = |faults: &[&str]| {
        let faults = faults.iter().map(|&fault| fault.to_owned()).collect();
        Report::List(Listing { servers: servers("a"), faults, ..Listing::default() })
    };
    let mut step = |faults: &[&str], lines: &[&str]| {
        tell(&mut keeper, &mut now, with(faults), Some("a"), lines);
    };
    step(&["line 2: x"], &["line 2: x, which is ignored"]);
    step(&["line 2: x"], &[]);
    step(&["line 2: x", "line 3: y"], &["line 3: y, which is ignored"]);
    step(&[], &[]);
    step(&["line 2: x"], &["line 2: x, which is ignored"]);
    let many: Vec<String> = (0..100).map(|line| format!("line {line}: x")).collect();
    let orders = keeper.hear(with(&many.iter().map(String::as_str).collect::<Vec<_>>()), now);
    assert_eq!(orders.lines.len(), MAX_TOLD + 1);
    assert_eq!(orders.lines[MAX_TOLD].1, "79 more entries are ignored");
}

const ANEW: &str = "began anew, servers are removed only in 30 seconds";

/// Servers register again one by one: none is removed for being late.
#[test]
fn a_source_that_began_anew_removes_nothing_for_a_while() {
    let (mut keeper, mut now) = (Keeper::default(), 0);
    tell(&mut keeper, &mut now, registered("a b c", false), Some("a b c"), &[]);
    tell(&mut keeper, &mut now, registered("b", true), Some("b a c"), &[ANEW]);
    assert_eq!(keeper.wakes(), Some(now + GRACE));
    let end = now + GRACE;
    tell(&mut keeper, &mut now, registered("b d", false), Some("b d a c"), &[]);
    // In between it is lost: nothing is removed before it is back.
    tell(
        &mut keeper,
        &mut now,
        lost(),
        None,
        &["connect() failed, the last known 4 servers go on serving"],
    );
    assert_eq!((keeper.wakes(), keeper.wake(end)), (None, Orders::default()));
    tell(
        &mut keeper,
        &mut now,
        registered("b d a", false),
        Some("b d a c"),
        &["lists servers again"],
    );
    assert_eq!(keeper.wake(end - 1), Orders::default());
    assert_eq!(shown(keeper.wake(end)).0.as_deref(), Some("b d a"));
    assert_eq!(keeper.wakes(), None);
    now = end;
    tell(&mut keeper, &mut now, registered("b", false), Some("b"), &[]);
}

#[test]
fn an_empty_source_may_have_begun_anew() {
    let (mut keeper, mut now) = (Keeper::new(servers("a b"), false), 0);
    let empty = "lists no servers, the last known 2 servers go on serving";
    tell(&mut keeper, &mut now, registered("", false), None, &[empty]);
    tell(
        &mut keeper,
        &mut now,
        registered("b", false),
        Some("b a"),
        &["lists servers again", ANEW],
    );
    // After the time has passed, without a wake in between.
    now += GRACE;
    tell(&mut keeper, &mut now, registered("b c", false), Some("b c"), &[]);
}

/// The process before knew more servers than the source does now.
#[test]
fn a_new_process_trusts_no_memory_but_its_own() {
    let (mut keeper, mut now) = (Keeper::new(servers("a b"), true), 0);
    tell(&mut keeper, &mut now, registered("b c", false), Some("b c a"), &[ANEW]);
    let (mut keeper, mut now) = (Keeper::new(servers("a b"), true), 0);
    tell(&mut keeper, &mut now, registered("b c a", false), Some("b c a"), &[]);
    tell(&mut keeper, &mut now, registered("b", false), Some("b"), &[]);
    // A file is written as a whole.
    let (mut keeper, mut now) = (Keeper::new(servers("a b"), true), 0);
    tell(&mut keeper, &mut now, list("b"), Some("b"), &[]);
}
