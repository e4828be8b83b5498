//! `sticky cookie | route | learn`.

use weir_conf::{
    Cx, Fault, Node, Word,
    value::{parse_msec, parse_sec, parse_size},
};
use weir_script::{Template, VarId, Variables};

use crate::{
    settings::{UpstreamWritten, template},
    sticky::{Cookie, Expires, SessionsConfig, is_samesite},
    zones::{MIN_ZONE, Zones},
};

/// The default of `timeout=` in `sticky learn`: ten minutes, in milliseconds.
const SESSION_TIMEOUT: u64 = 600_000;

/// The binding of requests to servers.
#[derive(Clone, Debug, Default)]
pub struct StickyConfig {
    /// Variables with the request's value: the sid of a peer or, for `learn`, the id of a session.
    /// The first non-empty one counts.
    pub lookup: Vec<VarId>,
    /// `learn`: variables with the id of a session that a response begins.
    pub create: Vec<VarId>,
    /// `learn header`: learn at the response's header.
    pub after_header: bool,
    /// `cookie`: the cookie to set.
    pub cookie: Option<Cookie>,
    /// `cookie domain=`.
    pub domain: Option<Template>,
    /// `cookie samesite=`.
    pub samesite: Option<Template>,
}

pub(super) fn set_sticky(
    upstream: &mut UpstreamWritten,
    node: &Node,
    cx: &mut Cx<'_>,
) -> Result<(), Fault> {
    if upstream.sticky_config.is_some() {
        return Err(Fault::duplicate());
    }
    let words = &node.args[1..];
    let mut sticky = StickyConfig::default();
    match node.args[0].value.as_slice() {
        b"cookie" => cookie(&mut sticky, words, cx)?,
        b"route" => {
            for word in words {
                let name = word.after("$").ok_or_else(|| {
                    Fault::new(format!("invalid variable name \"{}\"", word.text())).at(word)
                })?;
                sticky.lookup.push(variable(name, cx)?);
            }
        }
        b"learn" => {
            upstream.sessions = Some(Some(learn(&mut sticky, words, cx)?));
        }
        _ => return Err(unknown(&node.args[0])),
    }
    upstream.sticky_config = Some(Some(sticky));
    Ok(())
}

fn unknown(word: &Word) -> Fault {
    Fault::new(format!("unknown parameter \"{}\"", word.text())).at(word)
}

fn variable(name: &[u8], cx: &mut Cx<'_>) -> Result<VarId, Fault> {
    if name.is_empty() {
        return Err(Fault::new("invalid variable name \"$\""));
    }
    Ok(cx.registry::<Variables>().reference_bytes(name))
}

fn cookie(sticky: &mut StickyConfig, words: &[Word], cx: &mut Cx<'_>) -> Result<(), Fault> {
    let (name, parameters) =
        words.split_first().ok_or_else(|| Fault::directive("empty cookie name"))?;
    if name.value.is_empty() {
        return Err(Fault::directive("empty cookie name"));
    }
    let mut cookie = Cookie { name: name.text().into_owned(), ..Cookie::default() };
    for word in parameters {
        cookie_parameter(sticky, &mut cookie, word, cx)?;
    }
    let variable = format!("cookie_{}", cookie.name);
    sticky.lookup.push(cx.registry::<Variables>().reference(&variable));
    sticky.cookie = Some(cookie);
    Ok(())
}

fn cookie_parameter(
    sticky: &mut StickyConfig,
    cookie: &mut Cookie,
    word: &Word,
    cx: &mut Cx<'_>,
) -> Result<(), Fault> {
    let once = |first: bool, name: &str| {
        let message = || Fault::directive(format!("parameter \"{name}\" is duplicate")).at(word);
        if first { Ok(()) } else { Err(message()) }
    };
    let filled = |value: &[u8], name: &str| {
        let message = || Fault::directive(format!("no value for \"{name}\"")).at(word);
        if value.is_empty() { Err(message()) } else { Ok(()) }
    };
    if let Some(value) = word.after("domain=") {
        once(sticky.domain.is_none(), "domain")?;
        filled(value, "domain")?;
        sticky.domain = Some(template(cx, value)?);
    } else if let Some(value) = word.after("path=") {
        once(cookie.path.is_none(), "path")?;
        filled(value, "path")?;
        cookie.path = Some(String::from_utf8_lossy(value).into_owned());
    } else if let Some(value) = word.after("expires=") {
        once(cookie.expires.is_none(), "expires")?;
        cookie.expires = Some(
            expires(value)
                .ok_or_else(|| Fault::directive("invalid \"expires\" parameter value").at(word))?,
        );
    } else if word.is("httponly") {
        once(!cookie.httponly, "httponly")?;
        cookie.httponly = true;
    } else if word.is("secure") {
        once(!cookie.secure, "secure")?;
        cookie.secure = true;
    } else if let Some(value) = word.after("samesite=") {
        once(sticky.samesite.is_none(), "samesite")?;
        let samesite = template(cx, value)?;
        if samesite.literal().is_some_and(|value| !is_samesite(value)) {
            return Err(Fault::directive("invalid \"samesite\" parameter value").at(word));
        }
        sticky.samesite = Some(samesite);
    } else {
        return Err(unknown(word));
    }
    Ok(())
}

fn expires(value: &[u8]) -> Option<Expires> {
    if value == b"max" {
        return Some(Expires::Max);
    }
    let seconds = i64::try_from(parse_sec(value)?.as_secs()).ok()?;
    Some(Expires::After(seconds))
}

fn learn(
    sticky: &mut StickyConfig,
    words: &[Word],
    cx: &mut Cx<'_>,
) -> Result<SessionsConfig, Fault> {
    let mut zone: Option<(String, u64)> = None;
    let mut timeout = None;
    for word in words {
        let fault = |text: &str| Fault::directive(text).at(word);
        if let Some(value) = word.after("zone=") {
            if zone.is_some() {
                return Err(fault("duplicate zone"));
            }
            zone = Some(learn_zone(value).map_err(fault)?);
        } else if let Some(value) = word.after("timeout=") {
            if timeout.is_some() {
                return Err(fault("duplicate timeout"));
            }
            let time = parse_msec(value).map(|time| time.as_millis() as u64);
            timeout = Some(time.filter(|&time| time > 0).ok_or_else(|| fault("invalid timeout"))?);
        } else if let Some(value) = word.after("create=") {
            let name = value.strip_prefix(b"$");
            let name = name.ok_or_else(|| fault("missing variable in the \"create\" parameter"))?;
            sticky.create.push(variable(name, cx)?);
        } else if let Some(value) = word.after("lookup=") {
            let name = value.strip_prefix(b"$");
            let name = name.ok_or_else(|| fault("missing variable in the \"lookup\" parameter"))?;
            sticky.lookup.push(variable(name, cx)?);
        } else if word.is("header") {
            sticky.after_header = true;
        } else {
            return Err(unknown(word));
        }
    }
    let missing = |name: &str| Fault::directive(format!("\"{name}\" parameter is not specified"));
    if sticky.lookup.is_empty() {
        return Err(missing("lookup"));
    }
    if sticky.create.is_empty() {
        return Err(missing("create"));
    }
    let (zone, size) = zone.ok_or_else(|| missing("zone"))?;
    Zones::declare(cx, zone.as_bytes(), size, "sticky")?;
    own_zone(&zone, cx)?;
    Ok(SessionsConfig { zone, size, timeout: timeout.unwrap_or(SESSION_TIMEOUT) })
}

fn learn_zone(value: &[u8]) -> Result<(String, u64), &'static str> {
    let colon = value.iter().position(|&byte| byte == b':');
    let (name, size) = value.split_at(colon.ok_or("zone size is not specified")?);
    if name.is_empty() {
        return Err("zone name is not specified");
    }
    let size = parse_size(&size[1..]).ok_or("invalid zone size")?;
    if size < MIN_ZONE {
        return Err("zone is too small");
    }
    Ok((String::from_utf8_lossy(name).into_owned(), size))
}

/// Zones of sessions, with the upstream that owns each.
#[derive(Debug, Default)]
struct SessionZones(Vec<(String, String)>);

/// Assigns a zone of sessions to one upstream.
fn own_zone(zone: &str, cx: &mut Cx<'_>) -> Result<(), Fault> {
    let upstream = cx.block_args().first().map(|name| name.text().into_owned());
    let zones = &mut cx.registry::<SessionZones>().0;
    if let Some((_, owner)) = zones.iter().find(|(name, _)| name == zone) {
        return Err(Fault::new(format!(
            "sticky zone \"{zone}\" is already used in upstream \"{owner}\""
        )));
    }
    zones.push((zone.to_owned(), upstream.unwrap_or_default()));
    Ok(())
}
