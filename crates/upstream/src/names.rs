//! The duty to keep the names of a group resolved. It runs one duty per current name, as reloads
//! and edits add and remove names.

use std::sync::Arc;

use weir_engine::duty::{Duties, Duty};

use crate::{group::Group, registry::Registry};

impl Group {
    /// The duties of this group and its heirs: to find servers, to keep names resolved, to ask
    /// agents, and to note health.
    pub fn duties(&self, registry: &Arc<Registry>) -> Vec<Duty> {
        let found = [self.discovery(registry), self.duty(registry)];
        let judged = [self.agent_duty(registry), self.health_duty(registry)];
        found.into_iter().chain(judged).flatten().collect()
    }

    /// The duty to keep the names of this group and its heirs resolved. `None` for a group that
    /// cannot have names.
    fn duty(&self, registry: &Arc<Registry>) -> Option<Duty> {
        self.config.resolver.as_ref()?;
        self.names_change.as_ref()?;
        let (registry, key) = (Arc::clone(registry), self.config.key.clone());
        let begin = move || keep(Arc::clone(&registry), key.clone());
        Some(Duty::new(format!("keep the names of {} resolved", self.config.key), begin))
    }
}

async fn keep(registry: Arc<Registry>, key: String) {
    let mut duties = Duties::default();
    // The duty must not keep the group alive, so it looks it up again each time.
    while let Some(group) = registry.of_key(&key).pop() {
        let Some(change) = group.names_change.clone() else { return };
        duties.reconcile(group.names(&registry));
        drop(group);
        change.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, UdpSocket};
    use std::sync::{Mutex, mpsc};

    use weir_engine::event_loop::{block_on, yield_now};

    use super::*;
    use crate::{
        balance::least_conn::LeastConn,
        config::{GroupConfig, MethodHandle},
        edit::Edit,
        resolver::ResolverConfig,
        server::{Name, Server},
        upstreams::Side,
    };

    /// A name server that answers 127.0.0.9, valid for a second, to every name, and a log of the
    /// first labels of queried names. It ends with the tests.
    fn name_server() -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        std::thread::spawn(move || {
            let mut query = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut query) {
                let mut answer = query[..length].to_vec();
                answer[2..4].copy_from_slice(&[0x81, 0x80]);
                answer[7] = 1;
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 127, 0, 0, 9]);
                let label = &query[13..13 + usize::from(query[12])];
                log.lock().unwrap().push(String::from_utf8_lossy(label).into_owned());
                let _ = socket.send_to(&answer, from);
            }
        });
        (address, asked)
    }

    fn server(label: &str) -> Server {
        let name = Name { host: format!("{label}.test"), port: 80, service: None };
        Server { text: format!("{label}.test:80"), resolve: Some(name), ..Server::default() }
    }

    fn config(dns: SocketAddr, servers: Vec<Server>) -> GroupConfig {
        let resolver = ResolverConfig {
            servers: vec![dns],
            valid: None,
            ipv4: true,
            ipv6: false,
            counters: None,
        };
        GroupConfig {
            zone: Some("u".into()),
            servers,
            resolver: Some((resolver, 30_000)),
            ..GroupConfig::implicit(Side::Http.key("u"), "u", Vec::new())
        }
    }

    async fn until(mut happened: impl FnMut() -> bool) {
        while !happened() {
            yield_now().await;
        }
    }

    #[test]
    fn names_are_kept_as_edits_and_reloads_leave_them() {
        block_on(async {
            let (dns, asked) = name_server();
            let count =
                |label: &str| asked.lock().unwrap().iter().filter(|asked| *asked == label).count();
            let registry = Arc::new(Registry::default());
            let group = registry.group(&config(dns, vec![server("conf")]));
            let mut duties = Duties::default();
            duties.reconcile(group.duty(&registry).into_iter().collect());
            until(|| group.peers().len() == 1).await;

            let id = group.edit(&Edit::Add(server("added"))).unwrap()[0];
            until(|| group.peers().len() == 2).await;

            // A configuration that is given up removes its names, and the earlier ones come back.
            let mut other = config(dns, vec![server("other")]);
            let given_up = registry.group(&other);
            until(|| given_up.peers().len() == 1).await;
            drop(given_up);
            let (conf, added) = (count("conf"), count("added"));
            until(|| count("conf") > conf && count("added") > added).await;

            // An heir asks no query again.
            other = config(dns, vec![server("conf")]);
            other.method = MethodHandle(Arc::new(LeastConn));
            let heir = registry.group(&other);
            assert_eq!(heir.peers().len(), 2);
            drop(group);
            heir.edit(&Edit::Remove(id)).unwrap();
            // A query may be under way.
            let (conf, added) = (count("conf"), count("added"));
            until(|| count("conf") >= conf + 2).await;
            assert!(count("added") <= added + 1);
            assert_eq!(heir.peers().len(), 1);
        });
    }

    #[test]
    fn a_group_without_a_zone_or_a_resolver_has_no_names() {
        let registry = Arc::new(Registry::default());
        let full = config(([127, 0, 0, 1], 53).into(), Vec::new());
        let without = [
            GroupConfig { zone: None, ..full.clone() },
            GroupConfig { resolver: None, ..full.clone() },
        ];
        assert!(without.iter().all(|config| registry.group(config).duty(&registry).is_none()));
        assert!(registry.group(&full).duty(&registry).is_some());
    }

    /// A request may hold a group for longer than its heir lasts.
    #[test]
    fn an_edit_reaches_the_newest_heir() {
        let registry = Registry::default();
        let plain = config(([127, 0, 0, 1], 53).into(), Vec::new());
        let least = GroupConfig { method: MethodHandle(Arc::new(LeastConn)), ..plain.clone() };
        let oldest = registry.group(&plain);
        let between = registry.group(&least);
        let newest = registry.group(&plain);
        drop(between);
        let address = weir_engine::Addr::Inet(([127, 0, 0, 2], 80).into());
        let server =
            Server { text: "127.0.0.2:80".into(), addresses: vec![address], ..Server::default() };
        oldest.edit(&Edit::Add(server)).unwrap();
        assert_eq!((oldest.peers().len(), newest.peers().len()), (0, 1));
    }

    /// Threads edit a group while reloads replace it: no added server is missing.
    #[test]
    fn no_edit_is_lost_to_a_reload() {
        const EDITS: u16 = 300;
        let registry = Registry::default();
        let plain = config(([127, 0, 0, 1], 53).into(), Vec::new());
        let least = GroupConfig { method: MethodHandle(Arc::new(LeastConn)), ..plain.clone() };
        let first = registry.group(&plain);
        let (done, is_done) = mpsc::channel::<()>();
        std::thread::scope(|scope| {
            for thread in 0..2 {
                let (registry, done) = (&registry, done.clone());
                scope.spawn(move || {
                    for number in 0..EDITS {
                        let [high, low] = number.to_be_bytes();
                        let address = SocketAddr::from(([127, thread, high, low], 80));
                        let address = weir_engine::Addr::Inet(address);
                        let server = Server {
                            text: address.to_string(),
                            addresses: vec![address],
                            ..Server::default()
                        };
                        let group = registry.find(Side::Http, "u").unwrap();
                        group.edit(&Edit::Add(server)).unwrap();
                    }
                    drop(done);
                });
            }
            drop(done);
            let mut held = first;
            while is_done.try_recv() != Err(mpsc::TryRecvError::Disconnected) {
                let next = registry.group(&least);
                held = registry.group(&plain);
                drop(next);
            }
            let mut names: Vec<_> = held.peers().iter().map(|peer| peer.name.clone()).collect();
            let mut ids: Vec<_> = held.peers().iter().map(|peer| peer.id).collect();
            names.sort();
            names.dedup();
            ids.sort();
            ids.dedup();
            assert_eq!((names.len(), ids.len()), (2 * usize::from(EDITS), 2 * usize::from(EDITS)));
        });
    }
}
