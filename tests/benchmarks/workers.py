"""`python -m tests.benchmarks.workers`: consumers that wait, on more and more workers; what a slow one costs."""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from typing import Any

from tests.benchmarks.conditions import Conditions, numbers, parser
from tests.benchmarks.lineup import SERVERS, chancelery
from tests.benchmarks.loads import WAITING_SOCKETS
from tests.benchmarks.neighbours import OTHERS, PAUSE_SECONDS
from tests.benchmarks.processes import running
from tests.benchmarks.report import Table, middle, show, spread_percent

MODULE = "tests.benchmarks.workers"
WAIT_SECONDS = 0.005
CREWS = ((2, 1), (1, 4))
"""Processes and threads of the workers beside a slow consumer: with one thread alone, nobody is left for the others."""

Result = dict[str, Any]
Results = dict[tuple[str, int, int], list[Result]]
"""(measure, processes, threads) -> one result per round."""


def measure(chosen: argparse.Namespace) -> Results:
    results: Results = defaultdict(list)
    crews = [("wait", (processes, threads)) for threads in chosen.threads for processes in chosen.processes]
    crews += [("neighbours", pair) for pair in CREWS]
    for turn in range(1, chosen.rounds + 1):
        for load, (processes, threads) in crews:
            line = f"round {turn} of {chosen.rounds}: {load}, {crew(processes, threads)}"
            print(line, file=sys.stderr, flush=True)
            with running(chancelery(processes, threads), chosen.server, sys.executable) as site:
                for name, result in site.measure(load, chosen.seconds).items():
                    results[name, processes, threads].append(result)
    return results


def crew(processes: int, threads: int) -> str:
    return f"{processes} of {threads} thread{'s' if threads > 1 else ''}"


def growth(results: Results) -> Table:
    table = Table(
        f"Consumers that wait {1000 * WAIT_SECONDS:g} ms: {WAITING_SOCKETS} sockets, one frame at a time each; CPU µs",
        ("workers", "per second", "±%", "of 200 per thread", "p50 ms", "p99 ms", "server", "workers", "Redis"),
    )
    for (name, processes, threads), rounds in results.items():
        if name == "wait":
            rates = [result["per_second"] for result in rounds]
            share = f"{100 * middle(rates) * WAIT_SECONDS / (processes * threads):.0f} %"
            costs = (middle(result["cpu_us"].get(role) for result in rounds) for role in ("server", "worker", "redis"))
            delays = (middle(result[key] for result in rounds) for key in ("p50_ms", "p99_ms"))
            table.add(crew(processes, threads), middle(rates), spread_percent(rates), share, *delays, *costs)
    return table


def isolation(results: Results) -> Table:
    table = Table(
        f"Echoes on {OTHERS} sockets, each every {1000 * PAUSE_SECONDS:g} ms, beside one whose consumer takes 1 s",
        ("workers", "answers/s", "p50 ms", "p99 ms", "max ms", "answers of the slow one"),
    )
    for (name, processes, threads), rounds in results.items():
        if name.startswith("neighbours"):
            label = f"{crew(processes, threads)}, {'beside it' if name.endswith('slow') else 'without it'}"
            columns = ("per_second", "p50_ms", "p99_ms", "max_ms", "slow_answers")
            table.add(label, *(middle(result[key] for result in rounds) for key in columns))
    return table


def notes(results: Results) -> list[str]:
    return sorted(
        {
            f"{name}, {crew(processes, threads)}: {note}"
            for (name, processes, threads), rounds in results.items()
            for result in rounds
            for note in result["notes"]
        }
    )


def options() -> argparse.Namespace:
    made = parser(MODULE, __doc__)
    made.add_argument("--seconds", type=float, default=4, help="how long each measurement takes (4)")
    made.add_argument("--processes", type=numbers, default=[1, 2, 4, 8], help="worker processes (1,2,4,8)")
    made.add_argument("--threads", type=numbers, default=[1], help="of each worker process (1)")
    made.add_argument("--server", choices=tuple(SERVERS), default="daphne", help="the protocol server (daphne)")
    return made.parse_args()


def main() -> None:
    conditions, chosen = Conditions(MODULE), options()
    results = measure(chosen)
    lines = conditions.lines(rounds=chosen.rounds, seconds=chosen.seconds, server=chosen.server)
    show(lines, [growth(results), isolation(results)], notes(results), markdown=chosen.markdown)


if __name__ == "__main__":
    main()
