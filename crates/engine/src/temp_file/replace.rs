//! Replacing a small file as a whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The permissions of a file that was not there.
const MODE: u32 = 0o644;

/// Gives a file another content. After a loss of power, it has the old or the new one. Two calls
/// for one file must not overlap.
///
/// # Errors
/// Those of open(2), write(2), fsync(2) and rename(2). The file has its old content, unless only
/// the folder could not be synchronised.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let mode = fs::metadata(path).map_or(MODE, |found| found.permissions().mode() & 0o777);
    replace_as(path, mode, content)
}

/// As [`replace`], with these permissions less those that the process's mask takes away.
///
/// # Errors
/// Those of [`replace`].
pub fn replace_as(path: &Path, mode: u32, content: &[u8]) -> io::Result<()> {
    let new = beside(path)?;
    // Left by a process that was killed.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let written = write(&new, mode, content).and_then(|()| fs::rename(&new, path));
    if let Err(error) = written {
        let _ = fs::remove_file(&new);
        return Err(error);
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// The name of the new file until it is complete.
fn beside(path: &Path) -> io::Result<PathBuf> {
    let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    name.push(".new");
    Ok(path.with_file_name(name))
}

fn write(path: &Path, mode: u32, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_has_the_old_or_the_new_content() {
        let folder = std::env::temp_dir().join(format!("weir-replace-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("state");
        replace(&path, b"one").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(beside(&path).unwrap(), b"half").unwrap();
        replace(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        // A folder is in the way of the new name.
        fs::create_dir(beside(&path).unwrap()).unwrap();
        replace(&path, b"three").unwrap_err();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        fs::remove_dir_all(&folder).unwrap();
    }
}
