//! The duty that keeps the mirror: it carries messages between the mirror and the links, changes
//! between the mirror and their owners, counts between the mirror and the zones, questions about
//! configuration sets between the mirror and the master, and ticket keys to TLS.
//!
//! ```text
//!   links  ──events──▶ ┌────────┐ ──Ask──▶ master: checks, stores, applies
//!          ◀─messages─ │ mirror │ ◀─Tell──
//!   owners, zones ◀──▶ └────────┘ ──ticket keys──▶ TLS
//! ```

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use weir_engine::duty::{Duty, Plans};
use weir_engine::error_log::{Seldom, process_log};
use weir_engine::{Level, clock, timer};
use weir_upstream::shared_news::news;
use weir_upstream::shared_records::{self, Noting, Owner, Theme};

use crate::SharedLimits;
use crate::link::{Class as Queue, Event, Hub, SendError, identities};
use crate::mirror::{
    Class, Durable, Effect, Key, Kind, Mirror, Name, Proposed, View, Weight, limits,
};
use inbox::{Beginning, told};
use ticket_keys::TicketKeys;

pub mod host;
mod inbox;
mod ticket_keys;
mod turn;

pub use host::{Ask, Tell};
pub use inbox::tell;
pub use ticket_keys::{reserve as reserve_ticket_keys, restore as restore_ticket_keys};

/// The messages that a node is handed at once; further ones follow the next event.
const AT_ONCE: usize = 64;

/// The pause between two ticks in which nothing is to be done but to notice what takes too long.
const IDLE: Duration = Duration::from_secs(1);

/// The limit of requests that the master has not taken: the mirror has one check and one change
/// under way, so there are never more.
const MOST_UNASKED: usize = 64;

/// The line about a record that the mirror does not take.
static NOT_MIRRORED: Seldom = Seldom::new();

/// The plan of the duty.
#[derive(Clone)]
pub struct MirrorPlan {
    /// The names of the nodes of the `ha` block.
    pub nodes: Vec<Name>,
    /// Passes a question to the master; `None` if configurations are not mirrored.
    pub master: Option<Master>,
    /// Whether the block has addresses, whose holder does what is done once for all nodes.
    pub has_addresses: bool,
}

/// A way to the master. `WouldBlock` says that it takes nothing at present.
pub type Master = Arc<dyn Fn(&Ask) -> io::Result<()> + Send + Sync>;

impl fmt::Debug for MirrorPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MirrorPlan").field("nodes", &self.nodes).finish_non_exhaustive()
    }
}

/// The duty.
pub fn duty(plan: MirrorPlan) -> Duty {
    turn::expect();
    Duty::planned("keep the mirror".to_owned(), plan, keep)
}

async fn keep(mut plans: Plans<MirrorPlan>) {
    let mut identities = identities();
    let mut carrier: Option<Carrier> = None;
    loop {
        let plan = plans.current();
        let identity = identities.borrow_and_update().clone();
        let pair = identity.as_ref().map(|identity| identity.pair).unwrap_or_default();
        let me = identity.and_then(|identity| Name::new(&identity.name));
        let me = me.filter(|me| plan.nodes.contains(me));
        let is_unlinked = me.is_none();
        // The master tells first what is durable.
        let has_begun = |me: &&Name| plan.master.is_none() || inbox::has_begun(me);
        match (me.as_ref().filter(has_begun), &mut carrier) {
            (Some(me), Some(known)) if known.is_of(me, pair, &plan) => known.follow(plan),
            (Some(me), _) => {
                // Its end must not undo the beginning of the next.
                drop(carrier.take());
                let begin = match &plan.master {
                    Some(_) => inbox::begin(me),
                    None => Some((me.clone(), None)),
                };
                carrier = begin.map(|begin| Carrier::new(begin, pair, plan));
            }
            (None, _) => carrier = None,
        }
        let running = async {
            match &mut carrier {
                Some(carrier) => carrier.run().await,
                None => inbox::begins(me.as_ref()).await,
            }
        };
        tokio::select! {
            () = plans.changed() => {}
            changed = identities.changed() => {
                if changed.is_err() {
                    return;
                }
            }
            () = running => carrier = None,
            () = turn::alone(is_unlinked) => {}
        }
    }
}

struct Carrier {
    me: Name,
    pair: [u8; 16],
    plan: Arc<MirrorPlan>,
    hub: Hub,
    mirror: Mirror,
    limits: SharedLimits,
    ticket_keys: TicketKeys,
    connected: BTreeSet<Name>,
    /// Messages that a full queue has not taken.
    held: BTreeMap<(Name, Class), Vec<u8>>,
    /// Requests that the master has not taken.
    unasked: VecDeque<Ask>,
    start: clock::Instant,
    /// `None` before the first one.
    last_tick: Option<Duration>,
    next_tick: Duration,
    /// Something waits for the next tick.
    has_more: bool,
    _noting: Noting,
}

impl Carrier {
    fn new((me, held): Beginning, pair: [u8; 16], plan: Arc<MirrorPlan>) -> Self {
        tell_place(&me, &plan);
        let noting = shared_records::begin();
        let hub = Hub::here();
        hub.begin_events();
        let nodes = plan.nodes.iter().cloned();
        let lifetime = Some(ticket_keys::lifetime());
        let mut mirror = Mirror::new(me.clone(), nodes, held.and_then(restored), lifetime);
        Self {
            hub,
            ticket_keys: TicketKeys::begin(pair, &mut mirror),
            mirror,
            me,
            pair,
            plan,
            limits: SharedLimits::default(),
            connected: BTreeSet::new(),
            held: BTreeMap::new(),
            unasked: VecDeque::new(),
            start: clock::now(),
            last_tick: None,
            next_tick: Duration::ZERO,
            has_more: false,
            _noting: noting,
        }
    }

    /// Whether the mirror goes on with a plan.
    fn is_of(&self, me: &Name, pair: [u8; 16], plan: &MirrorPlan) -> bool {
        (&self.me, self.pair) == (me, pair) && self.plan.master.is_some() == plan.master.is_some()
    }

    fn follow(&mut self, plan: Arc<MirrorPlan>) {
        let now = self.now();
        tell_place(&self.me, &plan);
        self.mirror.set_members(now, plan.nodes.iter().cloned());
        self.plan = plan;
        // A new configuration may have zones that lacked before.
        for (key, value) in self.mirror.records() {
            self.apply(key, Some(value));
        }
        self.settle();
    }

    /// The time since the start.
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Runs until the master tells of another beginning.
    async fn run(&mut self) {
        let hub = self.hub.clone();
        if self.last_tick.is_none() {
            // What the owners have is older than all that others will say.
            self.tick();
            self.settle();
        }
        loop {
            tokio::select! {
                // Who is connected is known before the master's word: a proposal would pass by a
                // node whose link is up. What partners send comes at a limited pace.
                biased;
                event = hub.event() => self.handle(event),
                tell = told() => {
                    if matches!(tell, Tell::Begin { .. }) {
                        return;
                    }
                    self.hear(tell);
                }
                () = news() => self.has_more = true,
                () = timer::sleep(self.next_tick.saturating_sub(self.now())) => {}
            }
            // Events that come all the time hold up no tick.
            if self.now() >= self.next_tick_at() {
                self.tick();
            }
            self.settle();
            self.show();
            self.next_tick = self.next_tick_at();
        }
    }

    /// Hands on what `weir ha status` shows.
    fn show(&self) {
        let has_configuration = self.plan.master.is_some();
        self.hub.show_mirror(Some(View { has_configuration, ..self.mirror.view() }));
    }

    /// The time of the next tick: soon while there is something to tell, else for timeouts alone.
    fn next_tick_at(&self) -> Duration {
        let waits = self.has_more
            || !self.held.is_empty()
            || !self.unasked.is_empty()
            || self.mirror.usage().counted > 0;
        let pause = if waits { limits::COUNT_INTERVAL } else { IDLE };
        self.last_tick.map_or(Duration::ZERO, |last| last + pause)
    }

    fn handle(&mut self, event: Event) {
        let now = self.now();
        match event {
            Event::Connected { node, version } => {
                let Some(node) = Name::new(&node) else { return };
                self.held.retain(|(known, _), _| *known != node);
                self.mirror.handle_connected(now, &node, version);
                self.connected.insert(node.clone());
                // What others have brought of its own records counts from now on.
                let records = self.mirror.records();
                for (key, value) in records.filter(|(key, _)| key.owner().as_ref() == Some(&node)) {
                    self.apply(key, Some(value));
                }
            }
            Event::Disconnected { node } => {
                let Some(node) = Name::new(&node) else { return };
                self.connected.remove(&node);
                self.held.retain(|(known, _), _| *known != node);
                self.mirror.handle_disconnected(now, &node);
                let owners = Theme::ALL.into_iter().filter_map(shared_records::owner);
                owners.for_each(|owner| owner.leave(node.as_str()));
            }
            Event::Received { node, message, .. } => {
                if let Some(node) = Name::new(&node) {
                    self.mirror.handle_message(now, &node, &message);
                }
            }
        }
    }

    /// Takes a message of the master.
    fn hear(&mut self, tell: Tell) {
        let (now, mirror) = (self.now(), &mut self.mirror);
        match tell {
            Tell::Begin { .. } => {}
            Tell::Propose { number, digest, signature, bytes } => {
                mirror.propose(now, number, Proposed { digest, signature, bytes });
            }
            Tell::Checked(version, result) => mirror.handle_checked(now, &version, result),
            Tell::Applied(version, result) => mirror.handle_applied(now, &version, result),
            Tell::Stored(serial) => mirror.handle_stored(now, serial),
            Tell::Confirm(number, version) => mirror.resume(now, number, version),
        }
    }

    fn tick(&mut self) {
        let now = self.now();
        self.last_tick = Some(now);
        self.has_more = false;
        self.ask_again();
        self.limits.collect(&mut self.mirror);
        let changes = shared_records::take();
        for ((theme, key), value) in changes.by_key {
            self.put(theme, &key, value);
        }
        // What owners have now is later than what they have noted: an owner that has gone may have
        // noted something at its end.
        if changes.is_cut {
            self.compare();
        }
        self.mirror.handle_tick(now);
        self.ticket_keys.tick(&mut self.mirror);
        turn::decide(now, &self.me, &self.connected, self.plan.has_addresses);
    }

    fn put(&mut self, theme: Theme, key: &[u8], value: Option<Vec<u8>>) {
        let key = self.key(theme, key);
        if let Err(error) = self.mirror.put_record(key, value) {
            NOT_MIRRORED.log(Level::Warn, format_args!("not mirrored: {error}"));
        }
    }

    /// The mirror's key of a record of this node.
    fn key(&self, theme: Theme, key: &[u8]) -> Key {
        let kind = kind_of(theme);
        if kind.is_owned() {
            return Key::owned(kind, &self.me, key);
        }
        Key { kind, key: key.to_vec() }
    }

    /// Hands a record to its owner, unless a change that waits here is later. What a node writes
    /// alone may be old if the node is away.
    fn apply(&self, key: &Key, value: Option<&[u8]>) {
        let Some(theme) = theme_of(key.kind) else { return };
        let writer = key.owner();
        if writer.is_some_and(|writer| !self.connected.contains(&writer))
            || shared_records::is_noted(theme, &key.key)
        {
            return;
        }
        if let Some(owner) = shared_records::owner(theme) {
            owner.apply(&key.key, value);
        }
    }

    /// Takes over everything that owners have, after changes that were not kept.
    fn compare(&mut self) {
        for theme in Theme::ALL {
            if let Some(owner) = shared_records::owner(theme) {
                self.compare_with(theme, owner);
            }
        }
    }

    fn compare_with(&mut self, theme: Theme, owner: &dyn Owner) {
        let all: BTreeMap<Vec<u8>, Vec<u8>> = owner.all().into_iter().collect();
        // The records of this node without the owner's part of the key.
        let start = self.key(theme, b"").key;
        let records = self.mirror.records().map(|(key, _)| key);
        let known = records
            .filter(|key| key.kind == kind_of(theme))
            .filter_map(|key| key.key.strip_prefix(start.as_slice()));
        let is_gone = |key: &&[u8]| owner.keeps(key) && !all.contains_key(*key);
        let gone: Vec<Vec<u8>> = known.filter(is_gone).map(<[u8]>::to_vec).collect();
        gone.iter().for_each(|key| self.put(theme, key, None));
        all.into_iter().for_each(|(key, value)| self.put(theme, &key, Some(value)));
    }

    /// Does what the mirror wants, and sends its messages.
    fn settle(&mut self) {
        while let Some(effect) = self.mirror.poll_effect() {
            self.obey(effect);
        }
        for node in self.connected.clone() {
            for (class, queue) in [
                (Class::Config, Queue::Config),
                (Class::Counters, Queue::Counters),
                (Class::State, Queue::State),
            ] {
                self.send(&node, class, queue);
            }
        }
    }

    fn send(&mut self, node: &Name, class: Class, queue: Queue) {
        let now = self.now();
        for _ in 0..AT_ONCE {
            let held = self.held.remove(&(node.clone(), class));
            let Some(message) = held.or_else(|| self.mirror.poll_message(now, node, class)) else {
                return;
            };
            let sent = self.hub.send(node.as_str(), queue, message.clone());
            if sent == Err(SendError::Full) {
                self.held.insert((node.clone(), class), message);
                return;
            }
        }
        self.has_more = true;
    }

    /// Asks the master, after what it has not taken yet.
    fn ask(&mut self, effect: Effect) {
        if let Some(ask) = host::question(effect) {
            self.unasked.push_back(ask);
            self.ask_again();
        }
    }

    fn ask_again(&mut self) {
        let Some(master) = self.plan.master.clone() else { return self.unasked.clear() };
        while let Some(ask) = self.unasked.front() {
            match master(ask) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // Without a master there is nobody to answer.
                Ok(()) | Err(_) => self.unasked.pop_front(),
            };
        }
        self.unasked.truncate(MOST_UNASKED);
    }

    fn obey(&mut self, effect: Effect) {
        let Some(effect) = self.limits.obey(effect) else { return };
        let Some(effect) = self.ticket_keys.obey(effect, &mut self.mirror) else { return };
        match effect {
            Effect::Record { key, value } => self.apply(&key, value.as_deref()),
            Effect::Log(weight, text) => {
                let level = match weight {
                    Weight::Notice => Level::Notice,
                    Weight::Warning => Level::Warn,
                };
                process_log().log(level, 0, format_args!("mirror: {text}"));
            }
            Effect::Disconnect(node, fault) => {
                self.hub.disconnect(node.as_str(), &fault.to_string());
            }
            effect if self.plan.master.is_some() => self.ask(effect),
            effect => self.decline(effect),
        }
    }

    /// Refuses a set of another node, where configurations are not mirrored.
    fn decline(&mut self, effect: Effect) {
        if let Effect::Check { set, .. } = effect {
            let now = self.now();
            let reason = "this node does not take configurations over (\"mirror off\")".to_owned();
            self.mirror.handle_checked(now, &set.version, Err(reason));
        }
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        self.hub.show_mirror(None);
    }
}

/// Tells owners which of the nodes this is, in the order of names.
fn tell_place(me: &Name, plan: &MirrorPlan) {
    let nodes: BTreeSet<&Name> = plan.nodes.iter().collect();
    let place = nodes.iter().position(|node| *node == me).unwrap_or(0);
    let number = |count: usize| u16::try_from(count).unwrap_or(u16::MAX);
    shared_records::set_node(number(place), number(nodes.len()));
}

/// The durable state; a damaged one is none.
fn restored((state, bytes): (Vec<u8>, Arc<[u8]>)) -> Option<(Durable, Arc<[u8]>)> {
    match Durable::decode(&state) {
        Ok(state) => Some((state, bytes)),
        Err(error) => {
            let text = format!("the mirror begins anew, since its state is damaged: {error}");
            process_log().log(Level::Alert, 0, text);
            None
        }
    }
}

fn kind_of(theme: Theme) -> Kind {
    match theme {
        Theme::Keyval => Kind::Keyval,
        Theme::Servers => Kind::Servers,
        Theme::Sticky => Kind::Sticky,
        Theme::Health => Kind::Health,
        Theme::Acme => Kind::Acme,
    }
}

fn theme_of(kind: Kind) -> Option<Theme> {
    Theme::ALL.into_iter().find(|theme| kind_of(*theme) == kind)
}

#[cfg(test)]
mod tests;
