//! Access logs of `stream {}`.

use std::collections::HashSet;

use weir_conf::value::{parse_msec, parse_number, parse_size};
use weir_conf::{Cx, Fault, Node, Word};
use weir_engine::os_error::Failed;
use weir_engine::syslog::SyslogOptions;
use weir_script::Template;
use weir_script::log_format::LogFormat;
use weir_script::variables::variables;

/// The names of the formats. A registry of the assembly.
#[derive(Default)]
struct Formats(HashSet<String>);

pub(super) fn set_format(node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    let name = node.args[0].text().into_owned();
    if cx.registry::<Formats>().0.contains(&name) {
        return Err(Fault::new(format!("duplicate \"log_format\" name \"{name}\"")));
    }
    let parts: Vec<_> = node.args[1..].iter().map(|word| word.value.as_slice()).collect();
    LogFormat::parse(&parts, variables(cx))?;
    cx.registry::<Formats>().0.insert(name);
    Ok(())
}

pub(super) fn set_log(node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    let first = &node.args[0];
    if first.is("off") {
        return node.args.get(1).map_or(Ok(()), |word| Err(Fault::parameter(word)));
    }
    let plain = place(first, cx)?;
    let Some(name) = node.args.get(1) else {
        return Err(Fault::new("log format is not specified"));
    };
    if !cx.registry::<Formats>().0.contains(&*name.text()) {
        return Err(Fault::new(format!("unknown log format \"{}\"", name.shown())).at(name));
    }
    let (mut buffered, mut flushed) = (false, false);
    for word in &node.args[2..] {
        let invalid = |what: &str, value: &[u8]| {
            let value = String::from_utf8_lossy(value);
            Fault::new(format!("invalid {what} \"{value}\"")).at(word)
        };
        if let Some(size) = word.after("buffer=") {
            let right = parse_size(size).is_some_and(|size| size > 0);
            right.then_some(()).ok_or_else(|| invalid("buffer size", size))?;
            buffered = true;
        } else if let Some(time) = word.after("flush=") {
            let right = parse_msec(time).is_some_and(|time| !time.is_zero());
            right.then_some(()).ok_or_else(|| invalid("flush time", time))?;
            flushed = true;
        } else if let Some(level) = word.after("gzip=") {
            let right = matches!(parse_number(level), Some(1..=9));
            right.then_some(()).ok_or_else(|| invalid("compression level", level))?;
            buffered = true;
        } else if word.is("gzip") {
            buffered = true;
        } else if let Some(condition) = word.after("if=") {
            Template::compile(condition, variables(cx))?;
        } else {
            return Err(Fault::parameter(word));
        }
    }
    if flushed && !buffered {
        let message = format!("no buffer is defined for access_log \"{}\"", first.shown());
        return Err(Fault::new(message));
    }
    match (buffered, plain) {
        (true, Place::Computed) => Err("buffered logs cannot have variables in name".into()),
        (true, Place::Syslog) => Err("logs to syslog cannot be buffered".into()),
        _ => Ok(()),
    }
}

enum Place {
    File,
    Computed,
    Syslog,
}

fn place(word: &Word, cx: &mut Cx<'_>) -> Result<Place, Fault> {
    let text = word.text();
    if let Some(parameters) = text.strip_prefix("syslog:") {
        SyslogOptions::parse(parameters, cx).map_err(|fault| fault.at(word))?;
        return Ok(Place::Syslog);
    }
    if word.value.contains(&b'$') {
        Template::compile(&word.value, variables(cx))?;
        return Ok(Place::Computed);
    }
    let path = cx.prefix_path(&text);
    cx.env().open_log(&path).map_err(|error| {
        let what = format!("open() \"{}\" failed", path.display());
        Fault::new(Failed(&what, &error).to_string())
    })?;
    Ok(Place::File)
}
