"""
Django's Redis cache, made safe beside other things in the same database.

Django's own answers `clear()` with FLUSHDB, which removes queues, jobs and groups that live there too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.cache.backends.base import default_key_func
from django.core.cache.backends.redis import RedisCache, RedisCacheClient
from django.core.exceptions import ImproperlyConfigured
from django.utils.functional import cached_property

from chancelery.deployment.connections import sync_client

if TYPE_CHECKING:
    from collections.abc import Sequence

    import redis

_SCAN_COUNT = 1000
_GLOB = str.maketrans({character: f"\\{character}" for character in r"\*?[]"})


class PrefixedRedisCache(RedisCache):
    """
    Django's Redis cache, whose `clear()` removes the keys that begin with its own KEY_PREFIX and nothing else.

    LOCATION is one URL. OPTIONS may hold `serializer`, as Django has it, and nothing else: connections, with their
    timeouts, are those of the whole deployment. Raises: ImproperlyConfigured for settings that it cannot honour.
    """

    def __init__(self, server: str | Sequence[str], params: dict[str, Any]) -> None:
        servers = [server] if isinstance(server, str) else list(server)
        super().__init__(servers, params)
        if len(servers) != 1:
            raise ImproperlyConfigured(f"PrefixedRedisCache has one URL as its LOCATION, not {len(servers)}")
        if not self.key_prefix:
            raise ImproperlyConfigured("PrefixedRedisCache needs a KEY_PREFIX, such as 'example:c'")
        if self.key_func is not default_key_func:
            raise ImproperlyConfigured("PrefixedRedisCache has no KEY_FUNCTION: clear() finds its keys by KEY_PREFIX")
        self._url = servers[0]
        self._serializer_options = dict(params.get("OPTIONS", {}))
        if unknown := sorted(self._serializer_options.keys() - {"serializer"}):
            raise ImproperlyConfigured(
                f"PrefixedRedisCache has no option {', '.join(map(repr, unknown))}: OPTIONS may hold 'serializer' only"
            )

    @cached_property
    def _cache(self) -> RedisCacheClient:
        return _Client(self._url, self.key_prefix, self._serializer_options)


class _Client(RedisCacheClient):
    """Django's client, on the connections that this process has already."""

    def __init__(self, url: str, prefix: str, options: dict[str, Any]) -> None:
        super().__init__([url], **options)
        self._url = url
        self._pattern = f"{prefix}:".translate(_GLOB) + "*"

    def get_client(self, key: object = None, *, write: bool = False) -> redis.Redis:  # noqa: ARG002 - one server for all
        return sync_client(self._url)

    def clear(self) -> bool:
        """Unlink the keys under the prefix; True if there were any. Walks the whole database, without blocking it."""
        client, cursor, removed = self.get_client(), -1, 0
        while cursor != 0:
            cursor, keys = client.scan(max(cursor, 0), match=self._pattern, count=_SCAN_COUNT)
            removed += client.unlink(*keys) if keys else 0
        return removed > 0
