//! Linux interfaces: the only crate with `unsafe`, and the only one that uses `libc`.
#![allow(unsafe_code)]

pub mod allocator;
pub mod daemon;
pub mod errno;
pub mod file;
pub mod folder_watch;
pub mod glob;
pub mod inherit;
pub mod interface;
pub mod memory;
pub mod memory_file;
pub mod own_sockets;
pub mod part;
pub mod pass_fd;
pub mod process;
pub mod random;
pub mod ring;
pub mod shared_memory;
pub mod signal;
pub mod socket;
pub mod terminal;
pub mod title;
pub mod user;
pub mod wait;
pub mod waker;
