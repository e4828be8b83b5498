# Minimal. A first installation, an upgrade under load, removal and purging, which leave nothing.

files > /tmp/before
dpkg -i $old
weir -t
weir -V 2>&1 | expect "--conf-path=/etc/weir/nginx.conf"
/usr/sbin/weir
is_served || fail "the page of a fresh installation"
get | expect "<h1>Weir serves</h1>"

first=$(cat /run/weir.pid)
load
within test -s /run/asked
dpkg -i $new
test ! -e /run/weir.pid.oldbin || cat /var/log/weir/error.log
within test ! -e "/proc/$first"
calm
[ "$(cat /run/weir.pid)" != "$first" ] || fail "the same process serves"
is_served || fail "after the upgrade"
dpkg -s weir | expect "Version: 0.1.0-2"

# And back to an older version.
load
dpkg -i $old
calm

dpkg -r weir
within has_ended weir
[ -e /etc/weir/nginx.conf ] || fail "removal keeps the configuration"
dpkg -P weir
files > /tmp/after
diff /tmp/before /tmp/after || fail "something is left"
