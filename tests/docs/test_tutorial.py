"""The tutorial, followed to the letter from an empty folder: its files, its commands, its conversations."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.blocks import DOCS, blocks_of
from tests.docs.walk import Walk

pytestmark = [pytest.mark.xdist_group("docs"), pytest.mark.timeout(300)]


def test_whoever_follows_the_tutorial_sees_what_it_shows(tmp_path: Path) -> None:
    with Walk(tmp_path) as walk:
        walk.follow(blocks_of(DOCS / "tutorial.md"))
        assert walk.dev is None or "everything has stopped" in walk.dev.output
