"""The code blocks of a page, as Sybil's lexers for MyST find them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from sybil import Document, Region
from sybil.parsers.markdown.lexers import FencedCodeBlockLexer
from sybil.parsers.myst.lexers import DirectiveLexer

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
HOW_TO = sorted((DOCS / "how-to").glob("*.md"))

_LEXERS = [
    FencedCodeBlockLexer(language=r"\w+", mapping={"language": "arguments", "source": "source"}),
    DirectiveLexer(directive="code-block", arguments=r"\w+"),
]


class Block(NamedTuple):
    """A code block, and where it stands."""

    page: Path
    line: int
    language: str
    caption: str
    source: str

    @property
    def is_conversation(self) -> bool:
        """Whether it shows what happens in a terminal or on a page, as opposed to commands to run."""
        return self.language == "console" and bool(self.caption)

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks_of(page: Path) -> list[Block]:
    """Return the blocks that name a language, in their order."""
    document = Document(page.read_text(), str(page))
    found = sorted(_regions(document), key=lambda region: region.start)
    return [_block(page, document, region) for region in found]


def pages() -> list[Path]:
    """Return every page that has code blocks which must be right."""
    return [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]


def _regions(document: Document) -> Iterator[Region]:
    for lexer in _LEXERS:
        yield from lexer(document)


def _block(page: Path, document: Document, region: Region) -> Block:
    lexemes = region.lexemes
    line = document.text.count("\n", 0, region.start) + 1
    caption = lexemes.get("options", {}).get("caption") or ""
    return Block(page, line, lexemes["arguments"], caption, str(lexemes["source"]))
