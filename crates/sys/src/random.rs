//! Randomness of the system, getrandom(2).

use std::io;

/// Fills `bytes` with unpredictable ones. Waits for the system's seed, which is there once a
/// machine has booted.
///
/// # Errors
/// The system call is missing or forbidden.
pub fn fill(bytes: &mut [u8]) -> io::Result<()> {
    let mut rest = bytes;
    while !rest.is_empty() {
        // SAFETY: the pointer and the length are those of a slice that can be written to.
        let count = unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) };
        match usize::try_from(count) {
            Ok(count) => rest = &mut rest[count..],
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn all_bytes_are_filled() {
        let mut bytes = [0; 1000];
        super::fill(&mut bytes).unwrap();
        assert!(bytes.chunks(20).all(|piece| piece.iter().any(|&byte| byte != 0)));
        super::fill(&mut []).unwrap();
    }
}
