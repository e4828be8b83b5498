//! The reactor's view of lots: the parked connections that have events.

use std::marker::PhantomData;
use std::task::{Context, Poll};

use super::LotState;
use super::slots::remember;
use crate::event_loop::here::{here, with_here};

/// The reactor's handle of a lot of parked connections.
#[derive(Debug)]
pub(crate) struct LotId(pub(super) u32, PhantomData<*const ()>);

impl LotId {
    /// A new, empty lot.
    pub(crate) fn new() -> Self {
        let mut lots = here().reactor.lots.borrow_mut();
        let free = lots.iter().position(|lot| !lot.used);
        let place = free.unwrap_or_else(|| {
            lots.push(LotState::default());
            lots.len() - 1
        });
        lots[place].used = true;
        Self(place as u32, PhantomData)
    }

    /// Takes the keys of at most `most` connections with events, oldest first. Ready if there are
    /// any. A key may belong to a connection that has left since.
    pub(crate) fn poll_woken(
        &self,
        cx: &mut Context<'_>,
        most: usize,
        into: &mut Vec<u32>,
    ) -> Poll<()> {
        let mut lots = here().reactor.lots.borrow_mut();
        let lot = &mut lots[self.0 as usize];
        if lot.woken.is_empty() {
            remember(&lot.task, cx.waker());
            return Poll::Pending;
        }
        let count = lot.woken.len().min(most);
        into.extend(lot.woken.drain(..count));
        Poll::Ready(())
    }
}

impl Drop for LotId {
    fn drop(&mut self) {
        with_here(|here| {
            here.reactor.lots.borrow_mut()[self.0 as usize] = LotState::default();
        });
    }
}
