//! `index`: index files (<https://nginx.org/en/docs/http/ngx_http_index_module.html>).

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use weir_conf::{Cx, Fault, Inherit, Node, Slot, directives};
use weir_engine::error_log::Level;
use weir_engine::os_error::OsError;
use weir_script::{Template, Variables};
use weir_wire::h1::Method;

use crate::core::{ERRORS, FILES};
use crate::module::{Handler, Module, Pending, Phase, PhaseHandler, Verdict};
use crate::open_file::Want;
use crate::rejection::Rejection;
use crate::request::Request;

pub(crate) const MODULE: Module = Module {
    name: "index",
    tables: &[&Index::table(&INDEX)],
    handlers: &[
        PhaseHandler {
            phase: Phase::Content,
            enabled: |settings| !settings.get(&FILES).aio.is_off(),
            handler: Handler::Async(prepare),
        },
        PhaseHandler { phase: Phase::Content, enabled: |_| true, handler: Handler::Sync(handle) },
    ],
    ..Module::NONE
};

static INDEX: Slot<Index> = Slot::new();

directives! {
    /// Index files.
    pub(crate) struct Index as IndexWritten in [http, server, location] {
        /// The index files of a folder, tried in order. The last may be an absolute URI.
        "index" [1+]: "file ..." => set_index,
        field names: Inherit<IndexNames>,
    }
}

/// The names of index files.
#[derive(Clone, Debug)]
pub(crate) struct IndexNames(Vec<Template>);

impl Default for IndexNames {
    fn default() -> Self {
        Self(vec![Template::from_literal(b"index.html")])
    }
}

fn set_index(own: &mut IndexWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    for (at, word) in node.args.iter().enumerate() {
        if word.value.first() == Some(&b'/') && at + 1 != node.args.len() {
            cx.warn("only the last index in \"index\" directive should be absolute");
        }
        if word.value.is_empty() {
            let message = "index \"\" in \"index\" directive is invalid";
            return Err(Fault::new(message).at(word));
        }
        let name = Template::compile(&word.value, cx.registry::<Variables>())?;
        own.names.get_or_insert_with(|| IndexNames(Vec::new())).0.push(name);
    }
    Ok(())
}

/// Whether the request is for a folder.
fn is_wanted(request: &Request) -> bool {
    request.uri.ends_with(b"/")
        && matches!(request.method, Method::Get | Method::Head | Method::Post)
}

/// With `aio`, opens the files off the loop, so that the handler finds them cached.
fn prepare(request: &mut Request) -> Pending<'_, Verdict> {
    Box::pin(async move {
        if !is_wanted(request) {
            return Verdict::Next;
        }
        let location = request.location.clone();
        for template in &location.settings.get(&INDEX).names.0 {
            let name = request.eval(template);
            if name.first() == Some(&b'/') {
                break;
            }
            let folder = match Folder::of(request) {
                Ok(folder) => folder.path,
                Err(rejection) => return rejection.into(),
            };
            let path = [&folder[..], &name[..]].concat();
            if !request.leaves_root(&path, folder.len()) {
                request.prepare_path(&PathBuf::from(OsString::from_vec(path))).await;
            }
        }
        Verdict::Next
    })
}

fn handle(request: &mut Request) -> Verdict {
    if !is_wanted(request) {
        return Verdict::Next;
    }
    let location = request.location.clone();
    let mut folder = None;
    for template in &location.settings.get(&INDEX).names.0 {
        let name = request.eval(template);
        if name.first() == Some(&b'/') {
            let args = request.args.clone();
            return request.internal_redirect(name, args);
        }
        let folder = match &mut folder {
            Some(folder) => folder,
            none => match Folder::of(request) {
                Ok(found) => none.insert(found),
                Err(rejection) => return rejection.into(),
            },
        };
        match folder.look_for(request, &name) {
            Ok(true) => {
                let uri = [&request.uri[..], &name[..]].concat();
                let args = request.args.clone();
                return request.internal_redirect(uri, args);
            }
            Ok(false) => {}
            Err(rejection) => return rejection.into(),
        }
    }
    Verdict::Next
}

/// The folder of a request, and whether it is known to exist.
struct Folder {
    path: Vec<u8>,
    tested: bool,
}

impl Folder {
    fn of(request: &mut Request) -> Result<Self, Rejection> {
        let path = request.path()?.into_os_string().into_vec();
        Ok(Self { path, tested: false })
    }

    /// Whether the folder has a file of that name.
    fn look_for(&mut self, request: &mut Request, name: &[u8]) -> Result<bool, Rejection> {
        let path = [&self.path[..], name].concat();
        if request.leaves_root(&path, self.path.len()) {
            return Err(request.forbid(&path));
        }
        let path = PathBuf::from(OsString::from_vec(path));
        let Err(fault) = request.open_file(&path, Want::Look) else { return Ok(true) };
        match fault.errno {
            Errno::MLINK | Errno::LOOP => return Err(Rejection::FORBIDDEN),
            Errno::NOTDIR | Errno::NAMETOOLONG | Errno::ACCESS => {
                return Err(missing(request, &path, fault.errno));
            }
            _ => {}
        }
        if !self.tested {
            self.test(request, &path)?;
            self.tested = true;
        }
        if fault.errno == Errno::NOENT {
            return Ok(false);
        }
        request.log(Level::Crit, &fault.describe(&path));
        Err(Rejection::INTERNAL)
    }

    /// Distinguishes a folder without the file from a missing folder (ngx_http_index_test_dir).
    fn test(&self, request: &mut Request, file: &Path) -> Result<(), Rejection> {
        // The path of an `alias` without a trailing slash has no slash to strip.
        let bare = match self.path.strip_suffix(b"/") {
            Some(bare) if !bare.is_empty() => bare,
            _ => &self.path[..],
        };
        let path = Path::new(std::ffi::OsStr::from_bytes(bare));
        match request.open_file(path, Want::Folder) {
            Ok(found) if found.is_dir => Ok(()),
            Ok(_) => {
                let path = path.display();
                request.log(Level::Alert, &format!("\"{path}\" is not a directory"));
                Err(Rejection::INTERNAL)
            }
            Err(fault) => match fault.errno {
                Errno::MLINK | Errno::LOOP => Err(Rejection::FORBIDDEN),
                Errno::NOENT => Err(missing(request, file, Errno::NOENT)),
                Errno::ACCESS => Ok(()),
                _ => {
                    request.log(Level::Crit, &fault.describe(path));
                    Err(Rejection::INTERNAL)
                }
            },
        }
    }
}

/// Logs a missing or forbidden file.
fn missing(request: &Request, path: &Path, errno: Errno) -> Rejection {
    let reason = std::io::Error::from(errno);
    let (path, reason) = (path.display(), OsError(&reason));
    if errno == Errno::ACCESS {
        request.log(Level::Error, &format!("\"{path}\" is forbidden ({reason})"));
        return Rejection::FORBIDDEN;
    }
    if request.get(&ERRORS).log_not_found {
        request.log(Level::Error, &format!("\"{path}\" is not found ({reason})"));
    }
    Rejection::NOT_FOUND
}
