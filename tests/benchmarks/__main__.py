"""`python -m tests.benchmarks`: every system in turn, round after round, and one table in the end. See README.md."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from tests.benchmarks import flames, peers, table
from tests.benchmarks.conditions import Conditions, parser
from tests.benchmarks.lineup import LOADS, SERVERS, SYSTEMS, System
from tests.benchmarks.processes import FailedError, Running, running
from tests.benchmarks.report import show

MODULE = "tests.benchmarks"


def names(allowed: tuple[str, ...]) -> Any:
    """Return an argparse type for a comma-separated choice of *allowed*."""

    def parse(text: str) -> list[str]:
        chosen = text.split(",")
        for name in chosen:
            if name not in allowed:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(allowed)}")
        return chosen

    return parse


def options() -> argparse.Namespace:
    every = tuple(system.name for system in SYSTEMS)
    made = parser(MODULE, __doc__)
    made.add_argument("--seconds", type=float, default=4, help="how long each measurement takes (4)")
    made.add_argument("--only", type=names(LOADS), default=list(LOADS), help=f"of {','.join(LOADS)}")
    made.add_argument("--systems", type=names(every), default=list(every), help=f"of {','.join(every)}")
    made.add_argument("--server", choices=tuple(SERVERS), default="daphne", help="the protocol server (daphne)")
    made.add_argument("--json", metavar="FILE", help="write every round and the medians there")
    made.add_argument("--flame", metavar="DIR", type=Path, help="record flame graphs of server and worker there")
    return made.parse_args()


class Benchmark:
    """All rounds of one command."""

    def __init__(self, chosen: argparse.Namespace, conditions: Conditions) -> None:
        self._chosen, self._conditions = chosen, conditions
        self._peers_python = peers.python()
        self._systems = [system for system in SYSTEMS if system.name in chosen.systems]
        self._rounds: table.Rounds = defaultdict(lambda: defaultdict(list))
        self._failures: dict[str, list[str]] = defaultdict(list)

    def run(self) -> None:
        for turn in range(1, self._chosen.rounds + 1):
            # Each begins a round in turn: a machine that has just rested is faster.
            first = (turn - 1) % len(self._systems)
            for system in (*self._systems[first:], *self._systems[:first]):
                print(f"round {turn} of {self._chosen.rounds}: {system.name}", file=sys.stderr, flush=True)
                self._run_system(system, last=turn == self._chosen.rounds)

    def _run_system(self, system: System, *, last: bool) -> None:
        loads = [load for load in self._chosen.only if load in system.loads]
        if not loads:
            return
        try:
            with running(system, self._chosen.server, self._peers_python) as site:
                for load in loads:
                    self._run_load(site, load)
                if last and self._chosen.flame and "echo" in loads:
                    print(*flames.record(site, self._chosen.flame, self._chosen.seconds), sep="\n", file=sys.stderr)
        except FailedError as failure:
            self._failures[system.name].append(str(failure))

    def _run_load(self, site: Running, load: str) -> None:
        try:
            for measure, result in site.measure(load, self._chosen.seconds).items():
                self._rounds[measure][site.system.name].append(result)
        except FailedError as failure:
            self._failures[site.system.name].append(str(failure))

    def report(self) -> bool:
        """Print the table; return whether everything went well."""
        summary = table.summarise(self._rounds)
        conditions = self._conditions.lines(
            peers=peers.versions(self._peers_python),
            server=self._chosen.server,
            rounds=self._chosen.rounds,
            seconds=self._chosen.seconds,
        )
        if self._chosen.markdown:
            show(conditions, table.tables(summary), table.notes(summary, self._failures), markdown=True)
        else:
            print("Chancelery beside its peers: medians of the rounds; CPU of each process in µs per message.")
            show(conditions, (), markdown=False)
            print("", *table.lines(summary, self._failures), sep="\n")
        if self._chosen.json:
            everything = {
                "at": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
                "conditions": conditions,
                "medians": summary,
                "rounds": self._rounds,
                "failures": self._failures,
            }
            Path(self._chosen.json).write_text(json.dumps(everything, indent=1) + "\n", encoding="utf-8")
        return not self._failures


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    conditions = Conditions(MODULE)
    benchmark = Benchmark(options(), conditions)
    try:
        benchmark.run()
    except KeyboardInterrupt:
        print("interrupted: the table holds what was measured until now", file=sys.stderr)
    sys.exit(0 if benchmark.report() else 1)


if __name__ == "__main__":
    main()
