//! `auth_basic` (<https://nginx.org/en/docs/http/ngx_http_auth_basic_module.html>).

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::sync::Arc;

use weir_conf::{Cx, Fault, Inherit, Node, Slot, directives};
use weir_engine::error_log::Level;
use weir_engine::os_error::Failed;
use weir_script::{Template, Variables};
use weir_wire::h1::Method;

use crate::field;
use crate::module::{Handler, Module, Pending, Phase, PhaseHandler, Verdict};
use crate::request::Request;
use crate::request::basic;

mod crypt;
#[cfg(any(test, fuzzing))]
pub(super) mod fuzz;
mod user_file;

use crypt::Verified;

pub(crate) const MODULE: Module = Module {
    name: "auth_basic",
    tables: &[&AuthBasic::table(&AUTH_BASIC)],
    handlers: &[PhaseHandler {
        phase: Phase::Access,
        enabled: |settings| {
            let own = settings.get(&AUTH_BASIC);
            own.user_file.is_some()
                && own.realm.as_ref().is_some_and(|realm| realm.literal() != Some(b"off"))
        },
        handler: Handler::Async(handle),
    }],
    ..Module::NONE
};

static AUTH_BASIC: Slot<AuthBasic> = Slot::new();

directives! {
    /// HTTP Basic authentication.
    pub(crate) struct AuthBasic as AuthBasicWritten in [http, server, location, limit_except] {
        /// Requires a user name and a password. The string is the realm.
        "auth_basic" as "string | off" => realm: Option<Template>,
        /// The file with user names and password hashes.
        "auth_basic_user_file" [1]: "file" => set_user_file,
        field user_file: Inherit<Option<UserFile>>,
    }
}

/// A path, which may contain variables, and the folder of the configuration, the base of relative
/// paths.
#[derive(Clone, Debug)]
struct UserFile {
    folder: Arc<Path>,
    name: Template,
}

fn set_user_file(own: &mut AuthBasicWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    if own.user_file.is_some() {
        return Err(Fault::duplicate());
    }
    let name = Template::compile(&node.args[0].value, cx.registry::<Variables>())?;
    own.user_file = Some(Some(UserFile { folder: cx.conf_path("").into(), name }));
    Ok(())
}

fn handle(request: &mut Request) -> Pending<'_, Verdict> {
    Box::pin(async move {
        let location = request.location.clone();
        let own = location.settings.get(&AUTH_BASIC);
        let (Some(realm), Some(file)) = (&own.realm, &own.user_file) else { return Verdict::Next };
        let realm = request.eval(realm);
        if realm == b"off" {
            return Verdict::Next;
        }
        let Some((user, password)) = basic::credentials(request) else {
            request.log(Level::Info, "no user/password was provided for basic authentication");
            return ask(request, &realm);
        };
        let name = OsString::from_vec(request.eval(&file.name));
        let path = file.folder.join(name);
        let stored = match user_file::find(&path, &user) {
            Ok(Some(stored)) => stored,
            Ok(None) => {
                let (user, path) = (lossy(&user), path.display());
                let message = format!("user \"{user}\" was not found in \"{path}\"");
                request.log(Level::Error, &message);
                return ask(request, &realm);
            }
            Err(error) => return refuse(request, &path, &error),
        };
        let what = match crypt::verify(password, stored).await {
            Verified::Match => return Verdict::Granted,
            Verified::Mismatch => "password mismatch",
            Verified::Unknown => "unknown password hash scheme",
        };
        request.log(Level::Error, &format!("user \"{}\": {what}", lossy(&user)));
        ask(request, &realm)
    })
}

fn lossy(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    weir_wire::shown(bytes)
}

/// Answers for an unreadable user file: 403 when it is missing, 500 otherwise.
fn refuse(request: &mut Request, path: &Path, error: &user_file::Error) -> Verdict {
    let (level, status, call, error) = match error {
        user_file::Error::Open(error) if error.kind() == std::io::ErrorKind::NotFound => {
            (Level::Error, 403, "open()", error)
        }
        user_file::Error::Open(error) => (Level::Crit, 500, "open()", error),
        user_file::Error::Read(error) => (Level::Crit, 500, "pread()", error),
    };
    let what = format!("{call} \"{}\" failed", path.display());
    request.log(level, &Failed(&what, error).to_string());
    Verdict::Status(status)
}

/// Asks for credentials: 401, or 407 in answer to `CONNECT`, where Weir is a proxy.
fn ask(request: &mut Request, realm: &[u8]) -> Verdict {
    let mut value = [b"Basic realm=\"", realm, b"\""].concat();
    field::clean(&mut value, 0);
    if request.method == Method::Connect {
        request.response.headers.push(b"Proxy-Authenticate", &value);
        return Verdict::Status(407);
    }
    request.response.headers.push(b"WWW-Authenticate", &value);
    Verdict::Status(401)
}
