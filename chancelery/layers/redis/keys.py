"""The layer's scripts, and what Python must know of its keys and envelopes beside them."""

from __future__ import annotations

from chancelery.deployment import scripts

_PACKAGE = "chancelery.layers.redis.scripts"
_ATTEMPTS_BIT = 32
COMMON = tuple((_PACKAGE, f"{part}.lua") for part in ("common", "lists", "sending", "groups", "endings"))
"""What a script begins with that sends through the layer in the same step as something else."""

_DELAYS = (*COMMON, (_PACKAGE, "delays.lua"))

EXCHANGE = scripts.load(*_DELAYS, (_PACKAGE, "exchange.lua"))
MOVE = scripts.load(*_DELAYS, (_PACKAGE, "move.lua"))
PURGE_DELAYED = scripts.load(*_DELAYS, (_PACKAGE, "purge_delayed.lua"))
COLLECT = scripts.load(*COMMON, (_PACKAGE, "collect.lua"))
MEMBERSHIP = scripts.load(*COMMON, (_PACKAGE, "membership.lua"))
MEMBERS = scripts.load(*COMMON, (_PACKAGE, "members.lua"))
LEASE = scripts.load(*COMMON, (_PACKAGE, "lease.lua"))
WILLS = scripts.load(*COMMON, (_PACKAGE, "wills.lua"))
STATISTICS = scripts.load(*COMMON, (_PACKAGE, "statistics.lua"))
OVERVIEW = scripts.load(*COMMON, (_PACKAGE, "overview.lua"))
SWEEP = scripts.load(*COMMON, (_PACKAGE, "sweep.lua"))
PURGE = scripts.load(*COMMON, (_PACKAGE, "purge.lua"))
DEAD = scripts.load(*COMMON, (_PACKAGE, "dead.lua"))

DELAYED_BELL = "@delayed"
"""No channel can have this name."""


def terms(capacity: int, attempts: int) -> int:
    """Return what the scripts want to know of a channel that is sent to, as one number."""
    return capacity | attempts << _ATTEMPTS_BIT


def glob(prefix: str) -> str:
    """Return the SCAN pattern for every key under *prefix*."""
    return "".join("\\" + letter if letter in "*?[]^\\-" else letter for letter in prefix) + "*"


def address_of(data: bytes) -> tuple[str, str]:
    """Return channel and lane from an envelope's head, whose offsets are fixed; the rest may be corrupt."""
    end = 13 + data[12]
    lane_end = end + 2 + data[end + 1]
    return data[13:end].decode(), data[end + 2 : lane_end].decode()
