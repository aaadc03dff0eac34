"""
How the calls of a Redis layer reach its server: by which connection, by which clock, and on what terms for a channel.

Does not import redis-py: connections come from `chancelery.deployment`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chancelery.deployment import connections, wire
from chancelery.deployment.address import Host, url_of_pair
from chancelery.exceptions import InvalidChannelLayerError
from chancelery.layers.base import ChannelLayer
from chancelery.layers.redis import keys


class Calls(ChannelLayer):
    """What all parts of a Redis layer stand on."""

    def __init__(self, *, hosts: Sequence[Host], prefix: str, **options: Any) -> None:
        """As `RedisChannelLayer`."""
        super().__init__(**options)
        self.url = _only_host(hosts)
        self.prefix = prefix
        self._terms: dict[str, int] = {}

    @property
    def _client(self) -> Any:
        return connections.sync_client(self.url)

    def _run(self, script: Any, args: list[Any]) -> Any:
        return wire.thread_wire(self.url).run(script, self.prefix, args)

    async def _arun(self, script: Any, args: list[Any]) -> Any:
        return await wire.loop_wire(self.url).run(script, self.prefix, args)

    def _now(self) -> int | str:
        return "" if self.clock is None else self._ms(self.clock())

    @staticmethod
    def _ms(seconds: float) -> int:
        return int(seconds * 1000)

    def _terms_of(self, channel: str) -> int:
        found = self._terms.get(channel)
        if found is None:
            found = keys.terms(self.capacity_of(channel), self.attempts_of(channel))
            if "?" not in channel and "!" not in channel:  # those have names without end
                self._terms[channel] = found
        return found


def _only_host(hosts: Sequence[Host]) -> str:
    urls = [url_of_pair(host) for host in hosts] if isinstance(hosts, list | tuple) else []
    if not urls or not all(isinstance(url, str) for url in urls):
        raise InvalidChannelLayerError(
            f'hosts is a list with the URL of a Redis, such as ["redis://127.0.0.1:6379"], not {hosts!r}'
        )
    if len(urls) > 1:
        raise InvalidChannelLayerError(
            f"hosts names {len(urls)} servers, and a RedisChannelLayer lives on one: name the BACKEND "
            f"chancelery.layers.redis, without a class"
        )
    url = str(urls[0])
    if not url.startswith(("redis://", "rediss://", "unix://", "sentinel://")):
        raise InvalidChannelLayerError(
            f"hosts: {connections.without_password(url)} is no URL of a Redis: use redis://, rediss://, unix:// "
            f"or sentinel://"
        )
    return url
