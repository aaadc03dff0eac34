"""Under which conditions a command measures: its own command line, the machine, what else runs there, the versions."""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import sys

from tests.benchmarks import peers

BUSY_LOAD = 0.3


class Conditions:
    """Made before anything is started, so that the load is not of the measurement's own making."""

    def __init__(self, module: str) -> None:
        self.command = shlex.join(["python", "-m", module, *sys.argv[1:]])
        self._load = os.getloadavg()[0]

    def lines(self, **more: object) -> dict[str, str]:
        busy = "; something else ran on this machine: the numbers suffer" if self._load > BUSY_LOAD else ""
        return {
            "command": self.command,
            "load before": f"{self._load:.2f}{busy}",
            "machine": f"{len(os.sched_getaffinity(0))} cores, {platform.system()} {platform.release()}",
            "python": platform.python_version(),
            "versions": peers.versions(sys.executable),
            **{key.replace("_", " "): str(value) for key, value in more.items()},
        }


def parser(module: str, description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options that every command has."""
    made = argparse.ArgumentParser(prog=f"python -m {module}", description=description)
    made.add_argument("--rounds", type=int, default=5, help="how often everything is measured; medians are shown (5)")
    made.add_argument("--markdown", action="store_true", help="print Markdown tables, for the documentation")
    return made


def numbers(text: str) -> list[int]:
    """Parse `1,2,4` for an option. Raises: ArgumentTypeError."""
    try:
        found = [int(part) for part in text.split(",")]
    except ValueError:
        found = [0]
    if min(found) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of numbers from 1 on, such as 1,2,4")
    return found
