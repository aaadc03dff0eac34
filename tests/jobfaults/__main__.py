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
import secrets
import shutil
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

from tests.faults import long_run
from tests.faults.processes import ROOT
from tests.faults.recorder import read_events
from tests.faults.state import Result, State, code_now
from tests.jobfaults.check import check
from tests.jobfaults.episode import Episode, Plan
from tests.jobfaults.faults import CATALOGUE

PER_EPISODE = 125
MOST_SHOWN = 20
CHECKERS = ROOT / "tests" / "jobfaults", ROOT / "tests" / "faults"


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


def run_episode(folder: Path, result: Result, plan: Plan) -> Result:
    """Run the episode that *plan* describes, and check it. Its records stay in *folder* when something is wrong."""
    shutil.rmtree(folder, ignore_errors=True)
    began_at = time.monotonic()
    Episode(folder, plan).run()
    events = read_events(folder)
    violations = [f"{violation.rule}: {violation.text}" for violation in check(events)]
    faults = Counter(event["kind"] for event in events if event["e"] == "fault")
    jobs = sum(len(event["jobs"]) for event in events if event["e"] == "jobs")
    if not violations:
        shutil.rmtree(folder)
    seconds = round(time.monotonic() - began_at, 1)
    return replace(
        result, faults=dict(faults), messages=jobs, seconds=seconds, violations=tuple(violations[:MOST_SHOWN])
    )


def run(chosen: argparse.Namespace, state: State) -> bool:
    """Run what is left to run; return whether nothing was violated."""
    seed = chosen.seed if chosen.seed is not None else secrets.randbelow(1_000_000)
    code = code_now(*CHECKERS)
    print(f"seed {seed}, code {code}, records in {state.folder}", flush=True)
    while True:
        done = state.of_seed(seed, code)
        left = chosen.jobs - sum(result.messages for result in done)
        if left <= 0:
            return not any(result.violations for result in done)
        number = len(done)
        plan = Plan(f"{seed}/{number}", chosen.per_episode, chosen.kinds)
        folder = state.folder / f"seed-{seed}-episode-{number}"
        result = run_episode(folder, Result(code, seed, number, "all"), plan)
        if code_now(*CHECKERS) != code:
            print("the code has changed: the last episode proves nothing, and is not counted", flush=True)
            return False
        state.add(result)
        print(described(result), flush=True)


def described(result: Result) -> str:
    """Return one episode in a line, and a line for everything that is wrong."""
    head = (
        f"episode {result.episode}: {result.messages} jobs, {sum(result.faults.values())} faults in "
        f"{result.seconds:.0f} s, {len(result.violations)} violations"
    )
    return "\n  ".join([head, *result.violations])


if __name__ == "__main__":
    sys.exit(long_run.main(options(), run, CHECKERS, "jobs"))
