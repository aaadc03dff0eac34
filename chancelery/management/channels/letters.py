"""Dead letters: as text, page after page of them, and chosen by what an operator writes."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Sequence

from chancelery.layers.base import ChannelLayer, DeadLetter
from chancelery.management.channels.columns import clipped, duration

_PAGE = 100


def all_letters(layer: ChannelLayer) -> Iterator[DeadLetter]:
    """Yield the dead letters of *layer*, the oldest first, also those that come meanwhile."""
    found = layer.dead_letters(_PAGE)
    while found:
        yield from found
        found = layer.dead_letters(_PAGE, after=found[-1].id)


def ids_of(layer: ChannelLayer, pattern: str | None) -> list[str]:
    """Return the ids of those dead letters whose channel matches the glob *pattern*."""
    return [
        letter.id for letter in all_letters(layer) if pattern is None or fnmatch.fnmatchcase(letter.channel, pattern)
    ]


def listed(letters: Sequence[DeadLetter], now_ms: float) -> str:
    """Return *letters* as text: a line for each, and below it the hops of its trail."""
    return "\n".join(line for letter in letters for line in _lines(letter, now_ms))


def _lines(letter: DeadLetter, now_ms: float) -> Iterator[str]:
    begun = {0: "never begun", 1: "begun once"}.get(letter.attempts, f"begun {letter.attempts} times")
    age = duration(max(now_ms - letter.died_ms, 0))
    unreadable = ", cannot be read" if letter.content is None else ""
    yield clipped(f"{letter.id}  {letter.channel}  {letter.reason} {age} ago, {begun}{unreadable}")
    for hop in letter.trail:
        yield clipped(f"    {hop}")
