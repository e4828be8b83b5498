//! `access_log`: the destinations of lines.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use weir_conf::value::{parse_msec, parse_number, parse_size};
use weir_conf::{Cx, Fault, LogFile as Handle, Node, Word};
use weir_engine::log_buffer::Buffering;
use weir_engine::os_error::Failed;
use weir_engine::syslog::{Syslog, SyslogOptions};
use weir_script::Template;
use weir_script::variables::{is_stream, variables};

use super::{AccessLog, COMBINED_NAME, Formats, LoggingWritten, Logs, To, Trouble};

/// The default size of a compressed log's buffer.
const GZIP_BUFFER: usize = 64 * 1024;

/// The default compression level.
const GZIP_LEVEL: u32 = 1;

/// The buffering of the files of an assembly. A file has only one.
#[derive(Default)]
struct Buffered(HashMap<Handle, Buffering>);

pub(super) fn set_access_log(
    own: &mut LoggingWritten,
    node: &Node,
    cx: &mut Cx<'_>,
) -> Result<(), Fault> {
    let logs = own.logs.get_or_insert_default();
    if node.args[0].is("off") {
        logs.off = true;
        return node.args.get(1).map_or(Ok(()), |word| Err(Fault::parameter(word)));
    }
    let mut to = place(&node.args[0], cx)?;
    let name = match node.args.get(1) {
        None if is_stream(cx) => return Err(Fault::new("log format is not specified")),
        name => name.map_or(COMBINED_NAME.into(), Word::text),
    };
    let unknown = || Fault::new(format!("unknown log format \"{name}\""));
    let format = Formats::find(cx, &name).ok_or_else(unknown)?;
    let rest = Rest::parse(node, cx)?;
    if let Some(how) = rest.buffering(node)? {
        to = buffered(to, how, node, cx)?;
    }
    let log = AccessLog { to, format, condition: rest.condition, trouble: Trouble::default() };
    add(logs, log);
    Ok(())
}

fn add(logs: &mut Logs, log: AccessLog) {
    // While a block is read, its list is not shared.
    if let Some(list) = Arc::get_mut(&mut logs.list) {
        list.push(log);
    }
}

/// The destination in the first argument.
fn place(word: &Word, cx: &mut Cx<'_>) -> Result<To, Fault> {
    let text = word.text();
    if let Some(parameters) = text.strip_prefix("syslog:") {
        let options = SyslogOptions::parse(parameters, cx).map_err(|fault| fault.at(word))?;
        return Ok(To::Syslog(Arc::new(Syslog::new(options))));
    }
    let path = cx.prefix_path(&text);
    if word.value.contains(&b'$') {
        let path = path.as_os_str().as_encoded_bytes();
        return Ok(To::Computed(Template::compile(path, variables(cx))?));
    }
    let opened = cx.env().open_log(&path);
    opened.map(To::File).map_err(|error| refused(&path, &error))
}

/// The fault of a log that the environment does not open.
pub(super) fn refused(path: &Path, error: &io::Error) -> Fault {
    let what = format!("open() \"{}\" failed", path.display());
    Fault::new(Failed(&what, error).to_string())
}

fn buffered(to: To, how: Buffering, node: &Node, cx: &mut Cx<'_>) -> Result<To, Fault> {
    let handle = match to {
        To::File(handle) | To::Buffer(handle, _) => handle,
        To::Computed(_) => return Err("buffered logs cannot have variables in name".into()),
        To::Syslog(_) => return Err("logs to syslog cannot be buffered".into()),
    };
    let known = cx.registry::<Buffered>().0.entry(handle).or_insert(how);
    if *known != how {
        return Err(Fault::new(format!(
            "access_log \"{}\" already defined with conflicting parameters",
            node.args[0].text()
        )));
    }
    Ok(To::Buffer(handle, how))
}

/// The parameters after the format.
#[derive(Default)]
struct Rest {
    size: Option<usize>,
    flush: Option<std::time::Duration>,
    gzip: Option<u32>,
    condition: Option<Template>,
}

impl Rest {
    fn parse(node: &Node, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        let mut rest = Self::default();
        for word in node.args.iter().skip(2) {
            let invalid = |what: &str, value: &[u8]| {
                let value = String::from_utf8_lossy(value);
                Fault::new(format!("invalid {what} \"{value}\"")).at(word)
            };
            if let Some(size) = word.after("buffer=") {
                let bytes = parse_size(size).and_then(|bytes| usize::try_from(bytes).ok());
                let bytes = bytes.filter(|&bytes| bytes > 0);
                rest.size = Some(bytes.ok_or_else(|| invalid("buffer size", size))?);
            } else if let Some(time) = word.after("flush=") {
                let flush = parse_msec(time).filter(|flush| !flush.is_zero());
                rest.flush = Some(flush.ok_or_else(|| invalid("flush time", time))?);
            } else if word.is("gzip") {
                rest.compress(GZIP_LEVEL);
            } else if let Some(level) = word.after("gzip=") {
                let number = parse_number(level).and_then(|number| u32::try_from(number).ok());
                let number = number.filter(|number| (1..=9).contains(number));
                rest.compress(number.ok_or_else(|| invalid("compression level", level))?);
            } else if let Some(condition) = word.after("if=") {
                rest.condition = Some(Template::compile(condition, variables(cx))?);
            } else {
                return Err(Fault::parameter(word));
            }
        }
        Ok(rest)
    }

    fn compress(&mut self, level: u32) {
        self.gzip = Some(level);
        self.size.get_or_insert(GZIP_BUFFER);
    }

    fn buffering(&self, node: &Node) -> Result<Option<Buffering>, Fault> {
        let Self { size, flush, gzip, .. } = *self;
        if size.is_none() && flush.is_some() {
            let name = node.args[0].text();
            return Err(Fault::new(format!("no buffer is defined for access_log \"{name}\"")));
        }
        Ok(size.map(|size| Buffering { size, flush, gzip }))
    }
}
