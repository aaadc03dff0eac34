"""The example site as a whole: an embedded Valkey, web, daphne, worker and celery, each a process of its own."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from chancelery.deployment.embedded import EmbeddedValkey

ROOT = Path(__file__).parents[2]
ARTIFACTS = ROOT / "tests" / "_artifacts"
FINAL = {"result", "error", "cancelled"}
PATIENCE_SECONDS = 40
"""What is waited for takes moments; this much where everything else runs on the same two cores."""
STOP_SECONDS = 60  # billiard gives the children of a busy Celery worker 30 s to see that all of their results are read


class Site:
    """Processes of the example by name, on free ports; what they write is in tests/_artifacts/example/."""

    def __init__(self, folder: Path, redis_url: str) -> None:
        self.web_port, self.sockets_port = free_ports(2)
        self.logs = ARTIFACTS / "example"
        self.logs.mkdir(parents=True, exist_ok=True)
        self.env = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "example.settings",
            "REDIS_URL": redis_url,
            "EXAMPLE_DEBUG": "0",
            "EXAMPLE_DB": str(folder / "db.sqlite3"),
            "EXAMPLE_MEDIA": str(folder / "uploads"),
            "DAPHNE_PORT": str(self.sockets_port),
        }
        self.commands = {
            "web": [
                "gunicorn",
                "example.wsgi",
                "--bind",
                f"127.0.0.1:{self.web_port}",
                "--threads",
                "4",
                "--no-control-socket",
            ],
            "daphne": ["daphne", "--port", str(self.sockets_port), "example.asgi:channel_layer"],
            "worker": ["example", "runworker"],
            "celery": ["celery", "-A", "example", "worker", "--concurrency", "2"],
        }
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def migrate(self) -> None:
        self.manage("migrate", "--verbosity", "0")

    def manage(self, *arguments: str) -> None:
        """Run one of Django's management commands. Raises: CalledProcessError when it fails."""
        subprocess.run([sys.executable, "-m", "example", *arguments], cwd=ROOT, env=self.env, check=True)

    def start(self, name: str) -> None:
        with (self.logs / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", *self.commands[name]], cwd=ROOT, env=self.env, stdout=log, stderr=log
            )

    def ask_to_stop(self, name: str) -> subprocess.Popen[bytes]:
        """Send SIGTERM to the process, not to its children."""
        process = self.processes.pop(name)
        process.send_signal(signal.SIGTERM)
        return process

    def stop(self, name: str) -> int:
        """Stop the process gently and return its exit status."""
        return self.wait_for(name, self.ask_to_stop(name))

    def wait_for(self, name: str, process: subprocess.Popen[bytes]) -> int:
        """Return the exit status of a process that was asked to stop; one that does not stop is killed, and a fault."""
        try:
            return process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"{name} did not stop in {STOP_SECONDS} s after SIGTERM\n{self.said(name)}") from None

    def wait_until_ready(self) -> None:
        """Return once a page is served, a frame echoed and a job done."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self._answers():
            for name, process in self.processes.items():
                assert process.poll() is None, f"{name} ended with {process.returncode}\n{self.said(name)}"
            assert time.monotonic() < deadline, "\n".join(self.said(name) for name in self.processes)
            time.sleep(0.1)

    def said(self, name: str) -> str:
        return f"--- {name}\n" + (self.logs / f"{name}.log").read_text(errors="replace")[-4000:]

    def socket(self, path: str, **options: Any) -> ClientConnection:
        url = f"ws://127.0.0.1:{self.sockets_port}{path}"
        return connect(url, open_timeout=PATIENCE_SECONDS, close_timeout=PATIENCE_SECONDS, **options)

    def get(self, path: str, port: int = 0) -> tuple[int, bytes]:
        return self.http("GET", path, port=port)[:2]

    def http(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None, port: int = 0
    ) -> tuple[int, bytes, http.client.HTTPMessage]:
        connection = http.client.HTTPConnection("127.0.0.1", port or self.web_port, timeout=PATIENCE_SECONDS)
        with contextlib.closing(connection):
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response.status, response.read(), response.headers

    def upload(self, text: bytes, port: int = 0) -> str:
        """Upload *text* as the page does, and return its id."""
        _, _, headers = self.http("GET", "/", port=port)
        token = headers["Set-Cookie"].split("csrftoken=")[1].split(";")[0]
        sent = {"Cookie": f"csrftoken={token}", "X-CSRFToken": token, "Content-Type": "application/octet-stream"}
        status, answer, _ = self.http("POST", "/upload/?name=test.txt", text, sent, port)
        assert status == 201, answer
        return str(json.loads(answer)["upload"])

    def _answers(self) -> bool:
        try:
            with self.socket("/ws/echo/") as client:
                client.send("ready?")
                client.recv(PATIENCE_SECONDS)
            with self.socket("/ws/jobs/") as client:
                run(client, do="chain", value=1)
            return self.get("/")[0] == 200
        except (OSError, WebSocketException):
            return False


def run(client: ClientConnection, **order: Any) -> list[dict[str, Any]]:
    """Ask for a job and return its events, the last of them its outcome."""
    client.send(json.dumps(order))
    return list(events(client))


def events(client: ClientConnection) -> Iterator[dict[str, Any]]:
    """Yield events until one is final."""
    while True:
        event = json.loads(client.recv(PATIENCE_SECONDS))
        yield event
        if "error" in event or event["kind"] in FINAL:
            return


def kinds(found: list[dict[str, Any]]) -> list[str]:
    return [event["kind"] for event in found]


def free_ports(number: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Site]:
    """The whole site, ready; everything stopped at the end, gently and Valkey last."""
    with EmbeddedValkey(folder / "valkey") as valkey:
        site = Site(folder, valkey.url)
        try:
            site.migrate()
            for name in site.commands:
                site.start(name)
            site.wait_until_ready()
            yield site
        finally:
            with contextlib.ExitStack() as stack:
                for name in list(site.processes):
                    stack.callback(site.wait_for, name, site.ask_to_stop(name))
