//! From a URI to a file: `root` and `alias` (nginx: `ngx_http_map_uri_to_path`).

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::rc::Rc;

use crate::core::ROOT;
use crate::core::root::Alias;
use crate::request::Request;

impl Request {
    /// The file or folder that the URI names.
    pub fn path(&mut self) -> PathBuf {
        let uri = std::mem::take(&mut self.uri);
        let path = self.path_of(&uri);
        self.uri = uri;
        path
    }

    /// The file or folder that another URI names in this location.
    pub fn path_of(&mut self, uri: &[u8]) -> PathBuf {
        let location = Rc::clone(&self.location);
        let mut path = self.root_bytes();
        match location.settings.get(&ROOT).root.alias {
            Alias::No => path.extend_from_slice(uri),
            Alias::Prefix(length) => {
                path.extend_from_slice(uri.get(length..).unwrap_or_default());
            }
            Alias::Whole if self.uri_in_alias => path.extend_from_slice(uri),
            Alias::Whole => {}
        }
        PathBuf::from(OsString::from_vec(path))
    }

    /// The path as text, for the log.
    pub fn path_text(&mut self) -> String {
        self.path().to_string_lossy().into_owned()
    }

    /// `root` (or `alias`) with its variables.
    pub fn document_root(&mut self) -> PathBuf {
        PathBuf::from(OsString::from_vec(self.root_bytes()))
    }

    fn root_bytes(&mut self) -> Vec<u8> {
        let location = Rc::clone(&self.location);
        let value = self.eval(&location.settings.get(&ROOT).root.path);
        if value.first() == Some(&b'/') {
            return value;
        }
        let mut path = self.snapshot.prefix().as_os_str().as_bytes().to_vec();
        if path.last() != Some(&b'/') {
            path.push(b'/');
        }
        path.extend_from_slice(&value);
        path
    }
}
