//! Debian's Apache on a node of a network.

use std::path::Path;
use std::process::{Child, Stdio};

use super::network::address;
use super::{Directory, Network, Signal, run, send_signal, until};

const APACHE: &str = "/usr/sbin/apache2";
const MODULES: &str = "/usr/lib/apache2/modules";

/// Delays the answer to a request.
const SLOW: &str = "require 'apache2'
function delay(r)
    r.usleep(%delay%000)
    return apache2.DECLINED
end
";

/// A running Apache: `/` is the number of its node, `/page` too, and `/healthz` a page for checks.
pub(crate) struct Apache<'a> {
    network: &'a Network,
    directory: &'a Directory,
    /// The number of its node, from 1.
    pub(crate) node: usize,
    child: Child,
}

impl<'a> Apache<'a> {
    /// Whether Apache is installed.
    pub(crate) fn is_there() -> bool {
        Path::new(APACHE).exists()
    }

    /// Starts the Apache of a node and waits for its answer.
    pub(crate) fn start(network: &'a Network, directory: &'a Directory, node: usize) -> Self {
        let name = format!("node{node}");
        let path = directory.join(&name);
        let conf = format!(
            "ServerRoot {path}\nServerName {name}\nListen {address}:8080\n\
             PidFile {path}/pid\nErrorLog {path}/error.log\n\
             LoadModule mpm_event_module {MODULES}/mod_mpm_event.so\n\
             LoadModule authz_core_module {MODULES}/mod_authz_core.so\n\
             LoadModule alias_module {MODULES}/mod_alias.so\n\
             LoadModule dir_module {MODULES}/mod_dir.so\n\
             LoadModule lua_module {MODULES}/mod_lua.so\n\
             User www-data\nGroup www-data\n\
             StartServers 1\nServerLimit 1\nThreadLimit 256\nThreadsPerChild 256\n\
             MaxRequestWorkers 256\nMaxKeepAliveRequests 0\n\
             DocumentRoot {path}/htdocs\nDirectoryIndex index.html\n\
             <Directory {path}/htdocs>\nAllowOverride All\n</Directory>\n",
            path = path.display(),
            address = address(node),
        );
        for page in ["index.html", "page", "healthz"] {
            directory.write(&format!("{name}/htdocs/{page}"), format!("{node}\n"));
        }
        let conf = directory.write(&format!("{name}/apache.conf"), conf);
        let mut command = network.command(network.node(node), APACHE);
        command.arg("-f").arg(conf).arg("-DFOREGROUND").stdout(Stdio::null());
        let this = Self { network, directory, node, child: command.spawn().unwrap() };
        let url = format!("http://{}:8080/", address(node));
        until("an Apache", || {
            let curl = ["netns", "exec", &network.front, "curl", "-sf", "--max-time", "10", &url];
            run("ip", &curl).status.success()
        });
        this
    }

    /// Ends it as an administrator would.
    pub(crate) fn stop(mut self) {
        self.end();
    }

    /// Kills all of its processes.
    pub(crate) fn kill(mut self) {
        self.signal(Signal::KILL);
        let _ = self.child.wait();
    }

    /// Sends a signal to all of its processes.
    pub(crate) fn signal(&self, signal: Signal) {
        let processes = self.network.processes(self.network.node(self.node));
        processes.into_iter().for_each(|process| send_signal(process, signal));
    }

    /// Answers `/page` with 500, but not `/healthz`.
    pub(crate) fn fail(&self) {
        self.access_file("Redirect 500 /page\n");
    }

    /// Answers `/page` so many milliseconds later, but not `/healthz`.
    pub(crate) fn slow_down(&self, milliseconds: u32) {
        let script = SLOW.replace("%delay%", &milliseconds.to_string());
        let script = self.directory.write(&format!("node{}/slow.lua", self.node), script);
        let script = script.display();
        self.access_file(&format!("<Files page>\nLuaHookFixups {script} delay\n</Files>\n"));
    }

    /// Works properly again.
    pub(crate) fn recover(&self) {
        self.access_file("");
    }

    fn access_file(&self, text: &str) {
        let folder = format!("node{}/htdocs", self.node);
        // Renamed into place, so that no request reads a part.
        let fresh = self.directory.write(&format!("{folder}/fresh"), text);
        std::fs::rename(fresh, self.directory.join(&format!("{folder}/.htaccess"))).unwrap();
    }

    fn end(&mut self) {
        send_signal(self.child.id(), Signal::TERM);
        let _ = self.child.wait();
    }
}

impl Drop for Apache<'_> {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.signal(Signal::CONT);
            self.end();
        }
    }
}
