//! The steps of the image, with the names and variables of those of nginx's official image.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use weir_sys::process;

use super::{Log, entry, templates};

/// A step.
pub(super) struct Step {
    /// The name of its link in `/docker-entrypoint.d`.
    name: &'static str,
    run: fn(&Log),
}

const STEPS: [Step; 4] = [
    Step { name: "10-listen-on-ipv6-by-default.sh", run: listen_on_ipv6 },
    Step { name: "15-local-resolvers.envsh", run: find_resolvers },
    Step { name: "20-envsubst-on-templates.sh", run: templates::fill_all },
    Step { name: "30-tune-worker-processes.sh", run: tune_worker_processes },
];

/// The default server, as the image has it.
const DEFAULT: &str = include_str!("../../../../contrib/container/default.conf");
const DEFAULT_PATH: &str = "/etc/nginx/conf.d/default.conf";

/// The line of it to which one for IPv6 is added.
const LISTEN: &str = "    listen       8080;\n";
const LISTEN_IPV6: &str = "    listen  [::]:8080;\n";

/// The main file of the configuration.
const CONF: &str = "/etc/nginx/nginx.conf";

pub(super) fn find(name: &str) -> Option<&'static Step> {
    STEPS.iter().find(|step| step.name == name)
}

pub(super) fn run(step: &Step) {
    (step.run)(&Log::new(step.name));
}

/// Whether a variable has a value.
fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| !value.is_empty())
}

/// Adds IPv6 to the default server, if it is as shipped and the host has IPv6.
fn listen_on_ipv6(log: &Log) {
    if !Path::new("/proc/net/if_inet6").exists() {
        return log.say("info: ipv6 not available");
    }
    match fs::read(DEFAULT_PATH) {
        Err(_) => {
            return log.say(format_args!("info: {DEFAULT_PATH} is not a file or does not exist"));
        }
        Ok(text) if text != DEFAULT.as_bytes() => {
            return log.say(format_args!("info: {DEFAULT_PATH} differs from the packaged version"));
        }
        Ok(_) => {}
    }
    match fs::write(DEFAULT_PATH, DEFAULT.replace(LISTEN, &format!("{LISTEN}{LISTEN_IPV6}"))) {
        Ok(()) => log.say(format_args!("info: Enabled listen on IPv6 in {DEFAULT_PATH}")),
        Err(error) => log.say(format_args!("info: can not modify {DEFAULT_PATH}: {error}")),
    }
}

/// Exports the container's name servers, for `resolver ${NGINX_LOCAL_RESOLVERS}` in a template.
fn find_resolvers(log: &Log) {
    if !is_set("NGINX_ENTRYPOINT_LOCAL_RESOLVERS") {
        return;
    }
    let text = fs::read("/etc/resolv.conf").unwrap_or_default();
    let found = name_servers(&String::from_utf8_lossy(&text));
    if found.is_empty() {
        return log.complain("/etc/resolv.conf names no server");
    }
    let mut entries: Vec<OsString> =
        std::env::vars_os().map(|(name, value)| entry(name, &value)).collect();
    entries.push(entry("NGINX_LOCAL_RESOLVERS".into(), found.as_ref()));
    if let Err(error) = process::replace_environment(&entries) {
        log.complain(format_args!("NGINX_LOCAL_RESOLVERS: {error}"));
    }
}

/// The servers of a `resolv.conf`, as `resolver` takes them.
fn name_servers(text: &str) -> String {
    let servers = text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let server = words.next().filter(|word| *word == "nameserver").and(words.next())?;
        // `resolver` knows no zones of link-local addresses.
        let server = server.split('%').next().unwrap_or(server);
        Some(if server.contains(':') { format!("[{server}]") } else { server.to_owned() })
    });
    servers.collect::<Vec<_>>().join(" ")
}

/// Sets `worker_processes` to the number of processors that the container may use.
fn tune_worker_processes(log: &Log) {
    if !is_set("NGINX_ENTRYPOINT_WORKER_PROCESSES_AUTOTUNE") {
        return;
    }
    let number = process::usable_processors();
    let tuned = fs::read_to_string(CONF)
        .and_then(|text| fs::write(CONF, with_worker_processes(&text, number)));
    match tuned {
        Ok(()) => log.say(format_args!("info: worker_processes is {number} in {CONF}")),
        Err(error) => log.complain(format_args!("can not modify {CONF}: {error}")),
    }
}

fn with_worker_processes(text: &str, number: usize) -> String {
    let lines = text.split_inclusive('\n').map(|line| {
        let trimmed = line.trim_start();
        let after = trimmed.strip_prefix("worker_processes");
        match after.filter(|after| after.starts_with([' ', '\t'])).and_then(|a| a.split_once(';')) {
            Some((_, rest)) => {
                let indent = &line[..line.len() - trimmed.len()];
                format!("{indent}worker_processes {number};{rest}")
            }
            None => line.to_owned(),
        }
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_server_has_the_line() {
        assert_eq!(DEFAULT.matches(LISTEN).count(), 1);
    }

    #[test]
    fn servers_are_named_as_resolver_has_them() {
        let text = "search a.test\nnameserver 10.0.0.1\nnameserver  ::1 \n#nameserver 1.1.1.1\n\
                    nameserver\nnameserver fe80::1%eth0\noptions ndots:5\n";
        assert_eq!(name_servers(text), "10.0.0.1 [::1] [fe80::1]");
        assert_eq!(name_servers(""), "");
    }

    #[test]
    fn the_number_of_threads_is_written() {
        let text = "user nginx;\nworker_processes  auto; # all\n#worker_processes 1;\n\
                    worker_processes_x 1;\n\tworker_processes\t1;";
        assert_eq!(
            with_worker_processes(text, 3),
            "user nginx;\nworker_processes 3; # all\n#worker_processes 1;\n\
             worker_processes_x 1;\n\tworker_processes 3;"
        );
    }
}
