"""
One episode: everything is started, goes wrong for a while, comes to rest, and is looked at.

Its events lie in a folder afterwards, for `check`. An episode proves something only as a whole: one that is interrupted
counts for nothing.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

from tests.faults import faults
from tests.faults.processes import wait_for
from tests.faults.system import ROOMS, System

REST_SECONDS = 40
TICK_SECONDS = 0.02
FORGOTTEN = ("bell:", "reaped:", "ended:", "channels", "counters", "drops", "dead")
"""Keys that outlive every connection: what is counted, kept for an operator, or ends by itself."""


class Episode:
    """
    Runs with the faults that are drawn from *seed*, or the given ones.

    keeps: see `store`. pace: seconds from one fault to the next, at least and at most.
    """

    def __init__(
        self,
        folder: Path,
        seed: str,
        *,
        keeps: str,
        count: int,
        kinds: Sequence[str] = (),
        workers: int = 3,
        sockets: int = 36,
        pace: tuple[float, float] = (0.5, 1.9),
    ) -> None:
        self._folder, self._seed, self._keeps = folder, seed, keeps
        self._kinds = list(kinds)
        self._count = len(kinds) or count
        self._workers, self._sockets, self._pace = workers, sockets, pace
        self._random = Random(seed)
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._store_free_at = 0.0

    def run(self) -> None:
        """Run from the first process's start to the last one's end."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            system = System(
                self._folder, self._keeps, self._seed, workers=self._workers, sockets=self._sockets, stack=stack
            )
            system.start()
            system.clients.order("start")
            self._tend_for(system, 1.5)
            for number in range(self._count):
                self._do(system, number)
                self._tend_for(system, self._random.uniform(*self._pace))
            self._undo_all(system)
            self._come_to_rest(system)

    def _do(self, system: System, number: int) -> None:
        busy_for = self._store_free_at - time.monotonic()
        kind = self._kinds[number] if self._kinds else faults.draw(self._random, store_is_busy=busy_for > 0)
        if kind in faults.OF_THE_STORE:
            self._tend_for(system, busy_for)
        plan = faults.CATALOGUE[kind][1](system, self._random)
        system.record("fault", number=number, kind=kind, seconds=round(plan.seconds, 3), **plan.details)
        plan.begin()
        over_at = time.monotonic() + plan.seconds
        if kind in faults.OF_THE_STORE:
            self._store_free_at = over_at

        def end() -> None:
            plan.end()
            system.record("fault_over", number=number, kind=kind)

        heapq.heappush(self._later, (over_at, next(self._numbers), end))

    def _tend_for(self, system: System, seconds: float) -> None:
        """Let *seconds* pass, undoing what is due and starting what died."""
        until = time.monotonic() + seconds
        while (now := time.monotonic()) < until:
            while self._later and self._later[0][0] <= now:
                heapq.heappop(self._later)[2]()
            system.tend()
            time.sleep(TICK_SECONDS)

    def _undo_all(self, system: System) -> None:
        while self._later:
            self._tend_for(system, 0.1)

        def is_whole() -> bool:
            system.tend()
            return system.is_whole

        wait_for(is_whole, REST_SECONDS, lambda: "a process did not end, or not start")
        system.await_ready()
        system.record("faults_over")

    def _come_to_rest(self, system: System) -> None:
        try:
            self._look(system)
        except (TimeoutError, ChildProcessError) as error:
            system.record("unrest", why=str(error)[-3000:])
        self._count_up(system)
        statuses = {}
        for slots in (system.gateways, system.workers):
            for slot in slots:
                slot.terminate()
            for slot in slots:
                with contextlib.suppress(TimeoutError):
                    statuses[slot.name] = slot.await_end()
        system.record("statuses", statuses=statuses)
        system.record("keys", left=_keys(system))

    def _look(self, system: System) -> None:
        """Have every browser there, call the roll, and close all sockets."""
        system.clients.order("calm")
        members = system.clients.answer(REST_SECONDS)["calm"]
        system.record("calm", members=members)
        # What still waits is handled first, so that its answers come before the roll is called.
        wait_for(lambda: not _waiting(system), REST_SECONDS, lambda: f"not handled: {_waiting(system)}")
        for turn in ("first", "second"):  # what the first one reached twice is noticed before the second one comes
            for room in ROOMS:
                system.layer.send_group(room, {"text": json.dumps({"id": f"roll:{turn}"})})
        system.clients.order("heard roll:second")
        system.clients.answer(REST_SECONDS)
        groups = {room: sorted(system.layer.group_channels(room)) for room in ROOMS}
        sides = {f"side.{room}": sorted(system.layer.group_channels(f"side.{room}")) for room in ROOMS}
        system.record("groups", groups=groups | sides)
        system.clients.order("close")
        system.record("browsers_closed", left=system.clients.answer(REST_SECONDS)["closed"])
        wait_for(lambda: not _occupied(system), REST_SECONDS, lambda: f"still there: {_occupied(system)}")

    def _count_up(self, system: System) -> None:
        letters = [
            [letter.id, letter.reason, (letter.content or {}).get("id", ""), letter.attempts]
            for letter in getattr(system.layer, "dead_letters", lambda _: [])(1000)
        ]
        system.record("counted", counters=system.layer.global_statistics(), dead_letters=letters)


def _keys(system: System) -> list[str]:
    prefix = system.layer.prefix
    found = (key.decode().removeprefix(prefix) for key in system.store.client.scan_iter(count=1000))
    return sorted(key for key in found if not key.startswith(FORGOTTEN))


def _waiting(system: System) -> list[str]:
    """Return the keys that are there only while a message waits or is being handled."""
    found = [key for key in _keys(system) if key.startswith(("lane", "ready:", "lease:"))]
    return [key for key in found if not key.startswith("lease:") or _holds_something(system, key)]


def _holds_something(system: System, key: str) -> bool:
    return any(field.isdigit() for field in system.store.client.hkeys(system.layer.prefix + key))


def _occupied(system: System) -> list[str]:
    """Return the keys that are there only while a message is under way or a socket is open."""
    return _waiting(system) + [key for key in _keys(system) if key.startswith(("wills:", "group:"))]
