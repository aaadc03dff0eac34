"""
Everything that runs: Redis behind its proxy, gateways, workers and browsers.

Knows how to start it, keep it and stop it; what goes wrong on purpose is told in `faults`, when in `episode`.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import sys
from pathlib import Path
from typing import Any

from chancelery.layers.redis import RedisChannelLayer
from tests.faults.clients import Spec
from tests.faults.keeper import Keeper
from tests.faults.processes import Servant, Slot, free_port
from tests.faults.recorder import Recorder
from tests.faults.store import Store

LEASE_SECONDS = 1
LAYER: dict[str, Any] = {
    "prefix": "faults:",
    "lease_seconds": LEASE_SECONDS,
    "at_least_once": {"sure.*": 3},
    # What a consumer sends on when its lane is full waits, and what is sent meanwhile by others may overtake it.
    "lane_capacity": 10000,
}
THREADS = 2
ROOMS = ["red", "green", "blue"]


class System(Keeper):
    """keeps: how much of what Redis acknowledged survives its death, see `store`."""

    def __init__(
        self, folder: Path, keeps: str, seed: str, *, workers: int, sockets: int, stack: contextlib.ExitStack
    ) -> None:
        super().__init__(Recorder(folder, "driver"))
        self.folder, self._stack = folder, stack
        self.store = Store(folder, keeps, self.record)
        stack.callback(self.store.stop)
        self.store.start()
        names = ["gateway1", "gateway2", *(f"worker{number}" for number in range(1, workers + 1))]
        self._proxy = Servant(
            [sys.executable, "-m", "tests.faults.proxy", str(self.store.port), *names], folder / "proxy.log"
        )
        stack.callback(self._proxy.stop)
        self._ports = self._proxy.answer()
        web_ports = [free_port(), free_port()]
        self.gateways = [self._gateway(name, port) for name, port in zip(names[:2], web_ports, strict=True)]
        self.workers = [self._worker(name) for name in names[2:]]
        self.slots = [*self.gateways, *self.workers]
        self.layer = RedisChannelLayer(hosts=[self.store.url], **LAYER)
        stack.callback(self.layer.close)
        self.clients = Servant([sys.executable, "-m", "tests.faults.clients"], folder / "clients.log")
        stack.callback(self.clients.stop)
        self.clients.order(json.dumps(vars(Spec(str(folder), web_ports, ROOMS, sockets, seed, pause=0.5))))
        self.random = random.Random(f"{seed}/faults")

    def start(self) -> None:
        """Start all that is left to start, and return when every process is up."""
        for slot in self.slots:
            self._stack.callback(slot.kill)
            slot.start()
        self.await_ready()

    def network(self, do: str, names: list[str], **how: Any) -> None:
        """Have the proxy misbehave, or heal, towards the processes called *names*."""
        self._proxy.order(json.dumps({"do": do, "to": names, **how}))
        self._proxy.answer()

    def _gateway(self, name: str, port: int) -> Slot:
        application = "tests.faults.site.asgi:channel_layer"
        if name == "gateway1":
            command = ["daphne", "-b", "127.0.0.1", "-p", str(port), application]
            return self._slot(name, command, port)
        command = ["uvicorn", "--port", str(port), application]
        return self._slot(name, command, port)

    def _worker(self, name: str) -> Slot:
        return self._slot(name, ["django", "runworker", "--threads", str(THREADS)], "Worker ready")

    def _slot(self, name: str, command: list[str], ready: str | int) -> Slot:
        site = {
            "role": name,
            "folder": str(self.folder),
            "url": f"redis://127.0.0.1:{self._ports[name]}/0",
            "layer": LAYER,
        }
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.faults.site.settings",
            "FAULTS_SITE": json.dumps(site),
            "PYTHONUNBUFFERED": "1",
        }
        words = [sys.executable, "-m", *command]
        return Slot(name, words, environment, folder=self.folder, ready=ready, record=self.record)
