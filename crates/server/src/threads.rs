//! The worker's threads. Each has its own event loop and service, and shares nothing that it could
//! block on.

use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use weir_engine::event_loop::{self, EventLoop, Method};
use weir_engine::listen;
use weir_engine::os_error::Failed;
use weir_engine::{ErrorLog, Level, timer};
use weir_sys::process;

use crate::caretaker::Caretaker;
use crate::console::Console;
use crate::fitness;
use crate::load_error::LoadError;
use crate::modules::core::Process;
use crate::serve::{Configuration, Service, Serving};
use crate::stranded;
pub(crate) use accept::Sockets;
use accept::{Acceptors, Leaving};

mod accept;

/// The longest wait of a starting worker for names: a dead name server delays the start by this.
const FIRST_NAMES: Duration = Duration::from_millis(500);

/// The time limit for threads to flush their logs.
const FLUSH_PATIENCE: Duration = Duration::from_secs(1);

/// The time for handshakes on a replaced socket to complete: two lost packets.
const LAST_HANDSHAKES: Duration = Duration::from_secs(3);

/// The configuration that a thread serves with.
#[derive(Clone)]
pub(crate) struct Load {
    pub(crate) serving: Serving,
    pub(crate) sockets: Sockets,
    pub(crate) process: Arc<Process>,
    pub(crate) error_log: ErrorLog,
    /// One of its logs is standard error, which therefore is not redirected.
    pub(crate) stderr_is_log: bool,
}

impl Load {
    /// Redirects standard error to the main log.
    pub(crate) fn redirect_stderr(&self, console: &Console) {
        if !self.stderr_is_log {
            console.redirect_stderr(&self.error_log);
        }
    }
}

/// A message to a thread.
enum ThreadOrder {
    Serve(Box<Load>),
    Flush(SyncSender<()>),
    /// End when the last request has ended, or after this time.
    Quit(Option<Duration>),
}

struct Thread {
    id: u64,
    orders: UnboundedSender<ThreadOrder>,
    handle: JoinHandle<()>,
}

/// All threads of the worker.
pub(crate) struct Threads {
    serving: Vec<Thread>,
    /// Threads told to end.
    ending: Vec<Thread>,
    /// With its ID. Started by the first configuration with duties, and kept to the end.
    caretaker: Option<(u64, Caretaker)>,
    /// Every thread writes its ID here when it ends, which wakes the first thread.
    endings: UnixDatagram,
    end: Arc<UnixDatagram>,
    next_id: u64,
}

impl Threads {
    /// Has no threads.
    ///
    /// # Errors
    /// An error of socketpair(2).
    pub(crate) fn new() -> std::io::Result<Self> {
        let (endings, end) = UnixDatagram::pair()?;
        endings.set_nonblocking(true)?;
        Ok(Self {
            serving: Vec::new(),
            ending: Vec::new(),
            caretaker: None,
            endings,
            end: Arc::new(end),
            next_id: 0,
        })
    }

    /// Switches to another configuration, with its number of threads.
    ///
    /// Whatever can fail comes first: only after all new threads have started do surplus ones quit
    /// and the others switch.
    ///
    /// # Errors
    /// A new thread could not be started, for this reason; nothing has changed.
    pub(crate) fn serve(&mut self, load: &Load) -> Result<(), LoadError> {
        let wanted = load.process.threads;
        let mut duties = load.serving.duties();
        duties.extend(fitness::duty(&load.process));
        if !duties.is_empty() && self.caretaker.is_none() {
            let end = self.next_end();
            self.caretaker = Some((end.id, Caretaker::start(end)?));
        }
        let is_first = self.serving.is_empty();
        if let (true, Some((_, caretaker))) = (is_first, &self.caretaker) {
            caretaker.take_on(std::mem::take(&mut duties));
            await_names(&load.serving.configuration);
        }
        let mut fresh = Vec::new();
        for number in self.serving.len()..wanted {
            let end = self.next_end();
            match start(number, load.clone(), end) {
                Ok(thread) => fresh.push(thread),
                Err(reason) => {
                    self.let_go(fresh, None);
                    return Err(reason);
                }
            }
        }
        let surplus = self.serving.drain(wanted.min(self.serving.len())..).collect();
        self.let_go(surplus, load.process.shutdown_timeout);
        for thread in &self.serving {
            let _ = thread.orders.send(ThreadOrder::Serve(Box::new(load.clone())));
        }
        self.serving.append(&mut fresh);
        if let (false, Some((_, caretaker))) = (is_first, &self.caretaker) {
            caretaker.take_on(duties);
        }
        Ok(())
    }

    /// Leaves the caretaker the duties of a worker that is ending: its successor has the links.
    pub(crate) fn take_last_duties(&mut self, load: &Load) {
        let mut duties = load.serving.duties_without_links();
        duties.extend(fitness::duty(&load.process));
        duties.extend(stranded::duty(&load.process));
        if !duties.is_empty() && self.caretaker.is_none() {
            let end = self.next_end();
            // Without it, stranded connections end by their timeouts.
            let started = Caretaker::start(end);
            self.caretaker = started.ok().map(|caretaker| (self.next_id, caretaker));
        }
        if let Some((_, caretaker)) = &self.caretaker {
            caretaker.take_on(duties);
        }
    }

    /// The end notice of the next thread.
    fn next_end(&mut self) -> End {
        self.next_id += 1;
        End { to: Arc::clone(&self.end), id: self.next_id }
    }

    fn let_go(&mut self, threads: Vec<Thread>, timeout: Option<Duration>) {
        for thread in threads {
            let _ = thread.orders.send(ThreadOrder::Quit(timeout));
            self.ending.push(thread);
        }
    }

    /// Flushes buffered log lines and waits for completion.
    pub(crate) fn flush_logs(&self) {
        let all = self.serving.iter().chain(&self.ending);
        let (done, wait) = sync_channel(self.serving.len() + self.ending.len());
        for thread in all {
            let _ = thread.orders.send(ThreadOrder::Flush(done.clone()));
        }
        drop(done);
        while wait.recv_timeout(FLUSH_PATIENCE).is_ok() {}
    }

    /// Ends every thread after its last request.
    pub(crate) fn quit(&mut self, timeout: Option<Duration>) {
        let all = std::mem::take(&mut self.serving);
        self.let_go(all, timeout);
    }

    /// Joins the threads that ended as told. Returns `false` if one ended unexpectedly.
    pub(crate) fn join_ended(&mut self) -> bool {
        let mut id = [0; size_of::<u64>()];
        while self.endings.recv(&mut id).is_ok() {
            let id = u64::from_ne_bytes(id);
            let serves = self.serving.iter().any(|thread| thread.id == id);
            if serves || self.caretaker.as_ref().is_some_and(|(own, _)| *own == id) {
                return false;
            }
            if let Some(at) = self.ending.iter().position(|thread| thread.id == id) {
                // The thread sends its ID as it ends: the wait is short.
                let _ = self.ending.swap_remove(at).handle.join();
            }
        }
        true
    }

    /// Whether no threads are left.
    pub(crate) fn is_empty(&self) -> bool {
        self.serving.is_empty() && self.ending.is_empty()
    }

    /// Ends the caretaker and waits for it.
    pub(crate) fn end_care(&mut self) {
        if let Some((_, caretaker)) = self.caretaker.take() {
            caretaker.end();
        }
    }
}

/// Waits for the first answers of name servers, so that the first requests find servers. Clients
/// wait in the queues of the sockets meanwhile.
fn await_names(configuration: &Configuration) {
    let end = Instant::now() + FIRST_NAMES;
    while configuration.awaits_names() && Instant::now() < end {
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

impl AsFd for Threads {
    /// Readable when a thread has ended.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.endings.as_fd()
    }
}

/// Reports the end of a thread when dropped.
struct End {
    to: Arc<UnixDatagram>,
    id: u64,
}

impl Drop for End {
    fn drop(&mut self) {
        let _ = self.to.send(&self.id.to_ne_bytes());
    }
}

/// Starts a thread and waits until it is ready.
fn start(number: usize, load: Load, end: End) -> Result<Thread, LoadError> {
    let (orders, receiver) = unbounded_channel();
    let (ready, is_ready) = sync_channel(1);
    let id = end.id;
    fitness::show_turn(number);
    let run = move || {
        let _end = end;
        run(number, load, receiver, &ready);
    };
    let started = std::thread::Builder::new().name(format!("weir-{number}")).spawn(run);
    let handle = started.map_err(|error| LoadError::Call("pthread_create() failed", error))?;
    match is_ready.recv() {
        Ok(Ok(())) => Ok(Thread { id, orders, handle }),
        Ok(Err(error)) => Err(LoadError::Call("epoll_create() failed", error)),
        Err(_) => Err(LoadError::Ended("a thread of the worker process ended unexpectedly")),
    }
}

/// Runs a thread; reports to `ready` whether it has an event loop.
fn run(
    number: usize,
    load: Load,
    mut orders: UnboundedReceiver<ThreadOrder>,
    ready: &SyncSender<std::io::Result<()>>,
) {
    if let Some(processors) = load.process.affinity.of(number)
        && let Err(error) = process::set_affinity(&processors)
    {
        load.error_log.log(Level::Alert, 0, Failed("sched_setaffinity() failed", &error));
    }
    match open_loop(number, &load) {
        Ok(event_loop) => {
            let _ = ready.send(Ok(()));
            event_loop.block_on(serve(number, load, &mut orders));
        }
        Err(error) => {
            let _ = ready.send(Err(error));
        }
    }
}

/// An event loop with the configured method, or with epoll if that is unavailable; one thread logs
/// the fallback.
fn open_loop(number: usize, load: &Load) -> std::io::Result<EventLoop> {
    let method = load.process.method;
    EventLoop::new(method).or_else(|error| {
        if method == Method::Epoll {
            return Err(error);
        }
        if number == 0 {
            let what = format!("\"{method}\" is not available, using \"{}\"", Method::Epoll);
            load.error_log.log(Level::Warn, 0, Failed(&what, &error));
        }
        EventLoop::new(Method::Epoll)
    })
}

async fn serve(number: usize, load: Load, orders: &mut UnboundedReceiver<ThreadOrder>) {
    let service = Service::new(&load.serving);
    let mut acceptors = Acceptors::default();
    acceptors.start(number, &service, &load);
    let mut beating = fitness::beat(number, &load.process);
    // From here on the service owns the configuration and drops it at the next reload.
    drop(load);
    while let Some(order) = orders.recv().await {
        match order {
            ThreadOrder::Serve(load) => {
                let Leaving { replaced, gone } = acceptors.take_leaving(number, &load);
                listen::end(gone).await;
                service.swap(&load.serving);
                if !replaced.is_empty() {
                    event_loop::spawn(async move {
                        timer::sleep(LAST_HANDSHAKES).await;
                        listen::end(replaced).await;
                    });
                }
                acceptors.start(number, &service, &load);
                drop(beating.take());
                beating = fitness::beat(number, &load.process);
            }
            ThreadOrder::Flush(done) => {
                service.flush_logs();
                let _ = done.send(());
            }
            ThreadOrder::Quit(timeout) => {
                listen::end(acceptors.take_all()).await;
                service.quit();
                finish(&service, orders, timeout).await;
                break;
            }
        }
    }
    service.flush_logs();
}

/// Waits for the last requests, up to a limit.
async fn finish(
    service: &Service,
    orders: &mut UnboundedReceiver<ThreadOrder>,
    timeout: Option<Duration>,
) {
    let flushing = async {
        while let Some(order) = orders.recv().await {
            if let ThreadOrder::Flush(done) = order {
                service.flush_logs();
                let _ = done.send(());
            }
        }
        std::future::pending::<()>().await;
    };
    let over = async {
        match timeout {
            Some(timeout) => timer::sleep(timeout).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = service.done() => {}
        () = over => service.cut(),
        () = flushing => {}
    }
}
