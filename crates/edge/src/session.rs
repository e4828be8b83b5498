//! What a request of http and a session of stream have in common.

use std::sync::Arc;

use weir_conf::LogFile as Handle;
use weir_engine::error_log::Level;
use weir_engine::log_files::LogFile;
use weir_script::Host;

/// A request or a session, as the settings of this crate see it: its variables, its error log and
/// the files of its configuration. Whatever is generic over it is compiled for each of the two.
pub trait Session: Host {
    /// Writes to the error log in force, with the session's particulars behind the message.
    fn log(&self, level: Level, message: &str);

    /// An open log file of the configuration; `None` while that is only read.
    fn log_file(&self, handle: Handle) -> Option<Arc<LogFile>>;

    /// Whether an access log whose name has variables may be opened for this session. Why not has
    /// been logged.
    fn may_open_log(&mut self) -> bool {
        true
    }
}
