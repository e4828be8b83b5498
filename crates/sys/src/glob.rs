//! Pattern matching on paths.

use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// The matching paths, sorted, by the rules of glob(3). No match is an empty list.
///
/// # Errors
/// `OutOfMemory`, or the error of a directory that could not be read.
pub fn glob(pattern: &str) -> io::Result<Vec<PathBuf>> {
    let pattern = CString::new(pattern)?;
    // SAFETY: glob(3) without GLOB_APPEND takes an all-zero `glob_t`; it is read only after
    // success, when `gl_pathv` holds `gl_pathc` C strings, and freed in every case.
    unsafe {
        let mut found: libc::glob_t = std::mem::zeroed();
        let result = libc::glob(pattern.as_ptr(), 0, None, &raw mut found);
        let paths = match result {
            0 => (0..found.gl_pathc)
                .map(|at| CStr::from_ptr(*found.gl_pathv.add(at)))
                .map(|path| PathBuf::from(OsStr::from_bytes(path.to_bytes())))
                .collect::<Vec<_>>(),
            _ => Vec::new(),
        };
        let error = io::Error::last_os_error();
        libc::globfree(&raw mut found);
        match result {
            0 | libc::GLOB_NOMATCH => Ok(paths),
            libc::GLOB_NOSPACE => Err(io::ErrorKind::OutOfMemory.into()),
            _ => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_are_sorted_and_none_is_no_error() {
        let found = glob(concat!(env!("CARGO_MANIFEST_DIR"), "/src/[gl]*b.rs")).unwrap();
        let names: Vec<_> = found.iter().filter_map(|path| path.file_name()).collect();
        assert_eq!(names, ["glob.rs", "lib.rs"]);
        assert!(glob("/no/such/folder/*").unwrap().is_empty());
    }
}
