//! `weir adopt` and back (`docs/howto/replace-nginx.md`), on a host made of namespaces: its own
//! processes, network and copies of the folders that are changed.

use std::process::Command;

use crate::harness::{Directory, binary, is_nginx, is_root, skipped};

/// The host: `$1` is Weir, `$2` a folder for what is written. Clients ask all the time.
const HOST: &str = r#"
ip link set lo up
mount -t tmpfs weir-adopt "$2"
for folder in usr/sbin etc var/lib var/log; do
    name=$(echo "$folder" | tr / _)
    mkdir "$2/$name" "$2/$name.work"
    mount -t overlay overlay -o "lowerdir=/$folder,upperdir=$2/$name,workdir=$2/$name.work" "/$folder"
done
mount -t tmpfs run /run
cp "$1" /usr/sbin/weir
conf() {
    cat > /etc/nginx/nginx.conf <<END
user www-data;
pid /run/nginx.pid;
error_log /var/log/nginx/error.log;
events { }
http { access_log off; server { listen 80; $1 location / { return 200 \$nginx_version; } } }
END
}
conf ''
state() {
    find /usr/sbin /etc -printf '%p %y %m %U %l\n' | sort
    md5sum /usr/sbin/nginx /etc/nginx/nginx.conf /var/lib/dpkg/diversions
}
version() { curl -sS --fail http://127.0.0.1/; }
/usr/sbin/nginx -g 'daemon on; master_process on;'
until version > /dev/null 2>&1; do :; done
state > /run/before
(while [ ! -e /run/stop ]; do version > /dev/null || touch /run/lost; done) &
clients=$!
"#;

/// The end of the host.
const END: &str = r#"
touch /run/stop
wait $clients
[ ! -e /run/lost ] || { echo "a request was lost"; cat /var/log/nginx/error.log; }
kill "$(cat /run/nginx.pid)"
"#;

/// Asserts that the commands on a host printed each of these.
fn assert_told(told: &str, expected: &[&str]) {
    for expected in expected {
        assert!(told.contains(expected), "{expected}:\n{told}");
    }
}

/// Runs commands on such a host, and returns what they print; `None` if there can be none here.
fn on_a_host(commands: &str) -> Option<String> {
    if is_nginx() {
        return None;
    }
    let has_nginx = std::path::Path::new("/usr/sbin/nginx").exists();
    if !is_root() || !has_nginx {
        skipped("adoption needs root and nginx");
        return None;
    }
    let directory = Directory::new();
    let script = directory.write("host.sh", format!("set -eu\n{HOST}\n{commands}\n{END}"));
    std::fs::create_dir(directory.join("written")).unwrap();
    let mut command = Command::new("unshare");
    command.args(["--mount", "--net", "--pid", "--fork", "--mount-proc", "sh"]).arg(script);
    let output = command.arg(binary()).arg(directory.join("written")).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}\n{complaints}");
    assert!(!told.contains("lost"), "{told}\n{complaints}");
    println!("{told}\n{complaints}");
    Some(told)
}

#[test]
fn a_host_is_taken_over_and_given_back() {
    let Some(told) = on_a_host(
        r#"
weir adopt --dry-run
state | cmp - /run/before && echo "the dry run changed nothing"
weir adopt
echo "now $(version)"
nginx -t 2>&1
nginx -V 2>&1 | grep -o -- '--prefix=[^ ]*'
dpkg-divert --list /usr/sbin/nginx
weir adopt 2>&1 || echo "not twice"
nginx -s reload 2>/dev/null
weir adopt --back --dry-run > /run/dry
weir adopt --back
echo "now $(version)"
state | cmp - /run/before && echo "nothing is left"
weir adopt --back 2>&1 || echo "not twice"
"#,
    ) else {
        return;
    };
    let versions: Vec<_> = told.lines().filter_map(|line| line.strip_prefix("now ")).collect();
    assert_eq!(versions.len(), 2, "{told}");
    assert!(versions[0] == "1.31.5" && versions[1] != "1.31.5", "{told}");
    assert_told(
        &told,
        &[
            "nothing differs",
            "the dry run changed nothing",
            "nginx: configuration file /etc/nginx/nginx.conf test is successful",
            "--prefix=/usr/share/nginx",
            "local diversion of /usr/sbin/nginx to /usr/sbin/nginx.distrib",
            "nothing is left",
        ],
    );
    assert_eq!(told.matches("not twice").count(), 2, "{told}");
}

#[test]
fn what_differs_stops_it_and_is_named() {
    let Some(told) = on_a_host(
        r#"
conf 'http2_push /style.css;'
nginx -s reload 2>/dev/null
weir adopt 2>&1 || echo "stopped before"
echo "now $(version)"
conf 'location = /one { more_set_headers "X: 1"; }'
state | grep -c adopted || echo "no record"
weir adopt --anyway 2>&1 || echo "nginx refuses it"
conf ''
weir adopt
conf 'location = /one { more_set_headers "X: 1"; }'
nginx -s reload 2>/dev/null
weir adopt --back 2>&1 || echo "stopped on the way back"
echo "now $(version)"
conf ''
weir adopt --back
"#,
    ) else {
        return;
    };
    assert_told(
        &told,
        &[
            "[warn] the \"http2_push\" directive is obsolete, ignored",
            "stopped before",
            "no record",
            "nginx itself refuses the configuration: [emerg] unknown directive \"more_set_headers\"",
            "nginx refuses it",
            "stopped on the way back",
            "now 1.31.5",
        ],
    );
}

/// A master takes part in one handover at a time: the next one waits, or says what it waits for.
#[test]
fn a_handover_waits_for_the_one_before() {
    let Some(told) = on_a_host(
        r#"
slow='location = /slow { proxy_pass http://127.0.0.1:81; }'
conf "$slow"
nginx -s reload 2>/dev/null
# A server that answers when it is told to.
python3 -c '
import os, socket
listener = socket.create_server(("127.0.0.1", 81))
open("/run/listens", "w").close()
while True:
    peer, _ = listener.accept()
    peer.recv(9999)
    open("/run/asked", "w").close()
    os.mkfifo("/run/answer")
    open("/run/answer").read()
    peer.sendall(b"HTTP/1.0 200 OK\r\n\r\nanswered\n")
    peer.close()
' &
server=$!
until [ -e /run/listens ]; do :; done
slow() {
    rm -f /run/asked /run/answer
    curl -sS --fail http://127.0.0.1/slow &
    client=$!
    until [ -p /run/answer ]; do :; done
}
answer() { echo > /run/answer; wait $client; }

weir adopt
slow
old=$(cat /run/nginx.pid)
kill -USR2 "$old"
new=$old
until [ -n "$new" ] && [ "$new" != "$old" ]; do new=$(cat /run/nginx.pid 2>/dev/null || true); done
kill -QUIT "$old"
weir adopt --back --dry-run
weir adopt --back --wait=0 2>&1 || echo "did not wait"
echo "now $(version)"
(until grep -q 'is waited for' /run/back 2>/dev/null; do :; done; echo > /run/answer) &
weir adopt --back | tee /run/back
wait $client
echo "now $(version)"
# While the pid file is away.
mv /run/nginx.pid /run/nginx.pid.oldbin
weir adopt 2>&1 || echo "not in between"
mv /run/nginx.pid.oldbin /run/nginx.pid
kill $server
conf ''
"#,
    ) else {
        return;
    };
    let versions: Vec<_> = told.lines().filter_map(|line| line.strip_prefix("now ")).collect();
    assert!(versions[0] == "1.31.5" && versions[1] != "1.31.5", "{told}");
    assert_told(
        &told,
        &[
            "is waited for",
            "part in one handover at a time: wait for its end, or end it by",
            "did not wait",
            "answered",
            "hands over to another one just now",
            "not in between",
        ],
    );
}

/// What a kill between two steps leaves is finished, in either direction, by the next call.
#[test]
fn an_interrupted_adoption_goes_on_or_back() {
    let Some(told) = on_a_host(
        r#"
weir adopt > /run/said
cp -p /etc/weir/adopted /run/record
weir adopt --back > /run/said
has_moved() {
    now=$(cat /run/nginx.pid 2>/dev/null || true)
    [ -n "$now" ] && [ "$now" != "$1" ] && [ -n "$(cat "/proc/$now/task/$now/children")" ]
}
hand() {
    old=$(cat /run/nginx.pid)
    kill -USR2 "$old"
    until has_moved "$old"; do :; done
}
record() { mkdir -p /etc/weir; cp -p /run/record /etc/weir/adopted; }
diversion() {
    dpkg-divert --quiet --local --no-rename --divert /usr/sbin/nginx.distrib "$1" /usr/sbin/nginx
}
divert() { diversion --add; }
keep() { ln /usr/sbin/nginx /usr/sbin/nginx.distrib; }
link() { ln -s /usr/sbin/weir /usr/sbin/nginx.weir-new; }
place() { mv /usr/sbin/nginx.weir-new /usr/sbin/nginx; }
adopt() { weir adopt > /run/said; }
put() { mv /usr/sbin/nginx.distrib /usr/sbin/nginx; }
undivert() { diversion --remove; }
is_as_before() { state | diff - /run/before && [ "$(version)" != 1.31.5 ]; }
has_ended() { [ ! -e /run/nginx.pid.oldbin ]; }
after() {
    for step; do "$step"; done
    weir adopt --back > /run/said
    until has_ended; do :; done
    is_as_before && echo "back after $*"
    for step; do "$step"; done
    weir adopt > /run/said
    until has_ended; do :; done
    [ "$(version)" = 1.31.5 ] && [ -L /usr/sbin/nginx ] && echo "on after $*"
    weir adopt --back > /run/said
    is_as_before
}
after record
after record divert
after record divert keep
after record divert keep link
after record divert keep link place
after record divert keep link place hand
after adopt put
after adopt put undivert
after adopt put undivert hand
"#,
    ) else {
        return;
    };
    assert_eq!(told.matches("back after ").count(), 9, "{told}");
    assert_eq!(told.matches("on after ").count(), 9, "{told}");
}

/// A master with another configuration is found by its process; one that no pid file names stops it.
#[test]
fn a_master_that_was_started_by_hand_is_found() {
    let Some(told) = on_a_host(
        r#"
mv /etc/nginx/nginx.conf /etc/nginx/mine.conf
sed -i 's,^pid .*,pid\t"mine.pid";,' /etc/nginx/mine.conf
kill -QUIT "$(cat /run/nginx.pid)"
touch /run/stop; wait $clients; rm /run/stop; rm -f /run/lost
while [ -e /run/nginx.pid ]; do :; done
mkdir /run/prefix
cd /run
/usr/sbin/nginx -p prefix -c ../../etc/nginx/mine.conf
until version > /dev/null 2>&1; do :; done
(while [ ! -e /run/stop ]; do version > /dev/null || touch /run/lost; done) &
clients=$!
weir adopt
echo "now $(version)"
weir adopt --back
echo "now $(version)"
cp /run/prefix/mine.pid /run/nginx.pid
rm /run/prefix/mine.pid
weir adopt 2>&1 || echo "not without its number"
ls /usr/sbin/nginx.distrib 2>&1 || true
"#,
    ) else {
        return;
    };
    let versions: Vec<_> = told.lines().filter_map(|line| line.strip_prefix("now ")).collect();
    assert!(versions[0] == "1.31.5" && versions[1] != "1.31.5", "{told}");
    assert_told(
        &told,
        &[
            "runs /usr/sbin/nginx, but /run/prefix/mine.pid does not name it",
            "not without its number",
            "cannot access '/usr/sbin/nginx.distrib'",
        ],
    );
}

/// Once nginx's package is gone, `--back` removes what the adoption has left.
#[test]
fn a_removed_nginx_is_forgotten() {
    let Some(told) = on_a_host(
        r#"
weir adopt
rm /usr/sbin/nginx.distrib
weir adopt 2>&1 || echo "not twice"
weir adopt --back --dry-run
[ -L /usr/sbin/nginx ] && echo "still there"
weir adopt --back
ls /usr/sbin/nginx /etc/weir 2>&1 || true
dpkg-divert --list /usr/sbin/nginx
echo "now $(version)"
"#,
    ) else {
        return;
    };
    assert_told(
        &told,
        &[
            "not twice",
            "still there",
            "/usr/sbin/nginx.distrib is gone: nginx has been removed",
            "cannot access '/usr/sbin/nginx'",
            "cannot access '/etc/weir'",
            "now 1.31.5",
        ],
    );
    assert!(!told.contains("diversion"), "{told}");
}

/// While packages are being changed, or without nginx, nothing begins.
#[test]
fn packages_under_way_are_waited_for() {
    let Some(told) = on_a_host(
        r#"
python3 -c '
import fcntl, os
lock = open("/var/lib/dpkg/lock", "w")
fcntl.lockf(lock, fcntl.LOCK_EX)
os.mkfifo("/run/unlock")
open("/run/unlock").read()' &
lock=$!
until [ -p /run/unlock ]; do :; done
weir adopt 2>&1 || echo "not with dpkg"
echo > /run/unlock
wait $lock
cp /var/lib/dpkg/status /run/status
sed -i '/^Package: nginx$/,/^Status:/s/^Status:.*/Status: install ok half-configured/' \
    /var/lib/dpkg/status
weir adopt 2>&1 || echo "not half-configured"
cp /run/status /var/lib/dpkg/status
weir adopt --nginx=/opt/nginx 2>&1 || echo "not without nginx"
state | cmp - /run/before && echo "nothing has changed"
"#,
    ) else {
        return;
    };
    assert_told(
        &told,
        &[
            "dpkg is changing packages just now",
            "not with dpkg",
            "the package nginx of /usr/sbin/nginx is half-configured",
            "not half-configured",
            "there is no nginx at /opt/nginx",
            "not without nginx",
            "nothing has changed",
        ],
    );
}

/// Another master goes on; one in the foreground would seem to have ended; a stopped nginx is Weir at
/// its next start.
#[test]
fn masters_beside_and_in_the_foreground_are_told() {
    let Some(told) = on_a_host(
        r#"
cat > /run/other.conf <<END
daemon off;
pid /run/other.pid;
error_log /run/other.log;
events { }
http { access_log off; server { listen 81; location / { return 200 \$nginx_version; } } }
END
/usr/sbin/nginx -c /run/other.conf &
other=$!
until curl -sS --fail http://127.0.0.1:81/ > /dev/null 2>&1; do :; done
weir adopt
weir adopt --back
[ "$(curl -sS http://127.0.0.1:81/)" != 1.31.5 ] && echo "the other is nginx"
touch /run/stop; wait $clients; rm /run/stop
kill -QUIT "$(cat /run/nginx.pid)"
while [ -e /run/nginx.pid ]; do :; done
weir adopt 2>&1 || echo "not in the foreground"
kill -QUIT $other
wait $other || true
weir adopt
/usr/sbin/nginx
echo "now $(version)"
(while [ ! -e /run/stop ]; do version > /dev/null || touch /run/lost; done) &
clients=$!
weir adopt --back
echo "now $(version)"
"#,
    ) else {
        return;
    };
    assert_told(
        &told,
        &[
            "which has another configuration, goes on until its next start",
            "the other is nginx",
            "runs in the foreground (\"daemon off\")",
            "not in the foreground",
            "nginx is not running: what starts it starts Weir from now on",
        ],
    );
    let versions: Vec<_> = told.lines().filter_map(|line| line.strip_prefix("now ")).collect();
    assert!(versions[0] == "1.31.5" && versions[1] != "1.31.5", "{told}");
}

/// An nginx as its own project packages it: another prefix and user, options with spaces in them.
#[test]
fn the_paths_and_the_user_are_those_of_the_replaced_program() {
    let Some(told) = on_a_host(
        r#"
org="--prefix=/etc/nginx --sbin-path=/usr/sbin/nginx --conf-path=/etc/nginx/nginx.conf
    --error-log-path=/var/log/nginx/org.log --http-log-path=/var/log/nginx/access.log
    --pid-path=/run/nginx.pid --http-client-body-temp-path=/var/lib/org/client_temp
    --http-proxy-temp-path=/var/lib/org/proxy_temp --user=nginx --group=nginx --with-compat
    --with-cc-opt='-g -O2 -ffile-prefix-map=/home/builder/nginx=. -fPIC'
    --with-ld-opt='-Wl,-z,relro -pie'"
cat > /run/org.conf <<END
events { }
http { include mime.types; access_log own.log; server { listen 82; } }
END
cp /etc/nginx/mime.types /run/mime.types
test_it() { weir adopt "--as=$(echo "$org" | tr '\n' ' ')" -t -c /run/org.conf 2>&1; }
sed -i '/^nginx:/d' /etc/passwd /etc/group
test_it || echo "not without the user"
echo 'nginx:x:901:901::/nonexistent:/bin/false' >> /etc/passwd
echo 'nginx:x:901:' >> /etc/group
test_it
ls /etc/nginx/own.log /var/log/nginx/org.log
"#,
    ) else {
        return;
    };
    assert_told(
        &told,
        &[
            "[emerg] getpwnam(\"nginx\") failed",
            "not without the user",
            "configuration file /run/org.conf test is successful",
            "/etc/nginx/own.log",
            "/var/log/nginx/org.log",
        ],
    );
}
