//! `try_files`: serves the first file that exists, or redirects internally
//! (<https://nginx.org/en/docs/http/ngx_http_core_module.html#try_files>).

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use weir_conf::{Settings, Span};
use weir_script::Template;

use crate::core::root::Alias;
use crate::core::try_files::Fallback;
use crate::core::{FILES, ROOT, TRY_FILES};
use crate::error_page::split_args;
use crate::module::{Handler, Module, Pending, Phase, PhaseHandler, Verdict};
use crate::recorder::notes::Kind;
use crate::request::Request;

pub(crate) const MODULE: Module = Module {
    name: "try_files",
    handlers: &[
        PhaseHandler {
            phase: Phase::PreContent,
            enabled: |settings| tries(settings) && !settings.get(&FILES).aio.is_off(),
            handler: Handler::Async(prepare),
        },
        PhaseHandler { phase: Phase::PreContent, enabled: tries, handler: Handler::Sync(handle) },
    ],
    ..Module::NONE
};

fn tries(settings: &Settings) -> bool {
    settings.get(&TRY_FILES).candidates.is_some()
}

/// With `aio`, opens the files off the loop, so that the handler finds them cached.
fn prepare(request: &mut Request) -> Pending<'_, Verdict> {
    Box::pin(async move {
        let location = request.location.clone();
        let Some(candidates) = &location.settings.get(&TRY_FILES).candidates else {
            return Verdict::Next;
        };
        let root = match request.root_for_files() {
            Ok(root) => root,
            Err(rejection) => return rejection.into(),
        };
        let mut path = Vec::new();
        for candidate in &candidates.files {
            if candidate_path(request, &candidate.name, &root, &mut path) {
                request.prepare_path(Path::new(OsStr::from_bytes(&path))).await;
            }
        }
        Verdict::Next
    })
}

fn handle(request: &mut Request) -> Verdict {
    let location = request.location.clone();
    let Some(candidates) = &location.settings.get(&TRY_FILES).candidates else {
        return Verdict::Next;
    };
    let alias = location.settings.get(&ROOT).root.alias;
    let root = match request.root_for_files() {
        Ok(root) => root,
        Err(rejection) => return rejection.into(),
    };
    let mut path = Vec::new();
    for candidate in &candidates.files {
        let is_below = candidate_path(request, &candidate.name, &root, &mut path);
        if is_below && is_there(request, &path, candidate.directory) {
            let before = request.is_noted().then(|| request.uri.clone());
            take(request, &path[root.len()..], alias, candidate.directory);
            if let Some(before) = before {
                note(request, candidates.span, &before);
            }
            return Verdict::Next;
        }
    }
    if let Some(noting) = &request.noting {
        noting.cause("try_files", Some(candidates.span), 0);
    }
    match &candidates.fallback {
        Fallback::Code(status) => Verdict::Status(*status),
        Fallback::Uri(template) => {
            let mut target = Vec::new();
            name(request, template, alias, &mut target);
            if target.first() == Some(&b'@') {
                return request.named_redirect(&target);
            }
            let (uri, args) = split_args(target);
            request.internal_redirect(uri, args)
        }
    }
}

/// Notes the file that was found.
fn note(request: &Request, span: Span, before: &[u8]) {
    request.note(Kind::Rewrite, |step, texts| {
        (step.name, step.span) = ("try_files", Some(span));
        (step.from, step.to) = (texts.add(before), texts.add(&request.uri));
    });
}

/// Writes the path of a candidate. Returns whether it lies below the root.
fn candidate_path(
    request: &mut Request,
    template: &Template,
    root: &[u8],
    path: &mut Vec<u8>,
) -> bool {
    path.clear();
    path.extend_from_slice(root);
    name(request, template, request.get(&ROOT).root.alias, path);
    !request.leaves_root(path, root.len())
}

/// Appends the value of a name. Under `alias`, a name with variables loses the location's prefix,
/// as a URI does.
fn name(request: &mut Request, template: &Template, alias: Alias, out: &mut Vec<u8>) {
    let start = out.len();
    template.eval(request, out);
    if let (Alias::Prefix(length), None) = (alias, template.literal())
        && request.uri.get(..length).is_some_and(|prefix| out[start..].starts_with(prefix))
    {
        out.drain(start..start + length);
    }
}

/// Whether a path exists and is a folder or a file, as wanted.
fn is_there(request: &mut Request, path: &[u8], directory: bool) -> bool {
    let path = Path::new(OsStr::from_bytes(path));
    request.look_at(path).is_some_and(|found| found.is_dir == directory)
}

/// Serves the request with the file that was found, whose path below the root is `name`.
fn take(request: &mut Request, name: &[u8], alias: Alias, directory: bool) {
    match alias {
        Alias::No => request.uri = name.to_vec(),
        Alias::Prefix(length) => {
            request.uri.truncate(length);
            request.uri.extend_from_slice(name);
        }
        Alias::Whole if directory => {}
        Alias::Whole => {
            request.uri = name.to_vec();
            request.uri_in_alias = true;
        }
    }
}
