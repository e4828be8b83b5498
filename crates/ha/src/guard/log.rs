//! The guard's error log: that of the configuration in force, which a plan describes, since the
//! guard outlives the program and the configuration with which it began.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use weir_engine::error_log::{Form, Sink, Target};
use weir_engine::log_files::LogFile;
use weir_engine::syslog::{Syslog, SyslogOptions};
use weir_engine::{Addr, ErrorLog, Level};

/// A log as a plan describes it.
pub fn describe(log: &ErrorLog) -> Value {
    log.targets().iter().map(describe_target).collect()
}

fn describe_target(target: &Target) -> Value {
    let level = target.level.name();
    let mut described = match &target.sink {
        Sink::File(file) => json!({ "level": level, "file": file.path().to_string_lossy() }),
        Sink::Stderr => json!({ "level": level }),
        Sink::Syslog(syslog) => {
            let SyslogOptions { server, facility, severity, tag, nohostname } = syslog.options();
            json!({
                "level": level,
                "syslog": server.to_string(),
                "facility": facility,
                "severity": severity,
                "tag": tag,
                "nohostname": nohostname,
            })
        }
    };
    // Guards of earlier versions know one form.
    if target.form == Form::Json {
        described["json"] = true.into();
    }
    described
}

/// Opens a log; targets that cannot be opened are left out, and `None` is returned if none is left.
pub(super) fn open(described: &Value) -> Option<ErrorLog> {
    let targets: Vec<_> = described.as_array()?.iter().filter_map(open_target).collect();
    (!targets.is_empty()).then(|| ErrorLog::new(targets))
}

fn open_target(described: &Value) -> Option<Target> {
    let level = Level::from_name(described["level"].as_str()?)?;
    let number = |name: &str| described[name].as_u64().and_then(|number| u8::try_from(number).ok());
    let sink = if let Some(path) = described["file"].as_str() {
        Sink::File(Arc::new(LogFile::open(path).ok()?))
    } else if let Some(server) = described["syslog"].as_str() {
        Sink::Syslog(Arc::new(Syslog::new(SyslogOptions {
            server: match server.strip_prefix("unix:") {
                Some(path) => Addr::unix(Path::new(path)),
                None => Addr::Inet(server.parse().ok()?),
            },
            facility: number("facility")?,
            severity: number("severity")?,
            tag: described["tag"].as_str()?.to_owned(),
            nohostname: described["nohostname"] == true,
        })))
    } else {
        Sink::Stderr
    };
    let form = if described["json"] == true { Form::Json } else { Form::Plain };
    Some(Target { level, form, sink })
}

/// Opens the files of a log again, which somebody has moved.
pub(super) fn reopen(log: &ErrorLog) {
    for target in log.targets() {
        if let Sink::File(file) = &target.sink {
            let _ = file.reopen();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_opened_from_its_description() {
        let path = std::env::temp_dir().join(format!("weir-guard-log-{}", std::process::id()));
        let syslog = |server| {
            let tag = "weir".to_owned();
            let options =
                SyslogOptions { server, facility: 23, severity: 6, tag, nohostname: true };
            Sink::Syslog(Arc::new(Syslog::new(options)))
        };
        let sinks = [
            Sink::File(Arc::new(LogFile::open(&path).unwrap())),
            Sink::Stderr,
            syslog(Addr::Inet("192.0.2.1:514".parse().unwrap())),
            syslog(Addr::Inet("[2001:db8::1]:514".parse().unwrap())),
            syslog(Addr::unix(Path::new("/dev/log"))),
        ];
        let forms = [Form::Plain, Form::Json].into_iter().cycle();
        let target = |(sink, form)| Target { level: Level::Warn, form, sink };
        let targets = sinks.into_iter().zip(forms).map(target);
        let described = describe(&ErrorLog::new(targets.collect()));
        let opened = open(&described).unwrap();
        assert_eq!((opened.targets().len(), describe(&opened)), (5, described));
        assert!(opened.takes_json(Level::Warn) && opened.targets()[1].form == Form::Json);
        std::fs::remove_file(&path).unwrap();
        assert!(open(&json!([{"level": "warn", "file": "/no/such/folder/log"}])).is_none());
        assert!(open(&json!([{"level": "loud"}])).is_none() && open(&Value::Null).is_none());
    }
}
