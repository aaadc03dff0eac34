"""
What the in-memory layer has sent, refused and dropped, by channel and by reason.

Nothing is dropped in silence: a drop is counted, and logged once per burst with its channel and trail.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import NamedTuple

from chancelery import names, trail
from chancelery.exceptions import CorruptMessage
from chancelery.layers import codec
from chancelery.log import Burst, room

_burst = Burst(room("layers"))


class Parcel(NamedTuple):
    """A message as it lies somewhere, its body packed."""

    deadline_ms: int
    channel: str
    """Where it lies; for a message to a group on a process's list, the group."""
    lane: str
    body: bytes
    attempts: int = 0
    """How often it may be begun; 0 for at most once."""
    lost: int = 0
    """How often it was begun by a worker that died."""

    @property
    def data(self) -> bytes:
        """The envelope."""
        return codec.pack(*self)

    def expired(self, now_ms: int) -> bool:
        """Tell whether nobody may have it any more."""
        return self.deadline_ms <= now_ms


class Ledger:
    """
    Counts for the statistics. The channels of one process share their counters, as do those before a `?`.

    unpack: reads an envelope, for the log.
    """

    def __init__(self, unpack: Callable[[bytes], codec.Envelope]) -> None:
        self._unpack = unpack
        self._sent: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._dropped: Counter[str] = Counter()

    def sent(self, channel: str) -> None:
        """Count a message that was stored."""
        self._sent[_account(channel)] += 1

    def refused(self, channel: str) -> None:
        """Count a message that found its channel or lane full. Its sender is told: that is no drop."""
        self._refused[_account(channel)] += 1

    def dropped(self, reason: str, parcel: Parcel) -> None:
        """Count a message that nobody will get, and say so unless that was said a moment ago."""
        self._dropped[reason] += 1
        _burst.say(
            f"{reason} {_account(parcel.channel)}",
            "dropped a message on %s (%s), which came this way: %s",
            parcel.channel,
            reason,
            _Way(parcel, self._unpack),
        )

    def tallied(self, drops: Mapping[str, int]) -> None:
        """Count what was dropped elsewhere, and logged there."""
        self._dropped.update(drops)

    def of_channel(self, channel: str) -> dict[str, int]:
        """Return `messages_count` and `channel_full_count` of *channel*."""
        account = _account(channel)
        return {"messages_count": self._sent[account], "channel_full_count": self._refused[account]}

    @property
    def channels(self) -> list[str]:
        """The ordinary channels on which something was ever stored."""
        return [account for account in self._sent if account[-1] not in "?!"]

    def in_total(self) -> dict[str, int]:
        """Return `messages_count`, `channel_full_count`, and `dropped:<reason>` for each reason seen."""
        return {
            "messages_count": self._sent.total(),
            "channel_full_count": self._refused.total(),
            **{f"dropped:{reason}": count for reason, count in self._dropped.items() if count},
        }


class _Way:
    """A parcel's trail as text, read when a line is really written."""

    def __init__(self, parcel: Parcel, unpack: Callable[[bytes], codec.Envelope]) -> None:
        self._parcel = parcel
        self._unpack = unpack

    def __str__(self) -> str:
        try:
            return trail.describe(self._unpack(self._parcel.data).trail)
        except CorruptMessage:
            return "(unreadable)"


def _account(channel: str) -> str:
    head, mark, _ = channel.partition("?")
    return names.process_of(channel) or head + mark
