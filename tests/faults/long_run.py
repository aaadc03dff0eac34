"""What the commands for long runs share: their options, their folder, and what they print in the end."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.faults.state import State, code_now, summary


def parser(name: str, description: str | None) -> argparse.ArgumentParser:
    """Return a parser of the options that every such command has."""
    found = argparse.ArgumentParser(prog=f"python -m {name}", description=description)
    found.add_argument("--seed", type=int, help="where the random numbers begin (drawn, and printed)")
    found.add_argument("--state", type=Path, help="a folder that keeps what was proved (a temporary one)")
    found.add_argument("--summary", action="store_true", help="only print what was proved")
    return found


def main(
    chosen: argparse.Namespace,
    run: Callable[[argparse.Namespace, State], bool],
    checkers: Sequence[Path],
    unit: str = "messages",
) -> int:
    """Do *run*, print what was proved of today's code, and return the exit status. checkers: their sources' folders."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with contextlib.ExitStack() as stack:
        folder = chosen.state or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="faults-")))
        folder.mkdir(parents=True, exist_ok=True)
        state = State(folder)
        try:
            fine = chosen.summary or run(chosen, state)
        except KeyboardInterrupt:
            fine = False
        print("\n".join(summary(state.results(), code_now(*checkers), unit)))
    return 0 if fine else 1
