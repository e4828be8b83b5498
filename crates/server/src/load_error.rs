//! Why the worker cannot serve a configuration; the old one serves on.

use std::fmt;
use std::io;

use weir_engine::os_error::Failed;

use crate::open_files;

/// The reason, displayed as the master logs it.
#[derive(Debug)]
pub(crate) enum LoadError {
    /// The configuration's fault: its first message, with its place.
    Configuration(String),
    /// The master's fault: the bundle lacks something.
    Bundle(&'static str),
    /// The limit of open files, which is lower than this number.
    OpenFiles(usize),
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
            Self::OpenFiles(needed) => f.write_str(&open_files::too_few_for(*needed)),
            Self::Call(call, error) => {
                write!(f, "{}{}", Failed(call, error), open_files::explained(error))
            }
            Self::Descriptor(error) => write!(f, "{error}{}", open_files::explained(error)),
        }
    }
}
