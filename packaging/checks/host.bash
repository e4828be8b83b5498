# What the cases share. Each case is a file `NAME.sh` of this folder, read by bash as root on a Debian
# host of its own, a minimal one if it begins so. Two versions of the package are in /pkg.

old=/pkg/old.deb
new=/pkg/new.deb

# Ends the case.
fail() {
    tail -n 20 /var/log/weir/error.log /var/log/nginx/error.log 2>/dev/null || true
    echo "failed: $*"
    exit 1
}

# Requests a path on port 80, with a connection of its own, and prints the response.
get() {
    exec 3<>/dev/tcp/127.0.0.1/80 || return 1
    printf 'GET %s HTTP/1.0\r\nHost: a.test\r\n\r\n' "${1:-/}" >&3
    cat <&3
    exec 3>&-
}

# Whether a response has status 200.
is_served() {
    get "${1:-/}" 2>/dev/null | grep -q '^HTTP/1.1 200'
}

# Waits for a command to succeed.
within() {
    for _ in $(seq 600); do
        "$@" && return
        sleep 0.1
    done
    fail "not within a minute: $*"
}

# Whether no process of a name runs.
has_ended() {
    ! grep -qs "^Name:.$1\$" /proc/[0-9]*/status
}

# Begins requests that end with `calm`, which fails if one of them was not served.
load() {
    rm -f /run/calm /run/lost
    while [ ! -e /run/calm ]; do
        is_served || echo lost >> /run/lost
        echo >> /run/asked
    done &
    clients=$!
}
calm() {
    touch /run/calm
    wait "$clients"
    [ ! -e /run/lost ] || fail "$(wc -l < /run/lost) of $(wc -l < /run/asked) requests"
    echo "$(wc -l < /run/asked) requests"
}

# All files of the host with what they are, but for those of dpkg and apt themselves.
files() {
    find / -xdev \( -path /var/lib/dpkg -o -path /var/log/dpkg.log -o -path /var/cache/debconf \
        -o -path /var/lib/apt -o -path /var/log/apt -o -path /tmp -o -path /run \) -prune -o \
        -type f -printf '%p %m %u:%g %s\n' -o -printf '%p %m %u:%g %l\n' | sort
}

# Requires output with these words.
expect() {
    grep -F -- "$1" || fail "nothing says: $1"
}
