"""What a Redis or Valkey server says about itself, as far as a deployment depends on it."""

from __future__ import annotations

from dataclasses import dataclass

import redis

from chancelery.deployment import connections
from chancelery.exceptions import LayerUnavailable


@dataclass(frozen=True, kw_only=True)
class Server:
    """A server that answers and is new enough."""

    eviction: str
    """Its maxmemory-policy."""
    clustered: bool


def examine(url: str) -> Server:
    """Ask the server at *url*. Raises: LayerUnavailable when it does not answer, will not say, or is too old."""
    with connections.reporting(url):
        try:
            info = connections.sync_client(url).info()
        except redis.ResponseError as error:
            raise LayerUnavailable(
                f"Redis at {connections.without_password(url)} refuses INFO ({error}): allow its user that command"
            ) from error
    connections.require_version(url, info)
    return Server(eviction=str(info.get("maxmemory_policy", "unknown")), clustered=bool(info.get("cluster_enabled")))
