//! Connections that others have opened: of partners, of a node that joins or leaves, of strangers.

use std::fmt;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use weir_engine::clock::Instant;
use weir_engine::error_log::{Seldom, process_log};
use weir_engine::tls::{Alpn, CertificateDer, ClientHello, HandshakeError};
use weir_engine::{Addr, Conn, Level, clock, timer, tls};

use super::crossing::Dialler;
use super::dialling::{self, HANDSHAKE};
use super::frame::{self, Kind};
use super::guests::Place;
use super::plan::{Request, identities};
use super::session::{self, End};
use super::settings::{Partner, Settings};
use super::shared::Shared;
use super::wish::{Answer, Wish, read_one};
use super::{JOIN, LEAVE, LINK};
use crate::identity::{Identity, MOST_GUESSES, MOST_NODES, Refused};

/// The protocols of the link port.
const PROTOCOLS: Alpn = &[LINK, JOIN, LEAVE];

/// The time for the master to write what it was asked for.
const MASTER: Duration = Duration::from_secs(10);

static CROWDED: Seldom = Seldom::new();
static STRANGER: Seldom = Seldom::new();
static UNFIT: Seldom = Seldom::new();
static REFUSED: Seldom = Seldom::new();

/// Receives the connections of the link port.
pub(super) struct Reception(pub(super) Rc<Shared>);

impl Reception {
    /// Takes a connection in, if there is a place for it.
    pub(super) fn accept(&self, conn: Conn) {
        let Addr::Inet(from) = *conn.peer() else { return };
        let settings = self.0.settings();
        let from = from.ip();
        let is_node = settings.block.nodes.iter().any(|(_, known)| known.contains(&from));
        let Some(place) = self.0.guests.admit(from, is_node, monotonic()) else {
            CROWDED.log(
                Level::Warn,
                format_args!("link port: too many unknown connections, closing one from {from}"),
            );
            return;
        };
        let reception = Self(Rc::clone(&self.0));
        weir_engine::spawn(async move { reception.receive(conn, from, place, &settings).await });
    }

    async fn receive(&self, conn: Conn, from: IpAddr, place: Place, settings: &Settings) {
        let choose = |hello: &ClientHello<'_>| {
            settings.server(hello.alpn, now()).map(|server| (server, PROTOCOLS))
        };
        let mut conn = match tls::accept(conn, choose, HANDSHAKE).await {
            Ok(conn) => conn,
            Err(error) => return refuse_handshake(from, &error),
        };
        conn.set_nodelay(true);
        let Some(info) = conn.tls().cloned() else { return };
        let Some(certificate) = info.certificates.first() else { return };
        match info.alpn.as_deref() {
            Some(LINK) => {
                let Some(partner) = settings.partner(certificate) else {
                    let what = "has a pinned certificate, but is no node of the \"ha\" block";
                    return UNFIT.log(Level::Warn, format_args!("link port: {from} {what}"));
                };
                self.link(conn, partner, place, settings).await;
            }
            Some(JOIN) => self.join(conn, from, certificate, settings).await,
            Some(LEAVE) => self.leave(conn, certificate).await,
            _ => {}
        }
    }

    /// Runs a link that a partner has dialled.
    async fn link(&self, conn: Conn, partner: &Partner, place: Place, settings: &Settings) {
        let name = &partner.name;
        let closer = self.0.closers.borrow().get(name).map(|(_, closer)| closer.subscribe());
        let Some(mut closed) = closer else { return };
        let work = async {
            let greeting = session::greet(conn, &settings.hello, name);
            let greeted = match timer::timeout(HANDSHAKE, greeting).await {
                Ok(Ok(greeted)) => greeted,
                Ok(Err(End::Replaced | End::Newer | End::Io(_))) | Err(_) => return,
                Ok(Err(end)) => {
                    return dialling::tell_failure(&self.0.hub, name, &end.to_string());
                }
            };
            drop(place);
            let (hello, version) = (greeted.hello.clone(), greeted.version);
            let own = &settings.hello.name;
            let Some(admitted) = self.0.hub.admit(own, &hello, version, Dialler::Partner) else {
                let reason = session::why_not(&self.0.hub, name);
                return session::farewell(greeted.conn, reason);
            };
            dialling::run(&self.0, name, admitted, greeted).await;
        };
        tokio::select! {
            // A link that ends now still says so.
            biased;
            () = work => {}
            _ = closed.changed() => {}
        }
    }

    /// Lets a node in that has the secret of the invitation.
    async fn join(
        &self,
        mut conn: Conn,
        from: IpAddr,
        certificate: &CertificateDer,
        settings: &Settings,
    ) {
        let read = read_one(&mut conn, Kind::Wish, HANDSHAKE).await;
        let Some(wish) = read.ok().flatten().and_then(|content| Wish::decode(&content)) else {
            let text = format_args!("link port: {from} wanted to join and sent no such wish");
            return UNFIT.log(Level::Warn, text);
        };
        let name = &wish.name;
        let answer = match self.may_join(&wish, settings) {
            Err(denied) => Answer::No(denied.to_string()),
            Ok(()) => {
                let request = Request::Pin {
                    name: name.clone(),
                    secret: wish.secret,
                    certificate: certificate.clone(),
                };
                let is_pinned = |identity: &Identity| {
                    let mut peers = identity.peers.iter();
                    peers.any(|peer| peer.name == *name && peer.der().as_ref() == Some(certificate))
                };
                match self.ask_master(request, is_pinned).await {
                    true => Answer::Yes {
                        pair: settings.hello.pair,
                        name: settings.hello.name.clone(),
                        block: settings.block.text.clone(),
                    },
                    false => Answer::No(format!(
                        "node \"{}\" could not write the new certificate; its error log has the \
                         reason",
                        settings.hello.name
                    )),
                }
            }
        };
        match &answer {
            Answer::Yes { .. } => {
                let text = format_args!("node \"{name}\" has joined from {from}");
                process_log().log(Level::Notice, 0, text);
            }
            Answer::No(reason) => {
                let text = format_args!("node \"{name}\" at {from} may not join: {reason}");
                REFUSED.log(Level::Warn, text);
            }
        }
        reply(conn, &answer).await;
    }

    /// Judges a wish to join; the reason goes to the node.
    fn may_join(&self, wish: &Wish, settings: &Settings) -> Result<(), Denied> {
        let invitation = settings.invitation.as_ref();
        let invitation = invitation.ok_or(Denied::Refused(Refused::NotInvited))?;
        let (number, wrong) = self.0.guesses.get();
        let wrong = if number == invitation.number() { wrong } else { 0 };
        if wrong >= MOST_GUESSES {
            return Err(Denied::Refused(Refused::Guessed));
        }
        if let Err(refused) = invitation.judge(&wish.secret, now()) {
            if refused == Refused::Wrong {
                self.0.guesses.set((invitation.number(), wrong + 1));
            }
            return Err(Denied::Refused(refused));
        }
        if wish.name == settings.hello.name {
            return Err(Denied::OwnName(wish.name.clone()));
        }
        if settings.block.addresses(&wish.name).is_none() {
            return Err(Denied::NoNode(wish.name.clone(), settings.block.names()));
        }
        let is_new = !settings.partners.contains_key(&wish.name);
        if is_new && settings.partners.len() >= MOST_NODES - 1 {
            return Err(Denied::Full);
        }
        Ok(())
    }

    /// Lets a partner go.
    async fn leave(&self, mut conn: Conn, certificate: &CertificateDer) {
        let identity = identities().borrow().clone();
        let peers = identity.iter().flat_map(|identity| &identity.peers);
        let is_it = |peer: &&crate::identity::Peer| peer.der().as_ref() == Some(certificate);
        let Some(name) = peers.into_iter().find(is_it).map(|peer| peer.name.clone()) else {
            return;
        };
        if !matches!(read_one(&mut conn, Kind::Wish, HANDSHAKE).await, Ok(Some(_))) {
            return;
        }
        let is_gone = |identity: &Identity| identity.peers.iter().all(|peer| peer.name != name);
        let request = Request::Unpin { name: name.clone() };
        let answer = match (self.ask_master(request, is_gone).await, &identity) {
            (true, Some(identity)) => {
                let text = format_args!("node \"{name}\" has left the pair");
                process_log().log(Level::Notice, 0, text);
                let (pair, name) = (identity.pair, identity.name.clone());
                Answer::Yes { pair, name, block: String::new() }
            }
            _ => Answer::No("the certificate could not be removed".to_owned()),
        };
        reply(conn, &answer).await;
    }

    /// Passes a request to the master, and waits until the identity shows that it is done.
    async fn ask_master(&self, request: Request, is_done: impl Fn(&Identity) -> bool) -> bool {
        let mut identities = identities();
        (self.0.plan().master)(request);
        let done = identities.wait_for(|now| now.as_deref().is_some_and(&is_done));
        matches!(timer::timeout(MASTER, done).await, Ok(Ok(_)))
    }
}

/// Why a node may not join.
enum Denied {
    Refused(Refused),
    /// It has the name of this node.
    OwnName(String),
    /// The block of this node, with these nodes, has no such node.
    NoNode(String, String),
    Full,
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refused) => refused.fmt(f),
            Self::OwnName(name) => write!(f, "the name \"{name}\" is that of the inviting node"),
            Self::NoNode(name, names) => write!(
                f,
                "the \"ha\" block of the inviting node has no node \"{name}\"; its nodes are {names}"
            ),
            Self::Full => write!(f, "the inviting node knows {MOST_NODES} nodes already"),
        }
    }
}

async fn reply(mut conn: Conn, answer: &Answer) {
    let mut bytes = Vec::new();
    frame::put(&mut bytes, Kind::Answer, false, &answer.encode());
    let _ = conn.send_all(&[&bytes], HANDSHAKE).await;
    conn.close();
}

fn refuse_handshake(from: IpAddr, error: &HandshakeError) {
    match error {
        HandshakeError::Rejected => STRANGER.log(
            Level::Warn,
            format_args!("link port: {from} wants to join, and no invitation is open"),
        ),
        error if error.is_about_pins() => STRANGER.log(
            Level::Warn,
            format_args!("link port: {from} has no certificate that is pinned here"),
        ),
        // Health checks and port scans end here, too.
        error => {
            UNFIT.log(Level::Info, format_args!("link port: {from} is no partner: {error}"));
        }
    }
}

/// The time since a fixed point.
fn monotonic() -> Duration {
    clock::now() - Instant::default()
}

/// The wall clock in seconds since 1970.
fn now() -> u64 {
    u64::try_from(clock::wall_secs()).unwrap_or_default()
}
