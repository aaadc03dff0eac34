"""
One episode: everything is started, people escalate while things go wrong, everybody comes back, and it is looked at.

Its events lie in a folder afterwards, for `check`. An episode that is interrupted counts for nothing.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import redis

from tests.faults.processes import wait_for
from tests.jobfaults import faults
from tests.jobfaults.clients import Spec
from tests.jobfaults.ledger import ENDS
from tests.jobfaults.outcomes import RESULTS
from tests.jobfaults.system import System, web_ports

REST_SECONDS = 60
"""How long, once nothing goes wrong any more, jobs may take to end and clients to hear of it."""
TICK_SECONDS = 0.02
PACE_SECONDS = 0.4, 1.6
"""From one fault to the next."""
SHAPES = sorted({*RESULTS, "fails", "header fails"})


@dataclass(frozen=True)
class Plan:
    """What an episode is to be. kinds: the faults, in order; without, they are drawn until all jobs were asked for."""

    seed: str
    jobs: int
    kinds: Sequence[str] = ()
    clients: int = 12
    pause: float = 2.5


class Episode:
    """Runs a plan."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self._folder, self._plan = folder, plan
        self._random = Random(plan.seed)

    def run(self) -> None:
        """Run from the first process's start to the last one's end."""
        self._folder.mkdir(parents=True, exist_ok=True)
        plan = self._plan
        each = max(plan.jobs // plan.clients, 1)
        spec = Spec(str(self._folder), web_ports(), plan.clients, each, SHAPES, plan.seed, plan.pause)
        with contextlib.ExitStack() as stack:
            system = System(self._folder, spec, stack)
            system.start()
            system.clients.order("start")
            self._go_wrong(system)
            wait_for(lambda: _is_whole(system), REST_SECONDS, lambda: "a process did not start")
            system.await_ready()
            system.record("faults_over")
            self._come_to_rest(system)

    def _go_wrong(self, system: System) -> None:
        _tend_for(system, 1.0)
        kinds = list(self._plan.kinds)
        while kinds or not (self._plan.kinds or system.clients.has_answer()):
            kind = kinds.pop(0) if kinds else faults.drawn(self._random)
            _tend_until(system, lambda: not system.store_is_away)
            system.record("fault", kind=kind)
            system.record("fault_done", kind=kind, **faults.CATALOGUE[kind][1](system, self._random))
            _tend_for(system, self._random.uniform(*PACE_SECONDS))

    def _come_to_rest(self, system: System) -> None:
        try:
            self._look(system)
        except (TimeoutError, ChildProcessError) as error:
            system.record("unrest", why=str(error)[-2000:])
        system.record("jobs", jobs=_jobs(system))
        for slot in system.slots:
            slot.terminate()
        for slot in system.slots:
            with contextlib.suppress(TimeoutError):
                slot.await_end()

    def _look(self, system: System) -> None:
        system.clients.answer(REST_SECONDS)  # all was asked for
        _tend_until(system, lambda: _is_quiet(system), complaint=lambda: f"open: {_open(system)}")
        system.clients.order("calm")
        try:
            system.clients.answer(REST_SECONDS)
        except TimeoutError:
            system.clients.order("missing")
            system.record("unheard", **system.clients.answer(REST_SECONDS))
            return
        system.clients.order("close")
        system.clients.answer(REST_SECONDS)


def _is_whole(system: System) -> bool:
    system.tend()
    return system.is_whole


def _tend_for(system: System, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        system.tend()
        time.sleep(TICK_SECONDS)


def _tend_until(
    system: System,
    condition: Callable[[], bool],
    complaint: Callable[[], str] = lambda: "it does not come to rest",
) -> None:
    give_up_at = time.monotonic() + REST_SECONDS
    while not condition():
        if time.monotonic() > give_up_at:
            raise TimeoutError(complaint())
        system.tend()
        time.sleep(TICK_SECONDS * 5)


def _is_quiet(system: System) -> bool:
    return not _open(system) and not _lanes(system)


def _records(system: System) -> list[str]:
    prefix = system.deployment.job_prefix
    keys = (key.decode() for key in system.store.client.scan_iter(match=f"{prefix}job:*", count=1000))
    return sorted(key for key in keys if key.count(":") == prefix.count(":") + 1)


def _open(system: System) -> list[str]:
    """Return the jobs that have not ended."""
    client: redis.Redis = system.store.client
    with client.pipeline(transaction=False) as pipeline:
        keys = _records(system)
        for key in keys:
            pipeline.hget(key, "state")
        states = pipeline.execute()
    return [key for key, state in zip(keys, states, strict=True) if state.decode() not in ENDS]


def _lanes(system: System) -> list[str]:
    """Return the keys that are there only while a message waits."""
    prefix = system.deployment.layer_prefix
    found = (key.decode().removeprefix(prefix) for key in system.store.client.scan_iter(match=f"{prefix}*", count=1000))
    return [key for key in found if key.startswith(("lane", "ready:"))]


def _jobs(system: System) -> dict[str, dict[str, Any]]:
    """Return what Redis keeps of every job."""
    client: Any = system.store.client
    kept = {}
    for key in _records(system):
        events = [
            [int(entry.split(b"-")[0]), fields[b"kind"].decode(), json.loads(fields[b"data"])]
            for entry, fields in client.xrange(f"{key}:events")
        ]
        members = {task.decode(): value.decode() for task, value in client.hgetall(f"{key}:members").items()}
        kept[key.rpartition(":")[2]] = {
            "state": client.hget(key, "state").decode(), "events": events, "members": members,
        }  # fmt: skip
    return kept
