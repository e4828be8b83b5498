//! From an entry of the index to the file of a response that answers the request.

use std::rc::Rc;

use weir_engine::error_log::Level;

use super::{Consult, may_ask, variant};
use crate::cache::faults;
use crate::cache::file::Head;
use crate::cache::index::{Confirmed, Now};
use crate::cache::opened::{self, Asks, Lost, Opened};
use crate::cache::volume;
use crate::request::Request;

/// Why a file is no answer.
pub(super) enum Useless {
    /// It cannot be read, perhaps for the time being (no descriptor, a broken disk). It stays on
    /// the account, and a fetched response may take its place.
    Unread,
    /// It is gone, or other than the index had it: there is something else to be found.
    Other,
}

impl Consult<'_> {
    /// Whether a response is that for the request's variant. Its file may have been replaced since
    /// the index was asked.
    pub(super) fn is_meant(&self, request: &Request, opened: &Opened) -> bool {
        let Head { vary, variant: held, .. } = &opened.head;
        match &self.varied {
            _ if vary.is_empty() => true,
            Some(varied) if *varied.vary == **vary => varied.variant == *held,
            _ => variant(request, &self.main, vary) == *held,
        }
    }

    /// The open file of the version that the index has, or any if it has none.
    ///
    /// # Errors
    /// It is of no use, which the index then knows.
    pub(super) async fn open(
        &self,
        request: &mut Request,
        version: Option<u64>,
    ) -> Result<Rc<Opened>, Useless> {
        let asks = Asks { paths: may_ask(request), whole: false };
        if let Some(version) = version
            && let Some(opened) = opened::reuse(self.volume, &self.digest, version, asks)
            && self.is_meant(request, &opened)
        {
            return Ok(opened);
        }
        let key = std::mem::take(&mut request.attempts.cache.key);
        let opened = Opened::open(request, self.volume, &self.digest, &key).await;
        request.attempts.cache.key = key;
        match opened {
            Ok(opened) => {
                let opened = Rc::new(opened);
                let Some(version) = version else { return Ok(opened) };
                let index = &self.volume.index;
                let confirmed = index.confirm(&self.digest, version, opened.kept(), Now::of_turn());
                let Confirmed::Same(confirmed) = confirmed else { return Err(Useless::Other) };
                if !self.is_meant(request, &opened) {
                    return Err(Useless::Other);
                }
                opened::keep(self.volume, &self.digest, confirmed, &opened);
                // The index has another number for it from now on.
                return if confirmed == version { Ok(opened) } else { Err(Useless::Other) };
            }
            Err(lost) => {
                self.tell(request, &lost);
                if matches!(lost, Lost::Unread(..)) {
                    return Err(Useless::Unread);
                }
            }
        }
        if let Some(version) = version {
            self.volume.index.lost(&self.digest, version);
            opened::forget(self.volume, &self.digest);
        }
        Err(Useless::Other)
    }

    /// Logs why a file is no response, and deletes one that is damaged.
    fn tell(&self, request: &Request, lost: &Lost) {
        let path = self.volume.file(&self.digest);
        match lost {
            Lost::Missing => {}
            Lost::Broken(why) => {
                let message = format!("cache file \"{}\" {why}, ignored", path.display());
                request.log(Level::Crit, &message);
                if volume::delete(&path).is_err() {
                    self.volume.index.doom_files([self.digest]);
                }
            }
            Lost::Unread(call, error) => faults::unread(request, call, &path, error),
        }
    }

    /// Looks for the file of an earlier process that the index does not know yet. Returns whether
    /// the index now has it.
    pub(super) async fn open_cold(&self, request: &mut Request) -> bool {
        if !self.was_cold {
            return false;
        }
        if self.volume.wildcards.before(&request.attempts.cache.key).is_some() {
            // The purger tries again.
            let _ = self.volume.delete(&self.digest);
            return false;
        }
        let Ok(opened) = self.open(request, None).await else { return false };
        // The loader may have found it meanwhile.
        self.volume.index.found(&self.digest, opened.kept(), Now::of_turn());
        true
    }
}
