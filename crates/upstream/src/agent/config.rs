//! The configuration of agents.

use std::net::IpAddr;

/// `agent_check` of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentConfig {
    /// The port of the agents, for servers without `agent_port=`.
    pub port: Option<u16>,
    /// The time between the starts of two questions to a server, in milliseconds, at least 1.
    pub interval: u64,
    /// The limit of a whole exchange, in milliseconds.
    pub timeout: u64,
    /// The bytes to send before the line is read.
    pub send: Vec<u8>,
}

/// `agent_addr=` and `agent_port=` of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AgentAddress {
    /// The address, if it is not the server's.
    pub ip: Option<IpAddr>,
    /// The port, if it is not the group's.
    pub port: Option<u16>,
}
