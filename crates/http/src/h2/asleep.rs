//! An idle connection without a task, as it is parked: the socket, and the state of the machine.

use std::rc::Rc;

use weir_engine::connection::Conn;
use weir_wire::h2::Connection;

use super::{Driver, Link};

/// The state of a parked connection beside its socket.
pub(crate) struct Asleep {
    machine: Box<Connection>,
}

impl Driver {
    /// The parts of a quiet connection, to be parked.
    ///
    /// # Errors
    /// The driver, if the connection is not quiet.
    pub(crate) fn sleep(self) -> Result<(Conn, Asleep), Self> {
        if !self.is_quiet() || Rc::strong_count(&self.link) > 1 {
            return Err(self);
        }
        let link = Rc::clone(&self.link);
        drop(self);
        let Some(link) = Rc::into_inner(link) else { unreachable!("it was counted") };
        let mut machine = Box::new(link.state.into_inner().machine);
        machine.trim();
        Ok((link.conn.into_inner(), Asleep { machine }))
    }

    /// The driver of a connection that was parked.
    pub(crate) fn awaken(conn: Conn, asleep: Asleep) -> Self {
        Link::start(conn, *asleep.machine)
    }
}
