"""Real parts: a protocol server in a process of its own, and a worker of a few lines in a thread of this one."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket as socket_module
import subprocess
import sys
import threading
import time
from pathlib import Path

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from chancelery.exceptions import LayerUnavailable
from chancelery.layers.base import Finished, Send
from chancelery.layers.redis import RedisChannelLayer

ROOT = Path(__file__).parents[3]
PATIENCE = 20
LARGE_PIECES = 24
CHANNELS = ["websocket.connect", "websocket.receive", "websocket.disconnect", "http.request", "http.disconnect"]


class Server:
    """A protocol server that serves the site's gateway on a free port of 127.0.0.1."""

    settings = "tests.gateway.site.settings"

    def __init__(self, command, listening, url, prefix, **options):
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": self.settings,
            "TEST_REDIS_URL": url,
            "TEST_PREFIX": prefix,
            "TEST_CHANCELERY": json.dumps(options),
            "PYTHONUNBUFFERED": "1",
        }
        self.process = subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._lines = []
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._listening = re.compile(listening)

    @property
    def port(self):
        """The port that it listens on."""
        return int(self.said(self._listening)[1])

    @property
    def log(self):
        with self._news:
            return "".join(self._lines)

    def said(self, pattern):
        """The match of *pattern* in its log, once it is there."""
        with self._news:
            found = self._news.wait_for(lambda: re.search(pattern, "".join(self._lines)), PATIENCE)
            assert found, f"never said {pattern!r}, but: {''.join(self._lines)}"
            return found

    @property
    def peak_megabytes(self):
        """The most memory that it has had."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024

    def connect(self, path="/echo/", **options):
        options.setdefault("open_timeout", PATIENCE)
        return connect(f"ws://127.0.0.1:{self.port}{path}", max_size=None, **options)

    def connect_idly(self, path, **options):
        """A client that stops reading when it was told more than it was asked for."""
        sock = socket_module.socket()
        sock.setsockopt(socket_module.SOL_SOCKET, socket_module.SO_RCVBUF, 65536)
        sock.connect(("127.0.0.1", self.port))
        return self.connect(path, sock=sock, max_queue=1, ping_interval=None, compression=None, **options)

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def exit_status(self):
        try:
            status = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running, having said:\n{self.log}") from None
        self._reader.join(PATIENCE)
        return status

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.exit_status()
        self.process.stderr.close()

    def _read(self):
        for line in self.process.stderr:
            with self._news:
                self._lines.append(line)
                self._news.notify_all()


def daphne(url, prefix, *arguments, application="channel_layer", **options):
    command = ["-m", "daphne", "-b", "127.0.0.1", "-p", "0", *arguments, f"tests.gateway.site.asgi:{application}"]
    return Server(command, r"Listening on TCP address 127\.0\.0\.1:(\d+)", url, prefix, **options)


def uvicorn(url, prefix, *arguments, **options):
    command = ["-m", "uvicorn", "--port", "0", *arguments, "tests.gateway.site.asgi:channel_layer"]
    return Server(command, r"running on http://127\.0\.0\.1:(\d+)", url, prefix, **options)


class Clerk:
    """A worker of a few lines: hands each message to the function of its channel, in order per connection."""

    def __init__(self, url, prefix):
        self.layer = RedisChannelLayer(hosts=[url], prefix=prefix)
        self.seen = []
        self._news = threading.Condition()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stopping.set()
        self._thread.join(PATIENCE)
        self.layer.close()

    def saw(self, channel, **fields):
        """The content of the message on *channel* that has *fields*, once it was handled."""
        with self._news:
            found = self._news.wait_for(lambda: self._find(channel, fields), PATIENCE)
            assert found is not None, f"no message on {channel} with {fields}, but {self.seen}"
            return found

    def _find(self, channel, fields):
        for name, content in self.seen:
            if name == channel and content.items() >= fields.items():
                return content
        return None

    def _run(self):
        while not self._stopping.is_set():
            try:
                self._work(self.layer.open_lease())
            except LayerUnavailable:
                self._stopping.wait(0.1)

    def _work(self, lease):
        finished = []
        while not self._stopping.is_set():
            fetched = self.layer.fetch(CHANNELS, 64, lease, finished)
            finished = [
                Finished(delivery, self._handle(delivery))
                for delivery in fetched.deliveries
                if delivery.content.get("path") != "/stuck/" or delivery.channel != "websocket.receive"
            ]
            if not finished:
                self.layer.wait(CHANNELS, 0.2)

    def _handle(self, delivery):
        content = delivery.content
        with self._news:
            self.seen.append((delivery.channel, content))
            self._news.notify_all()
        answer = getattr(self, delivery.channel.replace(".", "_"))(content)
        return () if answer is None else (Send(content["reply_channel"], self.layer.pack(answer)),)

    def websocket_connect(self, content):
        path = content["path"]
        if path == "/silent/":
            return None
        if path.startswith("/room/"):
            self.layer.group_add("room", content["reply_channel"])
            if path == "/room/early/":
                self.layer.send_group("room", {"text": "before you were let in"})
        if path in {"/denied/", "/room/denied/"}:
            return {"accept": False}
        if path == "/protocol/":
            return {"accept": True, "subprotocol": content["subprotocols"][-1]}
        return {"accept": True}

    def websocket_receive(self, content):
        if content["path"] == "/room/literal/":
            self.layer.send_group("room", json.loads(content["text"]))
            return None
        if content["path"].startswith("/room/"):
            self.layer.send_group("room", {"text": content["text"]})
            return None
        if content["path"] == "/literal/":
            return json.loads(content["text"])
        if content["path"] == "/silence/":
            return None
        return {key: content[key] for key in ("text", "bytes") if key in content}

    def websocket_disconnect(self, content):
        return None

    def http_request(self, content):
        if content["path"] == "/large/":
            for number in range(LARGE_PIECES):
                piece = {"status": 200} if number == 0 else {}
                self.layer.send(content["reply_channel"], {**piece, "content": b"x" * 500_000, "more_content": True})
            return {"content": b"end"}
        return {"status": 200, "headers": [[b"content-type", b"text/plain"]], "content": b"got " + content["body"]}

    def http_disconnect(self, content):
        return None


def closed_with(socket, message=None):
    """The code that the server closes *socket* with, or 1006 when it just drops it.

    It may close it while *message* is still on its way, so that sending it fails: that is an answer as well.
    """
    try:
        if message is not None:
            socket.send(message)
        while True:
            socket.recv(timeout=PATIENCE)
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else 1006


def free_port():
    """A port of 127.0.0.1 that nobody listens on."""
    with socket_module.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def until(condition):
    """Wait for what has no event of its own."""
    give_up_at = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < give_up_at
        time.sleep(0.01)


def deaf_client(port, path):
    """A client that completes the handshake, and from then on neither reads nor answers; returns its socket."""
    client = socket_module.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    client.sendall(
        f"GET {path} HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )
    assert client.recv(12) == b"HTTP/1.1 101"
    return client


@contextlib.contextmanager
def served(server, url, prefix, *arguments, **options):
    """A server and a clerk."""
    with server(url, prefix, *arguments, **options) as running, Clerk(url, prefix) as clerk:
        running.port  # noqa: B018 - waits until it listens
        yield running, clerk
