"""Python in the pages is Python, and what it imports from this package is there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib import import_module

import pytest
from django.core.exceptions import ImproperlyConfigured

from tests.docs.blocks import Block, blocks_of, pages

pytestmark = pytest.mark.xdist_group("docs")

PYTHON = [block for page in pages() for block in blocks_of(page) if block.language == "python"]


def test_pages_have_python_in_them() -> None:
    assert len({block.page for block in PYTHON}) > 10


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_what_a_block_takes_from_the_package_is_there(block: Block) -> None:
    tree = ast.parse(block.source, filename=str(block))
    compile(tree, str(block), "exec")
    missing = [name for name in named(tree) if not exists(name)]
    assert missing == []


def named(tree: ast.Module) -> Iterator[str]:
    """Yield the dotted names in this package that are imported, or named in texts."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.Constant) and re.fullmatch(r"chancelery(\.\w+)+", str(node.value)):
            yield str(node.value)


def exists(name: str) -> bool:
    if name.partition(".")[0] != "chancelery":
        return True
    module, _, attribute = name.rpartition(".")
    try:
        return (bool(module) and hasattr(import_module(module), attribute)) or bool(import_module(name))
    except ImportError:
        return False
    except ImproperlyConfigured:  # it is there, for a newer Django
        return True
