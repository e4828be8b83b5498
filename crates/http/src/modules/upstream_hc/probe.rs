//! A probe: a request of the location's kind to one server, and the tests of its response.

use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use weir_conf::BlockId;
use weir_engine::addr::Addr;
use weir_engine::error_log::Level;
use weir_engine::{clock, timer};
use weir_upstream::{Causes, Finding, Probe, Probed, Probing};
use weir_wire::h1::Method;

use super::expect::Expectation;
use super::grpc::{self, GrpcCheck};
use super::parameters::HealthCheck;
use super::{HEALTH_CHECKS, expect};
use crate::client::{Client, Sink};
use crate::module::Handler;
use crate::pass::attempt::Failure;
use crate::pass::course::{Course, Passing};
use crate::pass::pool::Kept;
use crate::pass::probe::{Question, Reply, ask};
use crate::request::Request;
use crate::request::connection_info::ConnectionInfo;
use crate::request::head::Head;
use crate::route::{Location, Server};
use crate::snapshot::{Configuration, Held, Snapshot};

/// The place of a check in the configuration.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// The number of the check in its group.
    pub(super) number: usize,
    /// The index of the server block.
    pub(super) server: usize,
    /// The location.
    pub(super) block: BlockId,
    /// The index among the checks of the location.
    pub(super) at: usize,
}

/// The connections of earlier probes, by check and server.
type KeptProbes = Rc<RefCell<HashMap<(usize, Addr), Kept>>>;

/// The probes of a group's checks.
pub(super) struct HttpProbe {
    /// By number.
    checks: HashMap<usize, Rc<Check>>,
    kept: KeptProbes,
}

/// A check with its location.
struct Check {
    number: usize,
    snapshot: Rc<Snapshot>,
    server: Held<Server>,
    location: Held<Location>,
    check: HealthCheck,
}

impl HttpProbe {
    /// The probes at these places of a configuration.
    pub(super) fn shared(
        configuration: &Arc<Configuration>,
        generation: &Arc<dyn Any + Send + Sync>,
        places: &[Place],
    ) -> Rc<dyn Probe> {
        let snapshot = Snapshot::new(Arc::clone(configuration), Arc::clone(generation));
        let check = |place: &Place| {
            let (server, location) = snapshot.location(place.server, place.block)?;
            let check = location.settings.get(&HEALTH_CHECKS).checks.get(place.at)?.clone();
            let (number, snapshot) = (place.number, Rc::clone(&snapshot));
            Some((number, Rc::new(Check { number, snapshot, server, location, check })))
        };
        Rc::new(Self { checks: places.iter().filter_map(check).collect(), kept: Rc::default() })
    }
}

impl Probe for HttpProbe {
    fn probe(&self, number: usize, address: Addr) -> Probing {
        let (check, kept) = (self.checks.get(&number).cloned(), Rc::clone(&self.kept));
        Box::pin(async move {
            match check {
                Some(check) => check.probe(address, &kept).await,
                // nginx never enters such a location, either.
                None => nothing(Vec::new()),
            }
        })
    }

    fn forget(&self, number: usize, address: &Addr) {
        self.kept.borrow_mut().remove(&(number, address.clone()));
    }

    fn log(&self, number: usize, level: Level, message: &str) {
        if let Some(check) = self.checks.get(&number) {
            check.location.handlers.log(level, 0, message);
        }
    }
}

/// A probe without a result.
fn nothing(reasons: Vec<(Level, String)>) -> Finding {
    Finding { probed: Probed::Nothing, doing: "".into(), reasons }
}

impl Check {
    async fn probe(&self, address: Addr, kept: &KeptProbes) -> Finding {
        let mut request = self.request();
        let Some(course) = self.course(&mut request) else { return nothing(lines(&request)) };
        let transfer = (course.transfer)(&self.location);
        let limit = [transfer.connect_timeout, transfer.send_timeout, transfer.read_timeout];
        let limit = limit.iter().map(|time| time.0).sum();
        let key = (self.number, address.clone());
        let question = Question {
            course,
            address,
            uri: self.check.uri.clone(),
            kept: kept.borrow_mut().remove(&key).and_then(|kept| self.usable(kept)),
            keeps: self.check.keepalive.is_some(),
            most: match &self.check.grpc {
                Some(_) => grpc::MOST,
                None => self.check.tests.as_deref().map_or(0, Expectation::needs),
            },
            message: self.check.grpc.as_ref().map(GrpcCheck::message),
        };
        match timer::timeout(limit, ask(&mut request, question)).await {
            Ok(Ok(reply)) => {
                let Reply { status, body, kept: next } = reply;
                if let Some(next) = next.filter(|kept| self.is_young(kept)) {
                    kept.borrow_mut().insert(key, next);
                }
                self.judge(&mut request, status, &body)
            }
            Ok(Err(failure)) => failed(&request, &failure),
            Err(_) => late(&request),
        }
    }

    /// A kept connection, if it is young and alive.
    fn usable(&self, mut kept: Kept) -> Option<Kept> {
        (self.is_young(&kept) && kept.conn.is_idle_alive()).then_some(kept)
    }

    /// Whether a connection may be used again.
    fn is_young(&self, kept: &Kept) -> bool {
        let age = clock::now().millis().saturating_sub(kept.usage.opened);
        self.check.keepalive.is_some_and(|most| Duration::from_millis(age) < most)
    }

    /// The request, without a client.
    fn request(&self) -> Request {
        let local = Addr::Inet(([127, 0, 0, 1], 0).into());
        let info = ConnectionInfo {
            id: 0,
            peer: local.clone(),
            local,
            proxy_protocol: None,
            ssl: false,
            tls: None,
            negotiated: None,
            // The ids of probes follow from it alone.
            start: clock::precise(),
            messages: Some(RefCell::default()),
        };
        let (snapshot, server) = (Rc::clone(&self.snapshot), self.server.clone());
        let client = Client::new(Sink::Discard);
        let mut request =
            Request::new(snapshot, server, Rc::new(info), Rc::new(Head::default()), client);
        request.location = self.location.clone();
        request.method = if self.check.grpc.is_some() { Method::Post } else { Method::Get };
        let uri = &self.check.uri;
        let path = uri.iter().position(|&byte| byte == b'?').unwrap_or(uri.len());
        request.uri = uri[..path].to_vec();
        request.args = uri.get(path + 1..).unwrap_or_default().to_vec();
        // There is no client whose URI could be passed on as it came.
        request.uri_intact = false;
        request
    }

    /// How the location passes requests on.
    fn course(&self, request: &mut Request) -> Option<Course> {
        let Some(Handler::Pass(passing)) = self.location.handlers.content else { return None };
        match passing(request) {
            Passing::Now(course) => Some(course),
            Passing::Later(_) | Passing::Not(_) => None,
        }
    }

    /// Tests a response.
    fn judge(&self, request: &mut Request, status: u16, body: &[u8]) -> Finding {
        let (doing, fault) = match &self.check.grpc {
            Some(grpc) => (grpc::DOING, grpc.fault(request, status, body)),
            None => expect::test(self.check.tests.as_deref(), request, status, body),
        };
        let Some(fault) = fault else { return Finding::passed(doing) };
        let mut reasons = lines(request);
        reasons.push((Level::Error, format!("{fault} while {doing}")));
        Finding { probed: Probed::Failed, doing: doing.into(), reasons }
    }
}

/// The messages about a request.
fn lines(request: &Request) -> Vec<(Level, String)> {
    request.info.messages.as_ref().map(RefCell::take).unwrap_or_default()
}

/// The result of a request that has failed.
fn failed(request: &Request, failure: &Failure) -> Finding {
    let reasons = lines(request);
    let probed = match failure {
        Failure::Upstream(failure) if failure.blameless => Probed::Nothing,
        Failure::Upstream(failure) if failure.cause == Causes::TIMEOUT => Probed::TimedOut,
        Failure::Upstream(_) => Probed::Failed,
        Failure::Own(_) | Failure::Client(_) => Probed::Nothing,
    };
    // Every message about an upstream ends with what was being done.
    let last = reasons.iter().rev().find_map(|(_, line)| Some(line.rsplit_once(" while ")?.1));
    let doing = last.unwrap_or("connecting to upstream").to_owned();
    Finding { probed, doing: doing.into(), reasons }
}

/// The result of a request that took longer than all its timeouts together: a server that sends a
/// response byte by byte.
fn late(request: &Request) -> Finding {
    let doing = "reading upstream";
    let mut reasons = lines(request);
    let line = format!("upstream timed out (110: Connection timed out) while {doing}");
    reasons.push((Level::Error, line));
    Finding { probed: Probed::TimedOut, doing: doing.into(), reasons }
}
