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

. /checks/authority.bash
begin_authority a.test b.test
# As certbot lays certificates out.
mkdir -p /etc/letsencrypt/archive/c.test /etc/letsencrypt/live/c.test
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=c.test -addext subjectAltName=DNS:c.test \
    -keyout /etc/letsencrypt/archive/c.test/privkey1.pem \
    -out /etc/letsencrypt/archive/c.test/fullchain1.pem 2>/dev/null
for file in privkey fullchain; do
    ln -s ../../archive/c.test/${file}1.pem /etc/letsencrypt/live/c.test/$file.pem
done
cp /tmp/ca.pem /etc/ssl/certs/authority.pem
printf '#!/bin/sh\nexec logger "$@"\n' > /usr/local/bin/dns-record
chmod 755 /usr/local/bin/dns-record
echo 'known:{PLAIN}secret' > /etc/weir/users
cat > /etc/weir/conf.d/more.conf <<'END'
proxy_cache_path /var/cache/weir/pages levels=1:2 keys_zone=pages:1m;
keyval_zone zone=names:1m state=/var/lib/weir/state/names.json;
keyval $arg_key $name zone=names;
access_log syslog:server=unix:/dev/log;
upstream application { server unix:/run/application.sock; }
upstream php { server unix:/run/php/php8.2-fpm.sock; }
upstream changed { zone changed 256k; state /var/lib/weir/state/changed.conf; }
upstream named { zone named 256k; resolver 127.0.0.53; server name.test:81 resolve; server 127.0.0.1:82 backup; }
server {
    listen 81;
    root /srv;
    location /cached { proxy_pass http://127.0.0.1:80/; proxy_cache pages; proxy_cache_valid 1m; }
    location /application { proxy_pass http://application; }
    location /php { fastcgi_pass php; include fastcgi_params; }
    location /changed { proxy_pass http://changed; }
    location /named { proxy_pass http://named; }
    location /bodies { client_body_in_file_only on; proxy_pass http://127.0.0.1:80/; }
    location /private { auth_basic closed; auth_basic_user_file users; }
    location /kept { proxy_pass http://127.0.0.1:80/index.html; proxy_store /var/cache/weir/kept; }
    location /list/ { alias /var/www/; autoindex on; }
    location /api/ { api write=on; }
    location /metrics { prometheus; }
    location /log { access_log /var/log/weir/$arg_name.log; return 200; }
}
server {
    listen 443 ssl;
    server_name c.test;
    ssl_certificate /etc/letsencrypt/live/c.test/fullchain.pem;
    ssl_certificate_key /etc/letsencrypt/live/c.test/privkey.pem;
    return 200;
}
server {
    listen 443 ssl;
    server_name a.test;
    acme_certificate web;
    ssl_certificate $acme_certificate;
    ssl_certificate_key $acme_certificate_key;
    return 200;
}
server {
    listen 443 ssl;
    server_name b.test;
    acme_certificate names;
    ssl_certificate $acme_certificate;
    ssl_certificate_key $acme_certificate_key;
    return 200;
}
acme_issuer web {
    uri https://localhost:14000/dir;
    ssl_trusted_certificate /etc/ssl/certs/authority.pem;
    accept_terms_of_service;
}
acme_issuer names {
    uri https://localhost:14000/dir;
    ssl_trusted_certificate /etc/ssl/certs/authority.pem;
    challenge dns;
    dns_hook /usr/local/bin/dns-record --zone b.test;
    accept_terms_of_service;
}
server {
    listen unix:/run/weir-api.sock;
    return 200;
}
END
mkdir -p /var/cache/weir /srv
chown www-data /var/cache/weir
echo page > /srv/page
traced &
trace=$!
within is_served
curl -s http://127.0.0.1:81/page | expect page
curl -s http://127.0.0.1:81/cached > /dev/null
curl -s http://127.0.0.1:81/application > /dev/null
curl -s -d body http://127.0.0.1:81/bodies > /dev/null
for path in php changed named private kept list/ metrics log?name=own; do
    curl -s -u known:secret "http://127.0.0.1:81/$path" > /dev/null
done
curl -s -X POST -d '{"a":"b"}' http://127.0.0.1:81/api/9/http/keyvals/names > /dev/null
curl -s -X POST -d '{"server":"127.0.0.1:80"}' \
    http://127.0.0.1:81/api/9/http/upstreams/changed/servers > /dev/null
curl -s http://127.0.0.1:81/changed > /dev/null
within serial c.test
within serial a.test
within test -s /var/lib/weir/state/changed.conf
within test -s /var/lib/weir/state/names.json
within test -s /var/cache/weir/kept
within grep -q 'execve("/usr/local/bin/dns-record"' /tmp/trace
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
