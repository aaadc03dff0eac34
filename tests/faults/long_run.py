"""What the commands for long runs share: their options, their folder, the episodes one by one, and what they print."""

from __future__ import annotations

import argparse
import contextlib
import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from tests.faults.recorder import read_events
from tests.faults.state import Result, State, code_now, summary

MOST_SHOWN = 20


class Violation(Protocol):
    """What a checker finds."""

    @property
    def rule(self) -> str: ...

    @property
    def text(self) -> str: ...


class Episode(Protocol):
    """A system under load and faults."""

    def run(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class LongRun:
    """What one such command does."""

    checkers: Sequence[Path]
    """The folders of its own sources: another checker proves another thing."""
    unit: str
    plan: Callable[[argparse.Namespace, Result, Sequence[Result]], tuple[Result, Callable[[Path], Episode]] | None]
    """From the options, what is to become the next result, and those before it; None when enough is proved."""
    check: Callable[[list[dict[str, Any]]], Iterable[Violation]]
    count: Callable[[dict[str, Any]], int]
    """How many of the unit an event stands for."""
    head: Callable[[Result], str]
    """One episode in a line."""


def parser(name: str, description: str | None) -> argparse.ArgumentParser:
    """Return a parser of the options that every such command has."""
    found = argparse.ArgumentParser(prog=f"python -m {name}", description=description)
    found.add_argument("--seed", type=int, help="where the random numbers begin (drawn, and printed)")
    found.add_argument("--state", type=Path, help="a folder that keeps what was proved (a temporary one)")
    found.add_argument("--summary", action="store_true", help="only print what was proved")
    return found


def main(chosen: argparse.Namespace, long_run: LongRun) -> int:
    """Do *long_run*, print what was proved of today's code, and return the exit status."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with contextlib.ExitStack() as stack:
        folder = chosen.state or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="faults-")))
        folder.mkdir(parents=True, exist_ok=True)
        state = State(folder)
        try:
            fine = chosen.summary or _run(chosen, state, long_run)
        except KeyboardInterrupt:
            fine = False
        print("\n".join(summary(state.results(), code_now(*long_run.checkers), long_run.unit)))
    return 0 if fine else 1


def _run(chosen: argparse.Namespace, state: State, long_run: LongRun) -> bool:
    """Run what is left to run; return whether nothing was violated."""
    seed = chosen.seed if chosen.seed is not None else secrets.randbelow(1_000_000)
    code = code_now(*long_run.checkers)
    print(f"seed {seed}, code {code}, records in {state.folder}", flush=True)
    while True:
        done = state.of_seed(seed, code)
        planned = long_run.plan(chosen, Result(code, seed, len(done), "all"), done)
        if planned is None:
            return not any(result.violations for result in done)
        result = _run_episode(state.folder / f"seed-{seed}-episode-{len(done)}", *planned, long_run)
        if code_now(*long_run.checkers) != code:
            print("the code has changed: the last episode proves nothing, and is not counted", flush=True)
            return False
        state.add(result)
        print("\n  ".join([long_run.head(result), *result.violations]), flush=True)


def _run_episode(folder: Path, result: Result, make: Callable[[Path], Episode], long_run: LongRun) -> Result:
    """Run the episode that *make* returns, and check it. Its records stay in *folder* when something is wrong."""
    shutil.rmtree(folder, ignore_errors=True)
    began_at = time.monotonic()
    make(folder).run()
    events = read_events(folder)
    violations = [f"{violation.rule}: {violation.text}" for violation in long_run.check(events)]
    faults = Counter(event["kind"] for event in events if event["e"] == "fault")
    if not violations:
        shutil.rmtree(folder)
    return replace(
        result,
        faults=dict(faults),
        messages=sum(map(long_run.count, events)),
        seconds=round(time.monotonic() - began_at, 1),
        violations=tuple(violations[:MOST_SHOWN]),
    )
