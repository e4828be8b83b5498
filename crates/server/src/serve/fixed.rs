//! A service that answers every request with 200 and the name of the socket, for as long as there
//! is no other.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use weir_engine::Conn;
use weir_http::route::ListenSpec;

/// How long a client has for its request and for taking the answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// The most bytes of a request that are read.
const MAX_REQUEST: usize = 4096;

pub(super) struct Plan {
    pub(super) listens: Vec<ListenSpec>,
    _generation: Arc<dyn Any + Send + Sync>,
}

impl Plan {
    pub(super) fn new(listens: Vec<ListenSpec>, generation: Arc<dyn Any + Send + Sync>) -> Self {
        Self { listens, _generation: generation }
    }
}

pub(super) struct Service {
    plan: RefCell<Arc<Plan>>,
    quitting: Cell<bool>,
}

impl Service {
    pub(super) fn new(plan: Arc<Plan>) -> Rc<Self> {
        Rc::new(Self { plan: RefCell::new(plan), quitting: Cell::new(false) })
    }

    pub(super) fn swap(&self, plan: Arc<Plan>) {
        drop(self.plan.replace(plan));
    }

    pub(super) fn quit(&self) {
        self.quitting.set(true);
    }

    pub(super) fn accept(self: &Rc<Self>, mut conn: Conn, socket: &Rc<str>) {
        let (service, socket) = (Rc::clone(self), Rc::clone(socket));
        weir_engine::spawn(async move {
            let mut head = Vec::new();
            if conn.recv(&mut head, MAX_REQUEST, PATIENCE).await.is_err() || service.quitting.get()
            {
                return;
            }
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                socket.len()
            );
            // A client that has gone needs no answer.
            let _ = conn.send_all(&[head.as_bytes(), socket.as_bytes()], PATIENCE).await;
        });
    }
}
