//! The status that each node sends its partners every second. It shows that the node is alive, and
//! what `weir ha status` tells of it.

use serde_json::{Map, Value, json};

use crate::readiness::said::Said;

/// The longest text of a field.
const LONGEST: usize = 256;

/// The status of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Weir's version.
    pub weir: String,
    /// The number of the configuration, counted by its master from 1.
    pub generation: u64,
    /// The digest of all files of the configuration, in hexadecimal.
    pub configuration: String,
    /// The digest of the `ha` block.
    pub block: String,
    /// The age of the worker process in milliseconds.
    pub uptime: u64,
    /// Whether the node may hold addresses; `None` if it shares none.
    pub ready: Option<bool>,
    /// What its guard says of the addresses, with ages; `None` without a guard.
    pub addresses: Option<Said>,
}

impl Status {
    /// The status as JSON.
    pub fn to_json(&self) -> Value {
        json!({
            "weir": self.weir,
            "generation": self.generation,
            "configuration": self.configuration,
            "block": self.block,
            "uptime": self.uptime,
            "ready": self.ready,
            "addresses": self.addresses.as_ref().map(Said::to_json),
        })
    }

    /// The bytes of the frame.
    pub fn encode(&self) -> Vec<u8> {
        self.to_json().to_string().into_bytes()
    }

    /// Reads a partner's status. Unknown fields are for later versions; `None` for other bytes.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let value: Map<String, Value> = serde_json::from_slice(bytes).ok()?;
        let text = |name: &str| -> String {
            let text = value.get(name).and_then(Value::as_str).unwrap_or_default();
            text.chars().filter(|shown| !shown.is_control()).take(LONGEST).collect()
        };
        let number = |name: &str| value.get(name).and_then(Value::as_u64).unwrap_or_default();
        Some(Self {
            weir: text("weir"),
            generation: number("generation"),
            configuration: text("configuration"),
            block: text("block"),
            uptime: number("uptime"),
            ready: value.get("ready").and_then(Value::as_bool),
            addresses: value.get("addresses").and_then(Said::from_json),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_back_and_later_fields_are_ignored() {
        let status = Status {
            weir: "0.1.0".to_owned(),
            generation: 7,
            configuration: "abc".to_owned(),
            block: "def".to_owned(),
            uptime: 1234,
            ready: Some(false),
            addresses: Some(Said { unfit: Some("it rains".to_owned()), groups: Vec::new() }),
        };
        assert_eq!(Status::decode(&status.encode()), Some(status.clone()));
        let mut later = status.to_json();
        later["load"] = json!([1, {"a": 2}]);
        assert_eq!(Status::decode(later.to_string().as_bytes()), Some(status));
        assert_eq!(Status::decode(b"{}"), Some(Status::default()));
    }

    #[test]
    fn other_bytes_are_no_status() {
        for bytes in [&b""[..], b"[]", b"{", b"\xff", "[".repeat(16_000).as_bytes()] {
            assert_eq!(Status::decode(bytes), None);
        }
        let forged = Status::decode(br#"{"weir":"1\n[emerg] x","generation":"many"}"#).unwrap();
        assert_eq!((forged.weir.as_str(), forged.generation), ("1[emerg] x", 0));
    }
}
