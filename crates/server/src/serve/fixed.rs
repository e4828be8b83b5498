//! A service that answers every request with the text of its server's `answer`, for as long as there is
//! no other.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use weir_conf::{Assembly, Block, Many, Slot, Table, directives};
use weir_engine::listen::ListenOptions;
use weir_engine::{Addr, Conn};

use crate::sockets::Wanted;

static SERVER: Slot<Server> = Slot::new();
pub(super) const TABLES: &[&Table] = &[&Server::table(&SERVER)];

directives! {
    /// A server.
    struct Server as ServerWritten in [server] {
        /// HTTP.
        "http" in [main] opens http [0]: "{ ... }",
        /// A server.
        "server" in [http] opens server [0]: "{ ... }",
        /// Where to listen.
        "listen" => listen: Many<String>,
        /// What to say.
        "answer" => answer: Option<String>,
        /// Milliseconds before saying it.
        "delay" => delay: Option<u64>,
    }
}

pub(super) struct Plan {
    servers: Vec<(String, Addr, String, u64)>,
    _generation: Arc<dyn Any + Send + Sync>,
}

impl Plan {
    pub(super) fn new(assembly: &Assembly, generation: Arc<dyn Any + Send + Sync>) -> Self {
        let http = assembly.root.blocks.iter().filter(|block| block.name == "http");
        let servers = http.flat_map(|http| &http.blocks).flat_map(Self::server).collect();
        Self { servers, _generation: generation }
    }

    fn server(block: &Block) -> Vec<(String, Addr, String, u64)> {
        let server = block.settings.get(&SERVER);
        let addr = |text: &String| match text.strip_prefix("unix:") {
            Some(path) => Addr::unix(path),
            None => Addr::Inet(text.parse().expect("an address")),
        };
        let answer = server.answer.clone().unwrap_or_default();
        let delay = server.delay.unwrap_or_default();
        server.listen.iter().map(|l| (l.clone(), addr(l), answer.clone(), delay)).collect()
    }

    pub(super) fn listens(&self) -> Vec<Wanted> {
        let wanted = |(name, addr, ..): &(String, Addr, String, u64)| Wanted {
            name: name.clone(),
            addr: addr.clone(),
            options: ListenOptions::default(),
        };
        self.servers.iter().map(wanted).collect()
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
            let minute = Duration::from_secs(60);
            if conn.recv(&mut head, 4096, minute).await.is_err() {
                return;
            }
            let plan = Arc::clone(&service.plan.borrow());
            let Some((.., answer, delay)) = plan.servers.iter().find(|s| *s.0 == *socket) else {
                return;
            };
            weir_engine::timer::sleep(Duration::from_millis(*delay)).await;
            let text = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{answer}",
                answer.len()
            );
            let _ = conn.send_all(&[text.as_bytes()], minute).await;
        });
    }
}
