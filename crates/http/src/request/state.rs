//! What modules keep in a request: each has a place of its own, which is filled when it is first
//! asked for.

use std::any::Any;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Request;
use crate::pass::state::Shown;

/// States by place.
pub(super) type Common = Rc<RefCell<Vec<Option<Box<dyn Any>>>>>;

/// A module's place for state of its own in every request.
pub struct State<T> {
    index: AtomicUsize,
    make: fn() -> T,
    kept: bool,
    hand_down: Option<HandDown>,
}

/// Copies a state for a subrequest.
type HandDown = fn(&dyn Any) -> Box<dyn Any>;

/// One module's state, whether an internal redirect leaves it alone, and how subrequests get it.
pub(crate) struct Kept {
    value: Box<dyn Any>,
    kept: bool,
    hand_down: Option<HandDown>,
}

static NEXT_STATE: AtomicUsize = AtomicUsize::new(0);
const UNASSIGNED: usize = usize::MAX;

impl<T: 'static> State<T> {
    /// A place filled by `make` when it is first asked for.
    pub const fn new(make: fn() -> T) -> Self {
        Self { index: AtomicUsize::new(UNASSIGNED), make, kept: false, hand_down: None }
    }

    /// Likewise, and what is there survives internal redirects.
    pub const fn kept(make: fn() -> T) -> Self {
        Self { index: AtomicUsize::new(UNASSIGNED), make, kept: true, hand_down: None }
    }

    /// Likewise, and subrequests begin with a copy of what is there.
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
    /// A module's state for this request, made when first asked for.
    pub fn state<T: 'static>(&mut self, place: &'static State<T>) -> &mut T {
        let index = place.index();
        if self.states.len() <= index {
            self.states.resize_with(index + 1, || None);
        }
        self.states[index]
            .get_or_insert_with(|| Kept {
                value: Box::new((place.make)()),
                kept: place.kept,
                hand_down: place.hand_down,
            })
            .value
            .downcast_mut()
            .expect("a place has one type")
    }

    /// A module's state if it was ever asked for.
    pub fn state_if<T: 'static>(&self, place: &'static State<T>) -> Option<&T> {
        self.states.get(place.index())?.as_ref()?.value.downcast_ref()
    }

    /// Gives a subrequest the states that it shall begin with.
    pub(crate) fn hand_down_states(&self, child: &mut Self) {
        let copy = |state: &Kept| {
            let hand_down = state.hand_down?;
            let value = hand_down(&*state.value);
            Some(Kept { value, kept: state.kept, hand_down: state.hand_down })
        };
        child.states = self.states.iter().map(|state| copy(state.as_ref()?)).collect();
    }

    /// A module's state for the main request, its subrequests and all redirects together, made when
    /// first asked for. `f` must not ask for another.
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

    /// Lets a subrequest see what [`Request::with_main`] keeps.
    pub(crate) fn share_main(&mut self, child: &mut Self) {
        child.common = Some(Rc::clone(self.common.get_or_insert_default()));
    }

    /// Forgets the modules' states: an internal redirect begins anew (nginx clears all contexts).
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
