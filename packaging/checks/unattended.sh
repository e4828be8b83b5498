# unattended-upgrades installs a new version under load, also on a host that Weir has adopted, and no
# request is refused.

# A repository of this host with the new version.
mkdir /srv/repository
cp $new /srv/repository
cd /srv/repository
cat > Release <<'END'
Origin: Weir
Label: Weir
Suite: stable
Codename: stable
END
{
    dpkg-deb -f $new
    echo "Filename: ./new.deb"
    echo "Size: $(stat -c %s $new)"
    echo "SHA256: $(sha256sum $new | cut -d ' ' -f 1)"
    echo
} > Packages
echo "SHA256:" >> Release
echo " $(sha256sum Packages | cut -d ' ' -f 1) $(stat -c %s Packages) Packages" >> Release
rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*
echo 'deb [trusted=yes] file:/srv/repository ./' > /etc/apt/sources.list
cat > /etc/apt/apt.conf.d/52weir <<'END'
Unattended-Upgrade::Origins-Pattern { "origin=Weir"; };
Unattended-Upgrade::Skip-Updates-On-Metered-Connections "false";
END
apt-get -q update

# Upgrades what runs with this pid file, under load.
upgraded() {
    first=$(cat "$1")
    load
    within test -s /run/asked
    unattended-upgrade --verbose
    dpkg -s weir | expect "Version: 0.1.0-2"
    within test ! -e "/proc/$first"
    calm
    is_served || fail "after the upgrade"
}

dpkg -i $old
/usr/sbin/weir
upgraded /run/weir.pid
weir -s quit
within has_ended weir

dpkg -i $old
/usr/sbin/nginx
within is_served
weir adopt
upgraded /run/nginx.pid
weir adopt --back
nginx -s quit
within has_ended nginx
