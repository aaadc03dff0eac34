"""How two servers did in Autobahn's suite, case by case: which of them did better where."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

Verdict: TypeAlias = "tuple[str, str]"
"""What the suite says of a case: of the behaviour, and of how the connection was closed."""

_BEST_FIRST = (
    {"OK", "INFORMATIONAL", "NON-STRICT"},
    {"UNIMPLEMENTED"},
    {"WRONG CODE", "UNCLEAN"},
    {"FAILED BY CLIENT", "FAILED"},
)


class Difference(NamedTuple):
    """A case in which they differ."""

    case: str
    floor: Verdict
    ours: Verdict
    word: Literal["better", "worse", "timing"]
    """
    What ours is. `timing`: one is OK and the other NON-STRICT, which says whether an earlier frame was answered before
    the connection was failed for a later one. The suite takes both; bare daphne itself differs from run to run.
    """


def differences(floor: dict[str, Verdict], ours: dict[str, Verdict]) -> list[Difference]:
    """Return where *ours* is better or worse than *floor*. A case that only one of them has counts as failed there."""
    missing = ("FAILED", "FAILED")
    found = []
    for case in sorted({*floor, *ours}, key=_order):
        theirs, mine = floor.get(case, missing), ours.get(case, missing)
        if theirs != mine:
            found.append(Difference(case, theirs, mine, _compare(theirs, mine)))
    return found


def summary(verdicts: dict[str, Verdict]) -> str:
    """Return how many cases ended how, as one line."""
    behaviours = [behaviour for behaviour, _ in verdicts.values()]
    counts = [f"{behaviours.count(name)} {name}" for names in _BEST_FIRST for name in sorted(names)]
    return ", ".join(count for count in counts if not count.startswith("0 "))


def table(found: list[Difference]) -> str:
    """Return *found* as a table in Markdown."""
    rows = [f"| {case} | {' / '.join(floor)} | {' / '.join(ours)} | {word} |" for case, floor, ours, word in found]
    return "\n".join(["| case | bare daphne | Chancelery | |", "|---|---|---|---|", *rows])


def _compare(floor: Verdict, ours: Verdict) -> Literal["better", "worse", "timing"]:
    if any(_rank(mine) > _rank(theirs) for mine, theirs in zip(ours, floor, strict=True)):
        return "worse"
    return "timing" if [*map(_rank, ours)] == [*map(_rank, floor)] else "better"


def _rank(word: str) -> int:
    return next((rank for rank, words in enumerate(_BEST_FIRST) if word in words), len(_BEST_FIRST))


def _order(case: str) -> list[int]:
    return [int(part) for part in case.split(".")]
