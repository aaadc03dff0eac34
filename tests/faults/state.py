"""
What has been proved, and of which code: one line for each episode in a folder, so that runs add up.

Episodes of other code than today's are kept and shown, but not counted.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.faults.processes import ROOT


@dataclass(frozen=True)
class Result:
    """One episode, checked."""

    code: str
    seed: int
    episode: int
    keeps: str
    faults: dict[str, int] = field(default_factory=dict)
    messages: int = 0
    """How many were handled; of jobs, how many were recorded."""
    seconds: float = 0
    violations: tuple[str, ...] = ()


class State:
    """The results in *folder*."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file = folder / "results.jsonl"

    def add(self, result: Result) -> None:
        """Keep *result*."""
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(result)) + "\n")

    def results(self) -> list[Result]:
        """Return all that was kept, the oldest first."""
        if not self._file.exists():
            return []
        return [Result(**json.loads(line)) for line in self._file.read_text(encoding="utf-8").splitlines()]

    def of_seed(self, seed: int, code: str) -> list[Result]:
        """Return the results of one seed with the given code."""
        return [result for result in self.results() if result.seed == seed and result.code == code]


def code_now(*checkers: Path) -> str:
    """Return a short name of what the package's sources and those of the *checkers* are now."""
    digest = hashlib.sha256()
    for folder in (ROOT / "chancelery", *checkers):
        for path in sorted(path for pattern in ("*.py", "*.lua") for path in folder.rglob(pattern)):
            digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:10]


def summary(results: Iterable[Result], code: str, unit: str = "messages") -> list[str]:
    """Return lines for a terminal: each code's seeds, faults and violations; today's last. unit: what is counted."""
    by_code: dict[str, list[Result]] = {}
    for result in results:
        by_code.setdefault(result.code, []).append(result)
    lines: list[str] = []
    for name in sorted(by_code, key=lambda name: name == code):
        lines += _of_code(name + (" (the code of today)" if name == code else ""), by_code[name], unit)
    return lines or ["nothing was run yet"]


def _of_code(name: str, results: list[Result], unit: str) -> list[str]:
    lines = [f"code {name}"]
    for seed in sorted({result.seed for result in results}):
        of_seed = [result for result in results if result.seed == seed]
        lines.append(f"  seed {seed}: {_totals(of_seed, unit)}")
    kinds: Counter[str] = Counter()
    for result in results:
        kinds.update(result.faults)
    lines.append(f"  all: {_totals(results, unit)}")
    lines.append("  " + ", ".join(f"{number} {kind}" for kind, number in kinds.most_common()))
    lines += [f"  seed {item.seed}, episode {item.episode}: {text}" for item in results for text in item.violations]
    return lines


def _totals(results: list[Result], unit: str) -> str:
    faults = sum(sum(result.faults.values()) for result in results)
    messages, seconds = sum(result.messages for result in results), sum(result.seconds for result in results)
    violations = sum(len(result.violations) for result in results)
    return (
        f"{faults} faults in {len(results)} episodes, {messages} {unit}, {seconds / 60:.1f} minutes: "
        f"{violations} violations"
    )
