//! The methods of an event loop (`use`).

use std::fmt;

/// The method of watching descriptors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// The kernel reports readiness.
    #[default]
    Epoll,
    /// The kernel performs submitted requests and reports completions. Needs Linux 6.1.
    IoUring,
}

impl fmt::Display for Method {
    /// The name in the `use` directive.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Epoll => "epoll",
            Self::IoUring => "io_uring",
        })
    }
}
