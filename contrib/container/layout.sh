#!/bin/sh
# The files of the image, below a folder: the layout of nginx's official image.
# Usage: layout.sh PROGRAM FOLDER
set -eu
program=$1
root=$2
here=$(dirname "$0")

mkdir -p "$root/usr/sbin" "$root/usr/bin" "$root/etc/nginx/conf.d" "$root/etc/nginx/templates" \
    "$root/usr/share/nginx/html" "$root/var/log/nginx" "$root/var/cache/nginx" \
    "$root/docker-entrypoint.d"

install -m 755 "$program" "$root/usr/sbin/weir"
ln -s weir "$root/usr/sbin/nginx"
ln -s usr/sbin/weir "$root/docker-entrypoint.sh"
for step in 10-listen-on-ipv6-by-default.sh 15-local-resolvers.envsh \
    20-envsubst-on-templates.sh 30-tune-worker-processes.sh; do
    ln -s /usr/sbin/weir "$root/docker-entrypoint.d/$step"
done

for file in mime.types fastcgi.conf fastcgi_params scgi_params uwsgi_params; do
    install -m 644 "$here/../../conf/$file" "$root/etc/nginx/$file"
done
install -m 644 "$here/nginx.conf" "$root/etc/nginx/nginx.conf"
install -m 644 "$here/default.conf" "$root/etc/nginx/conf.d/default.conf"
install -m 644 "$here/index.html" "$here/50x.html" "$root/usr/share/nginx/html"

ln -s /dev/stdout "$root/var/log/nginx/access.log"
ln -s /dev/stderr "$root/var/log/nginx/error.log"
