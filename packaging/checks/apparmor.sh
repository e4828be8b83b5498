# The AppArmor profile: it is well-formed, begins in complain mode, has the capabilities of the unit, and
# allows what a server is seen doing. It is not put in force: that needs a kernel with AppArmor.

# What the server does under a trace that the profile would refuse.
traced() {
    strace -f -qq -s 4096 -e trace=%file,connect,bind -o /tmp/trace /usr/sbin/weir
}

dpkg -i $old
apparmor_parser -QK /etc/apparmor.d/weir
[ -e /etc/apparmor.d/force-complain/weir ] || fail "the profile is not in complain mode"
unit=/lib/systemd/system/weir.service
expect AppArmorProfile=-weir < $unit
sed -n 's/^CapabilityBoundingSet=//p' $unit | tr ' ' '\n' | sed 's/^CAP_//' | tr A-Z a-z | sort > /tmp/unit
sed -n 's/^ *capability \(.*\),$/\1/p' /etc/apparmor.d/weir | sort | diff /tmp/unit - || fail "capabilities"

cat > /etc/weir/conf.d/more.conf <<'END'
proxy_cache_path /var/cache/weir/pages keys_zone=pages:1m;
upstream application { server unix:/run/application.sock; }
server {
    listen 81;
    root /srv;
    location /cached { proxy_pass http://127.0.0.1:80/; proxy_cache pages; proxy_cache_valid 1m; }
    location /application { proxy_pass http://application; }
    location /bodies { client_body_in_file_only on; proxy_pass http://127.0.0.1:80/; }
}
server {
    listen unix:/run/weir-api.sock;
    return 200;
}
END
mkdir -p /var/cache/weir /srv
echo page > /srv/page
traced &
trace=$!
within is_served
curl -s http://127.0.0.1:81/page | expect page
curl -s http://127.0.0.1:81/cached > /dev/null
curl -s http://127.0.0.1:81/application > /dev/null
curl -s -d body http://127.0.0.1:81/bodies > /dev/null
curl -s --unix-socket /run/weir-api.sock http://localhost/
weir -s reload
weir -s reopen
first=$(cat /run/weir.pid)
dpkg -i $new
within test ! -e "/proc/$first"
is_served || fail "after the upgrade"
weir -s quit
wait $trace
apparmor_parser -p /etc/apparmor.d/weir > /tmp/profile
python3 /checks/apparmor.py /tmp/profile /tmp/trace

# The comparison bites: without a rule, something is refused.
grep -v /var/log/ /tmp/profile > /tmp/narrower
python3 /checks/apparmor.py /tmp/narrower /tmp/trace | expect "not allowed: /var/log/weir/access.log w"

# In force once and for all: an upgrade does not take it back.
rm /etc/apparmor.d/force-complain/weir
dpkg -i $old
[ ! -e /etc/apparmor.d/force-complain/weir ] || fail "complain mode is back"
dpkg -P weir
[ ! -e /etc/apparmor.d/weir ] || fail "the profile is left"
