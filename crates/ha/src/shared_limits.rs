//! Carries counts between the zones of this node that are shared and its mirror.

use std::sync::Arc;

use weir_upstream::shared_zone::{self, Form, SharedZone};

use crate::mirror::{Effect, Mirror};

/// The shared zones, by name.
#[derive(Default)]
pub struct SharedLimits(Vec<(Arc<str>, Arc<dyn SharedZone>)>);

impl SharedLimits {
    /// Hands what zones have counted to the mirror. To be called each 20 ms.
    pub fn collect(&mut self, mirror: &mut Mirror) {
        self.0 = shared_zone::in_use();
        for (name, zone) in &self.0 {
            let changed = zone.take_untold();
            for (key, count) in &changed.by_key {
                match zone.form() {
                    Form::Amounts => mirror.count(name, key, *count),
                    Form::Levels => mirror.set_level(name, key, *count),
                }
            }
            if changed.is_cut {
                mirror.recheck_levels(name, |key| zone.level(key));
            }
        }
    }

    /// Hands what another node has counted to its zone. Returns an effect of another kind.
    pub fn obey(&mut self, effect: Effect) -> Option<Effect> {
        match effect {
            Effect::Counted { zone, key, amount } => self.with(&zone, |zone| {
                zone.charge(&key, amount);
            }),
            Effect::Level { node, zone, key, level } => self.with(&zone, |zone| {
                zone.set_level(node.as_str(), &key, level);
            }),
            Effect::Gone(node) => {
                self.0.iter().for_each(|(_, zone)| zone.forget(node.as_str()));
            }
            other => return Some(other),
        }
        None
    }

    /// A zone that is not shared here (yet) is no fault: nodes get a new configuration one after
    /// the other.
    fn with(&mut self, name: &str, then: impl FnOnce(&dyn SharedZone)) {
        if !self.0.iter().any(|(known, _)| **known == *name) {
            // A reload may have made it since the last time.
            self.0 = shared_zone::in_use();
        }
        if let Some((_, zone)) = self.0.iter().find(|(known, _)| **known == *name) {
            then(&**zone);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use weir_upstream::shared_zone::{Changed, Untold};

    use super::*;
    use crate::mirror::{Class, Name};

    /// A zone that notes what it is told.
    struct Zone {
        form: Form,
        untold: Untold,
        level: u32,
        told: Mutex<Vec<String>>,
    }

    impl Zone {
        fn new(form: Form) -> Arc<Self> {
            Arc::new(Self { form, untold: Untold::default(), level: 3, told: Mutex::default() })
        }

        fn told(&self) -> Vec<String> {
            std::mem::take(&mut *self.told.lock().unwrap())
        }

        fn note(&self, text: String) {
            self.told.lock().unwrap().push(text);
        }
    }

    impl SharedZone for Zone {
        fn form(&self) -> Form {
            self.form
        }

        fn take_untold(&self) -> Changed {
            let mut changed = self.untold.take();
            if self.form == Form::Levels {
                changed.by_key.values_mut().for_each(|level| *level = self.level);
            }
            changed
        }

        fn level(&self, _: &[u8]) -> u32 {
            self.level
        }

        fn charge(&self, key: &[u8], amount: u32) {
            self.note(format!("{} +{amount}", String::from_utf8_lossy(key)));
        }

        fn set_level(&self, node: &str, key: &[u8], level: u32) {
            self.note(format!("{node} {} ={level}", String::from_utf8_lossy(key)));
        }

        fn forget(&self, node: &str) {
            self.note(format!("{node} gone"));
        }
    }

    /// Both mirrors are in one process, so both have the same zones: what one is told by itself,
    /// the other would be.
    #[test]
    fn counts_go_from_zone_to_zone() {
        let (rate, conn) = (Zone::new(Form::Amounts), Zone::new(Form::Levels));
        let dynamic = |zone: &Arc<Zone>| -> Arc<dyn SharedZone> { Arc::clone(zone) as _ };
        let (rates, conns) = (dynamic(&rate), dynamic(&conn));
        shared_zone::share("test", "rate", Arc::downgrade(&rates));
        shared_zone::share("test", "conn", Arc::downgrade(&conns));
        let names = ["a", "b"].map(|name| Name::new(name).unwrap());
        let [a, b] = &names;
        let mut mirrors = names.clone().map(|me| Mirror::new(me, names.clone(), None, None));
        let mut now = Duration::from_secs(9);
        mirrors[0].handle_connected(now, b, 1);
        mirrors[1].handle_connected(now, a, 1);
        let mut limits = SharedLimits::default();
        for key in [b"x", b"x", b"y"] {
            rate.untold.add(key);
            conn.untold.add(key);
        }
        limits.collect(&mut mirrors[0]);
        let exchange = |mirrors: &mut [Mirror; 2], limits: &mut SharedLimits, now: Duration| {
            let [one, other] = mirrors;
            while let Some(bytes) = one.poll_message(now, b, Class::Counters) {
                other.handle_message(now, a, &bytes);
            }
            while let Some(effect) = other.poll_effect() {
                assert_eq!(limits.obey(effect), None);
            }
        };
        exchange(&mut mirrors, &mut limits, now);
        now += Duration::from_millis(20);
        exchange(&mut mirrors, &mut limits, now);
        assert_eq!(rate.told(), ["a gone", "x +2", "y +1"]);
        assert_eq!(conn.told(), ["a gone", "a x =3", "a y =3"]);
        // The end of the connection, and of the zones.
        mirrors[1].handle_disconnected(now, a);
        exchange(&mut mirrors, &mut limits, now);
        assert_eq!(conn.told(), ["a gone"]);
        shared_zone::keep_apart("test", "rate");
        limits.collect(&mut mirrors[0]);
        assert_eq!(limits.0.len(), 1);
        let log = Effect::MakeTicketKey;
        assert_eq!(limits.obey(log.clone()), Some(log));
    }
}
