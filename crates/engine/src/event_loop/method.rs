//! The methods of an event loop (`use`).

use std::fmt;

/// How a loop learns of what happens to its descriptors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// The kernel says what is ready.
    #[default]
    Epoll,
    /// The kernel is asked for what is wanted, and says when it is done. Needs Linux 6.1.
    IoUring,
}

impl fmt::Display for Method {
    /// Its name in `use`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Epoll => "epoll",
            Self::IoUring => "io_uring",
        })
    }
}
