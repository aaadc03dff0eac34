"""
Every connection to Redis that is not Celery's own.

Clients are made once per URL and process: a fork forgets them without touching the parent's sockets. Timeouts are
explicit and nothing is retried here: redis-py repeats a command up to ten times by default, which stores a push whose
answer was lost more than once (seen). Whoever can repeat safely does so itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import weakref
from collections.abc import Iterator
from typing import Any

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from chancelery.deployment.address import parse
from chancelery.deployment.sentinel import DEMOTED, AsyncMasterConnection, MasterConnection
from chancelery.exceptions import LayerUnavailable

CONNECT_TIMEOUT_SECONDS = 5
SOCKET_TIMEOUT_SECONDS = 30
"""Above every block time that is asked of the server, or a quiet connection would look like a dead one."""
MINIMUM_REDIS = (7, 0)
MINIMUM_VALKEY = (7, 2)

NO_MASTER = ("LOADING", "READONLY", "MASTERDOWN", "UNBLOCKED")
"""
How errors begin of a server that is no master yet or any more. UNBLOCKED is what it says to those who wait when it
becomes a replica. The connection is of no use: a new one may lead to the master.
"""
FULL = redis.exceptions.OutOfMemoryError
"""What a server whose memory is full says to whatever would store something; it has stored nothing."""
UNAVAILABLE = (redis.ConnectionError, redis.TimeoutError, OSError, *DEMOTED, FULL)

_OPTIONS: dict[str, Any] = {
    "socket_timeout": SOCKET_TIMEOUT_SECONDS,
    "socket_connect_timeout": CONNECT_TIMEOUT_SECONDS,
    "health_check_interval": 0,
}

_sync: dict[str, redis.Redis] = {}
_async: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, redis.asyncio.Redis]] = (
    weakref.WeakKeyDictionary()
)


def sync_client(url: str) -> redis.Redis:
    """Return this process's client for *url*; threads share it, each with a connection of its own for a while."""
    client = _sync.get(url)
    if client is None:
        client = _sync.setdefault(url, redis.Redis(connection_pool=sync_pool(url)))
    return client


def async_client(url: str) -> redis.asyncio.Redis:
    """Return the running event loop's client for *url*."""
    clients = _async.setdefault(asyncio.get_running_loop(), {})
    client = clients.get(url)
    if client is None:
        client = clients[url] = redis.asyncio.Redis(connection_pool=async_pool(url))
    return client


def sync_pool(url: str) -> redis.ConnectionPool:
    """Return what makes connections to *url* for threads. Raises: ValueError for a URL that leads nowhere."""
    once = Retry(NoBackoff(), 0)
    if url.startswith("sentinel:"):
        return redis.ConnectionPool(MasterConnection, retry=once, **_of_master(url), **options(url))
    return redis.ConnectionPool.from_url(url, retry=once, **options(url))


def async_pool(url: str, **more: Any) -> redis.asyncio.ConnectionPool:
    """Return what makes connections to *url* for the running event loop; *more* as redis-py names it."""
    once = AsyncRetry(NoBackoff(), 0)
    if url.startswith("sentinel:"):
        return redis.asyncio.ConnectionPool(
            AsyncMasterConnection, retry=once, **_of_master(url), **options(url), **more
        )
    return redis.asyncio.ConnectionPool.from_url(url, retry=once, **options(url), **more)


async def close_async(url: str) -> None:
    """Close the running event loop's client for *url*, if there is one."""
    client = _async.get(asyncio.get_running_loop(), {}).pop(url, None)
    if client is not None:
        await client.aclose(close_connection_pool=True)


def close_sync(url: str) -> None:
    """Close this process's client for *url*, if there is one. What other threads are doing with it comes to its end."""
    client = _sync.pop(url, None)
    if client is not None:
        client.connection_pool.disconnect(inuse_connections=False)


def without_password(url: str) -> str:
    """Return *url* fit for a message or a log; a password that was not percent-encoded is hidden, too."""
    return re.sub(r"(?<=password=)[^&]*", "***", re.sub(r"(?<=://).*@", "***@", url, flags=re.DOTALL))


def unavailable(url: str, error: BaseException) -> LayerUnavailable:
    """Return the error that says which server did not answer, or has no memory left, and what to do."""
    if isinstance(error, FULL):
        return LayerUnavailable(
            f"the memory of Redis at {without_password(url)} is full, and nothing was stored ({error}): raise its "
            f"maxmemory, or have workers empty its queues; see `manage.py channels`"
        )
    return LayerUnavailable(
        f"Redis at {without_password(url)} does not answer ({type(error).__name__}: {error}): start it, or set "
        f"REDIS_URL to where it is"
    )


@contextlib.contextmanager
def reporting(url: str) -> Iterator[None]:
    """Turn what redis-py raises when the server does not answer, or stores nothing more, into LayerUnavailable."""
    try:
        yield
    except UNAVAILABLE as error:
        raise unavailable(url, error) from error


def require_master(error: redis.ResponseError, connection: Any) -> None:
    """Give *connection* up when *error* says that its server is no master. Raises: redis.ConnectionError."""
    if isinstance(error, DEMOTED) or str(error).startswith(NO_MASTER):
        connection.disconnect()
        raise redis.ConnectionError(f"it is no master any more: {error}") from error


def require_version(url: str, info: dict[str, Any]) -> None:
    """Check the server section of INFO. Raises: LayerUnavailable when the server is too old."""
    name, found, minimum = "Redis", str(info.get("redis_version", "0")), MINIMUM_REDIS
    if "valkey_version" in info:  # Valkey answers redis_version 7.2.4 whatever its own version is
        name, found, minimum = "Valkey", str(info["valkey_version"]), MINIMUM_VALKEY
    parts = tuple(int(part) for part in re.findall(r"\d+", found)[:2])
    if parts < minimum:
        raise LayerUnavailable(
            f"{name} {found} at {without_password(url)} is too old: Redis 7.0 or Valkey 7.2 is needed at least"
        )


def options(url: str) -> dict[str, Any]:
    """Return the timeouts for connections to *url*, as redis-py names them."""
    if url.startswith("unix"):
        return {key: value for key, value in _OPTIONS.items() if key != "socket_connect_timeout"}
    return {**_OPTIONS, "socket_keepalive": True}


def _of_master(url: str) -> dict[str, Any]:
    address = parse(url)
    named = {"username": address.username or None, "password": address.password or None}
    return {"address": address, "db": address.database, **named}


def _forget() -> None:
    _sync.clear()
    _async.clear()


os.register_at_fork(after_in_child=_forget)
