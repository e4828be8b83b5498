//! The file I/O of requests (`aio`, `aio_write`).

use std::path::Path;

use weir_engine::error_log::Level;
use weir_engine::file_io::{self, Aio};
use weir_engine::thread_pool::directive::Named;
use weir_script::Template;

use crate::core::files;
use crate::request::Request;

/// The thread pool is not defined. The error has been logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UnknownPool;

impl Request {
    /// How files are read in the request's location.
    ///
    /// # Errors
    /// The computed name is that of no pool.
    #[inline]
    pub(crate) fn aio(&mut self) -> Result<Aio, UnknownPool> {
        match &self.location.usual.files.aio {
            files::AioSetting::Off => Ok(Aio::Off),
            files::AioSetting::On(pool) => Ok(pool.pool().cloned().map_or(Aio::Off, Aio::On)),
            files::AioSetting::Threads(pool) => Ok(threads(pool)),
            files::AioSetting::Computed(name) => {
                let name = name.clone();
                self.named_pool(&name)
            }
        }
    }

    /// With `aio`, opens a path off the loop, so that [`Request::open_file`] does not wait for the
    /// disk.
    pub(crate) async fn prepare_path(&mut self, path: &Path) {
        // An unknown pool is logged when the file is read.
        if self.location.usual.files.aio.is_off() {
            return;
        }
        if let Ok(aio) = self.aio() {
            file_io::learn(&aio, path).await;
        }
    }

    /// How temporary files are written.
    ///
    /// # Errors
    /// As [`Request::aio`].
    pub(crate) fn aio_write(&mut self) -> Result<Aio, UnknownPool> {
        if self.location.usual.files.aio_write { self.aio() } else { Ok(Aio::Off) }
    }

    #[cold]
    fn named_pool(&mut self, name: &Template) -> Result<Aio, UnknownPool> {
        let name = self.eval(name);
        let name = String::from_utf8_lossy(&name);
        if let Some(pool) = self.snapshot.thread_pool(&name) {
            return Ok(threads(pool));
        }
        self.log(Level::Error, &format!("thread pool \"{name}\" not found"));
        Err(UnknownPool)
    }
}

/// The pool, which is known once the configuration has been read.
fn threads(pool: &Named) -> Aio {
    pool.pool().cloned().map_or(Aio::Off, Aio::Threads)
}
