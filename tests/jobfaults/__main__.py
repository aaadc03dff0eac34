"""
The long run: `python -m tests.jobfaults --seed 1 --jobs 500 --state FOLDER`.

Runs episodes of the seed until so many jobs were recorded under faults by today's code, those of earlier runs with the
same folder included, whole episodes at a time. May be stopped at any point: what was proved is kept, the episode under
way is not counted.
`python -m tests.jobfaults --state FOLDER --summary` prints what was proved until now. See
docs/explanation/how-it-is-proved.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.faults import long_run
from tests.faults.processes import ROOT
from tests.faults.state import Result
from tests.jobfaults.check import check
from tests.jobfaults.episode import Episode, Plan
from tests.jobfaults.faults import CATALOGUE

PER_EPISODE = 125


def options() -> argparse.Namespace:
    parser = long_run.parser("tests.jobfaults", __doc__)
    parser.add_argument("--jobs", type=int, default=500, help="how many jobs in all (500)")
    parser.add_argument("--per-episode", type=int, default=PER_EPISODE, help=f"jobs in one go ({PER_EPISODE})")
    parser.add_argument(
        "--kinds", type=_kinds, default=[], help="faults of each episode, in order, with commas (drawn)"
    )
    return parser.parse_args()


def _kinds(words: str) -> list[str]:
    kinds = words.split(",")
    if not set(kinds) <= set(CATALOGUE):
        raise argparse.ArgumentTypeError(f"the kinds of faults are {', '.join(CATALOGUE)}")
    return kinds


def plan(
    chosen: argparse.Namespace, result: Result, done: Sequence[Result]
) -> tuple[Result, Callable[[Path], Episode]] | None:
    """Return the next episode; None when as many jobs were recorded as are wanted."""
    if sum(each.messages for each in done) >= chosen.jobs:
        return None
    planned = Plan(f"{result.seed}/{result.episode}", chosen.per_episode, chosen.kinds)
    return result, lambda folder: Episode(folder, planned)


def recorded(event: dict[str, Any]) -> int:
    """Return how many jobs *event* says were recorded."""
    return len(event["jobs"]) if event["e"] == "jobs" else 0


def head(result: Result) -> str:
    """Return one episode in a line."""
    return (
        f"episode {result.episode}: {result.messages} jobs, {sum(result.faults.values())} faults in "
        f"{result.seconds:.0f} s, {len(result.violations)} violations"
    )


JOBS = long_run.LongRun(
    checkers=[ROOT / "tests" / "jobfaults", ROOT / "tests" / "faults"],
    unit="jobs",
    plan=plan,
    check=check,
    count=recorded,
    head=head,
)

if __name__ == "__main__":
    sys.exit(long_run.main(options(), JOBS))
