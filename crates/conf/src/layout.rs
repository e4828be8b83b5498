//! Default paths, in the terms of nginx's `configure` (<https://nginx.org/en/docs/configure.html>).
//!
//! The program gives the arguments of `configure` that it was built with ([`Layout::build_with`]).
//! The default is the layout of nginx.org's packages, the most common one.

use std::sync::{LazyLock, OnceLock};

/// Named layouts, for `--layout=NAME`: nginx.org's packages, Debian's packages, and nginx built
/// from source.
const NAMED: [(&str, &str); 3] = [
    (
        "packages",
        "--prefix=/etc/nginx --sbin-path=/usr/sbin/weir --modules-path=/usr/lib/nginx/modules \
         --conf-path=/etc/nginx/nginx.conf --error-log-path=/var/log/nginx/error.log \
         --http-log-path=/var/log/nginx/access.log --pid-path=/run/nginx.pid \
         --lock-path=/run/nginx.lock --http-client-body-temp-path=/var/cache/nginx/client_temp \
         --http-proxy-temp-path=/var/cache/nginx/proxy_temp \
         --http-fastcgi-temp-path=/var/cache/nginx/fastcgi_temp \
         --http-uwsgi-temp-path=/var/cache/nginx/uwsgi_temp \
         --http-scgi-temp-path=/var/cache/nginx/scgi_temp",
    ),
    (
        "debian",
        "--prefix=/usr/share/nginx --sbin-path=/usr/sbin/weir \
         --modules-path=/usr/lib/nginx/modules --conf-path=/etc/nginx/nginx.conf \
         --error-log-path=stderr --http-log-path=/var/log/nginx/access.log \
         --pid-path=/run/nginx.pid --lock-path=/var/lock/nginx.lock \
         --http-client-body-temp-path=/var/lib/nginx/body \
         --http-proxy-temp-path=/var/lib/nginx/proxy \
         --http-fastcgi-temp-path=/var/lib/nginx/fastcgi \
         --http-uwsgi-temp-path=/var/lib/nginx/uwsgi --http-scgi-temp-path=/var/lib/nginx/scgi",
    ),
    ("source", "--prefix=/usr/local/nginx"),
];

/// The layout of this build, or of the nginx that this process stands in for.
static BUILT: LazyLock<Layout> = LazyLock::new(|| {
    let arguments = STAND_IN.get().or(CONFIGURE.get());
    Layout::of(arguments.copied().unwrap_or("--layout=packages"))
});

/// The arguments of `configure` of this build.
static CONFIGURE: OnceLock<&'static str> = OnceLock::new();

/// The arguments of `configure` of the nginx that this process stands in for.
static STAND_IN: OnceLock<&'static str> = OnceLock::new();

/// The default paths. A relative path lies below the prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The base of relative paths of logs, roots and the like, without a trailing slash.
    pub prefix: &'static str,
    /// The program.
    pub sbin_path: &'static str,
    /// The directory of nginx's dynamic modules.
    pub modules_path: &'static str,
    /// The configuration file.
    pub conf_path: &'static str,
    /// The error log before the configuration is read, and the default one after that; `stderr` for
    /// standard error.
    pub error_log_path: &'static str,
    /// The default access log.
    pub http_log_path: &'static str,
    /// The file with the master's process id.
    pub pid_path: &'static str,
    /// The prefix of lock files, which Weir does not need.
    pub lock_path: &'static str,
    /// Request bodies that exceed their memory buffer.
    pub client_body_temp: TempFolder,
    /// Responses of upstreams that exceed their memory buffers.
    pub proxy_temp: TempFolder,
    /// Likewise for FastCGI.
    pub fastcgi_temp: TempFolder,
    /// Likewise for uwsgi.
    pub uwsgi_temp: TempFolder,
    /// Likewise for SCGI.
    pub scgi_temp: TempFolder,
    /// What the server keeps: the identity of a node. Not a setting of nginx.
    pub state: TempFolder,
    /// The worker's default user; `None` for nobody.
    pub user: Option<&'static str>,
    /// The group of that user; `None` for the group of the same name.
    pub group: Option<&'static str>,
}

/// A default directory, mostly for temporary files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TempFolder {
    /// Its path for a server with the built-in prefix.
    path: &'static str,
    /// Its name below any other prefix.
    name: &'static str,
}

impl TempFolder {
    const fn named(name: &'static str) -> Self {
        Self { path: name, name }
    }

    /// The directory of a server with this prefix. A server with a prefix of its own has its own
    /// directories, so that two servers of different users do not share one.
    pub fn below(self, prefix: &str) -> &'static str {
        if prefix.trim_end_matches('/') == Layout::built().prefix { self.path } else { self.name }
    }
}

impl Layout {
    /// The layout of this build, or of the nginx that this process stands in for.
    pub fn built() -> &'static Self {
        &BUILT
    }

    /// Sets the arguments of `configure` of this build. To be called once, before anything asks for
    /// the layout. They are the program's own constant, so that a build for other paths compiles
    /// nothing below it anew.
    pub fn build_with(arguments: &'static str) {
        let _ = CONFIGURE.set(arguments);
    }

    /// Has the process stand in for an nginx with these arguments of `configure`. To be called
    /// once, before anything asks for the layout.
    pub fn stand_in_for(arguments: String) {
        // The layout lasts as long as the process.
        let _ = STAND_IN.set(arguments.leak());
    }

    /// Whether this is a default directory for temporary files.
    pub fn has_temp_folder(&self, path: &str) -> bool {
        self.temp_folders().iter().any(|folder| folder.path == path)
    }

    fn temp_folders(&self) -> [TempFolder; 5] {
        [self.client_body_temp, self.proxy_temp, self.fastcgi_temp, self.uwsgi_temp, self.scgi_temp]
    }

    /// nginx's defaults, overridden by these arguments of `configure`. Arguments without a path are
    /// ignored.
    fn of(arguments: &'static str) -> Self {
        let mut layout = Self {
            prefix: "/usr/local/nginx",
            sbin_path: "sbin/weir",
            modules_path: "modules",
            conf_path: "conf/nginx.conf",
            error_log_path: "logs/error.log",
            http_log_path: "logs/access.log",
            pid_path: "logs/nginx.pid",
            lock_path: "logs/nginx.lock",
            client_body_temp: TempFolder::named("client_body_temp"),
            proxy_temp: TempFolder::named("proxy_temp"),
            fastcgi_temp: TempFolder::named("fastcgi_temp"),
            uwsgi_temp: TempFolder::named("uwsgi_temp"),
            scgi_temp: TempFolder::named("scgi_temp"),
            state: TempFolder { path: "/var/lib/weir", name: "state" },
            user: None,
            group: None,
        };
        for argument in arguments.split_ascii_whitespace() {
            if let Some((name, value)) = argument.split_once('=') {
                layout.set(name, value);
            }
        }
        layout
    }

    fn set(&mut self, name: &str, value: &'static str) {
        match name {
            "--layout" => {
                if let Some((_, arguments)) = NAMED.iter().find(|(layout, _)| *layout == value) {
                    *self = Self::of(arguments);
                }
            }
            "--prefix" => self.prefix = value.trim_end_matches('/'),
            "--sbin-path" => self.sbin_path = value,
            "--modules-path" => self.modules_path = value,
            "--conf-path" => self.conf_path = value,
            "--error-log-path" => self.error_log_path = value,
            "--http-log-path" => self.http_log_path = value,
            "--pid-path" => self.pid_path = value,
            "--lock-path" => self.lock_path = value,
            "--http-client-body-temp-path" => self.client_body_temp.path = value,
            "--http-proxy-temp-path" => self.proxy_temp.path = value,
            "--http-fastcgi-temp-path" => self.fastcgi_temp.path = value,
            "--http-uwsgi-temp-path" => self.uwsgi_temp.path = value,
            "--http-scgi-temp-path" => self.scgi_temp.path = value,
            "--state-path" => self.state.path = value,
            "--user" => self.user = Some(value),
            "--group" => self.group = Some(value),
            _ => {}
        }
    }

    /// The arguments of `configure` for this layout, as absolute paths, each after a space: part of
    /// `-V`, where programs look up nginx's paths.
    pub fn configure_arguments(&self) -> String {
        let mut text = format!(" --prefix={}", self.prefix);
        let paths = [
            ("sbin-path", self.sbin_path),
            ("modules-path", self.modules_path),
            ("conf-path", self.conf_path),
            ("error-log-path", self.error_log_path),
            ("http-log-path", self.http_log_path),
            ("pid-path", self.pid_path),
            ("lock-path", self.lock_path),
            ("http-client-body-temp-path", self.client_body_temp.path),
            ("http-proxy-temp-path", self.proxy_temp.path),
            ("http-fastcgi-temp-path", self.fastcgi_temp.path),
            ("http-uwsgi-temp-path", self.uwsgi_temp.path),
            ("http-scgi-temp-path", self.scgi_temp.path),
        ];
        for (name, path) in paths {
            let base = if path.starts_with('/') || path == "stderr" { "" } else { self.prefix };
            let slash = if base.is_empty() { "" } else { "/" };
            text.push_str(&format!(" --{name}={base}{slash}{path}"));
        }
        for (name, value) in [("user", self.user), ("group", self.group)] {
            text.extend(value.map(|value| format!(" --{name}={value}")));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_lies_below_the_prefix() {
        let layout =
            Layout::of("--prefix=/opt/web/ --pid-path=/run/web.pid --with-http_ssl_module");
        assert_eq!(layout.prefix, "/opt/web");
        assert_eq!(layout.conf_path, "conf/nginx.conf");
        assert_eq!(layout.pid_path, "/run/web.pid");
        let shown = layout.configure_arguments();
        assert!(shown.starts_with(" --prefix=/opt/web --sbin-path=/opt/web/sbin/weir"), "{shown}");
        assert!(shown.contains(" --conf-path=/opt/web/conf/nginx.conf "), "{shown}");
        assert!(!shown.contains("--user"), "{shown}");
    }

    #[test]
    fn what_is_shown_makes_the_same_layout() {
        let text = "--prefix=/usr/share/nginx --error-log-path=stderr --user=web --group=www";
        let layout = Layout::of(text);
        let again = Layout::of(layout.configure_arguments().leak());
        assert_eq!(again.configure_arguments(), layout.configure_arguments());
        assert_eq!(again.error_log_path, "stderr");
        assert_eq!((again.user, again.group), (Some("web"), Some("www")));
    }

    #[test]
    fn layouts_have_names() {
        let layout = Layout::of("--layout=debian --pid-path=/run/weir.pid");
        assert_eq!((layout.prefix, layout.pid_path), ("/usr/share/nginx", "/run/weir.pid"));
        assert_eq!(
            Layout::of("--layout=source").configure_arguments(),
            Layout::of("").configure_arguments()
        );
    }

    #[test]
    fn another_prefix_has_folders_of_its_own() {
        let built = Layout::built();
        let folder = built.client_body_temp;
        assert_eq!(folder.below(&format!("{}/", built.prefix)), folder.path);
        assert_eq!(folder.below("/srv/two/"), "client_body_temp");
    }
}
