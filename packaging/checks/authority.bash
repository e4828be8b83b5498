# A local ACME authority, for the cases with certificates.

# Begins one that takes the names to be this host.
begin_authority() {
    cd /tmp
    openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=localhost \
        -addext subjectAltName=DNS:localhost 2>/dev/null
    cat > pebble.json <<END
{"pebble": {"listenAddress": "127.0.0.1:14000", "managementListenAddress": "127.0.0.1:15000",
 "certificate": "/tmp/ca.pem", "privateKey": "/tmp/ca.key", "httpPort": 80, "tlsPort": 443}}
END
    echo "127.0.0.1 localhost $*" > /etc/hosts
    PEBBLE_VA_NOSLEEP=1 PEBBLE_WFE_NONCEREJECT=0 pebble -config pebble.json > pebble.log 2>&1 &
    within has_begun
}
has_begun() {
    curl -sf --cacert /tmp/ca.pem https://localhost:14000/dir > /dev/null
}

# The serial number of the certificate that is served for a name.
serial() {
    openssl s_client -connect 127.0.0.1:443 -servername "$1" < /dev/null 2>/dev/null |
        openssl x509 -noout -serial
}

# Whether a name has another one than "$first".
is_new() {
    [ -n "$(serial "$1")" ] && [ "$(serial "$1")" != "$first" ]
}
