//! The entry point of the fuzz target: a user file and the credentials of a client.

use super::{crypt, user_file};

/// Looks a user up and checks a password: the first line is the user, the second the password, the
/// rest the file. Hashes that ask for much time are only parsed. Whether the password matches.
///
/// # Panics
/// If the file or the hash makes anything panic.
pub fn user_file(data: &[u8]) -> bool {
    let mut parts = data.splitn(3, |&byte| byte == b'\n');
    let mut part = || parts.next().unwrap_or_default();
    let (user, password, mut file) = (part(), part(), part());
    let stored = user_file::search(&mut file, user).expect("memory can be read");
    stored.is_some_and(|stored| !crypt::is_slow(&stored) && crypt::matches(password, &stored))
}
