"""The catalogue: what may go wrong, and how often. What is killed comes back by the system's hand."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from random import Random
from typing import Any

from tests.jobfaults.system import CeleryWorker, System

Fault = Callable[[System, Random], dict[str, Any]]
"""Does it, and returns what is to be recorded of it."""


def _pause(random: Random) -> float:
    """Return how long a place stays empty, in seconds."""
    return random.choice([0.0, random.uniform(0, 1.5)])


def _kill(role: str) -> Fault:
    def do(system: System, random: Random) -> dict[str, Any]:
        slot, pause = random.choice(getattr(system, role)), _pause(random)
        system.kill(slot, pause)
        return {"name": slot.name, "pause": pause}

    return do


def _kill_with_children(system: System, random: Random) -> dict[str, Any]:
    """A container that is gone: nothing of the worker goes on. Else, its children end what they have begun."""
    worker, pause = random.choice(system.celery), _pause(random)
    system.kill(worker, pause)
    worker.kill_orphans()
    return {"name": worker.name, "pause": pause}


def _kill_child(system: System, random: Random) -> dict[str, Any]:
    worker: CeleryWorker = random.choice(system.celery)
    child = random.choice(worker.children() or [0])
    if child:
        os.kill(child, signal.SIGKILL)
    return {"name": worker.name, "child": child}


def _kill_store(system: System, random: Random) -> dict[str, Any]:
    pause = random.uniform(0, 1.5)
    system.kill_store(pause)
    return {"pause": pause}


def _drop(system: System, random: Random) -> dict[str, Any]:
    count = random.randrange(1, 5)
    system.clients.order(f"drop {count}")
    return {"count": count}


CATALOGUE: dict[str, tuple[float, Fault]] = {
    "celery_kill": (3, _kill("celery")),
    "celery_kill_all": (2, _kill_with_children),
    "child_kill": (4, _kill_child),
    "gateway_kill": (2, _kill("gateways")),
    "store_kill": (2, _kill_store),
    "drop": (3, _drop),
    "runworker_kill": (2, _kill("workers")),
}
"""Fault -> how often, in proportion to the others, and how it is done."""


def drawn(random: Random) -> str:
    """Return the name of the next fault."""
    return random.choices(list(CATALOGUE), [weight for weight, _ in CATALOGUE.values()])[0]
