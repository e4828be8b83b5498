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

# What was there before: a folder of the administrator, with a faulty configuration. It is theirs, and
# the package comes after it.
mkdir -p /etc/weir/sites-enabled
echo 'not a configuration' > /etc/weir/nginx.conf
ln -s /nowhere /etc/weir/sites-enabled/default
dpkg -i --force-confold $old
expect 'not a configuration' < /etc/weir/nginx.conf
/usr/sbin/weir && fail "it serves a faulty configuration"
dpkg -i --force-confold $new
dpkg -s weir | expect "install ok installed"
dpkg -P weir
[ ! -e /etc/weir ] || fail "something is left of it"

# A full disk after everything is unpacked: dpkg says so, and goes on when there is space.
dpkg --unpack $old
mount -t tmpfs -o size=4k,nr_inodes=2 full /etc/weir/sites-enabled
touch /etc/weir/sites-enabled/.filled
dpkg --configure weir && fail "it was to find no space"
dpkg -s weir | expect "half-configured"
umount /etc/weir/sites-enabled
dpkg --configure weir
dpkg -s weir | expect "install ok installed"
/usr/sbin/weir
is_served || fail "with space again, after a start"

# Once more, by hand: nothing changes, nothing stops.
first=$(cat /run/weir.pid)
rm /etc/weir/sites-enabled/default
dpkg-reconfigure weir 2>/dev/null || /var/lib/dpkg/info/weir.postinst configure "$(dpkg-query -f '${Version}' -W weir)"
[ ! -e /etc/weir/sites-enabled/default ] || fail "the site that was removed is back"
within test ! -e "/proc/$first"
within test -s /run/weir.pid
dpkg -P weir
within has_ended weir
