"""The seconds that count: what is measured in them, and how it is summed up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from tests.benchmarks import cpu

WARM_UP_SECONDS = 0.5
PATIENCE_SECONDS = 30
"""How long a system may take to answer its first frame."""
LOST_AFTER_SECONDS = 5
"""What has not come after this long counts as lost."""

clock = time.perf_counter
Spec = dict[str, Any]
Result = dict[str, Any]


class Window:
    """The seconds that count: latencies of what ended in them, and the CPU that was spent meanwhile."""

    def __init__(self, roles: dict[str, list[int]]) -> None:
        self.latencies: list[float] = []
        self.notes: list[str] = []
        self._roles = roles

    async def measure(self, seconds: float) -> None:
        self.latencies.clear()
        before, own, start = cpu.by_role(self._roles), time.process_time(), clock()
        await asyncio.sleep(seconds)
        self.taken = self.latencies[:]
        self.seconds = clock() - start
        self.client_share = (time.process_time() - own) / self.seconds
        after = cpu.by_role(self._roles)
        self.cpu = {role: after[role] - before[role] for role in after}

    def note(self, count: int, what: str) -> None:
        if count:
            self.notes.append(f"{count} {what}")

    def result(self, **more: Any) -> Result:
        ordered, count = sorted(self.taken), len(self.taken)
        return {
            "per_second": count / self.seconds,
            "p50_ms": percentile_ms(ordered, 0.50),
            "p99_ms": percentile_ms(ordered, 0.99),
            "max_ms": percentile_ms(ordered, 1),
            "cpu_us": {role: 1e6 * spent / count for role, spent in self.cpu.items()} if count else {},
            "client_share": self.client_share,
            "notes": self.notes,
            **more,
        }


def percentile_ms(ordered: list[float], share: float) -> float | None:
    return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None


async def until(condition: Callable[[], bool], seconds: float) -> bool:
    """Return whether *condition* came true in time."""
    end = clock() + seconds
    while not condition():
        if clock() > end:
            return False
        await asyncio.sleep(0.01)
    return True
