"""
Bare Celery, the floor of every way from a socket through Celery and back: published here, and no socket.

The task pushes its answer on a list in Redis, from which it is taken here. Speaks the same protocol on standard input
and output as `loads`, and keeps as many calls in flight as that has sockets.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Callable, Iterator

from celery import chord
from celery_app import answer, client, merge, part

from tests.benchmarks import cpu
from tests.benchmarks.loads import CHORD_SOCKETS, TASK_SOCKETS
from tests.benchmarks.window import WARM_UP_SECONDS, Result, Spec, percentile_ms

PARTS = 10
LATEST_SECONDS = 20
ANSWERS = "answers"


def one_task(number: int) -> None:
    answer.delay(number, ANSWERS)


def one_chord(number: int) -> None:
    chord([part.s(number, place) for place in range(PARTS)])(merge.s(number, ANSWERS))


def drive(begin: Callable[[int], None], in_flight: int, spec: Spec) -> Result:
    """Keep *in_flight* calls going, and begin one for each answer."""
    numbers = itertools.count()
    began: dict[int, float] = {}
    latencies: list[float] = []

    def start() -> None:
        number = next(numbers)
        began[number] = time.perf_counter()
        begin(number)

    def turn() -> None:
        number = next(answers())
        latencies.append(time.perf_counter() - began.pop(number))
        start()

    for _ in range(in_flight):
        start()
    turn_for(WARM_UP_SECONDS, turn)
    latencies.clear()
    before = cpu.by_role(spec["roles"])
    seconds = turn_for(spec["seconds"], turn)
    after, count, ordered = cpu.by_role(spec["roles"]), len(latencies), sorted(latencies)
    while began:
        del began[next(answers())]
    return {
        "per_second": count / seconds,
        "p50_ms": percentile_ms(ordered, 0.50),
        "p99_ms": percentile_ms(ordered, 0.99),
        "cpu_us": {role: 1e6 * (after[role] - before[role]) / count for role in after},
        "client_share": 0.0,
        "notes": [],
    }


def answers() -> Iterator[int]:
    """Yield the numbers of the calls that are answered. Raises: TimeoutError."""
    while True:
        found = client.blpop([ANSWERS], LATEST_SECONDS)
        if found is None:
            raise TimeoutError(f"no answer within {LATEST_SECONDS} s")
        yield int(found[1])


def turn_for(seconds: float, turn: Callable[[], None]) -> float:
    """Turn until *seconds* have passed, and return how many really did."""
    start = time.perf_counter()
    while time.perf_counter() < start + seconds:
        turn()
    return time.perf_counter() - start


def main() -> None:
    spec = json.load(sys.stdin)
    answer.delay(0, ANSWERS)
    next(answers())
    results = {
        "task": drive(one_task, TASK_SOCKETS, spec),
        "task-latency": drive(one_task, 1, spec),
        "chord": drive(one_chord, CHORD_SOCKETS, spec),
    }
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()
