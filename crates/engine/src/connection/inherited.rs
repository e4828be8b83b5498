//! Properties inherited from the listener, which save system calls.

use std::cell::RefCell;
use std::num::NonZeroU8;
use std::os::fd::OwnedFd;

use rustix::net::sockopt;

use crate::addr::Addr;

/// The initial properties of a listener's connections. Small, since idle connections carry it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Inherited {
    /// The index into this thread's [`ADDRESSES`], from 1. `None` if the kernel must be asked, as
    /// for a wildcard.
    address: Option<NonZeroU8>,
    /// Whether Nagle's algorithm is off.
    pub(crate) nodelay: bool,
}

thread_local! {
    /// The addresses of this thread's listeners: few, and kept until the thread ends.
    static ADDRESSES: RefCell<Vec<Addr>> = const { RefCell::new(Vec::new()) };
}

impl Inherited {
    /// Turns Nagle's algorithm off for connections of the listener, and records the address.
    pub(crate) fn from(listener: &OwnedFd) -> Self {
        let address = Addr::of_socket(listener).ok();
        let inet = matches!(address, Some(Addr::Inet(_)));
        let nodelay = inet && sockopt::set_tcp_nodelay(listener, true).is_ok();
        let fixed = address.filter(|address| address.ip().is_none_or(|ip| !ip.is_unspecified()));
        Self { address: fixed.and_then(place_of), nodelay }
    }

    /// The listener's address, which is this end's.
    pub(crate) fn address(self) -> Option<Addr> {
        let place = usize::from(self.address?.get()) - 1;
        ADDRESSES.with_borrow(|addresses| addresses.get(place).cloned())
    }
}

/// `None` if there are too many addresses.
fn place_of(address: Addr) -> Option<NonZeroU8> {
    ADDRESSES.with_borrow_mut(|addresses| {
        let known = addresses.iter().position(|known| *known == address);
        let place = known.unwrap_or_else(|| {
            addresses.push(address);
            addresses.len() - 1
        });
        NonZeroU8::new(u8::try_from(place + 1).ok()?)
    })
}
