//! Services: SRV records (RFC 2782), and the addresses of their targets.

use std::{net::SocketAddr, time::Duration};

use super::{Answer, Key, Reason, ResolveError, Resolved, Resolver, message::Srv, normal, within};

/// An address of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServiceAddress {
    /// The address to connect to.
    pub(crate) address: SocketAddr,
    /// The target of the SRV record.
    pub(crate) target: String,
    /// Its priority; targets with the lowest are primary, the others are backups.
    pub(crate) priority: u16,
    /// Its weight, at least 1.
    pub(crate) weight: u16,
}

/// A resolved service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Service {
    /// The addresses in the order of attempts.
    pub(crate) addresses: Vec<ServiceAddress>,
    /// The end of their validity, in seconds of [`Now::current`](crate::Now::current).
    pub(crate) valid: i64,
    /// Targets that could not be resolved.
    pub(crate) failed: Vec<ResolveError>,
}

impl Resolver {
    /// Resolves a service of a name. A service without a dot is a TCP service: `http` means
    /// `_http._tcp`. Each target may take as long as the service itself.
    ///
    /// # Errors
    /// No such service, or none of its targets has an address; with the failed targets.
    pub(crate) async fn resolve_service(
        &self,
        name: &str,
        service: &str,
        timeout: Duration,
    ) -> Result<Service, (ResolveError, Vec<ResolveError>)> {
        let name = normal(name);
        let full = if service.contains('.') {
            format!("{service}.{name}")
        } else {
            format!("_{service}._tcp.{name}")
        };
        let fail = |reason| ResolveError { name: name.clone(), reason };
        let key = Key::Service(full.to_ascii_lowercase());
        let (records, mut valid) = match within(timeout, self.follow(key)).await {
            Ok((Answer::Services(records), valid)) => (records, valid),
            Ok(_) => return Err((fail(Reason::NOT_FOUND), Vec::new())),
            Err(reason) => return Err((fail(reason), Vec::new())),
        };
        let mut targets = Vec::new();
        let mut failed = Vec::new();
        for (record, resolved) in self.resolve_targets(records, timeout).await {
            match resolved {
                Ok(resolved) => {
                    valid = valid.min(resolved.valid);
                    targets.push((record, resolved));
                }
                Err(error) => failed.push(error),
            }
        }
        if targets.is_empty() {
            let missing = failed.iter().any(|error| error.reason == Reason::NOT_FOUND);
            let first = failed.first().map_or(Reason::NOT_FOUND, |error| error.reason);
            let reason = if missing { Reason::NOT_FOUND } else { first };
            return Err((fail(reason), failed));
        }
        let addresses = arrange(&targets, &mut fastrand::Rng::new());
        Ok(Service { addresses, valid, failed })
    }

    /// Resolves all targets concurrently.
    async fn resolve_targets(
        &self,
        records: Vec<Srv>,
        timeout: Duration,
    ) -> Vec<(Srv, Result<Resolved, ResolveError>)> {
        let start = |record: Srv| {
            let resolver = self.clone();
            let name = record.target.clone();
            let resolve = async move { resolver.resolve(&name, timeout).await };
            (record, weir_engine::spawn_joined(resolve))
        };
        let running: Vec<_> = records.into_iter().map(start).collect();
        let mut done = Vec::with_capacity(running.len());
        for (record, task) in running {
            let name = record.target.clone();
            let failed = |_| Err(ResolveError { name, reason: Reason::SERVER_FAILURE });
            done.push((record, task.await.unwrap_or_else(failed)));
        }
        done
    }
}

/// Orders addresses by priority; among equals a target drawn by weight comes first, and the others
/// follow in order.
fn arrange(targets: &[(Srv, Resolved)], random: &mut fastrand::Rng) -> Vec<ServiceAddress> {
    let mut arranged = Vec::new();
    for group in targets.chunk_by(|(one, _), (two, _)| one.priority == two.priority) {
        let share = |(record, resolved): &(Srv, Resolved)| {
            resolved.addresses.len() as u64 * u64::from(record.weight)
        };
        let total: u64 = group.iter().map(share).sum();
        let mut number = random.u64(0..total.max(1));
        let mut first = 0;
        for (place, target) in group.iter().enumerate() {
            first = place;
            match number.checked_sub(share(target)) {
                Some(rest) => number = rest,
                None => break,
            }
        }
        let (before, after) = group.split_at(first);
        for (record, resolved) in after.iter().chain(before) {
            arranged.extend(resolved.addresses.iter().map(|&address| ServiceAddress {
                address: SocketAddr::new(address, record.port),
                target: record.target.clone(),
                priority: record.priority,
                weight: record.weight,
            }));
        }
    }
    arranged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priorities_come_in_order_and_weights_by_chance() {
        let target = |priority, weight, last: u8| {
            let record = Srv { priority, weight, port: 80, target: format!("t{last}") };
            (record, Resolved { addresses: vec![[127, 0, 0, last].into()], valid: 0 })
        };
        let targets = [target(1, 1, 1), target(1, 9, 2), target(2, 1, 3)];
        let mut random = fastrand::Rng::with_seed(3);
        let mut heavy = 0;
        for _ in 0..1000 {
            let lined = arrange(&targets, &mut random);
            let names: Vec<_> = lined.iter().map(|it| it.target.as_str()).collect();
            assert_eq!(names[2], "t3");
            heavy += usize::from(names[0] == "t2");
        }
        assert!((850..950).contains(&heavy), "{heavy}");
    }
}
