"""
What the in-memory layer has sent, refused and dropped, by channel and by reason.

Nothing is dropped in silence: a drop is counted, and logged once per burst with its channel and trail.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from chancelery import names, trail
from chancelery.exceptions import CorruptMessage
from chancelery.layers import codec
from chancelery.log import Burst, room

_burst = Burst(room("layers"))


class Parcel(NamedTuple):
    """A packed message, with what the layer needs to know of it without unpacking it."""

    deadline_ms: int
    channel: str
    """Where it lies; for a message to a group on a process's list, the group."""
    lane: str
    data: bytes

    def expired(self, now_ms: int) -> bool:
        """Tell whether nobody may have it any more."""
        return self.deadline_ms <= now_ms


class Ledger:
    """Counts for the statistics. The channels of one process share their counters, as do those before a `?`."""

    def __init__(self) -> None:
        self._sent: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._dropped: Counter[str] = Counter()

    def sent(self, channel: str) -> None:
        """Count a message that was stored."""
        self._sent[_account(channel)] += 1

    def refused(self, channel: str) -> None:
        """Count a message that found its channel or lane full."""
        self._refused[_account(channel)] += 1
        self._dropped["channel_full"] += 1

    def dropped(self, reason: str, parcel: Parcel) -> None:
        """Count a message that nobody will get, and say so unless that was said a moment ago."""
        self._dropped[reason] += 1
        _burst.say(
            reason, "dropped a message on %s (%s), which came this way: %s", parcel.channel, reason, _Way(parcel)
        )

    def of_channel(self, channel: str) -> dict[str, int]:
        """Return `messages_count` and `channel_full_count` of *channel*."""
        account = _account(channel)
        return {"messages_count": self._sent[account], "channel_full_count": self._refused[account]}

    def in_total(self) -> dict[str, int]:
        """Return `messages_count`, `channel_full_count`, and `dropped:<reason>` for each reason seen."""
        return {
            "messages_count": self._sent.total(),
            "channel_full_count": self._refused.total(),
            **{f"dropped:{reason}": count for reason, count in self._dropped.items()},
        }


class _Way:
    """A parcel's trail as text, read when a line is really written."""

    def __init__(self, parcel: Parcel) -> None:
        self._parcel = parcel

    def __str__(self) -> str:
        try:
            return trail.describe(codec.unpack(self._parcel.data).trail)
        except CorruptMessage:
            return "(unreadable)"


def _account(channel: str) -> str:
    head, mark, _ = channel.partition("?")
    return names.process_of(channel) or head + mark
