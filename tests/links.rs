//! The links between the nodes of a pair: two servers on loopback addresses, made a pair by
//! commands, and everything that a stranger or a broken partner may do to them.

mod certificates;
mod configuration;
mod figures;
mod health;
mod howto;
mod life;
mod limits;
mod mirror;
pub(crate) mod node;
mod partner;
mod servers;
mod sessions;
mod strangers;
mod tickets;
mod tokens;

use node::{Node, pair};
