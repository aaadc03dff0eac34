"""Keeps the processes of a run: whoever was killed or told to end on purpose gets a successor."""

from __future__ import annotations

import time
from collections.abc import Sequence

from tests.faults.processes import Slot
from tests.faults.recorder import Recorder

HUNG_SECONDS = 25


class Keeper:
    """Sets `slots` when it knows them."""

    def __init__(self, record: Recorder) -> None:
        self.record = record
        self.slots: Sequence[Slot] = []
        self._due: dict[str, float] = {}
        """slot -> when another process takes the place of the one that was killed"""
        self._terminating: dict[str, float] = {}
        """slot -> since when"""

    def await_ready(self) -> None:
        """Return when every process is up."""
        for slot in self.slots:
            slot.await_ready()

    def kill(self, slot: Slot, pause: float) -> None:
        """Kill a process; another takes its place *pause* seconds later."""
        slot.kill()
        self._terminating.pop(slot.name, None)
        self._due[slot.name] = time.monotonic() + pause

    def terminate(self, slot: Slot) -> None:
        """Have a process drain; another takes its place when it has ended."""
        slot.thaw()
        slot.terminate()
        self._terminating[slot.name] = time.monotonic()

    @property
    def is_whole(self) -> bool:
        """Whether every process is there, and to stay."""
        return not self._terminating and all(slot.alive for slot in self.slots)

    def tend(self) -> None:
        """Start what died on purpose and is due; a process that died by itself or hangs is recorded."""
        now = time.monotonic()
        for slot in self.slots:
            began = self._terminating.get(slot.name)
            if slot.alive and began is not None and now - began > HUNG_SECONDS:
                self.record("hung", name=slot.name)
                self.kill(slot, 0)
            if not slot.alive and now >= self._due.get(slot.name, 0):
                if self._terminating.pop(slot.name, None) is None and self._due.pop(slot.name, None) is None:
                    self._record_death(slot)
                slot.start()

    def _record_death(self, slot: Slot) -> None:
        assert slot.process is not None
        self.record("died", name=slot.name, target=slot.process.pid, status=slot.process.returncode)
