"""
Connections to whichever server is the master now, as Sentinels tell.

The question is asked at every connect, so that a connection that broke, or whose server has become a replica, leads to
the new master the next time. Source: Redis' guidelines for Sentinel clients; redis-py's connections.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from chancelery.deployment.address import Address

SENTINEL_TIMEOUT_SECONDS = 1
"""How long one Sentinel may take before the next is asked."""
DEMOTED = (redis.exceptions.ReadOnlyError, redis.exceptions.MasterDownError)
"""What redis-py raises when a server has become a replica."""


class MasterConnection(redis.Connection):
    """A thread's connection to the master. address: with Sentinels."""

    def __init__(self, *, address: Address, **kwargs: Any) -> None:
        super().__init__(**kwargs)  # type: ignore[no-untyped-call]
        self._address = address

    def connect(self) -> None:
        """Connect, unless it is. Raises: redis.ConnectionError, also when no Sentinel knows of a master."""
        if not self.is_connected:
            self.host, self.port = find_master(self._address)
        super().connect()  # type: ignore[no-untyped-call]

    def read_response(self, *args: Any, **kwargs: Any) -> Any:
        """Return an answer. Raises: redis.ConnectionError, having disconnected, from what has become a replica."""
        try:
            return super().read_response(*args, **kwargs)
        except DEMOTED as error:
            self.disconnect()  # type: ignore[no-untyped-call]
            raise redis.ConnectionError(f"it is no master any more: {error}") from error


class AsyncMasterConnection(redis.asyncio.Connection):
    """An event loop's connection to the master. address: with Sentinels."""

    def __init__(self, *, address: Address, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._address = address

    async def connect(self) -> None:
        """Connect, unless it is. Raises: redis.ConnectionError, also when no Sentinel knows of a master."""
        if not self.is_connected:
            self.host, self.port = await afind_master(self._address)
        await super().connect()  # type: ignore[no-untyped-call]

    async def read_response(self, *args: Any, **kwargs: Any) -> Any:
        """Return an answer. Raises: redis.ConnectionError, having disconnected, from what has become a replica."""
        try:
            return await super().read_response(*args, **kwargs)
        except DEMOTED as error:
            await self.disconnect(nowait=True)
            raise redis.ConnectionError(f"it is no master any more: {error}") from error


def find_master(address: Address) -> tuple[str, int]:
    """Return host and port of the master, as the first Sentinel says that answers. Raises: redis.ConnectionError."""
    complaints: list[str] = []
    for where, options in _sentinels(address):
        client = redis.Redis(**options, retry=Retry(NoBackoff(), 0))
        try:
            found = client.sentinel_get_master_addr_by_name(address.service)
        except redis.RedisError as error:
            complaints.append(f"{where}: {error}")
        else:
            if found is not None:
                return _pair(found)
            complaints.append(f"{where} knows no such service")
        finally:
            client.close()
    raise _lost(address, complaints)


async def afind_master(address: Address) -> tuple[str, int]:
    """`find_master`, for an event loop."""
    complaints: list[str] = []
    for where, options in _sentinels(address):
        client = redis.asyncio.Redis(**options, retry=AsyncRetry(NoBackoff(), 0))
        try:
            found = await client.sentinel_get_master_addr_by_name(address.service)
        except redis.RedisError as error:
            complaints.append(f"{where}: {error}")
        else:
            if found is not None:
                return _pair(found)
            complaints.append(f"{where} knows no such service")
        finally:
            await client.aclose()
    raise _lost(address, complaints)


def _sentinels(address: Address) -> Iterator[tuple[str, dict[str, Any]]]:
    for host, port in address.sentinels:
        timeouts = {"socket_timeout": SENTINEL_TIMEOUT_SECONDS, "socket_connect_timeout": SENTINEL_TIMEOUT_SECONDS}
        yield f"{host}:{port}", {"host": host, "port": port, **timeouts, **address.sentinel_options()}


def _pair(found: Any) -> tuple[str, int]:
    host, port = found
    return host.decode() if isinstance(host, bytes) else str(host), int(port)


def _lost(address: Address, complaints: list[str]) -> redis.ConnectionError:
    return redis.ConnectionError(f'no Sentinel knows a master "{address.service}": {"; ".join(complaints)}')
