//! Where a response waits that does not fit into memory: a temporary file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::rc::Rc;

use weir_engine::error_log::Level;
use weir_engine::os_error::Failed;

use super::transfer::Transfer;
use crate::piece::Piece;
use crate::request::Request;

/// The temporary file of a response, made when it is needed.
pub(super) struct Spill<'a> {
    settings: &'a Transfer,
    file: Option<Rc<File>>,
    len: u64,
    told: bool,
}

impl<'a> Spill<'a> {
    /// Nothing so far.
    pub(super) fn new(settings: &'a Transfer) -> Self {
        Self { settings, file: None, len: 0, told: false }
    }

    /// How much more may be put in, in bytes.
    pub(super) fn room(&self) -> u64 {
        self.settings.file_max().saturating_sub(self.len)
    }

    /// Moves what waits for the client to the file, all but `memory` bytes. An error has been
    /// logged.
    pub(super) fn relieve(&mut self, request: &mut Request, memory: u64) -> io::Result<()> {
        if request.client.held() <= memory || self.room() == 0 {
            return Ok(());
        }
        let moved = request.client.spill(memory, |bytes| self.put(bytes));
        self.tell(request);
        moved.inspect_err(|error| Self::failed(request, error))
    }

    /// Writes `bytes` behind what there is; the stretch of the file that holds them.
    pub(super) fn put(&mut self, bytes: &[u8]) -> io::Result<Piece> {
        let file = match &self.file {
            Some(file) => Rc::clone(file),
            None => {
                let file = Rc::new(weir_engine::temp_file::create(&self.settings.folder())?);
                self.file = Some(Rc::clone(&file));
                file
            }
        };
        file.write_all_at(bytes, self.len)?;
        let start = self.len;
        self.len += bytes.len() as u64;
        Ok(Piece::File(file, start..self.len))
    }

    /// Logs that there is a file, once.
    pub(super) fn tell(&mut self, request: &Request) {
        if !self.told && self.file.is_some() {
            self.told = true;
            let message = "an upstream response is buffered to a temporary file";
            request.log_upstream(Level::Warn, message);
        }
    }

    /// Logs that the file could not be made or written.
    #[cold]
    pub(super) fn failed(request: &Request, error: &io::Error) {
        let message = Failed("writing a temporary file failed", error);
        request.log(Level::Crit, &message.to_string());
    }
}
