//! The terminal of a program that draws on it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

/// A terminal that hands every key on at once and unprinted, Ctrl-C as well. Dropping it restores
/// what was set before.
#[derive(Debug)]
pub struct RawMode<'a> {
    terminal: BorrowedFd<'a>,
    before: Termios,
}

impl<'a> RawMode<'a> {
    /// Sets the mode.
    ///
    /// # Errors
    /// Those of tcsetattr(3); `ENOTTY` if it is no terminal.
    pub fn enter(terminal: BorrowedFd<'a>) -> io::Result<Self> {
        let mode = Self { terminal, before: tcgetattr(terminal)? };
        mode.enter_again()?;
        Ok(mode)
    }

    /// Sets the mode once more, after another program may have set another one.
    ///
    /// # Errors
    /// As [`RawMode::enter`].
    pub fn enter_again(&self) -> io::Result<()> {
        let mut raw = self.before.clone();
        raw.make_raw();
        Ok(tcsetattr(self.terminal, OptionalActions::Flush, &raw)?)
    }
}

impl Drop for RawMode<'_> {
    fn drop(&mut self) {
        // A terminal that has gone needs no restoring.
        let _ = tcsetattr(self.terminal, OptionalActions::Flush, &self.before);
    }
}

/// The columns and rows of a terminal; `None` if it is none or does not say.
pub fn size(terminal: impl AsFd) -> Option<(usize, usize)> {
    let size = tcgetwinsize(terminal).ok()?;
    let (columns, rows) = (usize::from(size.ws_col), usize::from(size.ws_row));
    (columns > 0 && rows > 0).then_some((columns, rows))
}

/// Standard input, which is open for as long as the process runs.
pub fn input() -> BorrowedFd<'static> {
    rustix::stdio::stdin()
}

/// The bytes typed into standard input, past any buffer; none at its end.
///
/// # Errors
/// Those of read(2).
pub fn read() -> io::Result<Vec<u8>> {
    let mut bytes = [0; 64];
    let length = rustix::io::read(input(), &mut bytes)?;
    Ok(bytes[..length].to_vec())
}
