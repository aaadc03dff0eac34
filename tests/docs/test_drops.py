"""Every reason for which the code drops a message is on the page of reasons, and nothing else is."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.docs.blocks import DOCS, ROOT

pytestmark = pytest.mark.xdist_group("docs")

TOLD = set(re.findall(r"^\| `(\w+)` \|", (DOCS / "reference" / "drops.md").read_text(), re.MULTILINE))
IN_LUA = [r"'dropped:(\w+)'", r"\b(?:account|drop|discard|bury_letter)\([^()]*, '(\w+)'\)"]
IN_PYTHON = [
    r'\b(?:dropped|_?drop)\("(\w+)"',  # the ledgers of the layer in memory and of the worker
    r'\bdrops\.count\("(\w+)"',
    r'\b(?:tally\.add|_tally\.add)\("(\w+)"',
    r'\btally\(\{"(\w+)"',
    r'\bdropped="(\w+)"',
]
NAMED = r'^[A-Z_]+: Final = "(\w+)"'
"""A constant of the gateway's tally."""


def sources(pattern: str) -> str:
    return "\n".join(path.read_text() for path in sorted((ROOT / "chancelery").glob(pattern)))


def reasons() -> Iterator[str]:
    for patterns, text in ((IN_LUA, sources("**/*.lua")), (IN_PYTHON, sources("**/*.py"))):
        for pattern in patterns:
            yield from re.findall(pattern, text)
    yield from re.findall(NAMED, sources("gateway/tally.py"), re.MULTILINE)


def test_every_reason_in_the_code_is_told() -> None:
    found = set(reasons())
    assert {"expired", "worker_died", "slow_client", "fenced", "no_room"} <= found
    assert found - TOLD == set()


def test_every_reason_that_is_told_is_in_the_code() -> None:
    text = sources("**/*.py") + sources("**/*.lua")
    assert {reason for reason in TOLD if not re.search(rf"""["':]{reason}["']""", text)} == set()
