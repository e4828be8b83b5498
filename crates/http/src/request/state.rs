//! The state of modules in a request: each has a slot, which is filled when it is first used.

use std::any::Any;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Request;
use crate::pass::state::Shown;

/// States by slot.
pub(super) type Common = Rc<RefCell<Vec<Option<Box<dyn Any>>>>>;

/// The slot of a module's state in every request.
pub struct State<T> {
    index: AtomicUsize,
    make: fn() -> T,
    kept: bool,
    hand_down: Option<HandDown>,
}

/// Copies a state for a subrequest.
type HandDown = fn(&dyn Any) -> Box<dyn Any>;

/// A module's state, with its treatment by internal redirects and subrequests.
pub(crate) struct ModuleState {
    value: Box<dyn Any>,
    kept: bool,
    hand_down: Option<HandDown>,
}

static NEXT_STATE: AtomicUsize = AtomicUsize::new(0);
const UNASSIGNED: usize = usize::MAX;

impl<T: 'static> State<T> {
    /// A slot that `make` fills when it is first used.
    pub const fn new(make: fn() -> T) -> Self {
        Self { index: AtomicUsize::new(UNASSIGNED), make, kept: false, hand_down: None }
    }

    /// A slot like [`State::new`], whose state survives internal redirects.
    pub const fn kept(make: fn() -> T) -> Self {
        Self { index: AtomicUsize::new(UNASSIGNED), make, kept: true, hand_down: None }
    }

    /// A slot like [`State::kept`], whose state is copied for subrequests.
    pub const fn handed_down(make: fn() -> T) -> Self
    where
        T: Clone,
    {
        let hand_down: HandDown = |value| {
            let value: &T = value.downcast_ref().expect("a place has one type");
            Box::new(value.clone())
        };
        let index = AtomicUsize::new(UNASSIGNED);
        Self { index, make, kept: true, hand_down: Some(hand_down) }
    }

    fn index(&self) -> usize {
        let index = self.index.load(Ordering::Relaxed);
        if index != UNASSIGNED {
            return index;
        }
        let new = NEXT_STATE.fetch_add(1, Ordering::Relaxed);
        match self.index.compare_exchange(UNASSIGNED, new, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => new,
            Err(other) => other,
        }
    }
}

impl Request {
    /// A module's state for this request, created when first used.
    pub fn state<T: 'static>(&mut self, place: &'static State<T>) -> &mut T {
        let index = place.index();
        if self.states.len() <= index {
            self.states.resize_with(index + 1, || None);
        }
        self.states[index]
            .get_or_insert_with(|| ModuleState {
                value: Box::new((place.make)()),
                kept: place.kept,
                hand_down: place.hand_down,
            })
            .value
            .downcast_mut()
            .expect("a place has one type")
    }

    /// A module's state, if it has been created.
    pub fn state_if<T: 'static>(&self, place: &'static State<T>) -> Option<&T> {
        self.states.get(place.index())?.as_ref()?.value.downcast_ref()
    }

    /// Copies the states that are handed down to a subrequest.
    pub(crate) fn hand_down_states(&self, child: &mut Self) {
        let copy = |state: &ModuleState| {
            let hand_down = state.hand_down?;
            let value = hand_down(&*state.value);
            Some(ModuleState { value, kept: state.kept, hand_down: state.hand_down })
        };
        child.states = self.states.iter().map(|state| copy(state.as_ref()?)).collect();
    }

    /// A module's state for the main request with its subrequests and all redirects, created when
    /// first used. `f` must not ask for another.
    pub fn with_main<T: 'static, R>(
        &mut self,
        place: &'static State<T>,
        f: impl FnOnce(&mut T) -> R,
    ) -> R {
        let index = place.index();
        let mut states = self.common.get_or_insert_default().borrow_mut();
        if states.len() <= index {
            states.resize_with(index + 1, || None);
        }
        let state = states[index].get_or_insert_with(|| Box::new((place.make)()));
        f(state.downcast_mut().expect("a place has one type"))
    }

    /// Shares the states of [`Request::with_main`] with a subrequest.
    pub(crate) fn share_main(&mut self, child: &mut Self) {
        child.common = Some(Rc::clone(self.common.get_or_insert_default()));
    }

    /// Clears the modules' states, as an internal redirect starts over (nginx clears all contexts).
    pub fn clear_states(&mut self) {
        self.chain.clear();
        self.attempts.shown = Shown::default();
        for state in &mut self.states {
            if state.as_ref().is_some_and(|state| !state.kept) {
                *state = None;
            }
        }
    }
}
