//! The process title, as shown by `ps`.
//!
//! The kernel reads a process's command line from the process's own memory, where `argv` and the
//! environment are adjacent. A title overwrites both, after the environment has been copied
//! elsewhere.

use std::io;
use std::sync::OnceLock;

/// The memory for a title: its address and length.
#[derive(Debug)]
struct Area {
    start: usize,
    len: usize,
}

static AREA: OnceLock<Area> = OnceLock::new();

/// Reserves the memory for titles. Call it once, from the only thread, after collecting the
/// arguments: afterwards `std::env::args` returns the title's bytes.
///
/// # Errors
/// Those of reading `/proc/self/stat`; `Unsupported` if the kernel does not reveal the arguments'
/// address, or if another thread could be reading the environment.
pub fn prepare() -> io::Result<()> {
    if crate::process::threads()? != 1 {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let (arg_start, arg_end, env_start, env_end) =
        bounds(&std::fs::read_to_string("/proc/self/stat")?)
            .ok_or_else(|| io::Error::from(io::ErrorKind::Unsupported))?;
    // The environment is usable only if it directly follows the arguments; it may be empty.
    let end = if env_start == arg_end && env_end > env_start { env_end } else { arg_end };
    move_environment(arg_end..end);
    let _ = AREA.set(Area { start: arg_start, len: end - arg_start });
    Ok(())
}

/// The bounds of arguments and environment from `/proc/self/stat`, proc_pid_stat(5): fields 48 to
/// 51.
fn bounds(stat: &str) -> Option<(usize, usize, usize, usize)> {
    // The second field is a name in parentheses, which may contain blanks and parentheses.
    let mut fields = stat[stat.rfind(')')? + 1..].split_ascii_whitespace().skip(48 - 3);
    let mut address = || fields.next()?.parse::<usize>().ok().filter(|&a| a != 0);
    let bounds = (address()?, address()?, address()?, address()?);
    (bounds.0 < bounds.1 && bounds.2 <= bounds.3).then_some(bounds)
}

/// Replaces the entries of `environ` in the given memory by copies.
fn move_environment(area: std::ops::Range<usize>) {
    unsafe extern "C" {
        static mut environ: *mut *mut libc::c_char;
    }
    // SAFETY: the caller promises to be the only thread; `environ` is an array of C strings that
    // ends with a null pointer, and the copies are never freed, so pointers to them stay valid.
    unsafe {
        let mut entry = environ;
        while !entry.is_null() && !(*entry).is_null() {
            if area.contains(&(*entry as usize)) {
                let copy = libc::strdup(*entry);
                if copy.is_null() {
                    return;
                }
                *entry = copy;
            }
            entry = entry.add(1);
        }
    }
}

/// Shows `title` in place of the command line, cut to the available room. Does nothing before
/// [`prepare`].
pub fn set(title: &str) {
    let Some(area) = AREA.get() else { return };
    let shown = &title.as_bytes()[..title.len().min(area.len - 1)];
    // SAFETY: the area is this process's argument memory, which the kernel mapped writable and no
    // other code uses after `prepare`; the write ends inside it, and the last byte stays 0.
    unsafe {
        let start = area.start as *mut u8;
        std::ptr::write_bytes(start, 0, area.len);
        std::ptr::copy_nonoverlapping(shown.as_ptr(), start, shown.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_after_a_name_with_brackets() {
        let numbers = (3..=52).map(|n| n.to_string()).collect::<Vec<_>>().join(" ");
        assert_eq!(bounds(&format!("1 (a) b) {numbers}")), Some((48, 49, 50, 51)));
        assert_eq!(bounds("1 (a) S 1 2"), None);
    }

    #[test]
    fn this_process_has_an_argument_area() {
        assert!(bounds(&std::fs::read_to_string("/proc/self/stat").unwrap()).is_some());
    }
}
