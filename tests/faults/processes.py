"""
The processes of a run: each can be started, killed, frozen, thawed and stopped, and none outlives its driver.

On Linux the kernel kills them when a driver with one thread ends, however it ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from tests.faults.recorder import Recorder

ROOT = Path(__file__).parents[2]
START_SECONDS = 60
STOP_SECONDS = 60  # billiard gives the children of a busy Celery worker 30 s to see that all of their results are read
_DIE_WITH_PARENT = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


class Slot:
    """The place of one process: when it has died, another one with the same command takes it."""

    def __init__(
        self,
        name: str,
        command: list[str],
        environment: dict[str, str],
        *,
        folder: Path,
        ready: str | int,
        record: Recorder,
    ) -> None:
        """ready: what its log says when it is up, or the port on which it then listens."""
        self.name = name
        self._command, self._environment, self._ready, self._record = command, environment, ready, record
        self._log = folder / f"{name}.log"
        self._read_from = 0
        self.process: subprocess.Popen[bytes] | None = None
        self.frozen = False

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Start the process, if there is none; does not wait until it is up."""
        if self.alive:
            return
        self.frozen = False
        self._read_from = self._log.stat().st_size if self._log.exists() else 0
        with self._log.open("ab") as log:
            self.process = spawn(self._command, self._environment, stdin=subprocess.DEVNULL, output=log)
        self._record("started", name=self.name, target=self.process.pid)

    def await_ready(self, seconds: float = START_SECONDS) -> None:
        """Return once it is up. Raises: TimeoutError, with the end of its log."""
        wait_for(self.is_ready, seconds, self._complaint)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        if self.process is not None and self.alive:
            self._record("killing", name=self.name, target=self.process.pid)
            self.process.kill()
            self.process.wait()
            self._record("killed", name=self.name, target=self.process.pid)

    def freeze(self) -> None:
        """SIGSTOP."""
        if self.process is not None and self.alive:
            self.frozen = True
            self._record("frozen", name=self.name, target=self.process.pid)
            self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        if self.process is not None and self.frozen:
            self.frozen = False
            self.process.send_signal(signal.SIGCONT)
            self._record("thawed", name=self.name, target=self.process.pid)

    def terminate(self) -> None:
        """SIGTERM."""
        if self.process is not None and self.alive:
            self._record("terminating", name=self.name, target=self.process.pid)
            self.process.terminate()

    def await_end(self, seconds: float = STOP_SECONDS) -> int:
        """Return its exit status. Raises: TimeoutError."""
        assert self.process is not None
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise TimeoutError(self._complaint()) from None

    def log_since_start(self) -> str:
        with self._log.open("rb") as log:
            log.seek(self._read_from)
            return log.read().decode(errors="replace")

    def is_ready(self) -> bool:
        """Tell whether it is up."""
        if isinstance(self._ready, str):
            return re.search(self._ready, self.log_since_start()) is not None
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._ready), timeout=1):
            return True
        return False

    def _complaint(self) -> str:
        return f"{self.name} ({self.process and self.process.poll()}) says: {self.log_since_start()[-2000:]}"


class Servant:
    """A process that takes orders on its standard input and answers in lines of JSON."""

    def __init__(self, command: list[str], log: Path) -> None:
        with log.open("ab") as errors:
            self.process = spawn(command, dict(os.environ), stdin=subprocess.PIPE, output=errors, piped=True)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._orders, self._answers = self.process.stdin, self.process.stdout
        self._rest = b""
        os.set_blocking(self._answers.fileno(), False)

    def order(self, line: str) -> None:
        self._orders.write(line.encode() + b"\n")
        self._orders.flush()

    def answer(self, seconds: float = START_SECONDS) -> Any:
        """Return what the next line says. Raises: TimeoutError."""
        wait_for(self.has_answer, seconds, lambda: f"no answer from {self.process.args!r}")
        line, _, self._rest = self._rest.partition(b"\n")
        return json.loads(line)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        self._orders.close()
        self._answers.close()

    def has_answer(self) -> bool:
        """Tell whether an answer is there to be taken. Raises: ChildProcessError when none will ever be."""
        self._rest += self._answers.read() or b""
        if b"\n" not in self._rest and self.process.poll() is not None:
            raise ChildProcessError(f"{self.process.args!r} ended with {self.process.returncode}")
        return b"\n" in self._rest


def spawn(
    command: list[str], environment: dict[str, str], *, stdin: int, output: IO[bytes], piped: bool = False
) -> subprocess.Popen[bytes]:
    """Start *command*, in the project's folder and a session of its own."""
    # Only a process with one thread may run Python between fork and exec.
    dies_with_parent = _libc is not None and threading.active_count() == 1
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdin=stdin,
        stdout=subprocess.PIPE if piped else output,
        stderr=output,
        start_new_session=True,
        preexec_fn=_die_with_parent if dies_with_parent else None,  # noqa: PLW1509 - see above
    )


def _die_with_parent() -> None:
    assert _libc is not None
    _libc.prctl(_DIE_WITH_PARENT, signal.SIGKILL)


def wait_for(condition: Callable[[], object], seconds: float, complaint: Callable[[], str]) -> None:
    """Return when *condition* holds. Raises: TimeoutError with the *complaint*."""
    give_up_at = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > give_up_at:
            raise TimeoutError(complaint())
        time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
