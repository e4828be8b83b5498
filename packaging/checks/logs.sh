# Programs that read the logs of nginx: the filters of fail2ban, and goaccess.

dpkg -i $old
cat > /etc/weir/conf.d/guarded.conf <<'END'
limit_req_zone $binary_remote_addr zone=slow:1m rate=1r/m;
server {
    listen 81;
    root /usr/share/weir/html;
    location /private { auth_basic closed; auth_basic_user_file /etc/weir/users; }
    location /slow { limit_req zone=slow; try_files /index.html =404; }
    location /denied { deny all; }
}
END
echo 'known:{PLAIN}secret' > /etc/weir/users
/usr/sbin/weir
within is_served
ask() {
    curl -s -o /dev/null -A "browser \"quoted\" 1.0" "http://127.0.0.1:81$1" "${@:2}"
}
ask /private -u known:wrong
ask /private -u "un\"known:x"
ask /slow
ask /slow
ask /denied
ask /wp-login.php
ask "/%22quoted%22?a=%0Ab" -e "http://from/\"x"
printf 'nonsense\r\n\r\n' > /dev/tcp/127.0.0.1/81
within grep -q '" 400 ' /var/log/weir/access.log

# The number of lines that a filter finds in a log.
found() {
    fail2ban-regex "/var/log/weir/$1.log" "$2" | sed -n 's/^Lines: .* \([0-9]*\) matched.*/\1/p'
}
[ "$(found error nginx-http-auth)" = 2 ] || fail "wrong passwords"
[ "$(found error nginx-limit-req)" = 1 ] || fail "limited requests"
[ "$(found access nginx-botsearch)" = 1 ] || fail "searching robots: $(found access nginx-botsearch)"
if [ -e /etc/fail2ban/filter.d/nginx-bad-request.conf ]; then
    [ "$(found access nginx-bad-request)" = 1 ] || fail "bad requests"
fi
if [ -e /etc/fail2ban/filter.d/nginx-forbidden.conf ]; then
    [ "$(found error nginx-forbidden)" = 1 ] || fail "forbidden requests"
fi

goaccess --no-global-config --log-format=COMBINED -o /tmp/report.json /var/log/weir/access.log > /dev/null
lines=$(wc -l < /var/log/weir/access.log)
python3 -c '
import json, sys
general = json.load(open("/tmp/report.json"))["general"]
print(general["total_requests"], general["valid_requests"], general["failed_requests"])
sys.exit(general["failed_requests"] > 1 or general["total_requests"] != int(sys.argv[1]))
' "$lines" || fail "goaccess"
weir -s quit
within has_ended weir
