"""What the bridge offers is in the reference, with the defaults that it says, and in its types."""

from __future__ import annotations

import re

import pytest

from chancelery.tasks import events
from tests.docs.blocks import DOCS
from tests.javascript.classic import SCRIPTS

pytestmark = pytest.mark.xdist_group("javascript")

LINE, JOBS, TYPES = ((SCRIPTS / name).read_text() for name in ("line.js", "jobs.js", "bridge.d.ts"))
PAGE = (DOCS / "reference" / "bridge.md").read_text()


def between(text: str, start: str, end: str) -> str:
    return text.partition(start)[2].partition(end)[0]


def rows(heading: str) -> dict[str, str]:
    """Return the first two columns of the tables under a heading, without their backticks."""
    found = re.findall(r"^\| `([^`]+)` \| ([^|]*) \|", between(PAGE, f"\n## {heading}\n", "\n## "), re.MULTILINE)
    return {name: value.strip("`") for name, value in found}


def typed(interface: str) -> set[str]:
    body = between(TYPES, f"interface {interface} ", "\n}\n")
    return set(re.findall(r"^  (?:readonly )?(\w+)\??:", body, re.MULTILINE))


def test_every_option_is_documented_with_its_default_and_typed() -> None:
    block = between(LINE, "const OPTIONS = {\n", "\n};\n")
    options = {name: value or name for name, value in re.findall(r"^  (\w+)(?:: (.*))?,$", block, re.MULTILINE)}
    assert rows("Options") == {**options, "keepJobs": "false", "resumeJobs": "true"}
    assert typed("ConnectOptions") == set(rows("Options"))


def test_every_event_is_documented_and_typed() -> None:
    told = set(rows("Events")) - {"full", "closed", "unmapped", "unclaimed"}
    assert told == typed("SocketEvents extends") | typed("SocketEvents") | {"job"}
    assert set(re.findall(r'#tell\("(\w+)"', LINE)) <= told


def test_the_bridge_knows_every_kind_of_event_that_a_job_has() -> None:
    ours = {"lost", "event"}
    table = between((DOCS / "reference" / "jobs.md").read_text(), "\n## Events\n", "\nEach job has")
    kinds = set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))
    known = set(re.findall(r'"(\w+)"', between(JOBS, "const ENDS = [", "];") + between(JOBS, "const KINDS = [", "];")))
    assert known == kinds
    assert kinds >= events.ENDS
    assert typed("JobData<Result = unknown>") == kinds | ours
