//! `$request_id`: unpredictable, since pages use it as nonce of a content security policy, and a
//! function of the request's place, so that every log can name it whatever was evaluated before.

use std::sync::LazyLock;

use weir_engine::clock::Instant;
use weir_engine::digest::sha256;
use weir_engine::random::unguessable;

use super::Request;

/// The secret of this process. It is made at the first use, thus after the fork of a worker.
static SECRET: LazyLock<[u8; 32]> = LazyLock::new(unguessable);

impl Request {
    /// The id, 32 hexadecimal digits. A request and its subrequests have one.
    pub(crate) fn id(&self) -> String {
        of(self.info.id, self.number, self.info.start)
    }
}

/// The id of a request by its place: the connection, its start, and the request's number on it.
pub(crate) fn of(connection: u64, number: u64, start: Instant) -> String {
    let start = start.since(Instant::from_nanos(0)).as_nanos().to_ne_bytes();
    let place = [connection.to_ne_bytes(), number.to_ne_bytes()];
    let digest = sha256(&[&*SECRET, &place[0], &place[1], &start]);
    let mut id = [0; 16];
    id.copy_from_slice(&digest[..16]);
    format!("{:032x}", u128::from_ne_bytes(id))
}
