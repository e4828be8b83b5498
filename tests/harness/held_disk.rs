//! A disk that holds its responses on demand: a file system served by the test through `/dev/fuse`.
//! Needs root.
//!
//! ```text
//!   kernel ──▶ request ──┬── not of a held kind ──▶ answered at once
//!                        └── held ──▶ [waiting] ── release ──▶ answered
//! ```
//!
//! <https://www.kernel.org/doc/html/latest/filesystems/fuse.html>, and `linux/fuse.h` for the numbers.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use super::{Directory, is_root, skipped, until};

/// The operations that can be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// The first lookup of a name.
    Lookup = 1,
    /// Reading.
    Read = 15,
    /// Writing.
    Write = 16,
}

/// A mounted file system with its initial files and those created in it.
pub(crate) struct HeldDisk {
    state: Arc<Mutex<State>>,
    device: Arc<File>,
    directory: Directory,
}

#[derive(Default)]
struct State {
    /// By node, without the root, node 1.
    files: BTreeMap<u64, Vec<u8>>,
    names: BTreeMap<String, u64>,
    held: Vec<Operation>,
    /// Held responses.
    waiting: Vec<Vec<u8>>,
}

const ROOT: u64 = 1;
const ENOENT: i32 = 2;
const ENOSYS: i32 = 38;

/// The size of the largest request, data included.
const LARGEST: usize = 1024 * 1024;

impl HeldDisk {
    /// Mounts a disk with these files. Returns `None` and prints a line if that is not possible.
    pub(crate) fn mount(files: &[(&str, &[u8])]) -> Option<Self> {
        let device = File::options().read(true).write(true).open("/dev/fuse");
        let Some(device) = device.ok().filter(|_| is_root()) else {
            skipped("it needs root and /dev/fuse");
            return None;
        };
        let directory = Directory::new();
        let path = directory.join("disk");
        std::fs::create_dir(&path).unwrap();
        // The device is the command's standard input, descriptor 0.
        let options = "fd=0,rootmode=40777,user_id=0,group_id=0,allow_other";
        let mut mount = Command::new("mount");
        mount.args(["-i", "-t", "fuse", "-o", options, "weir-tests"]).arg(&path);
        mount.stdin(Stdio::from(device.try_clone().unwrap()));
        let output = mount.output().unwrap();
        if !output.status.success() {
            skipped(String::from_utf8_lossy(&output.stderr).trim());
            return None;
        }
        let mut state = State::default();
        for (node, (name, content)) in (ROOT + 1..).zip(files) {
            state.names.insert((*name).to_owned(), node);
            state.files.insert(node, content.to_vec());
        }
        let (state, device) = (Arc::new(Mutex::new(state)), Arc::new(device));
        let (shared, ours) = (Arc::clone(&state), Arc::clone(&device));
        std::thread::spawn(move || serve(&ours, &shared));
        Some(Self { state, device, directory })
    }

    /// The mount point.
    pub(crate) fn path(&self) -> PathBuf {
        self.directory.join("disk")
    }

    /// Starts to hold operations of one kind.
    pub(crate) fn hold(&self, operation: Operation) {
        self.state.lock().unwrap().held.push(operation);
    }

    /// Waits until this many operations are held.
    #[track_caller]
    pub(crate) fn wait_held(&self, count: usize) {
        until("operations on the held disk", || self.held() >= count);
    }

    /// The number of held operations.
    pub(crate) fn held(&self) -> usize {
        self.state.lock().unwrap().waiting.len()
    }

    /// Answers all held operations and stops holding.
    pub(crate) fn release(&self) {
        let mut state = self.state.lock().unwrap();
        state.held.clear();
        for answer in std::mem::take(&mut state.waiting) {
            // The waiting operation may have been interrupted.
            let _ = (&*self.device).write(&answer);
        }
    }
}

impl Drop for HeldDisk {
    fn drop(&mut self) {
        self.release();
        let path = self.path();
        let _ = Command::new("umount").arg("-l").arg(&path).status();
        // The thread ends with the connection, when the last file is closed.
    }
}

fn serve(device: &File, state: &Mutex<State>) {
    let mut buffer = vec![0; LARGEST + 4096];
    loop {
        let length = match (&*device).read(&mut buffer) {
            Ok(length) => length,
            // ENOENT: the request was interrupted before it was read.
            Err(error) if error.raw_os_error() == Some(ENOENT) => continue,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(_) => return,
        };
        let request = Request { bytes: &buffer[..length] };
        let mut state = state.lock().unwrap();
        let Some(answer) = state.answer(&request) else { continue };
        let mut message = ((answer.data.len() + 16) as u32).to_le_bytes().to_vec();
        message.extend_from_slice(&(-answer.error).to_le_bytes());
        message.extend_from_slice(&request.number(8).to_le_bytes());
        message.extend_from_slice(&answer.data);
        if state.held.iter().any(|held| *held as u32 == request.operation()) {
            state.waiting.push(message);
            continue;
        }
        drop(state);
        let _ = (&*device).write(&message);
    }
}

/// A request from the kernel: a 40-byte header and the operation's arguments.
struct Request<'a> {
    bytes: &'a [u8],
}

impl Request<'_> {
    fn operation(&self) -> u32 {
        self.number(4) as u32
    }

    /// Reads eight bytes; for a four-byte field, the upper half belongs to the next one.
    fn number(&self, at: usize) -> u64 {
        let bytes = self.bytes.get(at..at + 8).unwrap_or(&[0; 8]);
        u64::from_le_bytes(bytes.try_into().unwrap())
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

impl State {
    fn answer(&mut self, request: &Request<'_>) -> Option<Answer> {
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
            // OPEN, OPENDIR
            14 | 27 => Answer::ok(vec![0; 16]),
            15 => {
                let (start, size) = (request.number(48) as usize, request.number(56) as u32);
                let content = self.files.get(&node).map_or(&[][..], |content| content);
                let start = start.min(content.len());
                let end = content.len().min(start + size as usize);
                Answer::ok(content[start..end].to_vec())
            }
            16 => Answer::ok(self.write(node, request)),
            // CREATE
            35 => {
                let node = self.files.keys().next_back().map_or(ROOT + 1, |last| last + 1);
                self.files.insert(node, Vec::new());
                self.names.insert(request.name(16), node);
                Answer::ok([self.entry(node), vec![0; 16]].concat())
            }
            // STATFS, RELEASE, FLUSH, RELEASEDIR
            17 => Answer::ok(vec![0; 80]),
            18 | 25 | 29 => Answer::ok(Vec::new()),
            _ => Answer::error(ENOSYS),
        }
    }

    fn write(&mut self, node: u64, request: &Request<'_>) -> Vec<u8> {
        let (start, size) = (request.number(48) as usize, request.number(56) as u32);
        let data = &request.body()[40..][..size as usize];
        let content = self.files.entry(node).or_default();
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
        let size = self.files.get(&node).map_or(0, Vec::len) as u64;
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
