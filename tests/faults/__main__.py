"""
The long run: `python -m tests.faults --seed 7 --faults 350 --state FOLDER`.

Runs episodes of the seed until so many faults were survived by today's code, those of earlier runs with the same folder
included. May be stopped at any point: what was proved is kept, the episode under way is not counted.
`python -m tests.faults --state FOLDER --summary` prints what was proved until now. See
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
from tests.faults.check import check
from tests.faults.episode import Episode
from tests.faults.processes import ROOT
from tests.faults.recorder import read_events
from tests.faults.state import Result, State, code_now

PER_EPISODE = 40
KEEPS = ("all", "nothing", "all", "second")
"""What Redis keeps when it is killed, from episode to episode."""
MOST_SHOWN = 20
CHECKER = ROOT / "tests" / "faults"


def options() -> argparse.Namespace:
    parser = long_run.parser("tests.faults", __doc__)
    parser.add_argument("--faults", type=int, default=350, help="how many faults in all (350)")
    parser.add_argument("--per-episode", type=int, default=PER_EPISODE, help=f"faults in one go ({PER_EPISODE})")
    parser.add_argument("--kinds", help="faults of each episode, in order, separated by commas (drawn)")
    parser.add_argument("--keeps", choices=sorted(set(KEEPS)), help="what a killed Redis keeps (takes turns)")
    return parser.parse_args()


def run_episode(folder: Path, plan: Result, count: int, kinds: list[str]) -> Result:
    """Run the episode that *plan* names, and check it. Its records stay in *folder* when something is wrong."""
    shutil.rmtree(folder, ignore_errors=True)
    began_at = time.monotonic()
    Episode(folder, f"{plan.seed}/{plan.episode}", keeps=plan.keeps, count=count, kinds=kinds).run()
    events = read_events(folder)
    violations = [f"{violation.rule}: {violation.text}" for violation in check(events)]
    faults = Counter(event["kind"] for event in events if event["e"] == "fault")
    messages = sum(event["e"] == "start" for event in events)
    if not violations:
        shutil.rmtree(folder)
    seconds = round(time.monotonic() - began_at, 1)
    return replace(
        plan, faults=dict(faults), messages=messages, seconds=seconds, violations=tuple(violations[:MOST_SHOWN])
    )


def run(chosen: argparse.Namespace, state: State) -> bool:
    """Run what is left to run; return whether nothing was violated."""
    seed = chosen.seed if chosen.seed is not None else secrets.randbelow(1_000_000)
    code = code_now(CHECKER)
    print(f"seed {seed}, code {code}, records in {state.folder}", flush=True)
    while True:
        done = state.of_seed(seed, code)
        survived = sum(sum(result.faults.values()) for result in done)
        if survived >= chosen.faults:
            return not any(result.violations for result in done)
        number = len(done)
        count = min(chosen.per_episode, chosen.faults - survived)
        plan = Result(code, seed, number, chosen.keeps or KEEPS[number % len(KEEPS)])
        kinds = chosen.kinds.split(",") if chosen.kinds else []
        result = run_episode(state.folder / f"seed-{seed}-episode-{number}", plan, count, kinds)
        if code_now(CHECKER) != code:
            print("the code has changed: the last episode proves nothing, and is not counted", flush=True)
            return False
        state.add(result)
        print(described(result), flush=True)


def described(result: Result) -> str:
    """Return one episode in a line, and a line for everything that is wrong."""
    head = (
        f"episode {result.episode}: {sum(result.faults.values())} faults in {result.seconds:.0f} s, Redis keeps "
        f"{result.keeps}, {result.messages} messages handled, {len(result.violations)} violations"
    )
    return "\n  ".join([head, *result.violations])


if __name__ == "__main__":
    sys.exit(long_run.main(options(), run, (CHECKER,)))
