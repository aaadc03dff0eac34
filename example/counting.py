r"""
Counting words, in parts that can be counted apart from each other. Knows nothing of Django, channels or Celery.

A word is what `\w+` matches in the lower-cased text. Parts are ranges of bytes that end after white space, so neither a
word nor a character is ever cut in two, and lower-casing a part gives what lower-casing the whole text gives.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import IO

TOP = 20
LONGEST_SHOWN = 100
"""A longer word among the most frequent ones is shown cut, with an ellipsis: an answer has to fit into a frame."""

_WORD = re.compile(r"\w+")
_SPACE = re.compile(rb"[ \t\n\r]")
_STRIDE = 8192


def ranges(path: Path, parts: int) -> list[tuple[int, int]]:
    """Return at most *parts* ranges (start, stop) of about the same size, which together are the file."""
    size = path.stat().st_size
    with path.open("rb") as file:
        inner = {_after_space(file, size * part // parts) for part in range(1, parts)}
    edges = sorted({0, size} | inner)
    return list(itertools.pairwise(edges))


def count(path: Path, start: int, stop: int) -> Counter[str]:
    """Count the words in the bytes from *start* to *stop*, which is UTF-8; what is not is replaced."""
    with path.open("rb") as file:
        file.seek(start)
        text = file.read(stop - start).decode("utf-8", errors="replace")
    return Counter(_WORD.findall(text.lower()))


def merge(counts: Iterable[Counter[str] | dict[str, int]]) -> Counter[str]:
    """Add the counts of all parts up."""
    total: Counter[str] = Counter()
    for part in counts:
        total.update(part)
    return total


def top(counts: Counter[str]) -> list[tuple[str, int]]:
    """Return the most frequent words, equally frequent ones in alphabetical order."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [(_shown(word), number) for word, number in ordered[:TOP]]


def _shown(word: str) -> str:
    return word if len(word) <= LONGEST_SHOWN else word[:LONGEST_SHOWN] + "…"


def _after_space(file: IO[bytes], position: int) -> int:
    """Return where the first white space from *position* on ends, or the end of the file."""
    file.seek(position)
    while chunk := file.read(_STRIDE):
        if found := _SPACE.search(chunk):
            return position + found.end()
        position += len(chunk)
    return position
