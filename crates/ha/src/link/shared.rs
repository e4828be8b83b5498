//! What the tasks of all links share. The keeper changes it when the plan or the identity changes.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use tokio::sync::watch;

use super::guests::Guests;
use super::hub::Hub;
use super::plan::LinkPlan;
use super::settings::{Partner, Settings};

/// For each partner the sender whose drop ends its tasks.
pub(super) type Closers = BTreeMap<String, (Partner, watch::Sender<()>)>;

/// The shared state.
pub(super) struct Shared {
    pub(super) hub: Hub,
    pub(super) guests: Guests,
    plan: RefCell<Rc<LinkPlan>>,
    settings: RefCell<Rc<Settings>>,
    pub(super) closers: RefCell<Closers>,
    /// The wrong secrets for an invitation, by its number.
    pub(super) guesses: Cell<([u8; 32], u32)>,
}

impl Shared {
    pub(super) fn new(hub: Hub, plan: Rc<LinkPlan>, settings: Rc<Settings>) -> Self {
        Self {
            hub,
            guests: Guests::default(),
            plan: RefCell::new(plan),
            settings: RefCell::new(settings),
            closers: RefCell::default(),
            guesses: Cell::default(),
        }
    }

    /// The plan in force.
    pub(super) fn plan(&self) -> Rc<LinkPlan> {
        Rc::clone(&self.plan.borrow())
    }

    /// The settings in force.
    pub(super) fn settings(&self) -> Rc<Settings> {
        Rc::clone(&self.settings.borrow())
    }

    /// Replaces plan and settings.
    pub(super) fn follow(&self, plan: Rc<LinkPlan>, settings: Rc<Settings>) {
        *self.plan.borrow_mut() = plan;
        *self.settings.borrow_mut() = settings;
    }
}
