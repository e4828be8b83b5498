//! Why the worker cannot serve a configuration; the old one serves on.

use std::fmt;
use std::io;

use weir_engine::os_error::Failed;

/// The reason, displayed as the master logs it.
#[derive(Debug)]
pub(crate) enum LoadError {
    /// The configuration's fault: its first message, with its place.
    Configuration(String),
    /// The master's fault, or that of the limits it runs with: the bundle lacks something.
    Bundle(&'static str),
    /// The system's fault: a call, in nginx's words, and its error.
    Call(&'static str, io::Error),
    /// The system's fault, on the way of a descriptor.
    Descriptor(io::Error),
    /// A fault of ours: a thread ended before it was ready.
    Ended(&'static str),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configuration(message) => f.write_str(message),
            Self::Bundle(text) | Self::Ended(text) => f.write_str(text),
            Self::Call(call, error) => Failed(call, error).fmt(f),
            Self::Descriptor(error) => error.fmt(f),
        }
    }
}
