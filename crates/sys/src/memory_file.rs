//! Memory files, for passing large texts to another process.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

/// Creates a nameless file with these bytes, sealed against changes.
///
/// # Errors
/// Those of memfd_create(2), write(2) and fcntl(2).
pub fn sealed(bytes: &[u8]) -> io::Result<OwnedFd> {
    let fd = memfd_create(c"weir", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut file = File::from(fd);
    file.write_all(bytes)?;
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    fcntl_add_seals(&file, seals)?;
    Ok(file.into())
}

/// Creates an empty nameless file.
///
/// # Errors
/// Those of memfd_create(2).
pub fn empty() -> io::Result<File> {
    Ok(File::from(memfd_create(c"weir", MemfdFlags::CLOEXEC)?))
}

/// Reads the contents of a sealed file.
///
/// # Errors
/// Those of lseek(2) and read(2); `InvalidData` over `limit` bytes.
pub fn read(fd: OwnedFd, limit: u64) -> io::Result<Vec<u8>> {
    let mut file = File::from(fd);
    if file.metadata()?.len() > limit {
        return Err(io::ErrorKind::InvalidData.into());
    }
    file.seek(SeekFrom::Start(0))?;
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_is_read_and_cannot_change() {
        let fd = sealed(b"text").unwrap();
        assert!(File::from(fd.try_clone().unwrap()).write_all(b"x").is_err());
        assert_eq!(read(fd.try_clone().unwrap(), 4).unwrap(), b"text");
        assert!(read(fd, 3).is_err());
    }
}
