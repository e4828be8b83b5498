//! Users, groups and capabilities.

use std::ffi::CString;
use std::io;

use nix::unistd::{Gid, Group, Uid, User};

/// The user id and primary group id of a name in the password file; `None` if there is none.
///
/// # Errors
/// Those of getpwnam_r(3).
pub fn user(name: &str) -> io::Result<Option<(u32, u32)>> {
    Ok(User::from_name(name)?.map(|user| (user.uid.as_raw(), user.gid.as_raw())))
}

/// The id of a name in the group file; `None` if there is none.
///
/// # Errors
/// Those of getgrnam_r(3).
pub fn group(name: &str) -> io::Result<Option<u32>> {
    Ok(Group::from_name(name)?.map(|group| group.gid.as_raw()))
}

/// Whether the process runs as root.
pub fn is_root() -> bool {
    Uid::effective().is_root()
}

/// Sets the group of the process.
///
/// # Errors
/// Those of setgid(2).
pub fn set_group(gid: u32) -> io::Result<()> {
    Ok(nix::unistd::setgid(Gid::from_raw(gid))?)
}

/// Sets the supplementary groups to those of `name`, and `gid`.
///
/// # Errors
/// Those of initgroups(3).
pub fn set_groups(name: &str, gid: u32) -> io::Result<()> {
    Ok(nix::unistd::initgroups(&CString::new(name)?, Gid::from_raw(gid))?)
}

/// Sets the user of the process. This is irreversible.
///
/// # Errors
/// Those of setuid(2).
pub fn set_user(uid: u32) -> io::Result<()> {
    Ok(nix::unistd::setuid(Uid::from_raw(uid))?)
}

/// Keeps the capabilities across the next [`set_user`], for [`only_raw_sockets`].
///
/// # Errors
/// Those of prctl(2).
pub fn keep_capabilities() -> io::Result<()> {
    Ok(rustix::thread::set_keep_capabilities(true)?)
}

/// Drops all capabilities but `CAP_NET_RAW`, which `proxy_bind … transparent` needs.
///
/// # Errors
/// Those of capset(2).
pub fn only_raw_sockets() -> io::Result<()> {
    only(rustix::thread::CapabilitySet::NET_RAW)
}

/// Drops all capabilities, including inheritable ones.
///
/// # Errors
/// Those of capset(2).
pub fn no_capabilities() -> io::Result<()> {
    only(rustix::thread::CapabilitySet::empty())
}

fn only(kept: rustix::thread::CapabilitySet) -> io::Result<()> {
    use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};
    let inheritable = CapabilitySet::empty();
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable };
    Ok(set_capabilities(None, sets)?)
}

/// Empties the capability bounding set, which limits programs executed later. Capabilities that
/// cannot be dropped stay, as all do without `CAP_SETPCAP`.
pub fn empty_bounding_set() {
    /// The kernel has 41 capabilities in a 64-bit set.
    const MOST: libc::c_ulong = 64;
    for number in 0..MOST {
        // SAFETY: the call takes two numbers and touches no memory.
        unsafe { libc::prctl(libc::PR_CAPBSET_DROP, number, 0, 0, 0) };
    }
}

/// Denies further privileges to programs that this process executes (set-user-ID and the like).
///
/// # Errors
/// Those of prctl(2).
pub fn no_new_privileges() -> io::Result<()> {
    Ok(rustix::thread::set_no_new_privs(true)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_known_and_nonsense_is_not() {
        assert_eq!(user("root").unwrap(), Some((0, 0)));
        assert_eq!(group("root").unwrap(), Some(0));
        assert_eq!(user("no-such-user-here").unwrap(), None);
        assert_eq!(group("no-such-group-here").unwrap(), None);
    }
}
