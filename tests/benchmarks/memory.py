"""`python -m tests.benchmarks.memory`: what an idle websocket costs, and what connects and disconnects leave behind."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.benchmarks import cpu
from tests.benchmarks.children import Child
from tests.benchmarks.conditions import Conditions, parser
from tests.benchmarks.lineup import SERVERS, SYSTEMS, chancelery
from tests.benchmarks.processes import Running, allow_many_files, running
from tests.benchmarks.report import Table, middle, show

MODULE = "tests.benchmarks.memory"
CLIENTS = 4
WARM_UP_SOCKETS = 200
SETTLE_SECONDS = 2
SPARE_FILES = 200
BARE, OURS = "bare", "chancelery"


@dataclass
class Findings:
    """What one server process of one system came to. Memory in KiB."""

    sockets: int
    per_socket: list[dict[str, float]] = field(default_factory=list)
    per_late_socket: list[dict[str, float]] = field(default_factory=list)
    """Of the second half alone: free memory that the process had at its start does not make these cheaper."""
    churned: list[dict[str, dict[str, float]]] = field(default_factory=list)
    """Of each role, before the first round of connects and disconnects and after each."""
    keys: list[dict[str, int]] = field(default_factory=list)
    """Redis' keys and their sizes, before anything, after the idle sockets, and after each round."""
    seconds: list[float] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Visit:
    """The client processes' work on one running system."""

    def __init__(self, site: Running, path: str, stack: contextlib.ExitStack) -> None:
        self._site = site
        module = "tests.benchmarks.memory_clients"
        children = [Child(module, str(site.port), path, f"127.0.0.{number + 2}") for number in range(CLIENTS)]
        self._children = [stack.enter_context(child) for child in children]

    def run(self, sockets: int, churn: int, churn_rounds: int) -> Findings:
        found = Findings(sockets)
        self._order(found, "churn", WARM_UP_SOCKETS)
        found.keys.append(self._quiet_keys())
        self._idle(found, sockets)
        found.keys.append(self._site.store.settled_keys(found.keys[0]))
        found.churned.append(self._memory())
        for _ in range(churn_rounds if churn else 0):
            start = time.monotonic()
            self._order(found, "churn", churn)
            found.seconds.append(time.monotonic() - start)
            found.keys.append(self._site.store.settled_keys(found.keys[0]))
            time.sleep(SETTLE_SECONDS)
            found.churned.append(self._memory())
        return found

    def _idle(self, found: Findings, sockets: int) -> None:
        half = sockets // 2
        empty = self._settled()
        self._order(found, "open", half)
        halfway = self._settled()
        self._order(found, "open", sockets - half)
        full = self._settled()
        self._order(found, "close", sockets)
        found.per_socket.append({kind: (full[kind] - empty[kind]) / sockets for kind in full})
        found.per_late_socket.append({kind: (full[kind] - halfway[kind]) / (sockets - half) for kind in full})

    def _settled(self) -> dict[str, float]:
        time.sleep(SETTLE_SECONDS)
        return memory_of(self._site.pids["server"])

    def _order(self, found: Findings, what: str, count: int) -> None:
        """Divide *count* among the children."""
        for place, child in enumerate(self._children):
            child.order(**{what: count // CLIENTS + (place < count % CLIENTS)})
        for child in self._children:
            answer = child.answer()
            if answer["failed"]:
                found.notes.append(f"{what}: {answer['failed']} sockets failed, the last with {answer['why']}")

    def _quiet_keys(self) -> dict[str, int]:
        """Return the keys once they stay the same for SETTLE_SECONDS."""
        keys = self._site.store.keys()
        while True:
            time.sleep(SETTLE_SECONDS)
            before, keys = keys, self._site.store.keys()
            if before.keys() == keys.keys():
                return keys

    def _memory(self) -> dict[str, dict[str, float]]:
        pids = self._site.pids
        return {role: memory_of(pids[role]) for role in ("server", "worker", "redis") if role in pids}


def memory_of(pids: list[int]) -> dict[str, float]:
    """Return the KiB that these processes and their children have in memory: resident, and their share of it."""
    found = {"Rss": 0.0, "Pss": 0.0}
    for pid in (member for leader in pids for member in cpu.family(leader)):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            name = line.split(":")[0]
            if name in found:
                found[name] += int(line.split()[1])
    return found


def measure(chosen: argparse.Namespace) -> dict[tuple[str, str], Findings]:
    """Visit both systems under each server, in new processes each round; those of the last round are churned."""
    found: dict[tuple[str, str], Findings] = {}
    bare = next(system for system in SYSTEMS if system.name == BARE)
    turns = itertools.product(range(1, chosen.rounds + 1), chosen.servers, (bare, chancelery(1, 1)))
    for turn, server, system in turns:
        print(f"round {turn} of {chosen.rounds}: {server}, {system.name}", file=sys.stderr, flush=True)
        with contextlib.ExitStack() as stack:
            site = stack.enter_context(running(system, server, sys.executable))
            churn = chosen.churn if turn == chosen.rounds else 0
            now = Visit(site, chosen.path, stack).run(chosen.sockets, churn, chosen.churn_rounds)
        before = found.get((server, system.name), Findings(chosen.sockets))
        now.per_socket[:0], now.notes[:0] = before.per_socket, before.notes
        now.per_late_socket[:0] = before.per_late_socket
        found[server, system.name] = now
    return found


def idle_table(found: dict[tuple[str, str], Findings]) -> Table:
    sockets = next(iter(found.values())).sockets
    table = Table(
        f"{sockets:,} idle websockets: KiB of the server's process per socket",
        ("server, application", "RSS", "PSS", "PSS above bare", "second half, PSS", "above bare"),
    )
    for (server, system), findings in found.items():
        rss, pss = (middle(row[kind] for row in findings.per_socket) for kind in ("Rss", "Pss"))
        late = middle(row["Pss"] for row in findings.per_late_socket)
        floor = middle(row["Pss"] for row in found[server, BARE].per_socket)
        late_floor = middle(row["Pss"] for row in found[server, BARE].per_late_socket)
        above = (None, None) if system == BARE else (pss - floor, late - late_floor)
        table.add(f"{server}, {system}", rss, pss, above[0], late, above[1])
    return table


def churn_table(found: dict[tuple[str, str], Findings], churn: int) -> Table:
    table = Table(
        f"After rounds of {churn:,} connects and disconnects: MiB resident, and Redis' keys",
        ("server, application, rounds", "server", "against the round before", "worker", "Redis", "keys", "connects/s"),
    )
    for (server, system), findings in found.items():
        for number, memory in enumerate(findings.churned):
            sizes = {role: usage["Rss"] / 1024 for role, usage in memory.items()}
            before = findings.churned[number - 1]["server"]["Rss"] / 1024 if number else None
            table.add(
                f"{server}, {system}, {number}",
                sizes["server"],
                f"{100 * (sizes['server'] / before - 1):+.1f} %" if before else None,
                sizes.get("worker"),
                sizes["redis"],
                len(findings.keys[number + 1]),
                churn / findings.seconds[number - 1] if number else None,
            )
    return table


def key_notes(found: dict[tuple[str, str], Findings]) -> list[str]:
    """Tell what differs between Redis' keys before everything and after each stage."""
    lines = []
    for (server, system), findings in found.items():
        first = findings.keys[0]
        if system == OURS:
            lines.append(f"{server}, {system}: {len(first)} keys before everything: {', '.join(sorted(first))}")
        for number, keys in enumerate(findings.keys[1:]):
            stage = f"after round {number}" if number else "after the idle sockets"
            lines += [
                f"{server}, {system}: LEFT OVER {stage}: {key} ({keys[key]})"
                for key in sorted(keys.keys() - first.keys())
            ]
            lines += [f"{server}, {system}: gone {stage}: {key}" for key in sorted(first.keys() - keys.keys())]
            grown = [key for key in sorted(keys.keys() & first.keys()) if keys[key] > first[key]]
            lines += [f"{server}, {system}: {key} grew from {first[key]} to {keys[key]} {stage}" for key in grown]
        lines += [f"{server}, {system}: {note}" for note in findings.notes]
    return lines


def options() -> argparse.Namespace:
    made = parser(MODULE, __doc__)
    made.set_defaults(rounds=1)
    made.add_argument("--sockets", type=int, default=10000, help="idle websockets (10000)")
    made.add_argument(
        "--path", choices=("/echo/", "/member/"), default="/echo/", help="/member/ joins a group (/echo/)"
    )
    made.add_argument("--churn", type=int, default=10000, help="connects and disconnects per round, 0 for none (10000)")
    made.add_argument("--churn-rounds", type=int, default=2, help="rounds of them (2)")
    made.add_argument("--servers", nargs="+", choices=tuple(SERVERS), default=list(SERVERS), help="daphne, uvicorn")
    chosen: Any = made.parse_args()
    files = allow_many_files()
    if chosen.sockets + SPARE_FILES > files:
        made.error(f"--sockets {chosen.sockets}: this system allows {files} open files per process; raise `ulimit -Hn`")
    return chosen


def main() -> None:
    conditions, chosen = Conditions(MODULE), options()
    found = measure(chosen)
    lines = conditions.lines(rounds=chosen.rounds, path=chosen.path, sockets=chosen.sockets, churn=chosen.churn)
    tables = [idle_table(found), *([churn_table(found, chosen.churn)] if chosen.churn else [])]
    show(lines, tables, key_notes(found), markdown=chosen.markdown)


if __name__ == "__main__":
    main()
