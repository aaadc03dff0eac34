"""The layer's scripts, and what Python must know of its keys and envelopes beside them."""

from __future__ import annotations

from chancelery.deployment import scripts

_PACKAGE = "chancelery.layers.redis.scripts"
COMMON = (_PACKAGE, "common.lua")
"""What a script begins with that sends through the layer in the same step as something else."""

EXCHANGE = scripts.load(COMMON, (_PACKAGE, "exchange.lua"))
COLLECT = scripts.load(COMMON, (_PACKAGE, "collect.lua"))
MEMBERSHIP = scripts.load(COMMON, (_PACKAGE, "membership.lua"))
MEMBERS = scripts.load(COMMON, (_PACKAGE, "members.lua"))
LEASE = scripts.load(COMMON, (_PACKAGE, "lease.lua"))
WILLS = scripts.load(COMMON, (_PACKAGE, "wills.lua"))
STATISTICS = scripts.load(COMMON, (_PACKAGE, "statistics.lua"))


def glob(prefix: str) -> str:
    """Return the SCAN pattern for every key under *prefix*."""
    return "".join("\\" + letter if letter in "*?[]^\\-" else letter for letter in prefix) + "*"


def address_of(data: bytes) -> tuple[str, str]:
    """Return channel and lane from an envelope's head, whose offsets are fixed; the rest may be corrupt."""
    end = 13 + data[12]
    lane_end = end + 2 + data[end + 1]
    return data[13:end].decode(), data[end + 2 : lane_end].decode()
