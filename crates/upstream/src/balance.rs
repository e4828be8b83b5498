//! Balancing methods: the choice of a request's peer.
//!
//! A method is a file in `balance/`, with its directive and its [`Balance`](method::Balance), and
//! an entry in [`TABLES`]. The sequences of nginx's methods equal nginx's, peer by peer: sessions
//! and caches behind a load balancer depend on them.

pub(crate) mod consistent;
pub(crate) mod ewma;
pub(crate) mod hash;
pub(crate) mod ip_hash;
pub(crate) mod least_conn;
pub(crate) mod least_time;
pub(crate) mod method;
pub(crate) mod random;
pub(crate) mod ranking;
pub(crate) mod round_robin;
pub(crate) mod sequence;
#[cfg(test)]
mod sequences;
pub(crate) mod turns;

use weir_conf::Table;

/// The directives of all methods.
pub(crate) const TABLES: &[&Table] = &[
    &ewma::TABLE,
    &hash::TABLE,
    &ip_hash::TABLE,
    &least_conn::TABLE,
    &least_time::TABLE,
    &random::TABLE,
];
