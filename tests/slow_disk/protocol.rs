//! The file system: requests of the kernel and their answers.

use std::collections::BTreeMap;

const ROOT: u64 = 1;
const ENOENT: i32 = 2;
const ENOSYS: i32 = 38;

/// The flag of an opened file whose reads bypass the page cache (`FOPEN_DIRECT_IO`).
const DIRECT_IO: u64 = 1;

/// A request from the kernel: a 40-byte header and the operation's arguments.
pub(super) struct Request<'a> {
    bytes: &'a [u8],
}

impl<'a> Request<'a> {
    /// The bytes of one read of the device.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// The number of the operation.
    pub(super) fn operation(&self) -> u32 {
        self.number(4) as u32
    }

    /// Reads eight bytes; for a four-byte field, the upper half belongs to the next one.
    fn number(&self, at: usize) -> u64 {
        let bytes = self.bytes.get(at..).and_then(|bytes| bytes.first_chunk());
        bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }

    fn node(&self) -> u64 {
        self.number(16)
    }

    fn body(&self) -> &[u8] {
        &self.bytes[40..]
    }

    fn name(&self, at: usize) -> String {
        let name = self.body()[at..].split(|&byte| byte == 0).next().unwrap_or_default();
        String::from_utf8_lossy(name).into_owned()
    }

    /// The answer that the operation has failed.
    pub(super) fn refusal(&self, error: i32) -> Vec<u8> {
        self.answer(&Answer { error, data: Vec::new() })
    }

    /// The answer as the device takes it.
    fn answer(&self, answer: &Answer) -> Vec<u8> {
        let mut message = ((answer.data.len() + 16) as u32).to_le_bytes().to_vec();
        message.extend_from_slice(&(-answer.error).to_le_bytes());
        message.extend_from_slice(&self.number(8).to_le_bytes());
        message.extend_from_slice(&answer.data);
        message
    }
}

struct Answer {
    error: i32,
    data: Vec<u8>,
}

impl Answer {
    fn ok(data: Vec<u8>) -> Option<Self> {
        Some(Self { error: 0, data })
    }

    fn error(error: i32) -> Option<Self> {
        Some(Self { error, data: Vec::new() })
    }
}

/// The files.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// By node, without the root, node 1.
    contents: BTreeMap<u64, Vec<u8>>,
    names: BTreeMap<String, u64>,
    /// The flags of files that are opened.
    open_flags: u64,
}

impl Files {
    /// These files, by name.
    pub(super) fn new(files: &[(&str, &[u8])]) -> Self {
        let mut new = Self::default();
        for (node, (name, content)) in (ROOT + 1..).zip(files) {
            new.names.insert((*name).to_owned(), node);
            new.contents.insert(node, content.to_vec());
        }
        new
    }

    /// Has reads of files that are opened from now on bypass the page cache.
    pub(super) fn bypass_cache(&mut self) {
        self.open_flags = DIRECT_IO;
    }

    /// Does what a request says; the answer for the device, if there is one.
    pub(super) fn answer(&mut self, request: &Request<'_>) -> Option<Vec<u8>> {
        self.done(request).map(|answer| request.answer(&answer))
    }

    fn done(&mut self, request: &Request<'_>) -> Option<Answer> {
        let node = request.node();
        match request.operation() {
            // FORGET, INTERRUPT and BATCH_FORGET have no response.
            2 | 36 | 42 => None,
            26 => Answer::ok(init()),
            1 => match self.names.get(&request.name(0)) {
                Some(&node) => Answer::ok(self.entry(node)),
                None => Answer::error(ENOENT),
            },
            // GETATTR, SETATTR
            3 | 4 => Answer::ok([vec![0; 16], self.attributes(node)].concat()),
            10 => {
                self.names.remove(&request.name(0));
                Answer::ok(Vec::new())
            }
            // RENAME: the number of the new folder, then both names.
            12 => {
                let (from, to) = (request.name(8), request.name(8 + request.name(8).len() + 1));
                let Some(node) = self.names.remove(&from) else { return Answer::error(ENOENT) };
                self.names.insert(to, node);
                Answer::ok(Vec::new())
            }
            14 => Answer::ok(self.opened()),
            // OPENDIR
            27 => Answer::ok(vec![0; 16]),
            15 => {
                let (start, size) = (request.number(48) as usize, request.number(56) as u32);
                let content = self.contents.get(&node).map_or(&[][..], |content| content);
                let start = start.min(content.len());
                let end = content.len().min(start + size as usize);
                Answer::ok(content[start..end].to_vec())
            }
            16 => Answer::ok(self.write(node, request)),
            // CREATE
            35 => {
                let node = self.contents.keys().next_back().map_or(ROOT + 1, |last| last + 1);
                self.contents.insert(node, Vec::new());
                self.names.insert(request.name(16), node);
                Answer::ok([self.entry(node), self.opened()].concat())
            }
            // STATFS, RELEASE, FLUSH, RELEASEDIR
            17 => Answer::ok(vec![0; 80]),
            18 | 25 | 29 => Answer::ok(Vec::new()),
            _ => Answer::error(ENOSYS),
        }
    }

    /// An open file without a handle.
    fn opened(&self) -> Vec<u8> {
        [0, self.open_flags].map(u64::to_le_bytes).concat()
    }

    fn write(&mut self, node: u64, request: &Request<'_>) -> Vec<u8> {
        let (start, size) = (request.number(48) as usize, request.number(56) as u32);
        let data = &request.body()[40..][..size as usize];
        let content = self.contents.entry(node).or_default();
        content.resize(content.len().max(start + data.len()), 0);
        content[start..start + data.len()].copy_from_slice(data);
        [size.to_le_bytes(), [0; 4]].concat()
    }

    /// A directory entry, which the kernel may cache.
    fn entry(&self, node: u64) -> Vec<u8> {
        const SECONDS: u64 = 1000;
        let mut entry = vec![0; 40];
        for (at, number) in [(0, node), (16, SECONDS), (24, SECONDS)] {
            entry[at..at + 8].copy_from_slice(&number.to_le_bytes());
        }
        entry.extend(self.attributes(node));
        entry
    }

    fn attributes(&self, node: u64) -> Vec<u8> {
        const FOLDER: u32 = 0o040_777;
        const FILE: u32 = 0o100_666;
        let size = self.contents.get(&node).map_or(0, Vec::len) as u64;
        let mode = if node == ROOT { FOLDER } else { FILE };
        let mut bytes = Vec::new();
        // Inode, size, blocks, three timestamps in seconds.
        for number in [node, size, size.div_ceil(512), 1, 1, 1] {
            bytes.extend(number.to_le_bytes());
        }
        // Nanoseconds of the timestamps; mode, links, user, group, device, block size, flags.
        for number in [0, 0, 0, mode, 1, 0, 0, 0, 4096, 0] {
            bytes.extend(number.to_le_bytes());
        }
        bytes
    }
}

/// Protocol 7.31, asynchronous reads without read-ahead, writes of up to 128 KiB.
fn init() -> Vec<u8> {
    const ASYNC_READ: u32 = 1;
    let mut bytes = Vec::new();
    for number in [7, 31, 0, ASYNC_READ, 0, 128 * 1024, 1, 0] {
        bytes.extend(u32::to_le_bytes(number));
    }
    bytes.resize(64, 0);
    bytes
}
