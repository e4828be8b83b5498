//! The state shared by a client's request and all its subrequests.

use std::cell::Cell;
use std::rc::Rc;

/// The state shared by a client's request and all its subrequests.
#[derive(Default)]
pub(crate) struct Family {
    /// The number of subrequests made.
    pub(super) made: Cell<u32>,
    /// The number of running subrequests that are included in responses.
    pub(super) running: Cell<usize>,
}

/// Counts an included subrequest while it runs.
pub(super) struct RunningChild(Rc<Family>);

impl RunningChild {
    pub(super) fn new(family: &Rc<Family>) -> Self {
        family.running.set(family.running.get() + 1);
        Self(Rc::clone(family))
    }
}

impl Drop for RunningChild {
    fn drop(&mut self) {
        self.0.running.set(self.0.running.get() - 1);
    }
}
