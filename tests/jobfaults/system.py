"""
Everything that runs: Redis with its journal, two gateways, a worker of consumers, two of Celery, and the clients.

Knows how to start it, keep it and stop it; what goes wrong on purpose is told in `faults`, when in `episode`.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import TypeVar

from chancelery.deployment import Deployment
from tests.faults.keeper import Keeper
from tests.faults.processes import Servant, Slot, free_port
from tests.faults.recorder import Recorder
from tests.faults.store import Store
from tests.jobfaults.clients import Spec

PREFIX = "jobfaults"
SomeSlot = TypeVar("SomeSlot", bound=Slot)
CHILDREN = 2
"""Processes in the pool of each Celery worker."""


class CeleryWorker(Slot):
    """A Celery worker, whose children go on for a while when it is killed."""

    _groups: tuple[int, ...] = ()

    def start(self) -> None:
        """Start the process, if there is none."""
        super().start()
        assert self.process is not None
        self._groups = tuple(dict.fromkeys((*self._groups, self.process.pid)))

    def children(self) -> list[int]:
        """
        Return the process ids of those that run its tasks.

        None while it starts: Celery ends when a child dies before it is ready, and leaves it to its supervisor.
        """
        if self.process is None or not self.alive or not self.is_ready():
            return []
        found = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        with contextlib.suppress(OSError):
            return [int(word) for word in found.read_text().split()]
        return []

    def kill_orphans(self) -> None:
        """SIGKILL to the children of those that were killed before."""
        living = self.process.pid if self.process is not None and self.alive else None
        for group in self._groups:
            if group != living:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(group, signal.SIGKILL)


class System(Keeper):
    """jobs: how many each of the *clients* asks for."""

    def __init__(self, folder: Path, spec: Spec, stack: contextlib.ExitStack) -> None:
        super().__init__(Recorder(folder, "driver"))
        self.folder, self._stack = folder, stack
        self.store = Store(folder, "all", self.record)
        stack.callback(self.store.stop)
        self.store.start()
        self._store_due = 0.0
        self.deployment = Deployment(self.store.url, prefix=PREFIX)
        self.gateways = [self._gateway(number, port) for number, port in enumerate(spec.ports, 1)]
        self.workers = [self._slot(Slot, "worker1", ["django", "runworker", "--threads", "3"], "Worker ready")]
        self.celery = [self._celery(f"celery{number}") for number in (1, 2)]
        self.slots = [*self.gateways, *self.workers, *self.celery]
        self.clients = Servant([sys.executable, "-m", "tests.jobfaults.clients"], folder / "clients.log")
        stack.callback(self.clients.stop)
        self.clients.order(json.dumps(vars(spec)))

    def start(self) -> None:
        """Start all that is left to start, and return when every process is up."""
        for worker in self.celery:
            self._stack.callback(worker.kill_orphans)
        for slot in self.slots:
            self._stack.callback(slot.kill)
            slot.start()
        self.await_ready()

    def kill_store(self, pause: float) -> None:
        """Kill Redis; it comes back, with all that it had acknowledged, *pause* seconds later."""
        if not self._store_due:
            self.store.kill()
            self._store_due = time.monotonic() + pause

    @property
    def store_is_away(self) -> bool:
        """Whether Redis is still to come back."""
        return self._store_due > 0

    @property
    def is_whole(self) -> bool:
        """Whether every process is there, Redis too."""
        return not self.store_is_away and super().is_whole

    def tend(self) -> None:
        """Start what is due to come back."""
        if self._store_due and time.monotonic() >= self._store_due:
            self._store_due = 0.0
            self.store.start()
        super().tend()

    def _gateway(self, number: int, port: int) -> Slot:
        application = "tests.jobfaults.site.asgi:channel_layer"
        daphne = ["daphne", "-b", "127.0.0.1", "-p", str(port), application]
        uvicorn = ["uvicorn", "--port", str(port), application]
        return self._slot(Slot, f"gateway{number}", daphne if number % 2 else uvicorn, port)

    def _celery(self, name: str) -> CeleryWorker:
        words = [
            "celery",
            "-A",
            "tests.jobfaults.site",
            "worker",
            "-c",
            str(CHILDREN),
            "-n",
            f"{name}@%h",
            "-l",
            "INFO",
        ]
        return self._slot(CeleryWorker, name, [*words, "--without-gossip", "--without-mingle"], " ready\\.")

    def _slot(self, kind: type[SomeSlot], name: str, command: list[str], ready: str | int) -> SomeSlot:
        site = {"role": name, "folder": str(self.folder), "url": self.store.url, "prefix": PREFIX}
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.jobfaults.site.settings",
            "FAULTS_SITE": json.dumps(site),
            "PYTHONUNBUFFERED": "1",
        }
        words = [sys.executable, "-m", *command]
        return kind(name, words, environment, folder=self.folder, ready=ready, record=self.record)


def web_ports() -> list[int]:
    """Return the ports of the gateways."""
    return [free_port(), free_port()]
