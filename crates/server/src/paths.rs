//! The paths of this run: from the command line, or else the build's defaults.

use std::path::{Path, PathBuf};

use weir_conf::Layout;

use crate::cli::Options;

/// The paths of this run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Paths {
    /// Ends in a slash unless it is empty.
    pub(crate) prefix: PathBuf,
    /// Absolute, or below the prefix.
    pub(crate) conf: PathBuf,
    /// Absolute, or below the prefix; `None` is standard error.
    pub(crate) error_log: Option<PathBuf>,
}

impl Paths {
    /// Takes the given paths or else the defaults.
    pub(crate) fn of(options: &Options) -> Self {
        let layout = Layout::built();
        let prefix = options.prefix.as_deref().map_or(Path::new(layout.prefix), Path::new).join("");
        let or = |given: &Option<std::ffi::OsString>, default: &str| {
            given.clone().unwrap_or_else(|| default.into())
        };
        let conf = full_name(&prefix, Path::new(&or(&options.conf, layout.conf_path)));
        let error_log = or(&options.error_log, layout.error_log_path);
        let error_log = (!error_log.is_empty() && error_log != "stderr")
            .then(|| full_name(&prefix, Path::new(&error_log)));
        Self { prefix, conf, error_log }
    }
}

/// `path` below `prefix`, unless it is absolute. Bytes are kept as written, because the result
/// appears in messages.
pub(crate) fn full_name(prefix: &Path, path: &Path) -> PathBuf {
    if path.is_absolute() || prefix.as_os_str().is_empty() {
        return path.to_owned();
    }
    let mut full = prefix.as_os_str().to_owned();
    full.push(path);
    full.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_names_are_below_the_prefix() {
        let options = Options {
            prefix: Some("/p".into()),
            conf: Some("x.conf".into()),
            error_log: Some("e.log".into()),
            ..Options::default()
        };
        let paths = Paths::of(&options);
        assert_eq!(paths.prefix.as_os_str(), "/p/");
        assert_eq!(paths.conf.as_os_str(), "/p/x.conf");
        assert_eq!(paths.error_log, Some("/p/e.log".into()));
    }

    #[test]
    fn an_empty_error_log_is_standard_error() {
        let options = Options { error_log: Some("".into()), ..Options::default() };
        assert_eq!(Paths::of(&options).error_log, None);
    }
}
