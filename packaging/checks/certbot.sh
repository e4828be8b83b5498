# Certificates by certbot, from a local authority: in a folder that Weir serves, renewed with a hook
# that reloads Weir, and by the plugin for nginx on a host that Weir has adopted.

. /checks/authority.bash
begin_authority a.test b.test
order() {
    REQUESTS_CA_BUNDLE=/tmp/ca.pem timeout 300 certbot "$@" --non-interactive \
        --server https://localhost:14000/dir
}

dpkg -i $old
/usr/sbin/weir
order certonly --webroot -w /usr/share/weir/html -d a.test --agree-tos \
    --register-unsafely-without-email
cat > /etc/weir/conf.d/a.conf <<'END'
server {
    listen 443 ssl;
    server_name a.test;
    ssl_certificate /etc/letsencrypt/live/a.test/fullchain.pem;
    ssl_certificate_key /etc/letsencrypt/live/a.test/privkey.pem;
}
END
weir -s reload
within serial a.test
first=$(serial a.test)
order renew --no-random-sleep-on-renew --force-renewal --deploy-hook "weir -s reload"
within is_new a.test
weir -s quit
within has_ended weir

# The plugin, which asks for the version, edits the configuration, tests and reloads it.
/usr/sbin/nginx
within is_served
weir adopt
cat > /etc/nginx/conf.d/b.conf <<'END'
server {
    listen 80;
    server_name b.test;
    location / { return 200 b; }
}
END
nginx -s reload
order --nginx -d b.test --redirect
within serial b.test
get_b() {
    curl -s --resolve b.test:80:127.0.0.1 -o /dev/null -w '%{http_code} %{redirect_url}' http://b.test/x
}
get_b | expect "301 https://b.test/x"
first=$(serial b.test)
order renew --no-random-sleep-on-renew --cert-name b.test --force-renewal
within is_new b.test
order delete --cert-name a.test > /dev/null
weir adopt --back
is_b() {
    curl -sk --resolve b.test:443:127.0.0.1 https://b.test/ | grep -q '^b$'
}
within is_b
nginx -V 2>&1 | grep -q weir && fail "Weir is still nginx"
nginx -s quit
within has_ended nginx
