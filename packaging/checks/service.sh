# An adopted host without systemd: the init script of nginx's package, and what watches processes by pid
# file and name.

service nginx start
within is_served
dpkg -i $old
weir adopt
pid() {
    cat /run/nginx.pid
}
watched() {
    start-stop-daemon --status --pidfile /run/nginx.pid --exec /usr/sbin/nginx --name nginx ||
        fail "start-stop-daemon does not see it"
    [ "$(ps -o comm= -p "$(pid)")" = nginx ] || fail "its name: $(ps -o comm= -p "$(pid)")"
    pidof nginx | grep -qw "$(pid)" || fail "pidof does not see it"
    pgrep -f "^nginx: master process" | grep -qx "$(pid)" || fail "pgrep does not see it"
}
watched
service nginx status | expect "nginx is running"
service nginx configtest
first=$(pid)
load
within test -s /run/asked
service nginx reload
service nginx rotate
[ "$(pid)" = "$first" ] || fail "a reload is no restart"
service nginx upgrade
calm
[ "$(pid)" != "$first" ] || fail "the same process serves"
within test ! -e "/proc/$first"
watched
echo 'no_such_directive;' > /etc/nginx/conf.d/fault.conf
service nginx reload && fail "it reloads a faulty configuration"
service nginx configtest && fail "the test passes a faulty configuration"
rm /etc/nginx/conf.d/fault.conf
is_served || fail "after a faulty configuration"
first=$(pid)
service nginx restart
within is_served
[ "$(pid)" != "$first" ] || fail "not restarted"
watched
service nginx stop
within has_ended nginx
[ ! -e /run/nginx.pid ] || fail "the pid file is left"
service nginx status && fail "it seems to run"
service nginx start
within is_served
get | expect "Welcome to nginx!"
weir adopt --back
watched
service nginx stop
within has_ended nginx
