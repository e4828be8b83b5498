//! The runtime of one core: a thread's event loop with connections, timers, buffers, listeners and
//! logs. Nothing here knows HTTP or upstream groups. Everything except logs and counters belongs to
//! one thread and is not `Send`.

#![forbid(unsafe_code)]

pub mod addr;
pub mod buffer;
pub mod capacity;
mod chunked;
pub mod clock;
pub mod connection;
pub mod datagram;
pub mod digest;
pub mod duty;
pub mod error_log;
pub mod event_loop;
pub mod file_io;
pub mod file_watch;
pub mod journal;
mod kernel;
pub mod listen;
pub mod log_buffer;
pub mod log_files;
pub mod losses;
pub mod os_error;
pub mod panics;
pub mod park;
pub mod random;
#[cfg(any(test, feature = "sim"))]
pub mod sim;
#[cfg(test)]
mod skipped;
mod socket;
pub mod stats;
pub mod syslog;
pub mod temp_file;
pub mod thread_pool;
pub mod timer;
pub mod tls;
pub mod url;

pub use addr::Addr;
pub use buffer::Buf;
pub use connection::Conn;
pub use connection::connect::{ConnectOptions, connect};
pub use error_log::{ErrorLog, Level};
pub use event_loop::{JoinHandle, spawn, spawn_joined};
pub use timer::Deadline;
pub use weir_sys::memory::Memory;
pub use weir_sys::part::Part;
pub use weir_sys::socket::TcpInfo;
