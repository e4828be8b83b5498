//! Pages of groups with thousands of servers: a bounded number of them in a wanted order, and sums
//! over the rest. A page looks at each server once, and copies only those that it has.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::{
    clock::Now,
    group::Group,
    peer::Peer,
    set::Lines,
    summary::GroupSummary,
    view::{GroupView, PeerStatus, PeerView},
};

/// Which servers a page has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageWanted {
    /// Those in one of these states; `None` is any state.
    pub states: Option<Vec<PeerStatus>>,
    /// Those with this text in their address or name, whatever the case of ASCII letters. Empty is
    /// any.
    pub find: String,
    /// Whether all servers of a group are found by its name.
    pub by_group: bool,
    /// Their order.
    pub order: PageOrder,
    /// The number of servers that come before the page.
    pub start: usize,
    /// The largest number of servers on it.
    pub limit: usize,
}

/// The order of servers; what is equal keeps the order of groups and of balancing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PageOrder {
    /// Those that fail, then those that are checked, drained and down, then the others.
    #[default]
    Failing,
    /// That of balancing, backup servers last.
    Listed,
    /// Those that were chosen most often first.
    Requests,
    /// Those with the most requests under way first.
    Active,
    /// Those with the most failed attempts first.
    Fails,
    /// Those that take longest for a whole answer, on average, first.
    ResponseTime,
}

impl PageOrder {
    /// All of them, by the names that people give them.
    pub const NAMES: [(&str, Self); 6] = [
        ("failing", Self::Failing),
        ("listed", Self::Listed),
        ("requests", Self::Requests),
        ("active", Self::Active),
        ("fails", Self::Fails),
        ("response_time", Self::ResponseTime),
    ];

    /// The place of a server: small ones come first.
    fn rank(self, peer: &Peer, status: PeerStatus) -> u64 {
        let largest_first = |number: u64| u64::MAX - number;
        let state = &peer.state;
        match self {
            Self::Listed => 0,
            Self::Failing => match status {
                PeerStatus::Unhealthy | PeerStatus::Unavail => 0,
                PeerStatus::Checking => 1,
                PeerStatus::Draining => 2,
                PeerStatus::Down => 3,
                PeerStatus::Up => 4,
            },
            Self::Requests => largest_first(state.requests.load(Relaxed)),
            Self::Active => largest_first(state.conns.load(Relaxed)),
            Self::Fails => largest_first(state.failures.load(Relaxed)),
            Self::ResponseTime => largest_first(state.response_time.load(Relaxed)),
        }
    }
}

/// A group, with those of its servers that are on a page.
#[derive(Clone, Debug)]
pub struct GroupPage {
    /// The group with these peers, in the wanted order, and without its editable servers.
    pub view: GroupView,
    /// The number of its servers that could be on a page: those of the wanted states and name.
    pub matching: u64,
    /// Sums over all its servers.
    pub summary: GroupSummary,
}

/// A server that could be on the page, in the order of the fields.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    rank: u64,
    group: usize,
    backup: bool,
    at: usize,
}

/// A page of the servers of these groups together. A group whose configuration was replaced is
/// shown as its heir.
pub fn page(groups: &[&Arc<Group>], wanted: &PageWanted, now: Now) -> Vec<GroupPage> {
    let groups: Vec<_> = groups.iter().map(|group| group.latest()).collect();
    let lines: Vec<_> = groups.iter().map(|group| group.lines()).collect();
    let mut all = Vec::new();
    let mut pages = Vec::new();
    for (at, (group, lines)) in groups.iter().zip(&lines).enumerate() {
        let before = all.len();
        let mut summary = group.empty_summary();
        let is_named = wanted.by_group && has(group.name(), &wanted.find);
        for (candidate, peer) in candidates(at, lines) {
            let status = peer.status(now);
            summary.add(peer, status, candidate.backup);
            let states = wanted.states.as_ref();
            if states.is_none_or(|states| states.contains(&status))
                && (is_named || has(&peer.name, &wanted.find) || has(&peer.server, &wanted.find))
            {
                all.push(Candidate { rank: wanted.order.rank(peer, status), ..candidate });
            }
        }
        let matching = (all.len() - before) as u64;
        pages.push(GroupPage { view: group.bare_view(), matching, summary });
    }
    for Candidate { group, backup, at, .. } in cut(all, wanted) {
        let peer = &lines[group].get(backup)[at];
        let service = groups[group].service_of(peer);
        pages[group].view.peers.push(PeerView { service, ..PeerView::new(peer, backup, now) });
    }
    pages
}

/// The servers of a group, not ranked yet.
fn candidates(group: usize, lines: &Lines) -> impl Iterator<Item = (Candidate, &Arc<Peer>)> {
    [false, true].into_iter().flat_map(move |backup| {
        let peers = lines.get(backup).iter().enumerate();
        peers.map(move |(at, peer)| (Candidate { rank: 0, group, backup, at }, peer))
    })
}

/// Those of the page, in order. Only they are sorted.
fn cut(mut all: Vec<Candidate>, wanted: &PageWanted) -> Vec<Candidate> {
    let end = wanted.start.saturating_add(wanted.limit);
    if end < all.len() {
        all.select_nth_unstable(end);
        all.truncate(end);
    }
    if wanted.start > 0 && wanted.start < all.len() {
        all.select_nth_unstable(wanted.start);
    }
    let mut page = all.split_off(wanted.start.min(all.len()));
    page.sort_unstable();
    page
}

/// Whether a text has another, whatever the case of ASCII letters.
fn has(text: &str, part: &str) -> bool {
    let part = part.as_bytes();
    part.is_empty()
        || text.as_bytes().windows(part.len()).any(|window| window.eq_ignore_ascii_case(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_found_in_any_case() {
        assert!(has("App-1.Test", "app-1.t") && has("x", "") && has("a\u{c4}", "\u{c4}"));
        assert!(!has("app", "apps") && !has("", "a"));
    }

    #[test]
    fn only_the_page_is_sorted() {
        let ranks = [5, 3, 9, 1, 3, 7];
        let all = |ranks: &[u64]| -> Vec<_> {
            let all = ranks.iter().enumerate();
            all.map(|(at, &rank)| Candidate { rank, group: 0, backup: false, at }).collect()
        };
        for (start, limit, expected) in [
            (0, 3, vec![3, 1, 4]),
            (1, 2, vec![1, 4]),
            (4, 9, vec![5, 2]),
            (6, 1, vec![]),
            (0, 0, vec![]),
            (usize::MAX, usize::MAX, vec![]),
        ] {
            let wanted = PageWanted {
                states: None,
                find: String::new(),
                by_group: false,
                order: PageOrder::Listed,
                start,
                limit,
            };
            let page: Vec<_> = cut(all(&ranks), &wanted).iter().map(|it| it.at).collect();
            assert_eq!(page, expected, "{start} {limit}");
        }
    }
}
