//! The duty that keeps the links: it follows the plan and the identity, and changes only what they
//! change.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::watch;
use weir_engine::duty::{Duty, Plans};
use weir_engine::error_log::process_log;
use weir_engine::listen::{self, Accepting};
use weir_engine::os_error::Failed;
use weir_engine::{Conn, Level, clock, random, spawn};

use super::accepting::Reception;
use super::asked;
use super::dialling::{self, Dialling};
use super::hub::Hub;
use super::plan::{LinkPlan, identities};
use super::session::End;
use super::settings::{Partner, Settings};
use super::shared::Shared;
use super::show;
use super::status::Status;
use crate::identity::{Identity, Invitation};

/// The most readers of the status at once.
const MOST_READERS: usize = 8;

/// The duty.
pub fn duty(plan: LinkPlan) -> Duty {
    Duty::planned("keep the links between nodes".to_owned(), plan, keep)
}

async fn keep(mut plans: Plans<LinkPlan>) {
    let instance = u64::from_be_bytes(random::unguessable());
    let mut identities = identities();
    let mut questions = asked::questions();
    let mut keeper = Keeper::new(instance);
    loop {
        let plan = plans.current();
        let identity = identities.borrow_and_update().clone();
        keeper.follow(&plan, identity.as_deref());
        loop {
            tokio::select! {
                () = plans.changed() => break,
                changed = identities.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    break;
                }
                Some(answer) = questions.recv() => {
                    // Whoever asked may have given up.
                    let _ = answer.try_send(keeper.document());
                }
            }
        }
    }
}

/// What the readers of the status are told beside the links.
struct Shown {
    name: String,
    plan: Rc<LinkPlan>,
    /// The number of the invitation that this worker knows.
    invitation: Option<[u8; 32]>,
}

/// The running parts. Dropping it ends them.
struct Keeper {
    instance: u64,
    /// The start of the worker, with which its keeper starts.
    started: clock::Instant,
    hub: Hub,
    /// `None` while there can be no links.
    shared: Option<Rc<Shared>>,
    listeners: BTreeMap<u64, Accepting>,
    status: Option<(u64, Accepting)>,
    /// What the readers of the status get.
    shown: Rc<RefCell<Option<Shown>>>,
    /// The reason why there can be no links that was logged last.
    told: String,
}

impl Keeper {
    fn new(instance: u64) -> Self {
        Self {
            instance,
            started: clock::now(),
            hub: Hub::here(),
            shared: None,
            listeners: BTreeMap::new(),
            status: None,
            shown: Rc::default(),
            told: String::new(),
        }
    }

    /// Takes a plan and an identity over.
    fn follow(&mut self, plan: &Arc<LinkPlan>, identity: Option<&Identity>) {
        let (status, started) = (Arc::clone(&plan.status), self.started);
        let age = move || u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let status = Arc::new(move || Status { uptime: age(), ..status() });
        let plan = Rc::new(LinkPlan { status, ..LinkPlan::clone(plan) });
        let name = identity.map(|identity| identity.name.clone()).unwrap_or_default();
        let invitation = identity.and_then(|identity| identity.invitation.as_ref());
        let invitation = invitation.map(Invitation::number);
        *self.shown.borrow_mut() = Some(Shown { name, plan: Rc::clone(&plan), invitation });
        self.follow_status(&plan);
        let settings = identity.and_then(|identity| Settings::of(&plan, identity, self.instance));
        match settings {
            Some(settings) => self.follow_settings(plan, settings),
            None => self.stop(&plan, identity),
        }
    }

    /// What other threads of the worker are told.
    fn document(&self) -> Value {
        let shown = self.shown.borrow();
        let Some(Shown { name, plan, .. }) = shown.as_ref() else { return Value::Null };
        let mut document = show::document(name, &(plan.status)(), &self.hub, None);
        document["groups"] = json!(plan.groups);
        document
    }

    fn stop(&mut self, plan: &LinkPlan, identity: Option<&Identity>) {
        self.listeners.clear();
        if let Some(shared) = self.shared.take() {
            self.drop_partners(&shared, |_| false);
        }
        let Some(identity) = identity else { return };
        let names = plan.block.names();
        let text = format!(
            "no links: this node is \"{}\", and the nodes of the \"ha\" block are {names}",
            identity.name
        );
        if self.told != text {
            process_log().log(Level::Warn, 0, &text);
            self.told = text;
        }
    }

    fn follow_settings(&mut self, plan: Rc<LinkPlan>, settings: Settings) {
        self.told.clear();
        let settings = Rc::new(settings);
        let shared = match &self.shared {
            Some(shared) => {
                shared.follow(Rc::clone(&plan), Rc::clone(&settings));
                Rc::clone(shared)
            }
            None => {
                let hub = self.hub.clone();
                let shared = Shared::new(hub, Rc::clone(&plan), Rc::clone(&settings));
                Rc::clone(self.shared.insert(Rc::new(shared)))
            }
        };
        self.drop_partners(&shared, |old| settings.partners.get(&old.name) == Some(old));
        for partner in settings.partners.values() {
            if !shared.closers.borrow().contains_key(&partner.name) {
                self.begin(&shared, &settings, partner);
            }
        }
        self.follow_listeners(&shared, &plan.listeners);
    }

    /// Ends the tasks and links of the partners that are not kept.
    fn drop_partners(&self, shared: &Shared, is_kept: impl Fn(&Partner) -> bool) {
        let mut closers = shared.closers.borrow_mut();
        closers.retain(|name, (partner, _)| {
            let is_kept = is_kept(partner);
            if !is_kept && self.hub.remove(name) {
                dialling::tell_down(name, &End::Gone);
            }
            is_kept
        });
    }

    fn begin(&self, shared: &Rc<Shared>, settings: &Settings, partner: &Partner) {
        let Some(client) = settings.client(partner) else { return };
        self.hub.add(&partner.name);
        let (closer, mut closed) = watch::channel(());
        let (shared_too, partner_too) = (Rc::clone(shared), partner.clone());
        let dialling = Dialling { shared: shared_too, partner: partner_too, client };
        spawn(async move {
            tokio::select! {
                // A link that ends now still says so.
                biased;
                () = dialling.run() => {}
                _ = closed.changed() => {}
            }
        });
        shared.closers.borrow_mut().insert(partner.name.clone(), (partner.clone(), closer));
    }

    /// Accepts from these sockets. One that is known already, by another descriptor, goes on.
    fn follow_listeners(&mut self, shared: &Rc<Shared>, wanted: &[Arc<OwnedFd>]) {
        let mut before = std::mem::take(&mut self.listeners);
        for listener in wanted {
            let inode = inode(listener);
            let reception = Reception(Rc::clone(shared));
            let accepting = before
                .remove(&inode)
                .or_else(|| begin_to_accept(listener, move |conn| reception.accept(conn)));
            self.listeners.extend(accepting.map(|accepting| (inode, accepting)));
        }
    }

    fn follow_status(&mut self, plan: &LinkPlan) {
        let Some(socket) = &plan.status_socket else {
            self.status = None;
            return;
        };
        let inode = inode(socket);
        if self.status.as_ref().is_some_and(|(known, _)| *known == inode) {
            return;
        }
        let (shown, hub) = (Rc::clone(&self.shown), self.hub.clone());
        let readers = Rc::new(Cell::new(0));
        let accepting = begin_to_accept(socket, move |conn| {
            let shown = shown.borrow();
            let Some(shown) = shown.as_ref().filter(|_| readers.get() < MOST_READERS) else {
                return;
            };
            let Shown { name, plan, invitation } = shown;
            let document = show::document(name, &(plan.status)(), &hub, invitation.as_ref());
            let readers = Rc::clone(&readers);
            readers.set(readers.get() + 1);
            spawn(async move {
                show::answer(conn, document).await;
                readers.set(readers.get() - 1);
            });
        });
        self.status = accepting.map(|accepting| (inode, accepting));
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.take() {
            self.drop_partners(&shared, |_| false);
        }
    }
}

fn begin_to_accept(socket: &Arc<OwnedFd>, handle: impl Fn(Conn) + 'static) -> Option<Accepting> {
    match listen::accept_beside(Arc::clone(socket), handle) {
        Ok(accepting) => Some(accepting),
        Err(error) => {
            let what = "epoll_ctl() of a socket for links failed";
            process_log().log(Level::Alert, 0, Failed(what, &error));
            None
        }
    }
}

/// The number of a socket, whatever its descriptor.
fn inode(socket: &OwnedFd) -> u64 {
    rustix::fs::fstat(socket).map_or(0, |found| found.st_ino)
}
