# Minimal. What goes wrong during installations and upgrades: the old program serves on, and dpkg goes on.

# Another server has port 80.
perl -MIO::Socket::INET -e '
    my $socket = IO::Socket::INET->new(LocalPort => 80, Listen => 1, ReuseAddr => 1) or die $!;
    open my $ready, ">", "/run/taken"; sleep 600' &
other=$!
within test -e /run/taken
dpkg -i $old 2>&1 | tee /run/told
expect "weir: port 80 is taken, so the service is neither enabled nor started." < /run/told
kill "$other"
wait "$other" || true

# A configuration with a fault at an upgrade.
/usr/sbin/weir
first=$(cat /run/weir.pid)
echo 'no_such_directive;' > /etc/weir/conf.d/fault.conf
dpkg -i $new 2>&1 | tee /run/told
expect "weir: the version before serves on" < /run/told
[ "$(cat /run/weir.pid)" = "$first" ] || fail "the old program has the pid file"
is_served || fail "the old program serves on"
dpkg -s weir | expect "install ok installed"
rm /etc/weir/conf.d/fault.conf
/usr/libexec/weir/upgrade
within test ! -e "/proc/$first"
is_served || fail "after the fault was mended"

# A changed file of the configuration stays.
echo '# mine' >> /etc/weir/nginx.conf
dpkg -i --force-confdef $old
expect '# mine' < /etc/weir/nginx.conf

# An interrupted installation: unpacked, and half-configured.
dpkg --unpack $new
is_served || fail "unpacked only"
printf '#!/bin/sh\nexit 1\n' > /tmp/false
cp /var/lib/dpkg/info/weir.postinst /tmp/postinst
cp /tmp/false /var/lib/dpkg/info/weir.postinst
chmod 755 /var/lib/dpkg/info/weir.postinst
dpkg --configure weir && fail "it was to fail"
dpkg -s weir | expect "half-configured"
is_served || fail "half-configured"
dpkg -i $new
dpkg -s weir | expect "install ok installed"

# A full disk: nothing is replaced, nothing stops.
mount -t tmpfs -o size=1m full /usr/libexec
dd if=/dev/zero of=/usr/libexec/filled bs=4k 2>/dev/null || true
dpkg -i $old 2>/dev/null && fail "it was to find no space"
is_served || fail "with a full disk"
umount /usr/libexec
dpkg -i $old
is_served || fail "with space again"

# Purged while it runs.
dpkg -P weir
within has_ended weir
[ ! -e /etc/weir ] && [ ! -e /var/log/weir ] && [ ! -e /var/lib/weir ] || fail "something is left"
