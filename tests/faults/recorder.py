"""
What happened in one process, as lines of JSON in a file of its own.

One write(2) to a file opened with O_APPEND per event: what was written is there though the process is killed at once.
Times are those of CLOCK_MONOTONIC, which all processes of a machine share.
"""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

PULSE_SECONDS = 0.05
STALL_SECONDS = 0.3
"""A process that did not run for so long says so, whatever kept it: the check must know."""


class Recorder:
    """Appends events to `<role>.<pid>.jsonl` in *folder*."""

    def __init__(self, folder: Path | str, role: str) -> None:
        self.role = role
        self._pid = os.getpid()
        path = Path(folder) / f"{role}.{self._pid}.jsonl"
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def __call__(self, event: str, **fields: Any) -> None:
        line = {"t": round(time.monotonic(), 6), "e": event, "by": self.role, "pid": self._pid, **fields}
        os.write(self._file, json.dumps(line, separators=(",", ":")).encode() + b"\n")

    def watch_stalls(self) -> None:
        """From now on, record when this process did not run for a while."""
        threading.Thread(target=self._pulse, name="pulse", daemon=True).start()

    def _pulse(self) -> None:
        before = time.monotonic()
        while True:
            time.sleep(PULSE_SECONDS)
            now = time.monotonic()
            if now - before > STALL_SECONDS:
                self("stall", since=round(before, 6))
            before = now


def read_events(folder: Path) -> list[dict[str, Any]]:
    """Return all events of a run, in the order of their times."""
    events = [event for path in sorted(folder.glob("*.jsonl")) for event in _lines(path)]
    return sorted(events, key=lambda event: event["t"])


def _lines(path: Path) -> list[dict[str, Any]]:
    text = path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines() if line]
