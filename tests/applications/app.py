"""A Flask application: uploads, sessions, redirects, streams and events."""

import hashlib
import os
import time

from flask import Flask, Response, abort, redirect, request, session, url_for

app = Flask(__name__)
app.secret_key = "for tests"
HERE = os.path.dirname(os.path.abspath(__file__))


@app.route("/")
def home():
    return "home %s %s %s" % (request.host, request.scheme, request.remote_addr)


@app.route("/post/<path:name>")
def post(name):
    return "post %s %s" % (name, request.args.get("page", "1"))


@app.route("/upload", methods=["POST", "PUT"])
def upload():
    if request.method == "PUT":
        return hashlib.md5(request.get_data()).hexdigest()
    file = request.files["file"]
    digest = hashlib.md5(file.read()).hexdigest()
    return "%s %s %s" % (file.filename, digest, request.form["title"])


@app.route("/login", methods=["POST"])
def login():
    session["name"] = request.form["name"]
    return redirect(url_for("me"))


@app.route("/me")
def me():
    session["views"] = session.get("views", 0) + 1
    return "%s %d" % (session.get("name", "nobody"), session["views"])


@app.route("/absolute")
def absolute():
    return redirect(url_for("me", _external=True), 301)


@app.route("/fault")
def fault():
    abort(418) if "abort" in request.args else 1 / 0


def wait_for(name):
    while not os.path.exists(os.path.join(HERE, name)):
        time.sleep(0.005)


@app.route("/stream")
def stream():
    def parts():
        yield "one\n"
        wait_for("go-0")
        yield "two\n"
        wait_for("go-1")
        yield "three\n"

    return Response(parts(), headers={"X-Accel-Buffering": "no"}, mimetype="text/plain")


@app.route("/events")
def events():
    def parts():
        yield "id: 1\ndata: first\n\n"
        wait_for("event")
        yield "id: 2\ndata: second\n\n"

    return Response(parts(), mimetype="text/event-stream")


@app.route("/large")
def large():
    return Response(("%040d\n" % at for at in range(50000)), mimetype="text/plain")


@app.route("/download")
def download():
    return Response(headers={"X-Accel-Redirect": "/protected/report.bin"}, mimetype="text/x-report")
