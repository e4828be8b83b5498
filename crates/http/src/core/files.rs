//! Reading and sending of files.

use std::sync::Arc;

use weir_conf::value::{Bufs, Off, Offset, Size};
use weir_conf::{Arity, Cx, Fault, Node, Slot, Value, directives, keywords};
use weir_engine::thread_pool::directive::{DEFAULT, Named, ThreadPools};
use weir_script::{Template, Variables};

/// Reading and sending of files.
pub(crate) static FILES: Slot<Files> = Slot::new();

keywords! {
    /// When `If-Modified-Since` leads to status 304.
    pub enum IfModifiedSince {
        /// Never.
        "off" => Off,
        /// When the times are equal.
        "exact" => Exact,
        /// When the file is not newer.
        "before" => Before,
    }
}

directives! {
    /// Reading and sending of files.
    pub struct Files in [http, server, location] {
        /// Sends files with `sendfile()`.
        "sendfile" in [http, server, location, location_if] => sendfile: bool = false,
        /// The maximum length of one `sendfile()` call, so that other connections do not wait.
        "sendfile_max_chunk" => sendfile_max_chunk: Size = Size::m(2),
        /// The number and size of the buffers for reading files. Each read fills one buffer.
        "output_buffers" => output_buffers: Bufs = Bufs::new(2, 32 * 1024),
        /// Where reads that miss the page cache run: on the event loop (`off`), in the kernel
        /// (`on`: io_uring, or the pool `default` without it) or in a thread pool. Off the loop,
        /// other connections do not wait for the disk.
        "aio" => aio: AioSetting = AioSetting::Off,
        /// Applies `aio` to writes of temporary files, too.
        "aio_write" => aio_write: bool = false,
        /// Enables the kernel's read-ahead, unless 0. The kernel chooses the distance.
        "read_ahead" => read_ahead: Size,
        /// The size from which files are read with `O_DIRECT`, past the page cache and without
        /// `sendfile()`.
        "directio" => directio: Off<Offset>,
        /// The alignment of `directio` reads that the disk requires.
        "directio_alignment" => directio_alignment: Offset = Offset::bytes(512),
        /// Sets `ETag` for files, from their modification time and size.
        "etag" => etag: bool = true,
        /// When `If-Modified-Since` leads to status 304.
        "if_modified_since" => if_modified_since: IfModifiedSince = IfModifiedSince::Exact,
        /// Whether symbolic links are followed.
        "disable_symlinks" => disable_symlinks: Symlinks,
    }
}

/// Where reads that miss the page cache run.
#[derive(Clone, Debug)]
pub enum AioSetting {
    /// On the loop, which waits for the disk.
    Off,
    /// In the kernel, or in this pool if the loop has no ring.
    On(Arc<Named>),
    /// In this pool.
    Threads(Arc<Named>),
    /// In the pool with the computed name.
    Computed(Template),
}

impl AioSetting {
    /// Whether the loop waits for the disk.
    pub(crate) fn is_off(&self) -> bool {
        matches!(self, Self::Off)
    }
}

impl Value for AioSetting {
    const SYNTAX: &'static str = "on | off | threads[=pool]";
    const ARITY: Arity = Arity::ONE;

    fn parse(node: &Node, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        let word = &node.args[0];
        match &*word.text() {
            "off" => Ok(Self::Off),
            "on" => Ok(Self::On(ThreadPools::refer(cx, DEFAULT))),
            "threads" => Ok(Self::Threads(ThreadPools::refer(cx, DEFAULT))),
            text => {
                let pool = text.strip_prefix("threads=");
                let pool = pool.ok_or_else(|| Fault::bad_value().at(word))?;
                let name = Template::compile(pool.as_bytes(), cx.registry::<Variables>())?;
                match name.literal() {
                    Some(_) => Ok(Self::Threads(ThreadPools::refer(cx, pool))),
                    None => Ok(Self::Computed(name)),
                }
            }
        }
    }

    fn show(&self) -> Option<String> {
        match self {
            Self::Off => Some("off".into()),
            Self::On(_) => Some("on".into()),
            Self::Threads(pool) if pool.name() == DEFAULT => Some("threads".into()),
            Self::Threads(pool) => Some(format!("threads={}", pool.name())),
            Self::Computed(name) => Some(format!("threads={}", name.show()?)),
        }
    }
}

keywords! {
    /// Which symbolic links are followed.
    pub enum SymlinkCheck {
        /// All.
        "off" => Off,
        /// None.
        "on" => On,
        /// Those whose owner owns the target.
        "if_not_owner" => IfNotOwner,
    }
}

/// `disable_symlinks`: which symbolic links are followed.
#[derive(Clone, Debug)]
pub struct Symlinks {
    /// The links to follow.
    pub check: SymlinkCheck,
    /// The prefix of the path that is not checked.
    pub from: Option<Template>,
}

impl Default for Symlinks {
    fn default() -> Self {
        Self { check: SymlinkCheck::Off, from: None }
    }
}

impl Value for Symlinks {
    const SYNTAX: &'static str = "off | on | if_not_owner [from=part]";
    const ARITY: Arity = Arity::exactly(1).or(Arity::exactly(2));

    fn parse(node: &Node, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        let (mut check, mut from) = (None, None);
        for word in &node.args {
            if let Some(part) = word.after("from=") {
                from = Some(Template::compile(part, cx.registry::<Variables>())?);
            } else {
                let text = word.str().unwrap_or_default();
                let known = [SymlinkCheck::Off, SymlinkCheck::On, SymlinkCheck::IfNotOwner];
                let found = known.into_iter().find(|check| check.keyword() == text);
                check = Some(found.ok_or_else(|| Fault::parameter(word))?);
            }
        }
        let Some(check) = check else {
            let name = node.text();
            return Err(format!(
                "\"{name}\" must have \"off\", \"on\" or \"if_not_owner\" parameter"
            )
            .into());
        };
        if let (2, None) = (node.args.len(), &from) {
            let (first, second) = (node.args[0].text(), node.args[1].text());
            return Err(format!("duplicate parameters \"{first} {second}\"").into());
        }
        if check == SymlinkCheck::Off && from.is_some() {
            return Err("\"from=\" cannot be used with \"off\" parameter".into());
        }
        Ok(Self { check, from })
    }

    fn show(&self) -> Option<String> {
        self.check.show()
    }
}
