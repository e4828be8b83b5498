//! Dialling a partner while there is no link to it.

use std::rc::Rc;
use std::time::Duration;

use weir_engine::error_log::process_log;
use weir_engine::tls::{ClientTls, HandshakeError};
use weir_engine::{Addr, ConnectOptions, Level, clock, connect, random, timer, tls};

use super::crossing::Dialler;
use super::hub::Hub;
use super::session::{self, End, Greeted};
use super::settings::Partner;
use super::shared::Shared;

/// The time for a connection with its handshake and hellos.
pub(super) const HANDSHAKE: Duration = Duration::from_secs(5);

/// The time for the connection alone.
const CONNECT: Duration = Duration::from_secs(2);

/// The first pause after a failure. It doubles up to the longest, and each pause is drawn between
/// half of it and the whole, so that two nodes do not keep on meeting.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What a task of a partner needs.
pub(super) struct Dialling {
    pub(super) shared: Rc<Shared>,
    pub(super) partner: Partner,
    pub(super) client: ClientTls,
}

/// Why there is no link.
enum Failure {
    Connect(std::io::Error),
    Handshake(HandshakeError),
    TimedOut,
    End(End),
}

impl Dialling {
    /// Dials whenever there is no link, until dropped.
    pub(super) async fn run(self) {
        let name = &self.partner.name;
        let mut pause = FIRST_PAUSE;
        loop {
            self.shared.hub.down(name).await;
            match self.attempt().await {
                Ok(greeted) => {
                    let begun = clock::precise();
                    self.link(greeted).await;
                    // A partner that ends every link at once is dialled ever less often.
                    if clock::precise() - begun >= LONGEST_PAUSE {
                        pause = FIRST_PAUSE;
                    }
                }
                Err(failure) => self.note(&failure),
            }
            timer::sleep(drawn(pause)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn attempt(&self) -> Result<Greeted, Failure> {
        let options = ConnectOptions { bind: Some(self.partner.from), ..ConnectOptions::default() };
        let address = Addr::Inet(self.partner.address);
        let conn = connect(&address, &options, CONNECT).await;
        let mut conn = conn.map_err(|error| Failure::Connect(error.into()))?;
        conn.set_nodelay(true);
        let conn = tls::connect(conn, &self.client, "", HANDSHAKE).await;
        let conn = conn.map_err(Failure::Handshake)?;
        let settings = self.shared.settings();
        let greeted = session::greet(conn, &settings.hello, &self.partner.name);
        let greeted = timer::timeout(HANDSHAKE, greeted).await.map_err(|_| Failure::TimedOut)?;
        greeted.map_err(Failure::End)
    }

    /// Runs a link that this node has dialled, unless another one is kept.
    async fn link(&self, greeted: Greeted) {
        let name = &self.partner.name;
        let (hello, version) = (greeted.hello.clone(), greeted.version);
        let own = self.shared.settings().hello.name.clone();
        let hub = &self.shared.hub;
        let Some(admitted) = hub.admit(&own, &hello, version, Dialler::Own) else {
            return session::farewell(greeted.conn, session::why_not(hub, name));
        };
        run(&self.shared, name, admitted, greeted).await;
    }

    fn note(&self, failure: &Failure) {
        let name = &self.partner.name;
        let address = self.partner.address;
        let text = match failure {
            Failure::Connect(error) => format!("cannot connect to {address} ({error})"),
            Failure::Handshake(error) if error.is_about_pins() => {
                format!("the certificate of {address} is not the one that is pinned")
            }
            Failure::Handshake(error) => format!("{address}: {error}"),
            Failure::TimedOut => format!("{address} has not introduced itself in time"),
            // The partner took the link that it has dialled itself.
            Failure::End(End::Replaced | End::Newer) => return,
            Failure::End(End::Io(_)) => format!(
                "{address} closed the connection: it does not know this node's certificate, or \
                 is about to end"
            ),
            Failure::End(end) => end.to_string(),
        };
        tell_failure(&self.shared.hub, name, &text);
    }
}

/// Logs why no link came about, if that is news. It ends a link, too, that has given way to
/// another one: that one would have come.
pub(super) fn tell_failure(hub: &Hub, name: &str, reason: &str) {
    if hub.must_tell_down(name) {
        tell_down(name, &reason);
    }
    if hub.note_failure(name, reason) {
        let text = format_args!("no link to node \"{name}\": {reason}");
        process_log().log(Level::Warn, 0, text);
    }
}

/// Logs the end of a link.
pub(super) fn tell_down(name: &str, reason: &dyn std::fmt::Display) {
    let down = format_args!("link to node \"{name}\" is down: {reason}");
    process_log().log(Level::Warn, 0, down);
}

/// Runs a link to its end, and logs both, unless the partner always had a link.
pub(super) async fn run(
    shared: &Shared,
    name: &str,
    (number, replaced): (u64, bool),
    greeted: Greeted,
) {
    let (weir, version) = (greeted.hello.weir.clone(), greeted.version);
    if !replaced {
        let up = format_args!("link to node \"{name}\" is up (Weir {weir}, version {version})");
        process_log().log(Level::Notice, 0, up);
    }
    let status = || (shared.plan().status)();
    let end = session::run(&shared.hub, name, number, greeted, &status).await;
    shared.hub.end(name, number, &end.to_string(), matches!(end, End::Newer));
    // Another one follows, or has followed already. The removal of a partner says so itself.
    if !matches!(end, End::Replaced) && shared.hub.must_tell_down(name) {
        tell_down(name, &end);
    }
}

/// A time between half of `pause` and the whole.
fn drawn(pause: Duration) -> Duration {
    let [byte] = random::unguessable::<1>();
    pause / 2 + pause * u32::from(byte) / 512
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_differ() {
        let drawn: Vec<_> = (0..100).map(|_| drawn(LONGEST_PAUSE)).collect();
        assert!(drawn.iter().all(|pause| (LONGEST_PAUSE / 2..LONGEST_PAUSE).contains(pause)));
        assert!(drawn.iter().any(|pause| *pause != drawn[0]));
    }
}
