//! Templates of configurations, filled with the environment.

use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use weir_script::envsubst;
use weir_script::regex::Regex;

use super::{Log, files};

/// A setting in the environment, or its default.
fn setting(name: &str, default: &str) -> String {
    let value = std::env::var(name).ok().filter(|value| !value.is_empty());
    value.unwrap_or_else(|| default.to_owned())
}

/// Fills every template of the folder.
pub(super) fn fill_all(log: &Log) {
    let folder = PathBuf::from(setting("NGINX_ENVSUBST_TEMPLATE_DIR", "/etc/nginx/templates"));
    let suffix = setting("NGINX_ENVSUBST_TEMPLATE_SUFFIX", ".template");
    let output = PathBuf::from(setting("NGINX_ENVSUBST_OUTPUT_DIR", "/etc/nginx/conf.d"));
    if !folder.is_dir() {
        return;
    }
    let filter = setting("NGINX_ENVSUBST_FILTER", "");
    let filter = match Regex::compile(&filter, false) {
        Ok(filter) => filter,
        Err(fault) => {
            return log.complain(format_args!("NGINX_ENVSUBST_FILTER \"{filter}\": {fault}"));
        }
    };
    let templates = files(&folder);
    for template in templates.iter().filter(|path| ends_with(path, &suffix)) {
        let Ok(relative) = template.strip_prefix(&folder) else { continue };
        let path = output.join(without(relative, &suffix));
        log.say(format_args!("Running envsubst on {} to {}", template.display(), path.display()));
        if let Err(error) = fill(template, &path, &filter) {
            return log.complain(format_args!(
                "ERROR: {} exists, but {} is not writable: {error}",
                folder.display(),
                output.display()
            ));
        }
    }
    let streams = setting("NGINX_ENVSUBST_STREAM_TEMPLATE_SUFFIX", ".stream-template");
    for template in templates.iter().filter(|path| ends_with(path, &streams)) {
        let what = "is ignored: Weir passes on no streams of TCP and UDP yet";
        log.complain(format_args!("{} {what}", template.display()));
    }
}

fn ends_with(path: &Path, suffix: &str) -> bool {
    path.as_os_str().as_bytes().ends_with(suffix.as_bytes())
}

/// A path without its suffix.
fn without(path: &Path, suffix: &str) -> PathBuf {
    let bytes = path.as_os_str().as_bytes();
    let rest = bytes.strip_suffix(suffix.as_bytes()).unwrap_or(bytes);
    std::ffi::OsString::from_vec(rest.to_vec()).into()
}

/// Fills a template with the variables whose names the filter finds.
fn fill(template: &Path, path: &Path, filter: &Regex) -> io::Result<()> {
    let text = fs::read(template)?;
    let mut filled = Vec::new();
    let value = |name: &[u8], out: &mut Vec<u8>| {
        let known = std::env::var_os(std::ffi::OsStr::from_bytes(name));
        let Some(value) = known.filter(|_| filter.is_match(name)) else { return false };
        out.extend_from_slice(value.as_bytes());
        true
    };
    envsubst::substitute(&text, value, &mut filled);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, filled)
}
