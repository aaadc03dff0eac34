"""The layer's scripts, and what Python must know of its keys and envelopes beside them."""

from __future__ import annotations

from chancelery.deployment import scripts

_PACKAGE = "chancelery.layers.redis.scripts"
_ATTEMPTS_BIT = 32
COMMON = tuple((_PACKAGE, f"{part}.lua") for part in ("common", "lists", "sending", "groups", "endings"))
"""What a script begins with that sends through the layer in the same step as something else."""

_DELAYS = (*COMMON, (_PACKAGE, "delays.lua"))


def _even_full(name: str, shared: tuple[tuple[str, str], ...] = COMMON) -> scripts.Script:
    return scripts.load(*shared, (_PACKAGE, f"{name}.lua"), even_full=True)


POST = scripts.load(*_DELAYS, (_PACKAGE, "exchange.lua"))
"""The exchange of those who hold no lease, all that a server refuses whose memory is full. The rest empties it."""
EXCHANGE = _even_full("exchange", _DELAYS)
MOVE = _even_full("move", _DELAYS)
PURGE_DELAYED = _even_full("purge_delayed", _DELAYS)
COLLECT = _even_full("collect")
MEMBERSHIP = _even_full("membership")
MEMBERS = _even_full("members")
LEASE = _even_full("lease")
WILLS = _even_full("wills")
STATISTICS = _even_full("statistics")
OVERVIEW = _even_full("overview")
SWEEP = _even_full("sweep")
PURGE = _even_full("purge")
DEAD = _even_full("dead")

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
