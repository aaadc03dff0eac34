"""`python -m tests.autobahn`: Autobahn's suite against the gateway and against bare daphne. See README.md."""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.autobahn import servers
from tests.autobahn.comparison import Verdict, differences, summary, table
from tests.autobahn.environment import MissingError, command

TOO_LONG_SECONDS = 1800


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.autobahn", description=__doc__)
    parser.add_argument("--cases", nargs="+", default=["*"], metavar="CASE", help="which, such as 1.* 5.15 (all)")
    parser.add_argument("--skip", nargs="+", default=[], metavar="CASE", help="which not (none)")
    parser.add_argument("--reports", type=Path, metavar="FOLDER", help="keep the suite's own reports there")
    return parser.parse_args()


def run(wstest: list[str], url: str, chosen: argparse.Namespace, folder: Path) -> dict[str, Verdict]:
    """Run the suite against the server at *url*."""
    folder.mkdir(parents=True, exist_ok=True)
    spec = folder / "spec.json"
    agent = folder.name
    cases = {"cases": chosen.cases, "exclude-cases": chosen.skip, "exclude-agent-cases": {}}
    spec.write_text(json.dumps({"outdir": str(folder), "servers": [{"agent": agent, "url": url}], **cases}))
    done = subprocess.run(
        [*wstest, "--mode", "fuzzingclient", "--spec", str(spec)],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TOO_LONG_SECONDS,
        check=False,
    )
    index = folder / "index.json"
    if done.returncode or not index.is_file():
        raise MissingError(f"the suite did not run against {agent}:\n{done.stdout[-2000:]}")
    results = json.loads(index.read_text())[agent]
    return {case: (result["behavior"], result["behaviorClose"]) for case, result in results.items()}


def main() -> int:
    """Return 0 when the gateway is worse in no case, 1 when it is, 2 when that cannot be found out."""
    chosen = options()
    with contextlib.ExitStack() as stack:
        reports = chosen.reports or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        found: dict[str, dict[str, Verdict]] = {}
        try:
            wstest = command()
            for name in ("bare", "chancelery"):
                print(f"running against {name} …", file=sys.stderr, flush=True)
                with getattr(servers, name)() as url:
                    found[name] = run(wstest, url, chosen, reports.resolve() / name)
        except MissingError as missing:
            print(missing, file=sys.stderr)
            return 2
    for name, verdicts in found.items():
        print(f"{name}: {len(verdicts)} cases: {summary(verdicts)}")
    differing = differences(found["bare"], found["chancelery"])
    print(table(differing) if differing else "no case differs")
    return int(any(difference.word == "worse" for difference in differing))


if __name__ == "__main__":
    sys.exit(main())
