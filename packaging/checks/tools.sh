# What systemd says of the package's files.

dpkg -i $old /pkg/symbols.deb
# The viewer of man pages is not on this host.
systemd-analyze verify /lib/systemd/system/weir.service 2>&1 | grep -v "Command 'man " | tee /tmp/said || true
[ ! -s /tmp/said ] || fail "systemd-analyze verify"
for script in /var/lib/dpkg/info/weir.p*; do
    sh -n "$script" || fail "$script"
done

# The symbols are where debuggers look for the program's build id.
id=$(dpkg -s weir-dbgsym | sed -n "s,^Build-Ids: ,,p")
symbols=/usr/lib/debug/.build-id/${id:0:2}/${id:2}.debug
[ -s "$symbols" ] || fail "no $symbols"
