//! `…_cache_path`: a folder for responses, its zone and its limits.

use std::path::PathBuf;
use std::time::Duration;

use weir_conf::environment::errno_text;
use weir_conf::value::{parse_msec, parse_number, parse_offset, parse_sec, parse_size};
use weir_conf::{Cx, Fault, Node, Word};

use super::key::Levels;
use crate::core::temp_path::TempPath;

/// The minimum size of a keys zone: two pages.
const MIN_KEYS: u64 = 2 * 4096;

/// A folder for responses.
#[derive(Clone, Debug)]
pub(crate) struct CachePath {
    /// The folder.
    pub(crate) folder: PathBuf,
    /// The levels of subfolders.
    pub(crate) levels: Levels,
    /// The name of the zone.
    pub(crate) name: String,
    /// The folder for temporary files, unless it is that of the location.
    pub(crate) temp: Option<TempPath>,
    /// The limits, which a reload changes.
    pub(crate) limits: Limits,
}

/// The limits of a cache, and the pace of the work for it.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// The size of the zone in bytes.
    pub(crate) zone: u64,
    /// The time after which a response that is not used is removed.
    pub(crate) inactive: Duration,
    /// The maximum size of all files in bytes.
    pub(crate) max_size: Option<u64>,
    /// The minimum of free bytes on the file system.
    pub(crate) min_free: u64,
    /// The pace of the removal of files.
    pub(crate) manager: Pace,
    /// The pace of reading the files of an earlier process.
    pub(crate) loader: Pace,
    /// Whether purges of all keys with a prefix are left to the purger.
    pub(crate) has_purger: bool,
    /// The pace of the purger.
    pub(crate) purger: Pace,
}

/// The pace of work on files: it pauses after a number of files, or after some time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// The number of files until a pause.
    pub(crate) files: u64,
    /// The time until a pause.
    pub(crate) threshold: Duration,
    /// The pause.
    pub(crate) sleep: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        let (threshold, sleep) = (Duration::from_millis(200), Duration::from_millis(50));
        Self { files: 100, threshold, sleep }
    }
}

impl Pace {
    /// The pace of the purger by default.
    fn of_purger() -> Self {
        let pause = Duration::from_millis(50);
        Self { files: 10, threshold: pause, sleep: pause }
    }
}

impl CachePath {
    /// Parses the arguments.
    ///
    /// # Errors
    /// nginx's messages.
    pub(super) fn parse(node: &Node, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        let text = node.args[0].text();
        let mut own = Self {
            folder: cx.prefix_path(text.strip_suffix('/').unwrap_or(&text)),
            levels: Levels::default(),
            name: String::new(),
            temp: None,
            limits: Limits {
                zone: 0,
                inactive: Duration::from_secs(600),
                max_size: None,
                min_free: 0,
                manager: Pace::default(),
                loader: Pace::default(),
                has_purger: false,
                purger: Pace::of_purger(),
            },
        };
        for word in &node.args[1..] {
            own.parameter(word)?;
        }
        if own.name.is_empty() {
            let directive = node.text();
            let message = format!("\"{directive}\" must have \"keys_zone\" parameter");
            return Err(Fault::new(message));
        }
        Ok(own)
    }

    /// Has the folder created.
    ///
    /// # Errors
    /// The folder cannot be created.
    pub(super) fn create(&self, cx: &Cx<'_>) -> Result<(), Fault> {
        cx.env().create_dir(&self.folder).map_err(|error| {
            let why = errno_text(&error);
            Fault::new(format!("mkdir() \"{}\" failed {why}", self.folder.display())).nowhere()
        })
    }

    fn parameter(&mut self, word: &Word) -> Result<(), Fault> {
        let (name, value) =
            word.value.split_at(word.value.iter().position(|&b| b == b'=').unwrap_or(0));
        let Some(value) = value.strip_prefix(b"=") else { return Err(Fault::parameter(word)) };
        let invalid =
            |what: &str| Fault::new(format!("invalid {what} \"{}\"", word.shown())).at(word);
        let limits = &mut self.limits;
        let number = |what| parse_number(value).ok_or_else(|| invalid(what));
        let millis = |what| parse_msec(value).ok_or_else(|| invalid(what));
        match name {
            b"levels" => {
                self.levels = Levels::parse(value).ok_or_else(|| invalid("\"levels\""))?;
            }
            b"use_temp_path" => {
                self.temp = match value {
                    b"on" => None,
                    b"off" => Some(TempPath { path: self.folder.clone(), levels: Vec::new() }),
                    _ => {
                        let message = format!(
                            "invalid use_temp_path value \"{}\", it must be \"on\" or \"off\"",
                            word.shown()
                        );
                        return Err(Fault::new(message).at(word));
                    }
                };
            }
            b"keys_zone" => {
                let colon = value.iter().position(|&byte| byte == b':');
                let colon = colon.ok_or_else(|| invalid("keys zone size"))?;
                let size = parse_size(&value[colon + 1..]);
                limits.zone = size.ok_or_else(|| invalid("keys zone size"))?;
                if limits.zone < MIN_KEYS {
                    let message = format!("keys zone \"{}\" is too small", word.shown());
                    return Err(Fault::new(message).at(word));
                }
                self.name = String::from_utf8_lossy(&value[..colon]).into_owned();
            }
            b"purger" => {
                limits.has_purger = match value {
                    b"on" => true,
                    b"off" => false,
                    _ => return Err(invalid("purger value")),
                };
            }
            b"inactive" => {
                limits.inactive = parse_sec(value).ok_or_else(|| invalid("inactive value"))?;
            }
            b"max_size" => {
                let size = parse_offset(value).ok_or_else(|| invalid("max_size value"))?;
                limits.max_size = Some(size);
            }
            b"min_free" => {
                limits.min_free = parse_offset(value).ok_or_else(|| invalid("min_free value"))?;
            }
            b"loader_files" => limits.loader.files = number("loader_files value")?,
            b"loader_sleep" => limits.loader.sleep = millis("loader_sleep value")?,
            b"loader_threshold" => limits.loader.threshold = millis("loader_threshold value")?,
            b"manager_files" => limits.manager.files = number("manager_files value")?,
            b"manager_sleep" => limits.manager.sleep = millis("manager_sleep value")?,
            b"manager_threshold" => limits.manager.threshold = millis("manager_threshold value")?,
            b"purger_files" => limits.purger.files = number("purger_files value")?,
            b"purger_sleep" => limits.purger.sleep = millis("purger_sleep value")?,
            b"purger_threshold" => limits.purger.threshold = millis("purger_threshold value")?,
            _ => return Err(Fault::parameter(word)),
        }
        Ok(())
    }
}
