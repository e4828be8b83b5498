"""A client and a server of gRPC by grpcio, for the end-to-end tests of Weir.

`tests/harness/grpc.rs` describes the commands, which `tests/peers/tonic` has, too."""

import itertools
import queue
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc

# Calls of one client at the same time; each takes a thread of the server.
CALLS = 120

# The number of calls beside a stream that is not read.
SLOW = 50

# What a client sends last in `Both`; it is not returned.
LAST = b"last"

CODES = {code.value[0]: code for code in grpc.StatusCode}

OPTIONS = [("grpc.enable_http_proxy", 0), ("grpc.so_reuseport", 0)]


def say(line):
    print(line, flush=True)


# The messages of streams, whose bytes tell where they are: byte `i` is `i + index`.

ROUND = bytes(range(256))


def message(index, size):
    start = index % 256
    return (ROUND * (size // 256 + 2))[start : start + size]


class Received:
    def __init__(self):
        self.messages = 0
        self.bytes = 0
        self.damaged = False

    def add(self, piece):
        self.damaged |= piece != message(self.messages, len(piece))
        self.messages += 1
        self.bytes += len(piece)

    def __str__(self):
        damaged = ", damaged" if self.damaged else ""
        return f"{self.messages} messages, {self.bytes} bytes{damaged}"


def own(metadata):
    return [(key, value) for key, value in metadata or () if key.startswith("own-")]


def shown(metadata):
    """The metadata that came back, sorted."""
    pairs = [
        f" {key}={value.hex() if isinstance(value, bytes) else value}"
        for key, value in metadata or ()
        if key.startswith(("own-", "end-"))
    ]
    return "".join(sorted(pairs))


# The server.


class Service(grpc.GenericRpcHandler):
    def __init__(self):
        self.serving = True
        self.sent = {}

    def service(self, call):
        unary = grpc.unary_unary_rpc_method_handler
        methods = {
            "/weir.Echo/Unary": unary(self.unary),
            "/weir.Echo/Fail": unary(self.fail),
            "/weir.Echo/Remaining": unary(self.remaining),
            "/weir.Echo/Sent": unary(lambda name, _: b"%d" % self.sent.get(name.decode(), 0)),
            "/weir.Echo/Health": unary(self.switch),
            "/weir.Echo/Gather": grpc.stream_unary_rpc_method_handler(self.gather),
            "/weir.Echo/Scatter": grpc.unary_stream_rpc_method_handler(self.scatter),
            "/weir.Echo/FailLater": grpc.unary_stream_rpc_method_handler(self.fail_later),
            "/weir.Echo/Never": unary(self.never),
            "/weir.Echo/Both": grpc.stream_stream_rpc_method_handler(self.both),
            "/grpc.health.v1.Health/Check": unary(self.health),
        }
        return methods.get(call.method)

    def unary(self, request, context):
        metadata = own(context.invocation_metadata())
        context.send_initial_metadata(metadata)
        context.set_trailing_metadata(
            [("end-" + key.removeprefix("own-"), value) for key, value in metadata]
        )
        return request

    def fail(self, request, context):
        code, _, text = request.decode().partition(" ")
        context.set_trailing_metadata(own(context.invocation_metadata()))
        context.abort(CODES[int(code)], text)

    def fail_later(self, request, context):
        yield b"a"
        yield b"b"
        self.fail(request, context)

    def remaining(self, _, context):
        return b"%d" % int((context.time_remaining() or 0) * 1000)

    def gather(self, messages, _):
        received = Received()
        for piece in messages:
            received.add(piece)
        return str(received).encode()

    def scatter(self, request, context):
        count, size = map(int, request.split())
        name, finished = self.name(context), self.told(context)[0]
        for index in range(count):
            yield message(index, size)
            self.sent[name] = index + 1
        finished.set()

    def both(self, messages, context):
        finished = self.told(context)[0]
        for piece in messages:
            if piece == LAST:
                # The messages of a call that is cancelled end, too.
                finished.set()
            else:
                yield piece

    def never(self, _, context):
        self.told(context)[1].wait()

    def told(self, context):
        """Says how a call ends: an event that is to be set if it finishes, and one of its end."""
        name, finished, ended = self.name(context), threading.Event(), threading.Event()

        def tell():
            say(("finished " if finished.is_set() else "cancelled ") + name)
            ended.set()

        context.add_callback(tell)
        return finished, ended

    @staticmethod
    def name(context):
        return dict(context.invocation_metadata()).get("id", "")

    def switch(self, request, _):
        self.serving = request == b"on"
        return b""

    def health(self, request, context):
        """The first field of the response is the status."""
        if request not in (b"", b"\n\x09weir.Echo"):
            context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return b"\x08\x01" if self.serving else b"\x08\x02"


def serve(certificate=None, key=None):
    server = grpc.server(ThreadPoolExecutor(CALLS), options=OPTIONS)
    server.add_generic_rpc_handlers((Service(),))
    if certificate:
        with open(key, "rb") as key, open(certificate, "rb") as chain:
            credentials = grpc.ssl_server_credentials([(key.read(), chain.read())])
        port = server.add_secure_port("127.0.0.1:0", credentials)
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    say(f"port {port}")
    sys.stdin.read()
    server.stop(None).wait()


# The client.


class Client:
    def __init__(self, address, certificate=None, name=None):
        if certificate:
            with open(certificate, "rb") as trusted:
                credentials = grpc.ssl_channel_credentials(trusted.read())
            options = [*OPTIONS, ("grpc.ssl_target_name_override", name)]
            self.channel = grpc.secure_channel(address, credentials, options)
        else:
            self.channel = grpc.insecure_channel(address, OPTIONS)
        self.call = None

    def obey(self, line):
        command, _, rest = line.partition(" ")
        try:
            method = getattr(self, "do_" + command.replace("-", "_"), None)
            answer = method(rest) if method else f"unknown command {command}"
        except grpc.RpcError as error:
            answer = self.told(error)
        return answer.replace("\n", "\\n")

    @staticmethod
    def told(error):
        own = shown(error.trailing_metadata())
        return f"status {error.code().value[0]} {error.details()}{own}"

    def unary(self, method, request, **more):
        return self.channel.unary_unary("/weir.Echo/" + method)(request, **more)

    @staticmethod
    def metadata():
        texts = [("own-text", value) for value in ("a value", "b, c")]
        return texts + [("own-bytes-bin", value) for value in (b"\x00\xff\x80\n", b"", b"abc")]

    def do_unary(self, rest):
        return self.unary("Unary", rest.encode()).decode()

    def do_large(self, rest):
        sent = message(1, int(rest))
        came = self.unary("Unary", sent)
        return f"{len(came)} bytes, same: {str(came == sent).lower()}"

    def do_gzip(self, rest):
        sent = message(1, int(rest))
        came = self.unary("Unary", sent, compression=grpc.Compression.Gzip)
        return f"{len(came)} bytes, same: {str(came == sent).lower()}"

    def do_metadata(self, _):
        method = self.channel.unary_unary("/weir.Echo/Unary")
        text, call = method.with_call(b"m", metadata=self.metadata())
        return text.decode() + shown([*call.initial_metadata(), *call.trailing_metadata()])

    def do_remaining(self, rest):
        left, given = int(self.unary("Remaining", b"", timeout=int(rest) / 1000)), int(rest)
        # The limit that is sent is rounded up.
        if left > given * 1.01:
            return f"{left} of {given} ms left"
        return "as given" if left >= given // 2 else f"only {left} of {given} ms left"

    def do_deadline(self, rest):
        timeout, name = rest.split()
        metadata = [("id", name)]
        return self.unary("Never", b"", timeout=int(timeout) / 1000, metadata=metadata).decode()

    def do_fail(self, rest):
        return self.unary("Fail", rest.encode(), metadata=self.metadata()).decode()

    def do_fail_later(self, rest):
        method, said = self.channel.unary_stream("/weir.Echo/FailLater"), ""
        try:
            for piece in method(rest.encode(), metadata=self.metadata()):
                said += piece.decode()
        except grpc.RpcError as error:
            return said + ", " + self.told(error)
        return said + " and no failure"

    def do_missing(self, rest):
        return self.unary("Missing", rest.encode()).decode()

    def do_health(self, rest):
        return self.unary("Health", rest.encode()).decode()

    def do_gather(self, rest):
        count, size = map(int, rest.split())
        method = self.channel.stream_unary("/weir.Echo/Gather")
        return method(message(index, size) for index in range(count)).decode()

    def do_scatter(self, rest):
        return self.receive(self.scatter(rest), Received())

    def do_echo(self, rest):
        count, size = map(int, rest.split())
        method = self.channel.stream_stream("/weir.Echo/Both")
        sent = (message(index, size) for index in range(count))
        call = method(itertools.chain(sent, [LAST]), metadata=[("id", "echo")])
        return self.receive(call, Received())

    def do_slow(self, rest):
        """Reads one message of a stream, lets the others wait while it makes calls, and reads
        them."""
        call, received = self.scatter(rest, "slow"), Received()
        received.add(next(call))
        for _ in range(SLOW):
            sent = self.unary("Sent", b"slow").decode()
        return f"{sent} sent, {self.receive(call, received)}"

    def do_many(self, rest):
        method = self.channel.unary_unary("/weir.Echo/Unary")
        sent = [b"%d" % number for number in range(int(rest))]
        calls = [method.future(text) for text in sent]
        same = sum(call.result() == text for call, text in zip(calls, sent))
        return f"{same} answers"

    def do_open(self, rest):
        self.sent = queue.Queue()
        self.sent.put(b"open")
        self.call = self.both(self.sent, rest)
        return self.do_next("")

    def do_step(self, rest):
        self.sent.put(rest.encode())
        return self.do_next("")

    def do_next(self, _):
        try:
            return next(self.call).decode()
        except StopIteration:
            return "the end"

    def do_close(self, _):
        self.sent.put(LAST)
        self.sent.put(None)
        return self.receive(self.call, Received())

    def do_cancel(self, _):
        self.call.cancel()
        self.sent.put(None)
        return "cancelled"

    def scatter(self, what, name=""):
        method = self.channel.unary_stream("/weir.Echo/Scatter")
        return method(what.encode(), metadata=[("id", name)])

    def both(self, messages, name, **more):
        method = self.channel.stream_stream("/weir.Echo/Both")
        return method(iter(messages.get, None), metadata=[("id", name)], **more)

    @staticmethod
    def receive(call, received):
        for piece in call:
            received.add(piece)
        return str(received)


def main():
    role, *rest = sys.argv[1:]
    if role == "serve":
        return serve(*rest)
    client = Client(*rest)
    for line in sys.stdin:
        say(client.obey(line.rstrip("\n")))


main()
