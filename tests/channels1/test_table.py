"""The page on Channels 1: it covers what there was, and names tests that there are."""

from __future__ import annotations

import ast
import functools
import re

import pytest

from tests.channels1.test_names import DEPRECATED, NAMES, each
from tests.docs.blocks import DOCS, ROOT

PAGE = (DOCS / "channels1.md").read_text()
_ROW = re.compile(r"^\| (?!name \||fault \||daphne 4 \||---).*\|$", re.MULTILINE)
_ID = re.compile(r"`(tests/[\w/.]+?\.(?:py|js))::([^`]+)`")


def section(heading: str, level: str = "##") -> str:
    found = PAGE.partition(f"\n{level} {heading}\n")[2]
    assert found, f"there is no section {heading!r}"
    return re.split(rf"\n#{{2,{len(level)}}} ", found)[0]


def rows(text: str) -> list[str]:
    return [row for row in _ROW.findall(text) if not row.startswith("|---")]


def faults() -> dict[str, str]:
    return {row.split("|")[1].strip(): row for row in rows(section("What went wrong with it").partition("\n### ")[0])}


@functools.cache
def standing_in(file: str) -> frozenset[str]:
    """Return the tests that stand in a file: `test_name`, or `Class::test_name`."""
    text = (ROOT / file).read_text()
    if file.endswith(".js"):
        return frozenset(re.findall(r'test\("(.*?)", (?:async )?\(', text))
    found = set()
    for node in ast.parse(text).body:
        inside = node.body if isinstance(node, ast.ClassDef) else [node]
        prefix = f"{node.name}::" if isinstance(node, ast.ClassDef) else ""
        functions = [each for each in inside if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]
        found |= {prefix + function.name for function in functions if function.name.startswith("test")}
    return frozenset(found)


@pytest.mark.parametrize(("file", "name"), sorted(set(_ID.findall(PAGE))))
def test_every_test_that_is_named_is_there(file, name):
    assert (ROOT / file).exists()
    assert name in standing_in(file)


def test_every_feature_has_a_test():
    named = rows(section("What it offered"))
    assert len(named) > 100
    assert [row for row in named if not _ID.search(row)] == []


def test_every_fault_has_a_test():
    assert list(faults()) == [str(number) for number in range(1, 28)]
    assert [row for row in faults().values() if not _ID.search(row)] == []


def test_what_daphne_leaves_out_has_tests():
    named = rows(section("Between daphne 4 and a layer", "###"))
    assert len(named) == 8
    assert [row for row in named if not _ID.search(row)] == []


def test_what_is_not_there_has_a_reason():
    named = rows(section("What is not there, and why"))
    assert len(named) > 5
    assert all(len(row.split("|")[2].strip()) > 20 for row in named)


def test_every_row_has_the_cells_of_its_table():
    for heading, cells in (("What it offered", 3), ("What is not there, and why", 2)):
        assert {row.count(" | ") + 1 for row in rows(section(heading))} == {cells}
    assert {row.count(" | ") + 1 for row in faults().values()} == {4}


@pytest.mark.parametrize(("path", "name"), each(NAMES) + each(DEPRECATED))
def test_every_public_name_is_told_of(path, name):
    told = path if name in {"Command", "ChanceleryConfig", "__version__"} else name
    assert re.search(rf"\b{told.rpartition('.')[2]}\b", section("What it offered"))


@pytest.mark.parametrize("channel", ["http.request", "http.disconnect", "websocket.connect", "asgi.delay"])
def test_every_kind_of_message_is_told_of(channel):
    assert f"`{channel}`" in section("Message formats", "###")
