//! `userid` (<https://nginx.org/en/docs/http/ngx_http_userid_module.html>).

use std::rc::Rc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use weir_conf::value::parse_sec;
use weir_conf::{Arity, Cx, Fault, Inherit, Node, Settings, Slot, Value};
use weir_conf::{bitmask, directives, keywords};
use weir_engine::clock;
use weir_engine::error_log::Level;
use weir_script::{VarId, Variables};
use weir_wire::header::{self, Known};

use crate::module::Module;
use crate::rejection::Rejection;
use crate::request::basic;
use crate::request::{Request, State};
use crate::variables::VariableRow;

pub(crate) const MODULE: Module = Module {
    name: "userid",
    tables: &[&UserId::table(&USERID)],
    variables: &[
        VariableRow::new(
            "uid_got",
            "The name and value of the client's cookie of `userid`.",
            got_variable,
        ),
        VariableRow::new(
            "uid_set",
            "The name and value of the cookie that `userid` sends.",
            set_variable,
        ),
        VariableRow::new(
            "uid_reset",
            "If set to a value that is neither empty nor `0`, `userid` sends a new cookie; `log` \
             also logs it.",
            |_, _, _| true,
        )
        .changeable(),
    ],
    header_filter: Some((sets, filter)),
    ..Module::NONE
};

static USERID: Slot<UserId> = Slot::new();
static UID: State<Uid> = State::new(Uid::default);

keywords! {
    /// Whether cookies are set.
    pub enum CookieMode {
        /// Disabled.
        "off" => Off,
        /// No cookies are set, but those received are available to the log.
        "log" => Log,
        /// Sets cookies of version 1.
        "v1" => V1,
        /// Sets cookies of version 2.
        "on" => On,
    }
}

bitmask! {
    /// The flags of the cookie.
    pub struct Flags {
        "off" => OFF = 1,
        "secure" => SECURE = 2,
        "httponly" => HTTP_ONLY = 4,
        "samesite=strict" => STRICT = 8,
        "samesite=lax" => LAX = 16,
        "samesite=none" => NONE = 32,
    }
}

directives! {
    /// Cookies that identify clients.
    pub struct UserId as UserIdWritten in [http, server, location] {
        /// Sets cookies that identify clients.
        "userid" [1]: "on | v1 | log | off" => set_mode,
        /// The number of this server in cookies. By default, version 2 uses its address.
        "userid_service" => service: Option<u32>,
        /// The name of the cookie.
        "userid_name" => name: String = "uid".to_owned(),
        /// The domain of the cookie.
        "userid_domain" => domain: String = "none".to_owned(),
        /// The path of the cookie.
        "userid_path" => path: String = "/".to_owned(),
        /// The lifetime of the cookie.
        "userid_expires" => expires: CookieLifetime = CookieLifetime::Never,
        /// The flags of the cookie.
        "userid_flags" => flags: Flags = Flags::OFF,
        /// The P3P policy that is sent with the cookie.
        "userid_p3p" => p3p: String = "none".to_owned(),
        /// A mark in place of the cookie's first padding character. Cookies without it are sent
        /// again.
        "userid_mark" => mark: Mark = Mark(None),
        field mode: Inherit<Option<CookieMode>>,
        field reset: Inherit<Option<VarId>>,
    }
}

/// The lifetime of a cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CookieLifetime {
    /// Until the browser is closed.
    Never,
    /// This many seconds.
    After(i64),
    /// The latest date that cookies support.
    Max,
}

impl Value for CookieLifetime {
    const SYNTAX: &'static str = "time | max | off";
    const ARITY: Arity = Arity::ONE;

    fn parse(node: &Node, _: &mut Cx<'_>) -> Result<Self, Fault> {
        let word = &node.args[0];
        match &*word.value {
            b"max" => Ok(Self::Max),
            b"off" => Ok(Self::Never),
            text => match parse_sec(text) {
                Some(time) if time.is_zero() => Ok(Self::Never),
                Some(time) => Ok(Self::After(time.as_secs() as i64)),
                None => Err(Fault::bad_value().at(word)),
            },
        }
    }
}

/// The value of `userid_mark`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark(Option<u8>);

impl Value for Mark {
    const SYNTAX: &'static str = "letter | digit | = | off";
    const ARITY: Arity = Arity::ONE;

    fn parse(node: &Node, _: &mut Cx<'_>) -> Result<Self, Fault> {
        let word = &node.args[0];
        match &*word.value {
            b"off" => Ok(Self(None)),
            &[mark] if mark.is_ascii_alphanumeric() || mark == b'=' => Ok(Self(Some(mark))),
            _ => {
                let text = "value must be \"off\" or a single letter, digit or \"=\"";
                Err(Fault::directive(text).at(word))
            }
        }
    }
}

fn set_mode(own: &mut UserIdWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    if own.mode.is_some() {
        return Err(Fault::duplicate());
    }
    own.mode = Some(Some(<CookieMode as Value>::parse(node, cx)?));
    own.reset = Some(Some(cx.registry::<Variables>().reference("uid_reset")));
    Ok(())
}

impl UserId {
    fn sets(&self) -> bool {
        matches!(self.mode, Some(CookieMode::V1 | CookieMode::On))
    }
}

fn sets(settings: &Settings) -> bool {
    settings.get(&USERID).sets()
}

/// The cookies of a request.
#[derive(Default)]
struct Uid {
    /// Whether the received cookie has been parsed.
    read: bool,
    /// The value of the received cookie.
    cookie: Vec<u8>,
    /// The received id; its last part is 0 if there is none.
    got: [u32; 4],
    /// The id to set; its last part is 0 if there is none.
    set: [u32; 4],
    /// Whether `$uid_reset` requires a new id.
    reset: bool,
}

fn filter(request: &mut Request) -> Result<(), Rejection> {
    if request.is_subrequest() {
        return Ok(());
    }
    let location = request.location.clone();
    let settings = location.settings.get(&USERID);
    read(request, settings);
    create(request, settings);
    let uid = request.state(&UID);
    if uid.set[3] == 0 {
        return Ok(());
    }
    let cookie = cookie(settings, uid);
    request.response.headers.push(b"Set-Cookie", &cookie);
    if settings.p3p != "none" && !settings.p3p.is_empty() {
        request.response.headers.push(b"P3P", settings.p3p.as_bytes());
    }
    Ok(())
}

/// The length of an id in a cookie: 16 bytes in base64 without padding.
const ID_LENGTH: usize = 22;

/// Parses the client's cookie, once.
fn read(request: &mut Request, settings: &UserId) {
    if std::mem::replace(&mut request.state(&UID).read, true) {
        return;
    }
    let head = Rc::clone(&request.head);
    let found =
        head.iter().filter(|&(_, _, known)| known == Known::Cookie).find_map(|(_, line, _)| {
            Some((line, header::param(line, settings.name.as_bytes(), b';')?))
        });
    let Some((line, value)) = found else { return };
    request.state(&UID).cookie = value.to_vec();
    let shown = || weir_wire::shown(line);
    if value.len() < ID_LENGTH {
        let message = format!("client sent too short userid cookie \"{}\"", shown());
        return request.log(Level::Error, &message);
    }
    match decode(&value[..ID_LENGTH]) {
        Some(got) => request.state(&UID).got = got,
        None => {
            let message = format!("client sent invalid userid cookie \"{}\"", shown());
            request.log(Level::Error, &message);
        }
    }
}

/// Decodes an id. Missing bytes at its end are 0.
fn decode(text: &[u8]) -> Option<[u32; 4]> {
    let text = text.split(|&b| b == b'=').next().unwrap_or_default();
    let bytes = basic::BASE64.decode(text).ok()?;
    let mut id = [0; 4];
    for (part, bytes) in id.iter_mut().zip(bytes.chunks(4)) {
        let mut whole = [0; 4];
        whole[..bytes.len()].copy_from_slice(bytes);
        *part = u32::from_ne_bytes(whole);
    }
    Some(id)
}

/// Determines the id to set, once.
fn create(request: &mut Request, settings: &UserId) {
    if request.state(&UID).set[3] != 0 {
        return;
    }
    if request.state(&UID).got[3] != 0 {
        let mut reset = Vec::new();
        if let Some(id) = settings.reset {
            request.variable(id, &mut reset);
        }
        let uid = request.state(&UID);
        if reset.is_empty() || reset == b"0" {
            let marked = |mark| {
                uid.cookie.len() > ID_LENGTH + 1
                    && uid.cookie[ID_LENGTH] == mark
                    && uid.cookie[ID_LENGTH + 1] == b'='
            };
            if !settings.mark.0.is_none_or(marked) {
                uid.set = uid.got;
            }
            return;
        }
        uid.reset = true;
        if reset == b"log" {
            let message = format!("userid cookie \"{}\" was reset", shown(settings, uid.got));
            request.log(Level::Notice, &message);
        }
    }
    request.state(&UID).set = new_id(request, settings);
}

/// Sequence numbers, shared by all threads.
static SEQUENCE_V1: AtomicU32 = AtomicU32::new(1);
static SEQUENCE_V2: AtomicU32 = AtomicU32::new(SEQUENCE_START);

/// The first sequence number of version 2.
const SEQUENCE_START: u32 = 0x0303_0302;

/// Identifies the process: its start time within a second, in units of 20 µs, and its pid.
static START: LazyLock<u32> = LazyLock::new(|| {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let micros = now.map_or(0, |now| now.subsec_micros());
    (micros / 20) << 16 | std::process::id()
});

fn new_id(request: &Request, settings: &UserId) -> [u32; 4] {
    const STEP: u32 = 0x100;
    let now = clock::wall_secs() as u32;
    if settings.mode == Some(CookieMode::V1) {
        let sequence = SEQUENCE_V1.fetch_add(STEP, Ordering::Relaxed);
        return [settings.service.unwrap_or(0), now, *START, sequence];
    }
    let mut sequence = SEQUENCE_V2.fetch_add(STEP, Ordering::Relaxed);
    if sequence < SEQUENCE_START {
        // The counter has wrapped around.
        SEQUENCE_V2.store(SEQUENCE_START + STEP, Ordering::Relaxed);
        sequence = SEQUENCE_START;
    }
    let service = match (settings.service, request.info.local.ip()) {
        (Some(service), _) => service.to_be(),
        (None, Some(std::net::IpAddr::V4(ip))) => u32::from_ne_bytes(ip.octets()),
        (None, Some(std::net::IpAddr::V6(ip))) => {
            let octets = ip.octets();
            u32::from_ne_bytes([octets[12], octets[13], octets[14], octets[15]])
        }
        (None, None) => 0,
    };
    [service, now.to_be(), START.to_be(), sequence.to_be()]
}

/// The value of `Set-Cookie`.
fn cookie(settings: &UserId, uid: &Uid) -> Vec<u8> {
    let mut out = settings.name.as_bytes().to_vec();
    out.push(b'=');
    if uid.got[3] == 0 || uid.reset {
        let bytes: Vec<u8> = uid.set.iter().flat_map(|part| part.to_ne_bytes()).collect();
        let mut encoded = STANDARD.encode(bytes).into_bytes();
        if let Some(mark) = settings.mark.0 {
            encoded[ID_LENGTH] = mark;
        }
        out.extend_from_slice(&encoded);
    } else {
        out.extend_from_slice(&uid.cookie[..ID_LENGTH]);
        out.extend(settings.mark.0);
        out.push(b'=');
    }
    attributes(settings, &mut out);
    out
}

fn attributes(settings: &UserId, out: &mut Vec<u8>) {
    match settings.expires {
        CookieLifetime::Never => {}
        CookieLifetime::Max => out.extend_from_slice(b"; expires=Thu, 31-Dec-37 23:55:55 GMT"),
        CookieLifetime::After(seconds) => {
            out.extend_from_slice(b"; expires=");
            weir_wire::date::cookie(clock::wall_secs().saturating_add(seconds), out);
        }
    }
    if settings.domain != "none" && !settings.domain.is_empty() {
        out.extend_from_slice(b"; domain=");
        out.extend_from_slice(settings.domain.as_bytes());
    }
    out.extend_from_slice(b"; path=");
    out.extend_from_slice(settings.path.as_bytes());
    let flags: [(Flags, &[u8]); 5] = [
        (Flags::SECURE, b"; secure"),
        (Flags::HTTP_ONLY, b"; httponly"),
        (Flags::STRICT, b"; samesite=strict"),
        (Flags::LAX, b"; samesite=lax"),
        (Flags::NONE, b"; samesite=none"),
    ];
    for (_, text) in flags.iter().filter(|(flag, _)| settings.flags.has(*flag)) {
        out.extend_from_slice(text);
    }
}

/// The form of an id in variables and the log.
fn shown(settings: &UserId, id: [u32; 4]) -> String {
    let [a, b, c, d] = id;
    format!("{}={a:08X}{b:08X}{c:08X}{d:08X}", settings.name)
}

/// `$uid_got`: the received cookie.
fn got_variable(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    let location = request.location.clone();
    let settings = location.settings.get(&USERID);
    if matches!(settings.mode, None | Some(CookieMode::Off)) {
        return false;
    }
    read(request, settings);
    let got = request.state(&UID).got;
    if got[3] != 0 {
        out.extend_from_slice(shown(settings, got).as_bytes());
    }
    got[3] != 0
}

/// `$uid_set`: the cookie to set.
fn set_variable(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    let location = request.location.clone();
    let settings = location.settings.get(&USERID);
    if !settings.sets() {
        return false;
    }
    read(request, settings);
    create(request, settings);
    let set = request.state(&UID).set;
    if set[3] != 0 {
        out.extend_from_slice(shown(settings, set).as_bytes());
    }
    set[3] != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_their_cookie() {
        let id = [1, 2, 3, 0x0303_0302];
        let uid = Uid { set: id, ..Uid::default() };
        let settings = UserId { mark: Mark(Some(b't')), ..UserId::default() };
        let cookie = cookie(&settings, &uid);
        let value = cookie.strip_prefix(b"uid=").unwrap();
        assert_eq!(decode(&value[..ID_LENGTH]), Some(id));
        assert_eq!(&value[ID_LENGTH..], b"t=; path=/");
    }

    #[test]
    fn attributes_in_nginx_order() {
        let flags = Flags::SECURE.union(Flags::LAX);
        let settings = UserId {
            domain: "x.y".into(),
            expires: CookieLifetime::Max,
            flags,
            ..UserId::default()
        };
        let mut out = Vec::new();
        attributes(&settings, &mut out);
        let expected: &[u8] = b"; expires=Thu, 31-Dec-37 23:55:55 GMT; domain=x.y; path=/; secure\
                                ; samesite=lax";
        assert_eq!(out, expected);
    }
}
