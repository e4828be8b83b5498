//! Mapping of URIs to files: `root` and `alias` (nginx: `ngx_http_map_uri_to_path`).
//!
//! Whatever a request's URI or variables contain, its path stays below the folder that the
//! configuration names: a segment `..` is allowed only where the configuration itself has it.

use std::ffi::OsString;
use std::ops::Range;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use weir_engine::error_log::Level;
use weir_script::Template;

use crate::core::ROOT;
use crate::core::root::Alias;
use crate::rejection::Rejection;
use crate::request::Request;

impl Request {
    /// The path of the file or folder that the URI names.
    ///
    /// # Errors
    /// The rejection of the request; the reason has been logged.
    pub fn path(&mut self) -> Result<PathBuf, Rejection> {
        let location = self.location.clone();
        let mut path = self.root_for_files()?;
        let root = path.len();
        match location.settings.get(&ROOT).root.alias {
            Alias::No => path.extend_from_slice(&self.uri),
            Alias::Prefix(length) => {
                path.extend_from_slice(self.uri.get(length..).unwrap_or_default());
            }
            Alias::Whole if self.uri_in_alias => path.extend_from_slice(&self.uri),
            Alias::Whole => {}
        }
        if self.leaves_root(&path, root) {
            return Err(self.forbid(&path));
        }
        Ok(PathBuf::from(OsString::from_vec(path)))
    }

    /// The value of `root` or `alias`.
    ///
    /// # Errors
    /// As for [`Request::path`].
    pub fn document_root(&mut self) -> Result<PathBuf, Rejection> {
        self.root_bytes().map(|root| PathBuf::from(OsString::from_vec(root)))
    }

    /// Appends the value of `root` or `alias`.
    ///
    /// # Errors
    /// As for [`Request::path`].
    pub fn write_document_root(&mut self, out: &mut Vec<u8>) -> Result<(), Rejection> {
        match self.location.settings.get(&ROOT).root.path.literal() {
            Some(path @ [b'/', ..]) => out.extend_from_slice(path),
            _ => out.extend_from_slice(&self.root_bytes()?),
        }
        Ok(())
    }

    /// The path that URIs are appended to. An `alias` replaces the location's name, so it cannot be
    /// used once the URI has been rewritten.
    ///
    /// # Errors
    /// As for [`Request::path`].
    pub fn root_for_files(&mut self) -> Result<Vec<u8>, Rejection> {
        let aliased = self.get(&ROOT).root.alias != Alias::No;
        if aliased && !self.location_valid {
            let name = String::from_utf8_lossy(&self.location.name).into_owned();
            let message =
                format!("\"alias\" cannot be used in location \"{name}\" where URI was rewritten");
            self.log(Level::Alert, &message);
            return Err(Rejection::INTERNAL);
        }
        self.root_bytes()
    }

    /// Whether a path leaves its root, which is its first `root` bytes.
    pub fn leaves_root(&self, path: &[u8], root: usize) -> bool {
        let appended = &path[root..];
        // A part without its slash, lost in a rewrite or with the location's name, would name a
        // sibling of the root. If location and `alias` both lack the slash, the names are cut on
        // purpose.
        let whole = match self.get(&ROOT).root.alias {
            Alias::No => true,
            Alias::Prefix(_) => self.location.name.ends_with(b"/"),
            Alias::Whole => false,
        };
        let joined = appended.is_empty() || appended.starts_with(b"/");
        let beside = whole && !joined && !path[..root].ends_with(b"/");
        beside || climbs(path, std::slice::from_ref(&(root..path.len())))
    }

    /// Logs that a path is outside its root.
    pub fn forbid(&self, path: &[u8]) -> Rejection {
        let path = String::from_utf8_lossy(path);
        self.log(Level::Error, &format!("\"{path}\" is forbidden: it is outside its root"));
        Rejection::FORBIDDEN
    }

    /// Evaluates a template that names a file.
    ///
    /// # Errors
    /// A rejection, if a variable's value climbs out of a folder of the template. A leading
    /// variable with an absolute path is the folder itself.
    pub fn eval_path(&mut self, template: &Template) -> Result<Vec<u8>, Rejection> {
        if let Some(literal) = template.literal() {
            return Ok(literal.to_vec());
        }
        let (mut path, mut foreign) = (Vec::new(), Vec::new());
        template.eval_marked(self, &mut path, &mut foreign);
        let is_folder = |first: &Range<usize>| first.start == 0 && path.starts_with(b"/");
        if foreign.first().is_some_and(is_folder) {
            foreign.remove(0);
        }
        if climbs(&path, &foreign) {
            return Err(self.forbid(&path));
        }
        Ok(path)
    }

    fn root_bytes(&mut self) -> Result<Vec<u8>, Rejection> {
        let location = self.location.clone();
        let value = self.eval_path(&location.settings.get(&ROOT).root.path)?;
        if value.first() == Some(&b'/') {
            return Ok(value);
        }
        let mut path = self.snapshot.prefix().as_os_str().as_bytes().to_vec();
        if path.last() != Some(&b'/') {
            path.push(b'/');
        }
        path.extend_from_slice(&value);
        Ok(path)
    }
}

/// Whether a segment `..` of a path overlaps one of its `foreign` parts, which are in order.
fn climbs(path: &[u8], foreign: &[Range<usize>]) -> bool {
    let mut from = match foreign.first() {
        // Two dots that overlap the first part begin one byte before it at the earliest.
        Some(first) => first.start.saturating_sub(1),
        None => return false,
    };
    while let Some(found) = memchr::memmem::find(&path[from..], b"..") {
        let start = from + found;
        let end = start + 2;
        let is_segment = (start == 0 || path[start - 1] == b'/')
            && path.get(end).is_none_or(|&byte| byte == b'/');
        if is_segment && foreign.iter().any(|part| part.start < end && start < part.end) {
            return true;
        }
        from = start + 1;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_count_outside_the_configured_root() {
        let climbs = |path: &str, from: usize, to: usize| {
            climbs(path.as_bytes(), std::slice::from_ref(&(from..to)))
        };
        assert!(climbs("/srv/../x", 4, 9));
        assert!(climbs("/srv/../x", 5, 7));
        assert!(climbs("/srv/a/..", 4, 9));
        // A dot, or the end of the segment, is foreign.
        assert!(climbs("/srv/../x", 6, 9));
        assert!(climbs("/srv/../x", 5, 6));
        assert!(!climbs("/srv/../x", 7, 9));
        assert!(!climbs("/srv/../a/b", 10, 11));
        assert!(!climbs("/srv/a../b", 4, 10));
        assert!(!climbs("/srv/..a/b", 4, 10));
        assert!(!climbs("/srv/.../b", 4, 10));
        assert!(!climbs("/srv/.", 4, 6));
        assert!(!super::climbs(b"/srv/../x", &[]));
    }
}
