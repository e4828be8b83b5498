//! The image of `contrib/container`, without an engine: its root is made from the lines of the
//! Containerfile, and its entrypoint is the first process of namespaces (`docs/howto/container.md`).

use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};

use crate::harness::{Directory, Signal, binary, children, is_nginx, is_root, send_signal};
use crate::harness::{skipped, until, until_some};

const CONTAINERFILE: &str = include_str!("../contrib/container/Containerfile");
const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../contrib/container");

/// What an engine does: a root of Debian, of which nothing of an nginx is visible, an empty list of
/// users, and a network. `$1` is the program, `$2` the folder of the sources, `$3` an empty folder.
const ROOT: &str = r#"
mount -t tmpfs weir-container "$3"
mkdir "$3/upper" "$3/work" "$3/root" "$3/image"
mount -t overlay overlay -o "lowerdir=/,upperdir=$3/upper,workdir=$3/work" "$3/root"
cd "$3/root"
rm -rf etc/nginx var/log/nginx usr/share/nginx var/cache/nginx usr/sbin/nginx usr/sbin/weir \
    docker-entrypoint* run etc/shadow etc/gshadow
mkdir run
echo 'root:x:0:0:root:/root:/bin/sh' > etc/passwd
echo 'root:x:0:' > etc/group
mount -t proc proc proc
mount --rbind /dev dev
ip link set lo up
echo 0 > /proc/sys/net/ipv4/ip_unprivileged_port_start
"#;

/// The instructions of the last stage, with their arguments.
fn instructions() -> Vec<(String, String)> {
    let joined = CONTAINERFILE.replace("\\\n", " ");
    let lines = joined.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let all: Vec<(String, String)> = lines
        .map(|line| line.split_once(' ').unwrap())
        .map(|(name, arguments)| (name.to_owned(), arguments.trim().to_owned()))
        .collect();
    let last = all.iter().rposition(|(name, _)| name == "FROM").unwrap();
    let makes_image = "contrib/container/layout.sh target/release/weir /image";
    assert!(all[..last].iter().any(|(name, text)| name == "RUN" && text.contains(makes_image)));
    all[last + 1..].to_vec()
}

fn argument(name: &str) -> String {
    let found = instructions().into_iter().find(|(known, _)| known == name);
    found.unwrap_or_else(|| panic!("no {name} in the Containerfile")).1
}

/// The words of a command in JSON.
fn words(name: &str) -> Vec<String> {
    let argument = argument(name);
    // Options and a word precede the command of a HEALTHCHECK.
    serde_json::from_str(&argument[argument.find('[').unwrap()..]).unwrap()
}

/// The commands that make the image in an empty root.
fn build() -> String {
    let steps = instructions().into_iter().filter_map(|(name, arguments)| match &*name {
        "COPY" => Some(match &*arguments {
            "--from=build /image/ /" => "sh \"$2/layout.sh\" \"$1\" \"$3/image\"\n\
                 cp -a --no-preserve=ownership \"$3/image/.\" ."
                .to_owned(),
            other => {
                let (from, to) = other
                    .strip_prefix("--from=build ")
                    .and_then(|rest| rest.split_once(' '))
                    .unwrap_or_else(|| panic!("this test does not know COPY {other}"));
                format!("if [ -e {from} ]; then cp {from} .{to}; fi")
            }
        }),
        "RUN" => Some(format!("chroot . sh -c '{arguments}'")),
        "LABEL" | "EXPOSE" | "STOPSIGNAL" | "USER" | "HEALTHCHECK" | "ENTRYPOINT" | "CMD" => None,
        other => panic!("this test does not know {other}"),
    });
    steps.collect::<Vec<_>>().join("\n")
}

/// A running container.
struct Container {
    process: Child,
    said: Arc<Mutex<String>>,
    user: String,
    _directory: Directory,
}

/// How to run a container: `docker run` with its options.
#[derive(Default)]
struct Run<'a> {
    /// Of the image, unless given.
    user: Option<&'a str>,
    env: &'a [(&'a str, &'a str)],
    /// Commands at the root of the container before its start: mounts, and copies.
    prepare: &'a str,
    /// Instead of that of the image.
    command: Option<&'a [&'a str]>,
    /// Its output goes to a socket instead of pipes.
    to_socket: bool,
}

impl Run<'_> {
    /// Starts it; `None` if there can be none here.
    fn start(&self) -> Option<Container> {
        if is_nginx() {
            return None;
        }
        if !is_root() {
            skipped("namespaces need root");
            return None;
        }
        let directory = Directory::new();
        std::fs::create_dir(directory.join("written")).unwrap();
        let user = self.user.map_or_else(|| argument("USER"), str::to_owned);
        let script = format!(
            "set -eu\n{ROOT}\n{}\n{}\nuser=$4\nshift 4\n\
             exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin \"$@\"",
            build(),
            self.prepare
        );
        let script = directory.write("container.sh", script);
        let mut process = Command::new("unshare");
        process.args(["--mount", "--net", "--pid", "--fork", "--kill-child", "sh"]).arg(script);
        process.arg(binary()).arg(SOURCE).arg(directory.join("written")).arg(&user);
        process.args(self.env.iter().map(|(name, value)| format!("{name}={value}")));
        process.arg("chroot").arg(format!("--userspec={user}")).arg(".");
        process.args(words("ENTRYPOINT"));
        match self.command {
            Some(command) => process.args(command),
            None => process.args(words("CMD")),
        };
        let said = Arc::default();
        process.stdin(Stdio::null());
        if self.to_socket {
            let (own, end) = UnixStream::pair().unwrap();
            let end = OwnedFd::from(end);
            process.stdout(end.try_clone().unwrap()).stderr(end);
            collect(own, &said);
            let process = process.spawn().unwrap();
            return Some(Container { process, said, user, _directory: directory });
        }
        let mut process = process.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        collect(process.stdout.take().unwrap(), &said);
        collect(process.stderr.take().unwrap(), &said);
        Some(Container { process, said, user, _directory: directory })
    }
}

/// Reads what a container says.
fn collect(mut from: impl Read + Send + 'static, said: &Arc<Mutex<String>>) {
    let said = Arc::clone(said);
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            said.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..length]));
        }
    });
}

impl Container {
    fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// Waits until the container has said something.
    #[track_caller]
    fn wait_said(&self, text: &str) {
        until(text, || self.said().contains(text));
    }

    /// The first process, as seen from outside.
    fn first(&self) -> u32 {
        until_some("the first process", || children(self.process.id()).first().copied())
    }

    /// Signals the first process as `docker kill` does.
    fn signal(&self, signal: Signal) {
        send_signal(self.first(), signal);
    }

    /// Runs a command as `docker exec` does.
    fn exec(&self, command: &[&str]) -> Output {
        let (user, group) = self.user.split_once(':').unwrap();
        let mut nsenter = Command::new("nsenter");
        nsenter.arg(format!("--target={}", self.first()));
        nsenter.args(["--mount", "--net", "--pid", "--root", "--wd=/"]);
        nsenter.arg(format!("--setuid={user}")).arg(format!("--setgid={group}"));
        nsenter.args(command).output().unwrap()
    }

    /// The answer to a request inside, with curl of this host.
    fn get(&self, url: &str) -> String {
        let first = format!("--target={}", self.first());
        let output = Command::new("nsenter")
            .args([&*first, "--net", "curl", "--noproxy", "*", "-sS", "-i", url])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}{}", show(&output), self.said());
        show(&output)
    }

    /// Waits for the end.
    fn end(&mut self) -> ExitStatus {
        until_some("the end of the container", || self.process.try_wait().unwrap())
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        println!("{}", self.said());
    }
}

fn show(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Scripts of users among those of the image.
const SCRIPTS: &str = r#"
cat > docker-entrypoint.d/9-first.sh <<'END'
#!/bin/sh
echo "first of $PPID: $WORD"
(setsid sh -c 'exec sleep 0.01' > /dev/null 2>&1 &)
END
cat > docker-entrypoint.d/12-more.envsh <<'END'
export WORD=$WORD-more
cd /tmp
END
printf 'test "$PORT" = 8090; echo last: $WORD; ls /etc/nginx/conf.d\n' > docker-entrypoint.d/40-last.sh
echo 'exit 9' > docker-entrypoint.d/41-off.sh
chmod 755 docker-entrypoint.d/9-first.sh docker-entrypoint.d/12-more.envsh docker-entrypoint.d/40-last.sh
echo hello > docker-entrypoint.d/notes.txt
mkdir etc/nginx/templates/sites
cat > etc/nginx/templates/sites/a.conf.template <<'END'
server { listen ${PORT}; set $HIDDEN kept; return 200 "$WORD $uri ${WORD} $HIDDEN\n"; }
END
sed -i 's#include /etc/nginx/conf.d/.*#&\n    include /etc/nginx/conf.d/sites/*.conf;#' etc/nginx/nginx.conf
touch etc/nginx/templates/tcp.stream-template
"#;

#[test]
fn scripts_and_templates_are_run_and_logs_are_the_containers() {
    let run = Run {
        env: &[
            ("WORD", "word"),
            ("PORT", "8090"),
            ("HIDDEN", "x"),
            ("uri", "not this"),
            ("NGINX_ENVSUBST_FILTER", "^(WORD|PORT)$"),
        ],
        prepare: SCRIPTS,
        ..Run::default()
    };
    let Some(mut container) = run.start() else { return };
    container.wait_said("start worker process");
    let said = container.said();
    let mut rest = &*said;
    for line in [
        "/docker-entrypoint.sh: /docker-entrypoint.d/ is not empty, will attempt to perform configuration",
        "/docker-entrypoint.sh: Looking for shell scripts in /docker-entrypoint.d/",
        "/docker-entrypoint.sh: Launching /docker-entrypoint.d/9-first.sh",
        "first of 1: word",
        "/docker-entrypoint.sh: Launching /docker-entrypoint.d/10-listen-on-ipv6-by-default.sh",
        "/docker-entrypoint.sh: Sourcing /docker-entrypoint.d/12-more.envsh",
        "/docker-entrypoint.sh: Sourcing /docker-entrypoint.d/15-local-resolvers.envsh",
        "/docker-entrypoint.sh: Launching /docker-entrypoint.d/20-envsubst-on-templates.sh",
        "20-envsubst-on-templates.sh: Running envsubst on /etc/nginx/templates/sites/a.conf.template to \
         /etc/nginx/conf.d/sites/a.conf",
        "/docker-entrypoint.sh: Launching /docker-entrypoint.d/30-tune-worker-processes.sh",
        "/docker-entrypoint.sh: Launching /docker-entrypoint.d/40-last.sh",
        "last: word-more",
        "/docker-entrypoint.sh: Ignoring /docker-entrypoint.d/41-off.sh, not executable",
        "/docker-entrypoint.sh: Ignoring /docker-entrypoint.d/notes.txt",
        "/docker-entrypoint.sh: Configuration complete; ready for start up",
    ] {
        let at = rest.find(line).unwrap_or_else(|| panic!("{line:?} is not here:\n{said}"));
        rest = &rest[at + line.len()..];
    }
    assert!(said.contains("tcp.stream-template is ignored"), "{said}");
    let answer = container.get("http://127.0.0.1:8090/x");
    assert!(answer.contains("word-more /x word-more kept"), "{answer}");
    container.wait_said("\"GET /x HTTP/1.1\" 200");
    let page = container.get("http://127.0.0.1:8080/");
    assert!(page.contains("Weir serves") && page.contains("Content-Type: text/html"), "{page}");
    assert!(container.get("http://[::1]:8080/").contains("Weir serves"));
    let title = std::fs::read_to_string(format!("/proc/{}/cmdline", container.first())).unwrap();
    assert!(title.starts_with("nginx: master process nginx -g daemon off;"), "{title}");
    // What `docker exec` and the HEALTHCHECK do.
    let check = words("HEALTHCHECK");
    let check: Vec<&str> = check.iter().map(String::as_str).collect();
    let output = container.exec(&check);
    assert!(output.status.success(), "{}", show(&output));
    let output = container.exec(&["nginx", "-s", "reload"]);
    assert!(output.status.success(), "{}", show(&output));
    container.wait_said("reconfiguring");
    // The orphan of a script has come to the first process, which has let it go.
    until("no zombies", || {
        let zombie = |pid: &u32| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.contains(") Z ")
        };
        !children(container.first()).iter().any(zombie)
    });
    container.signal(Signal::QUIT);
    assert_eq!(container.end().code(), Some(0));
    assert_eq!(argument("STOPSIGNAL"), "SIGQUIT");
}

/// The first process of a container gets only signals for which it is prepared.
#[test]
fn a_container_can_be_stopped_while_a_script_runs() {
    let run = Run {
        prepare: "printf 'echo waiting\\nexec sleep 1000\\n' > docker-entrypoint.d/50.sh
                  chmod 755 docker-entrypoint.d/50.sh",
        ..Run::default()
    };
    let Some(mut container) = run.start() else { return };
    container.wait_said("waiting");
    container.signal(Signal::TERM);
    assert_eq!(container.end().code(), Some(128 + 15));
}

/// OpenShift's way: a user without a name, a root that cannot be written; and here without a shell,
/// with standard streams that cannot be opened, and a configuration for nginx's image.
#[test]
fn any_user_needs_no_shell_and_no_root_to_write_to() {
    let run = Run {
        user: Some("54321:0"),
        prepare: "cat > etc/nginx/nginx.conf <<'END'
user nginx;
worker_processes auto;
error_log /var/log/nginx/error.log notice;
pid /var/run/nginx.pid;
events { worker_connections 1024; }
http {
    access_log /var/log/nginx/access.log;
    server { listen 80; return 200 served; }
}
END
rm -f usr/bin/sh usr/bin/dash usr/bin/bash
for folder in run tmp var/cache/nginx; do
    mount -t tmpfs -o mode=1777 tmpfs $folder
done
mount -o remount,bind,ro . || mount -o remount,ro .",
        to_socket: true,
        ..Run::default()
    };
    let Some(mut container) = run.start() else { return };
    container.wait_said("start worker process");
    assert!(container.get("http://127.0.0.1/x").contains("served"));
    container.wait_said("\"GET /x HTTP/1.1\" 200");
    let said = container.said();
    assert!(said.contains("can not modify /etc/nginx/conf.d/default.conf"), "{said}");
    container.signal(Signal::USR1);
    container.wait_said("reopening logs");
    container.get("http://127.0.0.1/again");
    container.wait_said("\"GET /again HTTP/1.1\" 200");
    container.signal(Signal::TERM);
    assert_eq!(container.end().code(), Some(0));
}

/// As nginx's image is run: by root, whose worker has the image's user.
#[test]
fn root_may_run_it_too() {
    let run = Run {
        user: Some("0:0"),
        env: &[("NGINX_ENTRYPOINT_QUIET_LOGS", "1")],
        prepare: "sed -i 's#^error_log.*#user nginx;\\n&#' etc/nginx/nginx.conf",
        ..Run::default()
    };
    let Some(mut container) = run.start() else { return };
    container.wait_said("start worker process");
    assert!(!container.said().contains("docker-entrypoint"), "{}", container.said());
    let page = container.get("http://127.0.0.1:8080/");
    assert!(page.contains("Weir serves"), "{page}");
    let worker = until_some("a worker", || children(container.first()).first().copied());
    let status = std::fs::read_to_string(format!("/proc/{worker}/status")).unwrap();
    assert!(status.contains("Uid:\t101\t101"), "{status}");
    container.signal(Signal::QUIT);
    assert_eq!(container.end().code(), Some(0));
}

#[test]
fn what_fails_ends_the_container_with_its_code() {
    let script = |text: &str| {
        format!(
            "printf '{text}' > docker-entrypoint.d/60-x.sh; chmod 755 docker-entrypoint.d/60-x.sh"
        )
    };
    let envsh = "echo false > docker-entrypoint.d/1.envsh; chmod 755 docker-entrypoint.d/1.envsh";
    let cases = [
        (script("exit 3"), None, 3, "/docker-entrypoint.d/60-x.sh exited with code 3"),
        (script("#!/bin/none\\n"), None, 127, "its interpreter is not in this image"),
        (envsh.to_owned(), None, 1, "/docker-entrypoint.d/1.envsh exited with code 1"),
        (String::new(), Some(&["no-such-program"][..]), 127, "no-such-program: not found"),
        (script("exit 3"), Some(&["sh", "-c", "echo only this; exit 5"][..]), 5, "only this"),
        (script("exit 0"), Some(&["nginx", "-t"][..]), 0, "test is successful"),
    ];
    for (prepare, command, code, words) in cases {
        let Some(mut container) = (Run { prepare: &prepare, command, ..Run::default() }).start()
        else {
            return;
        };
        assert_eq!(container.end().code(), Some(code), "{words}");
        container.wait_said(words);
    }
}

/// The page's configuration and the names that it gives to files.
#[test]
fn the_page_names_what_the_image_has() {
    let page = include_str!("../docs/howto/container.md");
    for name in ["contrib/container/Containerfile", "NGINX_ENVSUBST_FILTER", "8080"] {
        assert!(page.contains(name), "{name}");
    }
    assert!(Path::new(SOURCE).join("layout.sh").is_file());
    assert_eq!(argument("EXPOSE"), "8080");
}

/// The signals of nginx, as first process: only the end of that process ends the container.
#[test]
fn the_first_process_has_the_signals_of_nginx() {
    let run = Run { command: Some(&["/usr/sbin/nginx", "-g", "daemon off;"]), ..Run::default() };
    let Some(mut container) = run.start() else { return };
    container.wait_said("start worker process");
    let serves = |container: &Container| {
        assert!(container.get("http://127.0.0.1:8080/").contains("Weir serves"));
    };
    let worker = |container: &Container| {
        until_some("the worker", || children(container.first()).first().copied())
    };
    serves(&container);
    let first = worker(&container);
    container.signal(Signal::HUP);
    container.wait_said("(SIGHUP) received, reconfiguring");
    container.signal(Signal::USR1);
    container.wait_said("(SIGUSR1) received, reopening logs");
    serves(&container);
    // It also comes from a terminal that changes its size.
    container.signal(Signal::WINCH);
    container.wait_said("(SIGWINCH) received");
    serves(&container);
    assert_eq!(worker(&container), first, "no signal has cost the worker");

    // The binary of the image is the same one: another process takes over beside the first.
    container.signal(Signal::USR2);
    container.wait_said("(SIGUSR2) received, changing binary");
    container.wait_said("using inherited sockets from");
    let pid = |container: &Container, name: &str| {
        show(&container.exec(&["cat", name])).trim().parse::<u32>().ok()
    };
    let second = until_some("the pid file of the second master", || {
        pid(&container, "/run/nginx.pid").filter(|pid| *pid != 1)
    });
    assert_eq!(pid(&container, "/run/nginx.pid.oldbin"), Some(1));
    serves(&container);
    let output = container.exec(&["nginx", "-s", "quit"]);
    assert!(output.status.success(), "{}", show(&output));
    until("the pid file of the first master", || pid(&container, "/run/nginx.pid") == Some(1));
    serves(&container);
    assert!(!container.said().contains(&format!("process {second} exited on signal")));

    container.signal(Signal::QUIT);
    assert_eq!(container.end().code(), Some(0));
}
