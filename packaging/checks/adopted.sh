# Debian's nginx with its stock configuration, Weir beside it, adoption and back, and log rotation.

# Whether a new request is in a log: the signal takes its time.
is_logged() {
    get /after > /dev/null
    grep -q /after "$1"
}

nginx -v 2>&1
/usr/sbin/nginx
within is_served
files > /tmp/before
dpkg -i $old 2>&1 | tee /run/told
expect "weir: port 80 is taken" < /run/told
files > /tmp/installed
sum=$(md5sum /var/lib/dpkg/diversions)

weir adopt --dry-run | expect "nothing differs"
files | diff /tmp/installed - || fail "the dry run changed something"
load
weir adopt
nginx -V 2>&1 | expect "weir version:"
nginx -t
nginx -s reload
calm
get | expect "Welcome to nginx!"

# The log rotation of nginx's package. Without an init system only a policy lets it reach nginx.
printf '#!/bin/sh\nexit 0\n' > /usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
get /rotated > /dev/null
logrotate -f /etc/logrotate.d/nginx
within is_logged /var/log/nginx/access.log
grep -q /rotated /var/log/nginx/access.log.1 || fail "the rotated log of nginx"
rm /usr/sbin/policy-rc.d

# An upgrade of Weir upgrades what serves in place of nginx.
first=$(cat /run/nginx.pid)
load
dpkg -i $new
within test ! -e "/proc/$first"
calm
is_served || fail "after the upgrade"
dpkg -r weir 2>&1 | expect "run 'weir adopt --back' before"
is_served || fail "after the refused removal"

# A master takes part in one handover at a time: the one of this package ends first.
first=$(cat /run/nginx.pid)
dpkg -i $old
within test ! -e "/proc/$first"
load
weir adopt --back
calm
nginx -V 2>&1 | grep -q weir && fail "Weir is still nginx"
[ "$(md5sum /var/lib/dpkg/diversions)" = "$sum" ] || fail "the diversion is left"
rm /var/log/nginx/*
nginx -s reopen
files | grep -v -e /var/log/nginx/ -e /var/lib/logrotate > /tmp/after
grep -v -e /var/log/nginx/ -e /var/lib/logrotate /tmp/installed | diff - /tmp/after || fail "something of the adoption is left"
nginx -s quit
within has_ended nginx

# Weir's own log rotation.
/usr/sbin/weir
get /rotated > /dev/null
logrotate -f /etc/logrotate.d/weir
within is_logged /var/log/weir/access.log
grep -q /rotated /var/log/weir/access.log.1 || fail "the rotated log of Weir"

dpkg -P weir
within has_ended weir
files | grep -v -e /var/log/nginx/ -e /var/lib/logrotate > /tmp/after
grep -v -e /var/log/nginx/ -e /var/lib/logrotate /tmp/before | diff - /tmp/after ||
    fail "something is left"
