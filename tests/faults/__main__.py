"""
The long run: `python -m tests.faults --seed 7 --faults 350 --state FOLDER`.

Runs episodes of the seed until so many faults were survived by today's code, those of earlier runs with the same folder
included. May be stopped at any point: what was proved is kept, the episode under way is not counted.
`python -m tests.faults --state FOLDER --summary` prints what was proved until now. See
docs/explanation/how-it-is-proved.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.faults import long_run
from tests.faults.check import check
from tests.faults.episode import Episode
from tests.faults.processes import ROOT
from tests.faults.state import Result

PER_EPISODE = 40
KEEPS = ("all", "nothing", "all", "second")
"""What Redis keeps when it is killed, from episode to episode."""


def options() -> argparse.Namespace:
    parser = long_run.parser("tests.faults", __doc__)
    parser.add_argument("--faults", type=int, default=350, help="how many faults in all (350)")
    parser.add_argument("--per-episode", type=int, default=PER_EPISODE, help=f"faults in one go ({PER_EPISODE})")
    parser.add_argument("--kinds", help="faults of each episode, in order, separated by commas (drawn)")
    parser.add_argument("--keeps", choices=sorted(set(KEEPS)), help="what a killed Redis keeps (takes turns)")
    return parser.parse_args()


def plan(
    chosen: argparse.Namespace, result: Result, done: Sequence[Result]
) -> tuple[Result, Callable[[Path], Episode]] | None:
    """Return the next episode; None when as many faults were survived as are wanted."""
    left = chosen.faults - sum(sum(each.faults.values()) for each in done)
    if left <= 0:
        return None
    keeps = chosen.keeps or KEEPS[result.episode % len(KEEPS)]
    count, kinds = min(chosen.per_episode, left), chosen.kinds.split(",") if chosen.kinds else []
    name = f"{result.seed}/{result.episode}"
    return replace(result, keeps=keeps), lambda folder: Episode(folder, name, keeps=keeps, count=count, kinds=kinds)


def handled(event: dict[str, Any]) -> int:
    """Return how many messages *event* says were handled."""
    return int(event["e"] == "start")


def head(result: Result) -> str:
    """Return one episode in a line."""
    return (
        f"episode {result.episode}: {sum(result.faults.values())} faults in {result.seconds:.0f} s, Redis keeps "
        f"{result.keeps}, {result.messages} messages handled, {len(result.violations)} violations"
    )


MESSAGES = long_run.LongRun(
    checkers=[ROOT / "tests" / "faults"], unit="messages", plan=plan, check=check, count=handled, head=head
)

if __name__ == "__main__":
    sys.exit(long_run.main(options(), MESSAGES))
