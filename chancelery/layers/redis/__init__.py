"""The channel layer on Redis: one Lua script per operation, so that each is one atomic round trip."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chancelery.deployment.address import Host
from chancelery.layers.redis.layer import RedisChannelLayer
from chancelery.layers.redis.sharded import ShardedChannelLayer

__all__ = ["ChannelLayer", "RedisChannelLayer", "ShardedChannelLayer"]


def ChannelLayer(*, hosts: Sequence[Host], **options: Any) -> RedisChannelLayer | ShardedChannelLayer:  # noqa: N802 - backends are looked up by this name
    """Return a layer on one host, or on several."""
    several = isinstance(hosts, list | tuple) and len(hosts) > 1
    return (ShardedChannelLayer if several else RedisChannelLayer)(hosts=hosts, **options)
