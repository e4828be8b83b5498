//! What a node makes durable beside its configuration set.
//!
//! ```text
//!  "weir-ha\n" 8 │ format 1 │ version, line, sealed │ size, signature │ checksum 4
//! ```

use std::sync::Arc;

use super::codec::{Malformed, Reader, Writer};
use super::effect::Set;
use super::message::{SetInfo, read_info, write_info};
use super::version::{Standing, Version};

const MAGIC: &[u8; 8] = b"weir-ha\n";
const FORMAT: u8 = 1;

/// The state that belongs to the set in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Durable {
    pub(super) standing: Standing,
    pub(super) info: SetInfo,
}

impl Durable {
    /// The set with these bytes.
    pub fn set(&self, bytes: Arc<[u8]>) -> Set {
        Set { version: self.standing.version.clone(), info: self.info.clone(), bytes }
    }

    /// The version of the set.
    pub fn version(&self) -> &Version {
        &self.standing.version
    }

    /// Size and signature of the set.
    pub fn info(&self) -> &SetInfo {
        &self.info
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut writer = Writer(MAGIC.to_vec());
        self.standing.write(writer.u8(FORMAT));
        write_info(&mut writer, &self.info);
        let checksum = crc32fast::hash(&writer.0);
        writer.u32(checksum);
        writer.0
    }

    /// The state in bytes.
    ///
    /// # Errors
    /// The part that is wrong. A file that was written in part has a wrong checksum.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let Some((body, checksum)) = bytes.split_last_chunk() else {
            return Err(Malformed("state: it is too short"));
        };
        if crc32fast::hash(body) != u32::from_le_bytes(*checksum) {
            return Err(Malformed("state: the checksum is wrong"));
        }
        Self::read(body)
    }

    fn read(body: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader(body);
        if reader.array()? != *MAGIC {
            return Err(Malformed("state: it is another kind of file"));
        }
        if reader.u8()? != FORMAT {
            return Err(Malformed("state: another release of Weir wrote it"));
        }
        let standing = Standing::read(&mut reader)?;
        let info = read_info(&mut reader)?;
        reader.end()?;
        Ok(Self { standing, info })
    }
}

/// Decodes bytes, with and without a right checksum.
pub(super) fn fuzz(bytes: &[u8]) {
    let _ = Durable::decode(bytes);
    if let Ok(state) = Durable::read(bytes) {
        assert_eq!(Durable::decode(&state.encode()), Ok(state));
    }
}
