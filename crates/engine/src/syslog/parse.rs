//! The parameters `syslog:server=address[,facility=…][,severity=…][,tag=…][,nohostname]` of
//! `error_log` and `access_log`.

use weir_conf::{Cx, Fault};

use super::{FACILITIES, SEVERITIES, SyslogOptions};
use crate::addr::Addr;
use crate::url::{UrlOptions, parse_url};

const DEFAULT_PORT: u16 = 514;
/// `local7`
const DEFAULT_FACILITY: u8 = 23;
/// `info`
const DEFAULT_SEVERITY: u8 = 6;

/// RFC 3164, section 5.3.
const MAX_TAG: usize = 32;

impl SyslogOptions {
    /// Parses the parameters after `syslog:`.
    ///
    /// # Errors
    /// nginx's messages.
    pub fn parse(parameters: &str, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        let (mut server, mut facility, mut severity, mut tag) = (None, None, None, None);
        let mut nohostname = false;
        for parameter in parameters.split(',') {
            if let Some(address) = parameter.strip_prefix("server=") {
                once(&mut server, "server", || server_address(address, cx))?;
            } else if let Some(name) = parameter.strip_prefix("facility=") {
                once(&mut facility, "facility", || known(&FACILITIES, "facility", name))?;
            } else if let Some(name) = parameter.strip_prefix("severity=") {
                once(&mut severity, "severity", || known(&SEVERITIES, "severity", name))?;
            } else if let Some(text) = parameter.strip_prefix("tag=") {
                once(&mut tag, "tag", || checked_tag(text))?;
            } else if parameter == "nohostname" {
                nohostname = true;
            } else {
                return Err(Fault::new(format!("unknown syslog parameter \"{parameter}\"")));
            }
        }
        Ok(Self {
            server: server.ok_or_else(|| Fault::new("no syslog server specified"))?,
            facility: facility.unwrap_or(DEFAULT_FACILITY),
            severity: severity.unwrap_or(DEFAULT_SEVERITY),
            tag: tag.unwrap_or_else(|| "nginx".to_owned()),
            nohostname,
        })
    }
}

fn once<T>(
    slot: &mut Option<T>,
    name: &str,
    parse: impl FnOnce() -> Result<T, Fault>,
) -> Result<(), Fault> {
    if slot.is_some() {
        return Err(Fault::new(format!("duplicate syslog \"{name}\"")));
    }
    *slot = Some(parse()?);
    Ok(())
}

fn known(names: &[&str], what: &str, name: &str) -> Result<u8, Fault> {
    let place = names.iter().position(|known| *known == name);
    let place = place.and_then(|place| u8::try_from(place).ok());
    place.ok_or_else(|| Fault::new(format!("unknown syslog {what} \"{name}\"")))
}

fn checked_tag(text: &str) -> Result<String, Fault> {
    if text.len() > MAX_TAG {
        return Err(Fault::new("syslog tag length exceeds 32"));
    }
    if text.bytes().any(|b| !b.is_ascii_alphanumeric() && b != b'_') {
        let words = "syslog \"tag\" only allows alphanumeric characters and underscore";
        return Err(Fault::new(words));
    }
    Ok(text.to_owned())
}

fn server_address(text: &str, cx: &mut Cx<'_>) -> Result<Addr, Fault> {
    let options =
        UrlOptions { default_port: DEFAULT_PORT, uri_part: false, lookup: Some(cx.env()) };
    let fault = |why: &str| Fault::new(format!("{why} in syslog server \"{text}\""));
    let url = parse_url(text, options).map_err(fault)?;
    url.addresses.into_iter().next().ok_or_else(|| fault("host not found"))
}
