//! A disk that answers late: a file system served by this process through `/dev/fuse`. Needs root.
//!
//! ```text
//!   kernel ──▶ request ──┬── of no chosen kind ──▶ answered at once
//!                        ├── held ─────▶ [waiting] ── release ────▶ answered
//!                        └── delayed ──▶ [in order] ── its time ──▶ answered
//! ```
//!
//! <https://www.kernel.org/doc/html/latest/filesystems/fuse.html>, and `linux/fuse.h` for the numbers.

mod protocol;

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use protocol::{Files, Request};

/// The operations whose answers can be late, or errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// The first lookup of a name.
    Lookup = 1,
    /// Reading.
    Read = 15,
    /// Writing.
    Write = 16,
    /// Renaming.
    Rename = 12,
    /// Creating a file.
    Create = 35,
}

/// A mounted file system with its initial files and those created in it; unmounted on drop. Its
/// process must not use it: it would wait for itself.
#[derive(Debug)]
pub struct SlowDisk {
    state: Arc<Mutex<State>>,
    device: Arc<File>,
    path: PathBuf,
}

#[derive(Debug, Default)]
struct State {
    files: Files,
    held: Vec<Operation>,
    /// Held responses.
    waiting: Vec<Vec<u8>>,
    delayed: Option<(Operation, Duration)>,
    /// Operations that fail, with their errors.
    failing: Vec<(Operation, i32)>,
}

/// A response and its time. All have the same delay, so they stay in order.
type Later = (Instant, Vec<u8>);

/// The size of the largest request, data included.
const LARGEST: usize = 1024 * 1024;

/// ENOENT of the device: a request was interrupted before it was read.
const INTERRUPTED: i32 = 2;

impl SlowDisk {
    /// Mounts a disk with these files in an existing, empty folder.
    ///
    /// # Errors
    /// What this process or machine lacks for it, in one line.
    pub fn mount(path: &Path, files: &[(&str, &[u8])]) -> Result<Self, String> {
        let told = |error: io::Error| format!("/dev/fuse: {error}");
        let device = File::options().read(true).write(true).open("/dev/fuse").map_err(told)?;
        // The device is the command's standard input, descriptor 0.
        let options = "fd=0,rootmode=40777,user_id=0,group_id=0,allow_other";
        let mut mount = Command::new("mount");
        mount.args(["-i", "-t", "fuse", "-o", options, "weir-slow-disk"]).arg(path);
        mount.stdin(Stdio::from(device.try_clone().map_err(told)?));
        let output = mount.output().map_err(|error| format!("mount: {error}"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(said.lines().next().unwrap_or("mount failed").to_owned());
        }
        let state = State { files: Files::new(files), ..State::default() };
        let (state, device) = (Arc::new(Mutex::new(state)), Arc::new(device));
        let disk = Self { state, device, path: path.to_owned() };
        let (later, due) = channel();
        let (ours, shared) = (Arc::clone(&disk.device), Arc::clone(&disk.state));
        std::thread::spawn(move || serve(&ours, &shared, &later));
        let ours = Arc::clone(&disk.device);
        std::thread::spawn(move || answer_later(&ours, &due));
        Ok(disk)
    }

    /// The mount point.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Has each read of a file that is opened from now on reach this disk, past the kernel's page
    /// cache.
    pub fn bypass_cache(&self) {
        lock(&self.state).files.bypass_cache();
    }

    /// Answers operations of one kind so much later, from now on.
    pub fn delay(&self, operation: Operation, by: Duration) {
        lock(&self.state).delayed = Some((operation, by));
    }

    /// Starts to hold operations of one kind.
    pub fn hold(&self, operation: Operation) {
        lock(&self.state).held.push(operation);
    }

    /// Has operations of one kind fail with this number of an error, from now on.
    pub fn fail(&self, operation: Operation, error: i32) {
        lock(&self.state).failing.push((operation, error));
    }

    /// Has no operation fail any more.
    pub fn mend(&self) {
        lock(&self.state).failing.clear();
    }

    /// The number of held operations.
    pub fn held(&self) -> usize {
        lock(&self.state).waiting.len()
    }

    /// Answers all held operations and stops holding.
    pub fn release(&self) {
        let mut state = lock(&self.state);
        state.held.clear();
        for answer in std::mem::take(&mut state.waiting) {
            // The waiting operation may have been interrupted.
            let _ = (&*self.device).write(&answer);
        }
    }
}

impl Drop for SlowDisk {
    fn drop(&mut self) {
        self.release();
        // At once, even if files are open. The threads end with the connection to the kernel, when
        // the last of these is closed.
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(device: &File, state: &Mutex<State>, later: &Sender<Later>) {
    let mut buffer = vec![0; LARGEST + 4096];
    loop {
        let length = match (&*device).read(&mut buffer) {
            Ok(length) => length,
            Err(error) if error.raw_os_error() == Some(INTERRUPTED) => continue,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => return,
        };
        let request = Request::new(&buffer[..length]);
        let is = |operation: Operation| operation as u32 == request.operation();
        let mut state = lock(state);
        if let Some(&(_, error)) = state.failing.iter().find(|(failing, _)| is(*failing)) {
            drop(state);
            let _ = (&*device).write(&request.refusal(error));
            continue;
        }
        let Some(answer) = state.files.answer(&request) else { continue };
        if state.held.iter().any(|&held| is(held)) {
            state.waiting.push(answer);
            continue;
        }
        match state.delayed {
            Some((delayed, by)) if is(delayed) => {
                // Its thread ends after this one.
                let _ = later.send((Instant::now() + by, answer));
            }
            _ => {
                drop(state);
                let _ = (&*device).write(&answer);
            }
        }
    }
}

fn answer_later(device: &File, due: &Receiver<Later>) {
    while let Ok((at, answer)) = due.recv() {
        std::thread::sleep(at.saturating_duration_since(Instant::now()));
        let _ = (&*device).write(&answer);
    }
}
