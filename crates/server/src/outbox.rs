//! Orders that wait for a worker whose channel is full, since it does not read for a time: they are
//! repeated, in their order, until they have been sent.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::channel::{self, Order};

/// The limit of waiting orders. A full channel holds hundreds before them.
const MOST: usize = 64;

/// The orders that wait for one worker.
#[derive(Debug, Default)]
pub(crate) struct Outbox(VecDeque<Waiting>);

#[derive(Debug)]
struct Waiting {
    order: Order,
    descriptors: Vec<OwnedFd>,
    /// The descriptors that have been sent ahead.
    sent: usize,
}

impl Outbox {
    /// Whether no order waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sends an order behind those that wait, or has it wait.
    ///
    /// # Errors
    /// As [`channel::send_order`]; `WouldBlock` if too many wait.
    pub(crate) fn send(
        &mut self,
        channel: &OwnedFd,
        order: Order,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        let mut sent = 0;
        if self.repeat(channel)? {
            match channel::send_rest(channel, order, descriptors, &mut sent) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
        }
        // Of both, only the newest counts.
        let is_outdated = |last: &mut Waiting| {
            last.order == order
                && last.sent == 0
                && matches!(order, Order::Identity | Order::Reopen)
        };
        self.0.pop_back_if(is_outdated);
        if self.0.len() >= MOST {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let descriptors = descriptors.iter().map(BorrowedFd::try_clone_to_owned);
        let descriptors = descriptors.collect::<io::Result<_>>()?;
        self.0.push_back(Waiting { order, descriptors, sent });
        Ok(())
    }

    /// Sends what waits. Returns whether nothing waits any more.
    ///
    /// # Errors
    /// As [`channel::send_order`]; nothing waits any more then, since the worker has ended.
    pub(crate) fn repeat(&mut self, channel: &OwnedFd) -> io::Result<bool> {
        while let Some(Waiting { order, descriptors, sent }) = self.0.front_mut() {
            let descriptors: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
            match channel::send_rest(channel, *order, &descriptors, sent) {
                Ok(()) => {
                    self.0.pop_front();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => {
                    self.0.clear();
                    return Err(error);
                }
            }
        }
        Ok(true)
    }

    /// Forgets what waits, for a worker that is about to end.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use weir_sys::pass_fd;

    use super::*;
    use crate::channel::Orders;

    /// Fills a channel.
    fn fill(near: &OwnedFd) {
        while channel::send_order(near, Order::Quit, &[]).is_ok() {}
    }

    #[test]
    fn orders_wait_for_a_full_channel_and_keep_their_order_and_descriptors() {
        let (near, far) = pass_fd::pair().unwrap();
        let mut orders = Orders::new(far);
        let mut outbox = Outbox::default();
        let many = vec![near.as_fd(); 2 * pass_fd::MAX_DESCRIPTORS + 1];
        // Without waiting orders, there is no detour.
        outbox.send(&near, Order::Identity, &[]).unwrap();
        assert!(outbox.is_empty());
        fill(&near);
        outbox.send(&near, Order::Identity, &[]).unwrap();
        outbox.send(&near, Order::Load, &many).unwrap();
        outbox.send(&near, Order::Identity, &many[..1]).unwrap();
        outbox.send(&near, Order::Identity, &many[..2]).unwrap();
        assert!(!outbox.is_empty());
        let mut arrived = Vec::new();
        // Room for one message at a time cuts the order with many descriptors into pieces.
        loop {
            match orders.next() {
                Ok(Some((Order::Quit, _))) => {}
                Ok(Some((order, fds))) => arrived.push((order, fds.len())),
                Ok(None) if outbox.is_empty() => break,
                Ok(None) => {}
                Err(error) => panic!("{error}"),
            }
            outbox.repeat(&near).unwrap();
        }
        let wanted = [
            (Order::Identity, 0),
            (Order::Identity, 0),
            (Order::Load, many.len()),
            (Order::Identity, 2),
        ];
        assert_eq!(arrived, wanted);
    }

    #[test]
    fn an_order_that_was_sent_in_part_goes_on_where_it_stopped() {
        let (near, far) = pass_fd::pair().unwrap();
        let mut orders = Orders::new(far);
        let many = vec![near.as_fd(); pass_fd::MAX_DESCRIPTORS + 3];
        let mut outbox = Outbox::default();
        fill(&near);
        let waiting = many.iter().map(|fd| fd.try_clone_to_owned().unwrap()).collect();
        // As if the first message had just gone.
        let sent = pass_fd::MAX_DESCRIPTORS;
        outbox.0.push_back(Waiting { order: Order::Load, descriptors: waiting, sent });
        while let Some((order, _)) = orders.next().unwrap() {
            assert_eq!(order, Order::Quit);
        }
        assert!(outbox.repeat(&near).unwrap());
        let (order, fds) = orders.next().unwrap().unwrap();
        assert_eq!((order, fds.len()), (Order::Load, 3));
    }

    #[test]
    fn waiting_orders_have_a_limit_and_end_with_the_worker() {
        let (near, far) = pass_fd::pair().unwrap();
        let mut outbox = Outbox::default();
        fill(&near);
        for _ in 0..MOST {
            outbox.send(&near, Order::Mirror, &[]).unwrap();
        }
        let error = outbox.send(&near, Order::Mirror, &[]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        drop(far);
        // A process that another test has just forked holds the far end until it executes.
        while let Ok(all_sent) = outbox.repeat(&near) {
            assert!(!all_sent);
            std::thread::yield_now();
        }
        assert!(outbox.is_empty());
    }
}
