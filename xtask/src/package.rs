//! The Debian package: the program for `/etc/weir`, its configuration, unit, log rotation, man pages
//! and completions, and a second package with its debug symbols. Made by dpkg-deb; the same commit
//! and profile give the same bytes in any folder.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::install::manual_of;
use crate::scratch::Scratch;
use crate::{Failure, cargo, packages, release};

mod check;
mod hosts;
mod tree;
mod twice;

use tree::Tree;

/// The paths of the packaged program, as arguments of nginx's `configure`.
const CONFIGURE: &str = "--prefix=/etc/weir --sbin-path=/usr/sbin/weir \
    --modules-path=/usr/lib/weir/modules --conf-path=/etc/weir/nginx.conf \
    --error-log-path=/var/log/weir/error.log --http-log-path=/var/log/weir/access.log \
    --pid-path=/run/weir.pid --lock-path=/run/weir.lock \
    --http-client-body-temp-path=/var/lib/weir/body --http-proxy-temp-path=/var/lib/weir/proxy \
    --http-fastcgi-temp-path=/var/lib/weir/fastcgi --http-uwsgi-temp-path=/var/lib/weir/uwsgi \
    --http-scgi-temp-path=/var/lib/weir/scgi --user=www-data --group=www-data";

/// The revision of the package of one version of the program.
const REVISION: &str = "1";

const MAINTAINER: &str = "The Weir developers <developers@weir.invalid>";

/// What a package's program is built from.
enum Source {
    /// The release with the profile of a training, this one or a new one.
    Trained(Option<PathBuf>),
    /// The release without a training.
    Quick,
    /// A build for tests.
    Debug,
    Program(PathBuf),
}

/// Builds the packages into a folder, by default `TARGET/debian`, checks them on hosts of their own,
/// or builds them twice.
pub(crate) fn run(arguments: &[&str]) -> Result<(), Failure> {
    packages::install(packages::PACKAGE)?;
    let (mut folder, mut source, mut revision) = (None, Source::Trained(None), REVISION);
    let (mut check, mut twice, mut acme) = (None, false, None);
    for argument in arguments {
        match argument.split_once('=').unwrap_or((argument, "")) {
            ("--quick", "") => source = Source::Quick,
            ("--debug", "") => source = Source::Debug,
            ("--binary", path) if !path.is_empty() => source = Source::Program(path.into()),
            ("--profile", path) if !path.is_empty() => {
                source = Source::Trained(Some(path.into()));
            }
            ("--revision", text) if !text.is_empty() => revision = text,
            ("--into", path) if !path.is_empty() => folder = Some(PathBuf::from(path)),
            ("--check", word) => check = Some(word),
            ("--acme.sh", path) if !path.is_empty() => acme = Some(PathBuf::from(path)),
            ("--twice", "") => twice = true,
            _ => return Err(format!("\"{argument}\" is not an argument of package")),
        }
    }
    if twice {
        return twice::run(&source);
    }
    let (program, profile) = source.build()?;
    if let Some(word) = check {
        return check::run(&program, word, acme.as_deref());
    }
    let folder = folder.map_or_else(|| Ok(cargo::target()?.join("debian")), Ok::<_, Failure>)?;
    let packages = pack(&program, revision, &folder)?;
    for path in &packages {
        println!("{}", path.display());
    }
    if let Some(profile) = profile {
        let kept = packages[0].with_extension("profdata");
        release::copy(&profile, &kept)?;
        println!("{}", kept.display());
    }
    Ok(())
}

impl Source {
    /// Builds the program; returns its path, and the profile of its training.
    fn build(self) -> Result<(PathBuf, Option<PathBuf>), Failure> {
        match self {
            Self::Trained(given) => {
                let profile = given.map_or_else(release::trained, |file| release::given(&file))?;
                Ok((release::build_with(&profile, Some(CONFIGURE))?, Some(profile)))
            }
            Self::Quick => {
                let shipped = cargo::Shipped { configure: Some(CONFIGURE), ..Default::default() };
                Ok((shipped.build()?, None))
            }
            Self::Debug => Ok((cargo::build_for(CONFIGURE, cargo::Profile::Debug)?, None)),
            Self::Program(path) => Ok((path, None)),
        }
    }
}

/// Packs a program, and returns the paths of `weir` and `weir-dbgsym`.
fn pack(program: &Path, revision: &str, folder: &Path) -> Result<[PathBuf; 2], Failure> {
    std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let scratch = Scratch::new("package")?;
    let packages = Packages {
        manual: manual_of(program, &scratch)?,
        program: program.to_owned(),
        version: format!("{}-{revision}", env!("CARGO_PKG_VERSION")),
        architecture: said("dpkg", &["--print-architecture"])?,
        time: said("git", &["log", "-1", "--format=%ct"])?,
        date: said("git", &["log", "-1", "--format=%cD"])?,
        scratch: &scratch,
    };
    Ok([packages.server(folder)?, packages.symbols(folder)?])
}

/// What both packages are made of.
struct Packages<'a> {
    program: PathBuf,
    /// The folder of man pages and completions.
    manual: PathBuf,
    version: String,
    architecture: String,
    /// The commit's, in seconds since 1970 and as in a change log.
    time: String,
    date: String,
    scratch: &'a Scratch,
}

impl Packages<'_> {
    /// The package `weir`.
    fn server(&self, folder: &Path) -> Result<PathBuf, Failure> {
        let mut tree = Tree::new(self.scratch.folder("weir")?);
        let stripped = self.scratch.path().join("stripped");
        let mut strip = Command::new("objcopy");
        strip.args(["--strip-unneeded", "--remove-section=.comment"]).arg(&self.program);
        cargo::succeed(strip.arg(&stripped))?;
        tree.program("usr/sbin/weir", &read(&stripped)?)?;
        self.configuration(&mut tree)?;
        for (name, place) in [
            ("weir.bash", "usr/share/bash-completion/completions/weir"),
            ("_weir", "usr/share/zsh/vendor-completions/_weir"),
            ("weir.fish", "usr/share/fish/vendor_completions.d/weir.fish"),
        ] {
            tree.file(place, &read(&self.manual.join(name))?)?;
        }
        tree.compressed("usr/share/man/man8/weir.8.gz", &read(&self.manual.join("weir.8"))?)?;
        let page = read(&self.manual.join("weir.conf.5"))?;
        tree.compressed("usr/share/man/man5/weir.conf.5.gz", &page)?;
        self.documents(&mut tree)?;
        tree.file("usr/share/lintian/overrides/weir", &debian("lintian-overrides")?)?;
        tree.folder("var/log/weir", 0o755)?;
        tree.folder("var/lib/weir/state", 0o755)?;
        let depends = self.libraries(&stripped)?;
        tree.control(
            "control",
            &format!(
                "Package: weir\nVersion: {}\nArchitecture: {}\nMaintainer: {MAINTAINER}\n\
                 Installed-Size: {}\nDepends: {depends}, init-system-helpers (>= 1.52)\n\
                 Recommends: logrotate\nSuggests: keepalived\nProvides: httpd\nSection: httpd\n\
                 Priority: optional\nDescription: reverse proxy and load balancer that reads \
                 nginx.conf\n Weir does nginx's job with nginx's configuration files, command \
                 line,\n signals and logs. Its reloads keep connections. Servers are checked, \
                 changed\n and balanced at run time; two of them can be a pair.\n",
                self.version,
                self.architecture,
                tree.kibibytes()?,
            ),
            0o644,
        )?;
        for script in ["preinst", "postinst", "prerm", "postrm"] {
            tree.control(script, &text(&debian(script)?), 0o755)?;
        }
        tree.finish_control()?;
        self.pack(&tree, "weir", folder)
    }

    /// The configuration, the unit and what else is in `packaging/`.
    fn configuration(&self, tree: &mut Tree) -> Result<(), Failure> {
        tree.conf_file("etc/weir/nginx.conf", &debian("nginx.conf")?)?;
        for name in crate::install::CONF_FILES.iter().filter(|name| **name != "nginx.conf") {
            tree.conf_file(&format!("etc/weir/{name}"), &read(&shipped("conf").join(name))?)?;
        }
        tree.conf_file("etc/weir/sites-available/default", &debian("default-site")?)?;
        tree.folder("etc/weir/sites-enabled", 0o755)?;
        tree.folder("etc/weir/conf.d", 0o755)?;
        tree.conf_file("etc/default/weir", &debian("default")?)?;
        let filled = |name: &str| -> Result<Vec<u8>, Failure> {
            let file = text(&read(&shipped("packaging").join(name))?);
            let file =
                file.replace("@PROGRAM@", "/usr/sbin/weir").replace("@PID@", "/run/weir.pid");
            Ok(file.replace("@LOGS@", "/var/log/weir").into_bytes())
        };
        tree.conf_file("etc/logrotate.d/weir", &filled("logrotate")?)?;
        tree.conf_file("etc/apparmor.d/weir", &filled("apparmor")?)?;
        tree.file("lib/systemd/system/weir.service", &filled("weir.service")?)?;
        tree.program("usr/libexec/weir/upgrade", &debian("upgrade")?)?;
        tree.file("usr/share/weir/html/index.html", &debian("index.html")?)
    }

    fn documents(&self, tree: &mut Tree) -> Result<(), Failure> {
        tree.file("usr/share/doc/weir/copyright", &debian("copyright")?)?;
        let change = format!(
            "weir ({}) unstable; urgency=medium\n\n  * See the project's CHANGELOG.md.\n\n \
             -- {MAINTAINER}  {}\n",
            self.version, self.date
        );
        tree.compressed("usr/share/doc/weir/changelog.Debian.gz", change.as_bytes())
    }

    /// The package `weir-dbgsym`: the debug symbols, found by the program's build id.
    fn symbols(&self, folder: &Path) -> Result<PathBuf, Failure> {
        let mut tree = Tree::new(self.scratch.folder("weir-dbgsym")?);
        let symbols = self.scratch.path().join("symbols");
        let mut keep = Command::new("objcopy");
        keep.args(["--only-keep-debug", "--compress-debug-sections"]).arg(&self.program);
        cargo::succeed(keep.arg(&symbols))?;
        let program = self.program.display().to_string();
        let notes = said("readelf", &["-n", &program])?;
        let id = notes.lines().find_map(|line| line.trim().strip_prefix("Build ID: "));
        let id = id.filter(|id| id.len() > 2).ok_or(format!("{program} has no build id"))?;
        let (start, rest) = id.split_at(2);
        tree.file(&format!("usr/lib/debug/.build-id/{start}/{rest}.debug"), &read(&symbols)?)?;
        tree.link("usr/share/doc/weir-dbgsym", "weir")?;
        tree.control(
            "control",
            &format!(
                "Package: weir-dbgsym\nSource: weir\nVersion: {0}\nAuto-Built-Package: \
                 debug-symbols\nArchitecture: {1}\nMaintainer: {MAINTAINER}\nInstalled-Size: {2}\n\
                 Depends: weir (= {0})\nSection: debug\nPriority: optional\n\
                 Description: debug symbols for weir\nBuild-Ids: {id}\n",
                self.version,
                self.architecture,
                tree.kibibytes()?,
            ),
            0o644,
        )?;
        tree.finish_control()?;
        self.pack(&tree, "weir-dbgsym", folder)
    }

    /// The packages of the libraries that the program loads.
    fn libraries(&self, program: &Path) -> Result<String, Failure> {
        let folder = self.scratch.folder("shlibs/debian")?;
        let stub = "Source: weir\n\nPackage: weir\nArchitecture: any\n";
        let control = folder.join("control");
        std::fs::write(&control, stub).map_err(|e| format!("{}: {e}", control.display()))?;
        let mut command = Command::new("dpkg-shlibdeps");
        command.current_dir(self.scratch.path().join("shlibs")).arg("-O").arg("-e").arg(program);
        let output = command.output().map_err(|error| format!("dpkg-shlibdeps: {error}"))?;
        let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let list = said.strip_prefix("shlibs:Depends=").map(str::to_owned);
        list.ok_or_else(|| String::from_utf8_lossy(&output.stderr).into_owned())
    }

    fn pack(&self, tree: &Tree, name: &str, folder: &Path) -> Result<PathBuf, Failure> {
        tree.date(&self.time)?;
        let path = folder.join(format!("{name}_{}_{}.deb", self.version, self.architecture));
        let mut command = Command::new("dpkg-deb");
        // Several threads would cut the data by their number.
        command.args(["--root-owner-group", "-Zxz", "-z1", "--threads-max=1", "--build"]);
        command.arg(tree.root()).arg(&path).env("SOURCE_DATE_EPOCH", &self.time);
        let output = command.output().map_err(|error| format!("dpkg-deb: {error}"))?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        Ok(path)
    }
}

fn shipped(folder: &str) -> PathBuf {
    cargo::root().join(folder)
}

/// A file of `packaging/debian`.
fn debian(name: &str) -> Result<Vec<u8>, Failure> {
    read(&shipped("packaging/debian").join(name))
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a program says.
fn said(program: &str, arguments: &[&str]) -> Result<String, Failure> {
    let output = Command::new(program).current_dir(cargo::root()).args(arguments).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr)));
    }
    Ok(text(&output.stdout).trim().to_owned())
}
