//! Edits that nodes have in common: those made here are noted for other nodes, and theirs become
//! edits of this node's group. Of two edits of one parameter the later one holds, on every node;
//! so does the later one of the coming and going of a server.
//!
//! What is merged and differs from what has come is noted again: the mirror, which knows only whole
//! records, may have kept the older of two.

use std::collections::BTreeMap;

use weir_engine::{Level, error_log::process_log};

use super::merging::Merging;
use crate::{
    edit::Edit,
    edited::{Class, Edited, State, Versions},
    group::Group,
    roster::Roster,
    server::ServerId,
    set::Lines,
    shared_records::{self, Theme},
};

/// The number of places that are looked for one by one.
const FEW: usize = 4;

/// Another node's record by the place of its server; `None` if it was removed, or cannot be read.
pub(crate) type News = Vec<(String, Option<Edited>)>;

/// Notes an edit that was made, and returns the places that it concerns. `before` is that of the
/// changed server, and whether the configuration has it.
pub(super) fn mark(
    edit: &Edit,
    before: Option<(String, bool)>,
    ids: &[ServerId],
    roster: &mut Roster,
    lines: &Lines,
) -> Vec<String> {
    let version = roster.edits.next_version();
    let here = Edited { version, params: Versions::all(version), state: State::Here };
    let mut places = Vec::new();
    match (edit, before) {
        (Edit::Add(_), _) => {
            places = ids.iter().filter_map(|id| roster.place_of_id(*id, lines)).collect();
            for place in &places {
                roster.edits.insert(place.clone(), here.clone());
            }
        }
        (Edit::Change(id, change), Some((before, written))) => {
            let Some(place) = roster.place_of_id(*id, lines) else { return places };
            if place == before {
                let known = roster.edits.of(&place).cloned().unwrap_or_default();
                let mut edited = Edited { state: State::Here, ..known };
                change.params().for_each(|param| edited.params.set(param, version));
                roster.edits.insert(place.clone(), edited);
                places.push(place);
            } else if Class::of(&place) == Class::Own {
                places.extend(mark_gone(before, written, version, roster));
                roster.edits.insert(place.clone(), here);
                places.push(place);
            }
        }
        (Edit::Remove(_), Some((before, written))) => {
            places = mark_gone(before, written, version, roster);
        }
        (Edit::Change(..) | Edit::Remove(_), None) => {}
    }
    places.extend(roster.edits.forget_oldest());
    places
}

fn mark_gone(place: String, written: bool, version: u64, roster: &mut Roster) -> Vec<String> {
    let state = State::Gone { written };
    let mut places = roster.edits.forget_addresses(&place);
    let gone = Edited { version, params: Versions::all(version), state };
    roster.edits.insert(place.clone(), gone);
    places.push(place);
    places
}

impl Group {
    /// Tells other nodes what is known of these places; the caller holds the roster.
    pub(crate) fn share(&self, places: &[String], roster: &Roster, lines: &Lines) {
        // A group whose configuration was replaced has other lines.
        if places.is_empty() || !shared_records::has_mirror() || roster.heir().is_some() {
            return;
        }
        let is_few = places.len() <= FEW;
        let all = if is_few { BTreeMap::new() } else { roster.places(lines) };
        for place in places {
            let edited = roster.edits.of(place);
            let found = match is_few {
                true => roster.find_at(place, lines),
                false => all.get(place).copied(),
            };
            let server = found.map(|found| found.describe());
            let record = edited.map(|edited| edited.record(server.as_ref()));
            shared_records::note(Theme::Servers, &self.shared_key(place), record.as_deref());
        }
    }

    /// Forgets what was edited about servers that their source, or their name, has no more.
    pub(crate) fn forget_edits(&self, places: Vec<String>, roster: &mut Roster, lines: &Lines) {
        let known = places.into_iter().filter(|place| roster.edits.remove(place));
        let known: Vec<String> = known.collect();
        self.share(&known, roster, lines);
    }

    /// Lets other nodes know that a reload has dropped the edits, if it has.
    pub(crate) fn drop_edits(&self, roster: &Roster, next: &mut Roster) {
        if roster.edits.is_empty() || !next.edits.is_empty() {
            return;
        }
        next.has_dropped = true;
        for place in roster.edits.by_place.keys() {
            shared_records::note(Theme::Servers, &self.shared_key(place), None);
        }
    }

    /// The records of all edits. A group with a `state` file has one for each server, since the
    /// configuration does not say which ones it has.
    pub(crate) fn shared(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let roster = self.roster();
        if self.config.zone.is_none() || roster.heir().is_some() {
            return Vec::new();
        }
        let lines = self.lines();
        let found = roster.places(&lines);
        let mut records = Vec::new();
        for (place, edited) in &roster.edits.by_place {
            let server = found.get(place).map(|found| found.describe());
            records.push((self.shared_key(place), edited.record(server.as_ref())));
        }
        let is_new =
            |place: &str| Class::of(place) == Class::Own && roster.edits.of(place).is_none();
        let of_file =
            found.iter().filter(|(place, _)| self.config.state.is_some() && is_new(place));
        for (place, found) in of_file {
            let record = Edited::default().record(Some(&found.describe()));
            records.push((self.shared_key(place), record));
        }
        records
    }

    /// Takes over what other nodes have edited.
    pub(crate) fn take_over(&self, news: News, broken: usize) {
        let mut roster = self.roster();
        if let Some(heir) = roster.heir() {
            drop(roster);
            // A reload may have given it other lines since the news were found to be its.
            if self.lines_hash() == heir.lines_hash() {
                heir.take_over(news, broken);
            }
            return;
        }
        if self.config.zone.is_none() {
            return;
        }
        let mut merging = Merging::new(self, &mut roster);
        for _ in 0..broken {
            merging.refuse("it cannot be read");
        }
        for (place, edited) in news {
            merging.take(place, edited);
        }
        let is_changed = merging.end();
        let lines = self.lines();
        self.share(&merging.again, merging.roster, &lines);
        if merging.is_news || is_changed {
            self.note(merging.roster);
        }
        let refused = merging.refused.clone();
        if is_changed {
            self.tell_names_change();
        }
        drop(roster);
        if is_changed {
            // A failure is logged.
            let _ = self.save();
        }
        if let Some((reason, count)) = refused {
            let name = &self.config.name;
            let text = format!(
                "upstream \"{name}\" leaves out {count} edits of another node, the first one \
                 since: {reason}"
            );
            process_log().log(Level::Warn, 0, &text);
        }
    }
}

#[cfg(test)]
mod tests;
