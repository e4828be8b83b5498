use std::path::Path;

use weir_conf::environment::Memory;
use weir_conf::{Assembly, assemble};

use super::*;

fn read(text: &str) -> Assembly {
    let env = Memory::default().with("/c", text);
    assemble(&[&TABLE], Path::new("/c"), Path::new("/p/"), None, &env)
}

fn message(text: &str) -> String {
    let assembly = read(text);
    assembly.diagnostics.first().map(|d| d.message.clone()).unwrap_or_default()
}

#[test]
fn levels_and_destinations() {
    let assembly = read(
        "error_log e.log; error_log stderr info; error_log e.log debug_http debug_core;
         error_log syslog:server=127.0.0.1,facility=local0,tag=t,nohostname warn;",
    );
    assert!(assembly.diagnostics.is_empty(), "{:?}", assembly.diagnostics);
    let logs = assembly.root.settings.get(&ERROR_LOGS);
    let levels: Vec<_> = logs.logs.iter().map(|log| log.level).collect();
    assert_eq!(levels, [Level::Error, Level::Info, Level::Debug, Level::Warn]);
    assert!(logs.has_file() && logs.has_stderr());
    let To::Syslog(options) = &logs.logs[3].to else { panic!("{:?}", logs.logs[3]) };
    assert_eq!(options.server.to_string(), "127.0.0.1:514");
    assert_eq!((options.facility, options.severity, options.nohostname), (16, 6, true));
}

#[test]
fn a_form_stands_anywhere_after_the_destination() {
    let assembly = read(
        "error_log e.log json; error_log stderr json info; error_log e.log debug_http json;
         error_log syslog:server=127.0.0.1 warn json; error_log json;",
    );
    assert!(assembly.diagnostics.is_empty(), "{:?}", assembly.diagnostics);
    let logs = &assembly.root.settings.get(&ERROR_LOGS).logs;
    let found: Vec<_> = logs.iter().map(|log| (log.level, log.form)).collect();
    let levels = [Level::Error, Level::Info, Level::Debug, Level::Warn];
    assert_eq!(found[..4], levels.map(|level| (level, Form::Json)));
    assert_eq!(found[4], (Level::Error, Form::Plain), "a file of this name");
    assert_eq!(message("error_log e json warn json;"), "duplicate parameter \"json\"");
}

#[test]
fn faults_are_nginxs() {
    assert_eq!(message("error_log e foo;"), "invalid log level \"foo\"");
    assert_eq!(message("error_log e info warn;"), "duplicate log level \"warn\"");
    assert_eq!(message("error_log syslog:tag=x;"), "no syslog server specified");
    assert_eq!(message("error_log syslog:server=::;"), "invalid port in syslog server \"::\"");
    let port = "invalid port in syslog server \"127.0.0.1:0\"";
    assert_eq!(message("error_log syslog:server=127.0.0.1:0;"), port);
    let facility = "unknown syslog facility \"y\"";
    assert_eq!(message("error_log syslog:server=unix:/x,facility=y;"), facility);
    assert_eq!(message("error_log syslog:x=1;"), "unknown syslog parameter \"x=1\"");
}
