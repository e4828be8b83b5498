"""An application for comparisons: `do=` names the kind of its response."""

from hashlib import md5
from urllib.parse import parse_qs

STATUS = {
    "redirect": "302 Found", "absolute": "301 Moved", "status": "500 Oops", "missing": "404 Not Found",
    "teapot": "418 Short and stout", "unchanged": "304 Not Modified", "none": "204 No Content",
}
FIELDS = {
    "redirect": [("Location", "/page.html?x=y")],
    "cookie": [("Set-Cookie", "a=b; Path=/app/; Domain=localhost; Secure"), ("Set-Cookie", "c=d")],
    "etag": [("ETag", '"tag"'), ("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT")],
    "ranges": [("Accept-Ranges", "bytes")],
    "expires": [("X-Accel-Expires", "1000")],
    "control": [("Cache-Control", "max-age=1000, public")],
    "private": [("Cache-Control", "private, no-store")],
    "vary": [("Vary", "Accept-Encoding, X-A"), ("X-Accel-Expires", "1000")],
    "varyall": [("Vary", "*"), ("X-Accel-Expires", "1000")],
    "accel": [("X-Accel-Redirect", "/page.html?of=accel"), ("X-Own", "1")],
    "accelto": [("X-Accel-Redirect", "/none/such")],
    "accelup": [("X-Accel-Redirect", "/../up")],
    "accelname": [("X-Accel-Redirect", "@named")],
    "accelset": [("X-Accel-Charset", "koi8-r"), ("X-Accel-Buffering", "no")],
    "rate": [("X-Accel-Limit-Rate", "10000000")],
    "refresh": [("Refresh", "5; url=/page.html")],
    "twice": [("X-A", "1"), ("X-A", "2"), ("Cache-Control", "a"), ("Cache-Control", "b")],
    "date": [("Date", "Sun, 06 Nov 1994 08:49:37 GMT"), ("Server", "own"), ("Connection", "close")],
    "long": [("X-Long", "x" * 3000)],
    "toolong": [("X-Long", "x" * 5000)],
    "coded": [("Content-Encoding", "identity")],
    "hop": [("Upgrade", "x"), ("Trailer", "y"), ("Via", "1.1 z")],
    "disposition": [("Content-Disposition", 'attachment; filename="a b.txt"')],
    "json": [("Content-Type", "application/json")],
    "html": [("Content-Type", "text/html")],
}
SIZED = {"length", "ranges", "etag"}
BARE = {"empty", "unchanged", "none"}


def application(env, start):
    body = env["wsgi.input"].read()
    do = parse_qs(env.get("QUERY_STRING", "")).get("do", [""])[0]
    text = "python %s %s %d %s\n%s\n" % (
        do, env.get("REQUEST_METHOD", "-"), len(body), md5(body).hexdigest(),
        env.get("PATH_INFO", "-"),
    )
    fields = list(FIELDS.get(do, []))
    if do == "absolute":
        fields.append(("Location", "http://%s/a" % env.get("HTTP_HOST", "")))
    if do == "html":
        text = "<p>a line of text</p>\n" * 200
    if do == "large":
        text = "".join(md5(b"%d" % i).hexdigest() + "\n" for i in range(3000))
    if do not in ("typeless", "json", "html") and do not in BARE:
        fields.append(("Content-Type", "text/html; charset=utf-8"))
    # The parameters are bytes, which WSGI passes as Latin-1.
    parts = [] if do in BARE else [text.encode("latin-1")]
    if do in SIZED:
        fields.append(("Content-Length", str(len(parts[0]))))
    if do == "parts":
        parts = [b"one ", b"two "] + parts
    start(STATUS.get(do, "200 OK"), fields)
    return parts
