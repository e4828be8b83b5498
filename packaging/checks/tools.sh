# What systemd and debuggers say of the package's files.

dpkg -i $old
# The viewer of man pages is not on this host.
systemd-analyze verify /lib/systemd/system/weir.service 2>&1 | grep -v "Command 'man " | tee /tmp/said || true
[ ! -s /tmp/said ] || fail "systemd-analyze verify"
# Of 10, in tenths; docs/howto/install.md says what it is made of.
systemd-analyze security --offline=true --threshold=39 /lib/systemd/system/weir.service | tail -n 1
for script in /var/lib/dpkg/info/weir.p*; do
    sh -n "$script" || fail "$script"
done

# A backtrace has lines once the symbols are installed: gdb finds them by the program's build id.
/usr/sbin/weir
within is_served
master=$(cat /run/weir.pid)
worker=$(cat "/proc/$master/task/$master/children")
backtrace() {
    gdb -batch -nx -p "${worker% }" -ex "thread apply all backtrace" > /tmp/backtrace 2>/tmp/gdb
}
# Inlined functions of the trained release have no crate in their names.
line=' at .*crates/[a-z]*/src/.*\.rs:[0-9]'
backtrace
grep -q "$line" /tmp/backtrace && fail "the stripped program has lines"
dpkg -i /pkg/symbols.deb
backtrace
grep -m 3 "$line" /tmp/backtrace || fail "no line in $(cat /tmp/backtrace)"
id=$(dpkg -s weir-dbgsym | sed -n "s,^Build-Ids: ,,p")
symbols=/usr/lib/debug/.build-id/${id:0:2}/${id:2}.debug
nm "$symbols" | sed -n 's/ [tT] .*weir_http.*//p' | head -n 50 | addr2line -fCe "$symbols" > /tmp/lines
grep -m 1 'crates/http/src/.*\.rs:[0-9]' /tmp/lines || fail "addr2line: $(cat /tmp/lines)"
weir -s quit
within has_ended weir
