//! Users and groups, and becoming one of them.

use std::ffi::CString;
use std::io;

use nix::unistd::{Gid, Group, Uid, User};

/// The user and primary group ids of a name in the password file; `None` when there is no such
/// name.
///
/// # Errors
/// Those of getpwnam_r(3).
pub fn user(name: &str) -> io::Result<Option<(u32, u32)>> {
    Ok(User::from_name(name)?.map(|user| (user.uid.as_raw(), user.gid.as_raw())))
}

/// The id of a name in the group file; `None` when there is no such name.
///
/// # Errors
/// Those of getgrnam_r(3).
pub fn group(name: &str) -> io::Result<Option<u32>> {
    Ok(Group::from_name(name)?.map(|group| group.gid.as_raw()))
}

/// Whether the process acts as the super-user.
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

/// Takes the supplementary groups that `name` is a member of, and `gid`.
///
/// # Errors
/// Those of initgroups(3).
pub fn set_groups(name: &str, gid: u32) -> io::Result<()> {
    Ok(nix::unistd::initgroups(&CString::new(name)?, Gid::from_raw(gid))?)
}

/// Sets the user of the process. There is no way back.
///
/// # Errors
/// Those of setuid(2).
pub fn set_user(uid: u32) -> io::Result<()> {
    Ok(nix::unistd::setuid(Uid::from_raw(uid))?)
}

/// Keeps the capabilities over the next [`set_user`], for [`only_raw_sockets`].
///
/// # Errors
/// Those of prctl(2).
pub fn keep_capabilities() -> io::Result<()> {
    Ok(rustix::thread::set_keep_capabilities(true)?)
}

/// Drops every capability but `CAP_NET_RAW`, which `proxy_bind … transparent` needs.
///
/// # Errors
/// Those of capset(2).
pub fn only_raw_sockets() -> io::Result<()> {
    only(rustix::thread::CapabilitySet::NET_RAW)
}

/// Drops every capability, inheritable ones too.
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

/// Empties the set of capabilities that a program executed later could get. Those that cannot be
/// taken out stay, as all do without `CAP_SETPCAP`.
pub fn empty_bounding_set() {
    /// The kernel has 41 and numbers them in 64 bits.
    const MOST: libc::c_ulong = 64;
    for number in 0..MOST {
        // SAFETY: the call takes two numbers and touches no memory.
        unsafe { libc::prctl(libc::PR_CAPBSET_DROP, number, 0, 0, 0) };
    }
}

/// No program that this process executes has more rights than it has (set-user-ID and the like).
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
