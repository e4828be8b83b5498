//! Why a request fails, and the count of it ([`crate::errors`]).

use super::{Origin, Request};
use crate::counters::ZoneCounters;
use crate::errors::{self, Blamed, Cause};

impl Request {
    /// Notes why the request is failing. A later cause takes the place of an earlier one.
    #[cold]
    pub(crate) fn blame(&self, cause: Cause) {
        if self.blamed.get() != Blamed::Settled {
            self.blamed.set(Blamed::On(cause));
        }
    }

    /// Forgets a cause: another attempt is made.
    #[cold]
    pub(crate) fn absolve(&self) {
        if self.blamed.get() != Blamed::Settled {
            self.blamed.set(Blamed::Nobody);
        }
    }

    /// Notes that the error that is answered is the upstream's own response.
    #[cold]
    pub(crate) fn answers_for_upstream(&self) {
        self.blamed.set(Blamed::Settled);
    }

    /// Counts an error with this status, unless one was counted for the request.
    #[cold]
    pub(crate) fn count_error(&self, status: u16) {
        let cause = match self.blamed.replace(Blamed::Settled) {
            Blamed::Settled => return,
            Blamed::On(cause) => cause,
            Blamed::Nobody => Cause::of_status(status),
        };
        if self.origin != Origin::Main {
            return;
        }
        let zone = self.location.usual.zones.server.as_ref();
        errors::count(zone.and_then(ZoneCounters::errors), cause);
    }

    /// Counts the error of a request that ends without a whole response.
    #[cold]
    pub(crate) fn count_broken(&self) {
        let status = match () {
            () if self.client.timed_out => 408,
            () if self.response.status == 400 => 400,
            () => 499,
        };
        self.count_error(status);
    }
}
