"""
Bare Celery, the floor of every way from a socket through Celery and back: `.delay()` here, `.get()` here, no socket.

Speaks the same protocol on standard input and output as `loads`, and keeps as many calls in flight as that has sockets.
"""

from __future__ import annotations

import json
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from celery import chord
from celery_app import answer, merge, part

from tests.benchmarks import cpu
from tests.benchmarks.loads import CHORD_SOCKETS, TASK_SOCKETS
from tests.benchmarks.window import WARM_UP_SECONDS, Result, Spec, percentile_ms

PARTS = 10
LATEST_SECONDS = 20


def one_task() -> Any:
    return answer.delay(7)


def one_chord() -> Any:
    return chord([part.s(7, place) for place in range(PARTS)])(merge.s())


def drive(begin: Callable[[], Any], in_flight: int, spec: Spec) -> Result:
    """Keep *in_flight* calls going and take their results in order."""
    calls = deque((time.perf_counter(), begin()) for _ in range(in_flight))
    latencies: list[float] = []

    def turn() -> None:
        began, outcome = calls.popleft()
        outcome.get(timeout=LATEST_SECONDS)
        latencies.append(time.perf_counter() - began)
        calls.append((time.perf_counter(), begin()))

    turn_for(WARM_UP_SECONDS, turn)
    latencies.clear()
    before = cpu.by_role(spec["roles"])
    seconds = turn_for(spec["seconds"], turn)
    after, count, ordered = cpu.by_role(spec["roles"]), len(latencies), sorted(latencies)
    for _, outcome in calls:
        outcome.get(timeout=LATEST_SECONDS)
    return {
        "per_second": count / seconds,
        "p50_ms": percentile_ms(ordered, 0.50),
        "p99_ms": percentile_ms(ordered, 0.99),
        "cpu_us": {role: 1e6 * (after[role] - before[role]) / count for role in after},
        "client_share": 0.0,
        "notes": [],
    }


def turn_for(seconds: float, turn: Callable[[], None]) -> float:
    """Turn until *seconds* have passed, and return how many really did."""
    start = time.perf_counter()
    while time.perf_counter() < start + seconds:
        turn()
    return time.perf_counter() - start


def main() -> None:
    spec = json.load(sys.stdin)
    answer.delay(7).get(timeout=LATEST_SECONDS)
    results = {
        "task": drive(one_task, TASK_SOCKETS, spec),
        "task-latency": drive(one_task, 1, spec),
        "chord": drive(one_chord, CHORD_SOCKETS, spec),
    }
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()
