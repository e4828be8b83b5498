# Certificates by acme.sh from a local authority, on a host that Weir has adopted: by a folder, and by its
# mode for nginx, which edits the configuration, tests and reloads it; renewed with reload commands.

if [ ! -e /pkg/acme.sh ]; then
    echo "skipped: --acme.sh=DIR names no checkout of acmesh-official/acme.sh"
    exit 0
fi
. /checks/authority.bash
begin_authority a.test b.test
acme() {
    timeout 300 sh /pkg/acme.sh/acme.sh --home /tmp/acme --server https://localhost:14000/dir --ca-bundle /tmp/ca.pem "$@" \
        2>&1 || fail "acme.sh $*: $(tail -n 20 /var/log/nginx/error.log)"
}

dpkg -i $old
/usr/sbin/nginx
within is_served
weir adopt
mkdir -p /etc/nginx/tls /var/www/html
site() {
    cat > "/etc/nginx/conf.d/$1.conf"
}

# By a folder that the stock site serves.
acme --issue -d a.test --webroot /var/www/html
acme --install-cert -d a.test --key-file /etc/nginx/tls/a.key --fullchain-file /etc/nginx/tls/a.pem \
    --reloadcmd "nginx -t && nginx -s reload"
site a <<'END'
server {
    listen 443 ssl;
    server_name a.test;
    ssl_certificate tls/a.pem;
    ssl_certificate_key tls/a.key;
}
END
nginx -s reload
within serial a.test
first=$(serial a.test)
acme --renew -d a.test --force
within is_new a.test

# By the mode for nginx: it looks for the site's file itself.
site b <<'END'
server {
    listen 80;
    server_name b.test;
    location / { return 200 b; }
}
END
nginx -s reload
before=$(md5sum /etc/nginx/conf.d/b.conf)
acme --issue -d b.test --nginx
[ "$(md5sum /etc/nginx/conf.d/b.conf)" = "$before" ] || fail "the site's file has changed"
# There is no systemd: what a reload of nginx's unit runs.
reload=$(sed -n 's/^ExecReload=//p' /lib/systemd/system/nginx.service)
printf '#!/bin/sh\n[ "$*" = "reload nginx" ] && exec %s\n' "$reload" > /usr/local/bin/systemctl
chmod 755 /usr/local/bin/systemctl
export PATH=/usr/local/bin:$PATH
acme --install-cert -d b.test --key-file /etc/nginx/tls/b.key --fullchain-file /etc/nginx/tls/b.pem \
    --reloadcmd "true"
site b <<'END'
server {
    listen 80;
    listen 443 ssl;
    server_name b.test;
    ssl_certificate tls/b.pem;
    ssl_certificate_key tls/b.key;
    location / { return 200 b; }
}
END
nginx -s reload
within serial b.test
first=$(serial b.test)
acme --install-cert -d b.test --key-file /etc/nginx/tls/b.key --fullchain-file /etc/nginx/tls/b.pem \
    --reloadcmd "systemctl reload nginx"
acme --renew -d b.test --force
within is_new b.test

weir adopt --back
nginx -V 2>&1 | grep -q weir && fail "Weir is still nginx"
first=$(serial b.test)
acme --renew -d b.test --force
within is_new b.test
nginx -s quit
within has_ended nginx
