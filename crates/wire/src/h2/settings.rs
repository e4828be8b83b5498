//! Settings (RFC 9113 section 6.5).

use super::config::{Config, Role};
use super::error::{ConnectionError, ErrorCode};
use super::frame::payload::WRONG_SIZE;
use super::frame::{MAX_FRAME_SIZE, MIN_FRAME_SIZE};
use super::limits::STREAMS_BEFORE_SETTINGS;
use super::window::{INITIAL_WINDOW, MAX_WINDOW};

/// Numbers of settings.
pub(crate) mod id {
    pub(crate) const HEADER_TABLE_SIZE: u16 = 1;
    pub(crate) const ENABLE_PUSH: u16 = 2;
    pub(crate) const MAX_CONCURRENT_STREAMS: u16 = 3;
    pub(crate) const INITIAL_WINDOW_SIZE: u16 = 4;
    pub(crate) const MAX_FRAME_SIZE: u16 = 5;
    /// RFC 8441 section 3.
    pub(crate) const ENABLE_CONNECT_PROTOCOL: u16 = 8;
    /// RFC 9218 section 2.1.
    pub(crate) const NO_RFC7540_PRIORITIES: u16 = 9;
}

/// The settings that a side announces at first.
pub(crate) fn own(config: &Config) -> impl Iterator<Item = (u16, u32)> {
    let role: [Option<(u16, u32)>; 3] = match config.role {
        Role::Server => [
            Some((id::MAX_CONCURRENT_STREAMS, config.max_streams)),
            config.extended_connect.then_some((id::ENABLE_CONNECT_PROTOCOL, 1)),
            // Who knows this setting knows RFC 9218, too, and can do without the older priorities.
            Some((id::NO_RFC7540_PRIORITIES, 1)),
        ],
        Role::Client => [Some((id::ENABLE_PUSH, 0)), None, None],
    };
    let sizes =
        [(id::INITIAL_WINDOW_SIZE, config.stream_window), (id::MAX_FRAME_SIZE, config.max_frame)];
    role.into_iter().flatten().chain(sizes)
}

/// The settings of the peer in force.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PeerSettings {
    /// The maximum number of streams that this side may open.
    pub max_streams: u32,
    /// The initial window of streams, in bytes; at most [`MAX_WINDOW`].
    pub window: u32,
    /// The maximum payload of a frame, in bytes.
    pub max_frame: u32,
    /// Whether it takes extended CONNECT.
    pub extended_connect: bool,
}

/// A change that others than the settings must heed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Of the size of the table for header compression.
    HeaderTable(u32),
    /// The peer does not use the priorities of RFC 7540.
    Urgencies,
    None,
}

impl PeerSettings {
    /// The settings of a peer that has announced none.
    pub(crate) fn initial() -> Self {
        Self {
            max_streams: STREAMS_BEFORE_SETTINGS,
            window: INITIAL_WINDOW,
            max_frame: MIN_FRAME_SIZE,
            extended_connect: false,
        }
    }

    /// Heeds a setting.
    pub(crate) fn set(
        &mut self,
        peer: Role,
        setting: u16,
        value: u32,
    ) -> Result<Change, ConnectionError> {
        match setting {
            id::HEADER_TABLE_SIZE => return Ok(Change::HeaderTable(value)),
            id::ENABLE_PUSH => {
                let most = u32::from(peer == Role::Client);
                check(value <= most, "ENABLE_PUSH has a wrong value")?;
            }
            id::MAX_CONCURRENT_STREAMS => self.max_streams = value,
            id::INITIAL_WINDOW_SIZE => {
                if value > MAX_WINDOW {
                    return Err(TOO_LARGE_WINDOW);
                }
                self.window = value;
            }
            id::MAX_FRAME_SIZE => {
                let valid = (MIN_FRAME_SIZE..=MAX_FRAME_SIZE).contains(&value);
                check(valid, "MAX_FRAME_SIZE has a wrong value")?;
                self.max_frame = value;
            }
            id::ENABLE_CONNECT_PROTOCOL => {
                check(value <= 1, "ENABLE_CONNECT_PROTOCOL has a wrong value")?;
                let withdrawn = self.extended_connect && value == 0;
                check(!withdrawn, "ENABLE_CONNECT_PROTOCOL was withdrawn")?;
                self.extended_connect = value == 1;
            }
            id::NO_RFC7540_PRIORITIES => {
                check(value <= 1, "NO_RFC7540_PRIORITIES has a wrong value")?;
                if value == 1 {
                    return Ok(Change::Urgencies);
                }
            }
            _ => {}
        }
        Ok(Change::None)
    }
}

/// Decodes the payload of SETTINGS.
pub(crate) fn parse(payload: &[u8]) -> Result<impl Iterator<Item = (u16, u32)>, ConnectionError> {
    let (settings, rest) = payload.as_chunks::<6>();
    if !rest.is_empty() {
        return Err(WRONG_SIZE);
    }
    Ok(settings
        .iter()
        .map(|&[a, b, value @ ..]| (u16::from_be_bytes([a, b]), u32::from_be_bytes(value))))
}

fn check(valid: bool, reason: &'static str) -> Result<(), ConnectionError> {
    if valid { Ok(()) } else { Err(ConnectionError { code: ErrorCode::PROTOCOL_ERROR, reason }) }
}

const TOO_LARGE_WINDOW: ConnectionError = ConnectionError {
    code: ErrorCode::FLOW_CONTROL_ERROR,
    reason: "INITIAL_WINDOW_SIZE has a wrong value",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_checked() {
        let protocol = Some(ErrorCode::PROTOCOL_ERROR);
        let cases = [
            (id::ENABLE_PUSH, 0, None),
            (id::ENABLE_PUSH, 1, None),
            (id::ENABLE_PUSH, 2, protocol),
            (id::INITIAL_WINDOW_SIZE, 0, None),
            (id::INITIAL_WINDOW_SIZE, 0x7fff_ffff, None),
            (id::INITIAL_WINDOW_SIZE, 0x8000_0000, Some(ErrorCode::FLOW_CONTROL_ERROR)),
            (id::MAX_FRAME_SIZE, 16_383, protocol),
            (id::MAX_FRAME_SIZE, 16_384, None),
            (id::MAX_FRAME_SIZE, 16_777_215, None),
            (id::MAX_FRAME_SIZE, 16_777_216, protocol),
            (id::ENABLE_CONNECT_PROTOCOL, 2, protocol),
            (id::NO_RFC7540_PRIORITIES, 2, protocol),
            (0xabcd, u32::MAX, None),
        ];
        for (setting, value, code) in cases {
            let result = PeerSettings::initial().set(Role::Client, setting, value);
            assert_eq!(result.err().map(|error| error.code), code, "{setting} {value}");
        }
        assert!(PeerSettings::initial().set(Role::Server, id::ENABLE_PUSH, 1).is_err());
    }

    #[test]
    fn extended_connect_is_not_withdrawn() {
        let mut settings = PeerSettings::initial();
        for value in [0, 1, 1] {
            settings.set(Role::Server, id::ENABLE_CONNECT_PROTOCOL, value).unwrap();
        }
        assert!(settings.set(Role::Server, id::ENABLE_CONNECT_PROTOCOL, 0).is_err());
    }

    #[test]
    fn payloads_are_whole_settings() {
        let found: Vec<_> = parse(&[0, 3, 0, 0, 1, 0, 0, 4, 0, 0, 0, 9]).unwrap().collect();
        assert_eq!(found, [(3, 256), (4, 9)]);
        assert!(parse(&[0; 7]).is_err());
    }
}
