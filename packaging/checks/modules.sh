# A host with dynamic modules in nginx's modules-enabled: those that Weir has are its own, another one is
# named, and stops the adoption if the configuration uses it.

dpkg -i $old
ls /usr/share/nginx/modules-available | tee /tmp/modules
for name in $(cat /tmp/modules); do
    ln -s "/usr/share/nginx/modules-available/$name" "/etc/nginx/modules-enabled/50-$name"
done
echo 'server { listen 81; location / { echo hello; } }' > /etc/nginx/conf.d/echo.conf
/usr/sbin/nginx
within is_served
weir adopt --dry-run 2>&1 | tee /tmp/said || true
echo 'server { listen 82; location / { subs_filter a b; } }' > /etc/nginx/conf.d/subs.conf
nginx -s reload
weir adopt > /tmp/said 2>&1 && fail "it takes over what it cannot serve"
expect subs_filter < /tmp/said
nginx -V 2>&1 | grep -q weir && fail "it has taken over"
rm /etc/nginx/conf.d/subs.conf
nginx -s reload
weir adopt --anyway
curl -s http://127.0.0.1:81/ | expect hello
weir adopt --back
curl -s http://127.0.0.1:81/ | expect hello
nginx -s quit
within has_ended nginx
