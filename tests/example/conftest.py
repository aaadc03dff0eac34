"""One running site for all tests of the example."""

from __future__ import annotations

import re
import sysconfig
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.example.site import Site, running


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running(tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture(scope="session")
def library() -> bytes:
    """Real text, about 4 MB of it: the standard library's sources."""
    folder = Path(sysconfig.get_paths()["stdlib"])
    text = b""
    for path in sorted([*folder.glob("*.py"), *folder.glob("*/*.py")]):
        text += path.read_bytes()
        if len(text) > 4_000_000:
            break
    return text


def plain_count(text: bytes) -> dict[str, Any]:
    """What the word count must find, found in the plainest way."""
    counts = Counter(re.findall(r"\w+", text.decode("utf-8", errors="replace").lower()))
    top = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:20]
    return {"words": counts.total(), "top": [list(pair) for pair in top]}
