//! The common interface of the requests of http and the sessions of stream.

use std::sync::Arc;

use weir_conf::LogFile as Handle;
use weir_engine::error_log::Level;
use weir_engine::log_files::LogFile;
use weir_script::Host;

/// A request or a session: its variables, its error log and the files of its configuration. Code
/// that is generic over it is compiled for each of the two.
pub trait Session: Host {
    /// Logs a message to the error log in force, followed by the context of the session.
    fn log(&self, level: Level, message: &str);

    /// An open log file of the configuration; `None` if the configuration is only checked.
    fn log_file(&self, handle: Handle) -> Option<Arc<LogFile>>;

    /// Whether an access log with variables in its name may be opened for this session. The reason
    /// against it has been logged.
    fn may_open_log(&mut self) -> bool {
        true
    }
}
