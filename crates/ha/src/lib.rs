//! A pair of balancers that share addresses, configuration and state, so that one takes over when
//! the other fails.
#![forbid(unsafe_code)]

pub mod carrier;
pub mod fuzz;
pub mod guard;
pub mod identity;
pub mod keepalived;
pub mod link;
pub mod mirror;
pub mod plan;
pub mod readiness;
mod refusal;
pub mod set;
pub mod settings;
mod shared_limits;

pub use refusal::Refusal;
pub use shared_limits::SharedLimits;
