"""Starts a system's processes on 127.0.0.1, waits for them, and stops exactly those again."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.benchmarks import cpu
from tests.benchmarks.lineup import CELERY_WORKER, SERVERS, System
from tests.benchmarks.peers import ROOT
from tests.benchmarks.store import free_port, running_store

SITES = Path(__file__).parent / "systems"
START_SECONDS, STOP_SECONDS = 20, 10
LOAD_SECONDS = 150
"""The longest that one load may take beyond what it measures."""
TAIL_CHARACTERS = 1500


class FailedError(Exception):
    """A system did not start, or did not get through a load."""


class Running:
    """
    A system and the Redis of its own, running.

    Its Celery worker starts with the first load that needs one, so that the others are measured without it.
    """

    def __init__(self, system: System, server: str, peers_python: str, stack: contextlib.ExitStack) -> None:
        self.system, self._stack, self._peers_python = system, stack, peers_python
        self._python = sys.executable if system.ours else peers_python
        self._logs = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-")))
        self._pids: dict[str, list[int]] = {}
        self._processes: list[subprocess.Popen[bytes]] = []
        self._environment = self._with_redis() | system.environment
        self.port = free_port()
        for _ in range(system.workers if system.worker else 0):
            self._start("worker", "django", *system.worker)
        if system.application:
            words = {"port": self.port, "application": system.application}
            self._start("server", *(word.format(**words) for word in SERVERS[server]))
            self._wait_for("the server does not listen", self._listens)
        if system.worker_ready:
            self._wait_for("the workers do not get ready", self._workers_are_ready)

    @property
    def pids(self) -> dict[str, list[int]]:
        """The processes of each role."""
        return self._pids

    def log(self, role: str) -> str:
        """Return what the processes of a role have written."""
        return "".join(path.read_text(errors="replace") for path in self._logs.glob(f"{role}*"))

    def measure(self, load: str, seconds: float) -> dict[str, Any]:
        """Run *load* in a process of its own. Raises: FailedError, with the end of every log."""
        if load == "celery" and "celery" not in self._pids:
            self._start("celery", *(word.format(site=self.system.site) for word in CELERY_WORKER))
        module = "tests.benchmarks.loads" if self.system.application else "tests.benchmarks.direct"
        spec = {"load": load, "port": self.port, "seconds": seconds, "roles": self._pids}
        try:
            done = subprocess.run(
                [self._peers_python, "-m", module],
                input=json.dumps(spec),
                env=self._environment,
                cwd=ROOT,
                capture_output=True,
                text=True,
                timeout=LOAD_SECONDS + 3 * seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise FailedError(f"{load}: it did not end in time\n{self._tails()}") from None
        if done.returncode:
            raise FailedError(f"{load}: {done.stderr.strip()[-TAIL_CHARACTERS:]}\n{self._tails()}")
        return json.loads(done.stdout)

    def _with_redis(self) -> dict[str, str]:
        self.store = self._stack.enter_context(running_store())
        self._pids["redis"] = [self.store.pid]
        django = {"DJANGO_SETTINGS_MODULE": f"{self.system.site}.settings"} if self.system.django else {}
        return {**os.environ, **django} | {
            "BENCHMARK_REDIS_URL": self.store.url,
            "PYTHONPATH": os.pathsep.join((str(SITES), str(ROOT))),
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def _start(self, role: str, *module_and_arguments: str) -> None:
        number = len(self._pids.setdefault(role, []))
        with (self._logs / f"{role}{number or ''}").open("wb") as log:
            process = subprocess.Popen(
                [self._python, "-m", *module_and_arguments],
                env=self._environment,
                cwd=self._logs,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._stack.callback(stop, process)
        self._processes.append(process)
        self._pids[role].append(process.pid)

    def _wait_for(self, complaint: str, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and all(process.poll() is None for process in self._processes):
            if condition():
                return
            time.sleep(0.05)
        raise FailedError(f"{complaint}\n{self._tails()}")

    def _listens(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False

    def _workers_are_ready(self) -> bool:
        return all(self.system.worker_ready in log.read_text() for log in self._logs.glob("worker*"))

    def _tails(self) -> str:
        return "\n".join(
            f"--- {path.name}\n{path.read_text(errors='replace')[-TAIL_CHARACTERS:]}" for path in self._logs.iterdir()
        )


@contextlib.contextmanager
def running(system: System, server: str, peers_python: str) -> Iterator[Running]:
    """Start *system*, and stop all of it in the end, Redis last; also when this process is told to stop."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with contextlib.ExitStack() as stack:
        yield Running(system, server, peers_python, stack)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask *process* to end, then make it and its children."""
    members = cpu.family(process.pid)
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        for member in members:
            with contextlib.suppress(ProcessLookupError):
                os.kill(member, signal.SIGKILL)
        process.wait()


def allow_many_files() -> int:
    """Let this process and those that it starts open as many files as the system allows; return how many."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most
