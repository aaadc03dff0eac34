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

from chancelery.exceptions import LayerUnavailable

CONNECT_TIMEOUT_SECONDS = 5
SOCKET_TIMEOUT_SECONDS = 30
"""Above every block time that is asked of the server, or a quiet connection would look like a dead one."""
MINIMUM_REDIS = (7, 0)
MINIMUM_VALKEY = (7, 2)

UNAVAILABLE = (redis.ConnectionError, redis.TimeoutError, redis.exceptions.BusyLoadingError, OSError)

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
        pool = redis.ConnectionPool.from_url(url, retry=Retry(NoBackoff(), 0), **options(url))
        client = _sync.setdefault(url, redis.Redis(connection_pool=pool))
    return client


def async_client(url: str) -> redis.asyncio.Redis:
    """Return the running event loop's client for *url*."""
    clients = _async.setdefault(asyncio.get_running_loop(), {})
    client = clients.get(url)
    if client is None:
        pool = redis.asyncio.ConnectionPool.from_url(url, retry=AsyncRetry(NoBackoff(), 0), **options(url))
        client = clients[url] = redis.asyncio.Redis(connection_pool=pool)
    return client


async def close_async(url: str) -> None:
    """Close the running event loop's client for *url*, if there is one."""
    client = _async.get(asyncio.get_running_loop(), {}).pop(url, None)
    if client is not None:
        await client.aclose(close_connection_pool=True)


def close_sync(url: str) -> None:
    """Close this process's client for *url*, if there is one."""
    client = _sync.pop(url, None)
    if client is not None:
        client.close()
        client.connection_pool.disconnect()


def without_password(url: str) -> str:
    """Return *url* fit for a message or a log."""
    return re.sub(r"(?<=://)([^/@]*)@", "***@", url)


def unavailable(url: str, error: BaseException) -> LayerUnavailable:
    """Return the error that says which server did not answer, and what to do."""
    return LayerUnavailable(
        f"Redis at {without_password(url)} does not answer ({type(error).__name__}: {error}): start it, or set "
        f"REDIS_URL to where it is"
    )


@contextlib.contextmanager
def reporting(url: str) -> Iterator[None]:
    """Turn what redis-py raises when the server does not answer into LayerUnavailable."""
    try:
        yield
    except UNAVAILABLE as error:
        raise unavailable(url, error) from error


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


def _forget() -> None:
    _sync.clear()
    _async.clear()


os.register_at_fork(after_in_child=_forget)
