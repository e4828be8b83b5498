//! The duty to give a group the servers that its source lists.

use std::{sync::Arc, time::Duration};

use weir_engine::{
    Level, duty::Duty, error_log::process_log, event_loop::on_a_thread, os_error::Failed,
    temp_file, timer,
};

use super::{
    config::DiscoverConfig,
    entry::Reader,
    file,
    keeper::{Keeper, Orders},
    list,
};
use crate::{
    clock::Now, edit::listed::Effect, group::Group, record::listed_text, registry::Registry,
    server::Server,
};

/// The time between two lists: changes that come faster are taken together.
const PAUSE: Duration = Duration::from_millis(100);

/// The length of a line of the log, in characters.
const MAX_LINE: usize = 2000;

/// The number of servers that a line of the log names.
const MAX_NAMED: usize = 10;

impl Group {
    /// The duty to follow the source of this group's servers. A reload that leaves the source alone
    /// leaves the duty alone.
    pub(crate) fn discovery(&self, registry: &Arc<Registry>) -> Option<Duty> {
        let config = self.config.discover.clone()?;
        self.config.zone.as_ref()?;
        let finder = Finder {
            registry: Arc::clone(registry),
            key: self.config.key.clone(),
            name: self.config.name.clone(),
            reader: Reader::of(&self.config),
            config,
        };
        let key = format!(
            "find servers of {} by {:?} for {:?}",
            finder.key, finder.config, finder.reader
        );
        Some(Duty::new(key, move || finder.clone().keep()))
    }
}

#[derive(Clone)]
struct Finder {
    registry: Arc<Registry>,
    /// The key of the groups.
    key: String,
    /// Their name.
    name: String,
    reader: Reader,
    config: DiscoverConfig,
}

impl Finder {
    async fn keep(self) {
        // The duty must not keep the group alive, so it looks it up again each time.
        let Some(group) = self.registry.of_key(&self.key).pop() else { return };
        let (mut known, is_unsure) = (group.listed(), !group.has_heard());
        drop(group);
        if known.is_empty() {
            known = self.recall().await;
        }
        let mut keeper = Keeper::new(known, is_unsure);
        let mut source = self.config.source(self.reader);
        loop {
            let orders = {
                let mut next = source.next();
                loop {
                    let now = Now::current().millis;
                    let pause = keeper.wakes().map(|at| at.saturating_sub(now));
                    tokio::select! {
                        report = &mut next => break keeper.hear(report, Now::current().millis),
                        () = wait(pause) => {
                            let orders = keeper.wake(Now::current().millis);
                            self.carry_out(orders).await;
                        }
                    }
                }
            };
            self.carry_out(orders).await;
            timer::sleep(PAUSE).await;
        }
    }

    async fn carry_out(&self, orders: Orders) {
        for (level, line) in orders.lines {
            self.log(level, &line);
        }
        match orders.list.map(Arc::new) {
            Some(servers) => {
                self.apply(Arc::clone(&servers)).await;
                self.save(servers).await;
            }
            None => self.registry.of_key(&self.key).iter().for_each(|group| group.heard()),
        }
    }

    /// Takes the servers of the state file, if there are any, until the source answers.
    async fn recall(&self) -> Vec<Server> {
        let Some(path) = self.config.state().cloned() else { return Vec::new() };
        let (at, reader) = (Arc::clone(&path), self.reader);
        let read = on_a_thread(move || file::read(&at).and_then(|text| list::read(&text, reader)));
        let servers = match read.await {
            Ok(Ok(listing)) => listing.servers,
            Ok(Err(reason)) => {
                let line = format!("state file \"{}\": {reason}", path.display());
                self.log(Level::Notice, &line);
                Vec::new()
            }
            Err(_) => Vec::new(),
        };
        if !servers.is_empty() {
            self.log(Level::Notice, &format!("begins with the servers of \"{}\"", path.display()));
            self.apply(Arc::new(servers.clone())).await;
        }
        servers
    }

    /// Writes the state file, if there is one.
    async fn save(&self, servers: Arc<Vec<Server>>) {
        let Some(path) = self.config.state().cloned() else { return };
        let written = on_a_thread(move || {
            let text = listed_text(&servers);
            // Most lists of a start are those of the file.
            match std::fs::read(&path).is_ok_and(|known| known == text.as_bytes()) {
                true => Ok(()),
                false => temp_file::replace(&path, text.as_bytes()).map_err(|error| {
                    let call = format!("state file \"{}\" was not written", path.display());
                    Failed(&call, &error).to_string()
                }),
            }
        });
        if let Ok(Err(reason)) = written.await {
            self.log(Level::Alert, &reason);
        }
    }

    /// Gives a list to all groups of the key. Requests of earlier configurations need it, too, and
    /// a group made by a reload in the meantime may have begun with the earlier list.
    async fn apply(&self, servers: Arc<Vec<Server>>) {
        let mut given: Vec<Arc<Group>> = Vec::new();
        let mut last = Effect::default();
        loop {
            let mut fresh = self.registry.of_key(&self.key);
            fresh.retain(|group| !given.iter().any(|known| Arc::ptr_eq(known, group)));
            if fresh.is_empty() {
                break;
            }
            for group in fresh {
                let (at, list) = (Arc::clone(&group), Arc::clone(&servers));
                // If no thread can be started, the servers stay until the next time.
                if let Ok(effect) = on_a_thread(move || at.list(&list)).await {
                    last = effect;
                }
                given.push(group);
            }
        }
        self.tell(&last);
    }

    fn tell(&self, effect: &Effect) {
        for refused in effect.refused.iter().take(MAX_NAMED) {
            self.log(Level::Error, refused);
        }
        for (what, servers) in [("added", &effect.added), ("removed", &effect.removed)] {
            if servers.is_empty() {
                continue;
            }
            let mut names = servers[..servers.len().min(MAX_NAMED)].join(", ");
            if servers.len() > MAX_NAMED {
                names.push_str(&format!(" and {} more", servers.len() - MAX_NAMED));
            }
            self.log(Level::Notice, &format!("{what} {names}"));
        }
    }

    fn log(&self, level: Level, line: &str) {
        let Self { name, config, .. } = self;
        let plain: String = line
            .chars()
            .take(MAX_LINE)
            .map(|char| if char.is_control() { '?' } else { char })
            .collect();
        process_log().log(level, 0, format!("{config} of upstream \"{name}\": {plain}"));
    }
}

async fn wait(millis: Option<u64>) {
    match millis {
        Some(millis) => timer::sleep(Duration::from_millis(millis)).await,
        None => std::future::pending().await,
    }
}
