"""
What a layer does, from two looks at it: how much there is, and how fast it changes.

Pure: looks at nothing itself, so that it can be told of any layer.
"""

from __future__ import annotations

import fnmatch
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from chancelery.layers.base import Overview

Rate: TypeAlias = "float | None"
"""Per second; None when there was one look only."""
_DROPPED = "dropped:"


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A layer at one moment, and its rates since the moment before."""

    alias: str
    backend: str
    """The class of the layer, and what it says of where it is."""
    overview: Overview
    seconds: Rate
    """How long after the look before this one was."""
    sent_per_second: Mapping[str, Rate]
    """Of each channel."""
    counters_per_second: Mapping[str, Rate]
    """Of each of the overview's counters."""

    def drops(self) -> dict[str, tuple[int, Rate]]:
        """Return for each reason how many messages were dropped, and how many a second, the most frequent first."""
        found = Counter({name: n for name, n in self.overview.counters.items() if name.startswith(_DROPPED)})
        return {
            name.removeprefix(_DROPPED): (count, self.counters_per_second.get(name))
            for name, count in found.most_common()
        }


def compared(alias: str, backend: str, before: Overview | None, after: Overview) -> Sample:
    """Return the sample that *after* makes, with rates since *before*."""
    seconds = (after.now_ms - before.now_ms) / 1000 if before else None
    sent_before = {channel.name: channel.sent for channel in before.channels} if before else {}
    counted_before = before.counters if before else {}
    return Sample(
        alias=alias,
        backend=backend,
        overview=after,
        seconds=seconds,
        sent_per_second={
            each.name: _rate(sent_before.get(each.name, 0), each.sent, seconds) for each in after.channels
        },
        counters_per_second={
            name: _rate(counted_before.get(name, 0), number, seconds) for name, number in after.counters.items()
        },
    )


def selected(overview: Overview, pattern: str | None) -> Overview:
    """Return *overview* with those channels, processes and groups only whose names match the glob *pattern*."""
    if pattern is None:
        return overview
    return overview._replace(
        channels=[each for each in overview.channels if fnmatch.fnmatchcase(each.name, pattern)],
        processes=[each for each in overview.processes if fnmatch.fnmatchcase(each.name, pattern)],
        groups=[(name, size) for name, size in overview.groups if fnmatch.fnmatchcase(name, pattern)],
    )


def _rate(before: int, after: int, seconds: Rate) -> Rate:
    if not seconds or seconds < 0:
        return None
    return round(max(after - before, 0) / seconds, 3)  # what was flushed meanwhile began anew
