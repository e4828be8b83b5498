//! How files are read and sent.

use weir_conf::value::{Bufs, Off, Offset, Size};
use weir_conf::{Arity, Cx, Fault, Node, Slot, Value, directives, keywords};
use weir_script::{Template, Variables};

/// How files are read and sent.
pub static FILES: Slot<Files> = Slot::new();

keywords! {
    /// When `If-Modified-Since` makes the answer 304.
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
    /// How files are read and sent.
    pub struct Files in [http, server, location] {
        /// Has the kernel send files.
        "sendfile" in [http, server, location, location_if] => sendfile: bool = false,
        /// The most that one call sends, so that one connection does not keep the others waiting.
        "sendfile_max_chunk" => sendfile_max_chunk: Size = Size::m(2),
        /// The buffers for reading files: one of them is what is read at once.
        "output_buffers" => output_buffers: Bufs = Bufs::new(2, 32 * 1024),
        /// How nginx reads files. Has no effect here: the loop reads, or the kernel sends.
        "aio" => aio: Aio = Aio::Off,
        /// How nginx writes temporary files. Has no effect here.
        "aio_write" => aio_write: AioWrite = AioWrite(false),
        /// Has the kernel read ahead in files, unless 0; how far is up to it.
        "read_ahead" => read_ahead: Size,
        /// From which size on nginx reads files past the page cache. Has no effect here.
        "directio" => directio: DirectIo,
        /// How nginx aligns such reads. Has no effect here.
        "directio_alignment" => directio_alignment: Offset = Offset::bytes(512),
        /// Gives files an ETag of their time and size.
        "etag" => etag: bool = true,
        /// When `If-Modified-Since` makes the answer 304.
        "if_modified_since" => if_modified_since: IfModifiedSince = IfModifiedSince::Exact,
        /// Whether symbolic links are followed.
        "disable_symlinks" => disable_symlinks: Symlinks,
    }
}

/// How files are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Aio {
    /// In the loop.
    Off,
    /// By the kernel.
    On,
    /// By a pool of threads, of that name if it has one.
    Threads(Option<String>),
}

impl Value for Aio {
    const SYNTAX: &'static str = "on | off | threads[=pool]";
    const ARITY: Arity = Arity::ONE;

    fn parse(node: &Node, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        let word = &node.args[0];
        if !word.is("off") {
            cx.no_effect("\"aio\" has no effect, the loop reads files or the kernel sends them");
        }
        match &*word.text() {
            "off" => Ok(Self::Off),
            "on" => Ok(Self::On),
            "threads" => Ok(Self::Threads(None)),
            text => {
                let pool = text.strip_prefix("threads=");
                let pool = pool.ok_or_else(|| Fault::bad_value().at(word))?;
                Template::compile(pool.as_bytes(), cx.registry::<Variables>())?;
                Ok(Self::Threads(Some(pool.to_owned())))
            }
        }
    }

    fn show(&self) -> Option<String> {
        match self {
            Self::Off => Some("off".into()),
            Self::On => Some("on".into()),
            Self::Threads(None) => Some("threads".into()),
            Self::Threads(Some(pool)) => Some(format!("threads={pool}")),
        }
    }
}

/// `aio_write`, which warns when it is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AioWrite(pub bool);

impl Value for AioWrite {
    const SYNTAX: &'static str = bool::SYNTAX;
    const ARITY: Arity = Arity::ONE;

    fn parse(node: &Node, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        let on = bool::parse(node, cx)?;
        if on {
            cx.no_effect("\"aio_write\" has no effect, temporary files are written by the loop");
        }
        Ok(Self(on))
    }

    fn show(&self) -> Option<String> {
        self.0.show()
    }
}

/// `directio`, which warns unless it is off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DirectIo(pub Off<Offset>);

impl Value for DirectIo {
    const SYNTAX: &'static str = <Off<Offset>>::SYNTAX;
    const ARITY: Arity = Arity::ONE;

    fn parse(node: &Node, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        let size = <Off<Offset>>::parse(node, cx)?;
        if size != Off::Off {
            cx.no_effect("\"directio\" has no effect, files are sent from the page cache");
        }
        Ok(Self(size))
    }

    fn show(&self) -> Option<String> {
        self.0.show()
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
    /// Which.
    pub check: SymlinkCheck,
    /// The part of the path that is not checked.
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
