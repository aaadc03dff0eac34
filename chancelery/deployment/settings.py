"""
From one Redis URL to the Django settings of everything that uses it.

Keeps the rooms apart by key prefixes, not by database numbers: one server, one database, one backup. Source of the
Celery values: `docs/decisions/0001-one-redis.md`.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from redis.backoff import NoBackoff
from redis.retry import Retry

from chancelery.deployment.address import Address, parse
from chancelery.deployment.connections import CONNECT_TIMEOUT_SECONDS, SOCKET_TIMEOUT_SECONDS
from chancelery.deployment.sentinel import SENTINEL_TIMEOUT_SECONDS

VISIBILITY_TIMEOUT_SECONDS = 120
"""
After how long without a word of the worker that holds it a task is handed out again. Workers refresh what they hold six
times as often, see `docs/decisions/0006-visibility-timeout.md`.
"""

_PREFIX = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)


@dataclass(frozen=True, repr=False)
class Deployment:
    """
    One Redis (>= 7.0) or Valkey (>= 7.2) and the part of its keys that belongs to one site.

    url: `redis://`, `rediss://`, `unix://` or `sentinel://`.
    prefix: what all keys begin with, different for each site on the server.
    Raises: ImproperlyConfigured, never showing the URL's password.
    """

    url: str
    prefix: str = "chancelery"

    def __post_init__(self) -> None:
        parse(self.url)
        if not isinstance(self.prefix, str) or not _PREFIX.fullmatch(self.prefix):
            raise ImproperlyConfigured(
                f"{self.prefix!r} cannot be a prefix of Redis keys: use 1 to 64 ASCII letters, digits, hyphens, "
                f"underscores and periods"
            )

    def __repr__(self) -> str:
        return f"Deployment(url={self.address.for_display()!r}, prefix={self.prefix!r})"

    @property
    def address(self) -> Address:
        """The URL, taken apart."""
        return parse(self.url)

    @property
    def layer_prefix(self) -> str:
        """What the channel layer's keys begin with."""
        return f"{self.prefix}:l:"

    @property
    def broker_prefix(self) -> str:
        """What the keys of Celery's broker begin with."""
        return f"{self.prefix}:q:"

    @property
    def result_prefix(self) -> str:
        """What the keys of Celery's results begin with."""
        return f"{self.prefix}:r:"

    @property
    def cache_prefix(self) -> str:
        """What the cache's keys begin with."""
        return f"{self.prefix}:c:"

    @property
    def session_prefix(self) -> str:
        """What the keys of sessions begin with that `chancelery.sessions.redis` keeps."""
        return f"{self.prefix}:s:"

    @property
    def job_prefix(self) -> str:
        """What the keys of job records begin with."""
        return f"{self.prefix}:j:"

    def django_settings(self, *, routing: str | Sequence[Any]) -> dict[str, Any]:
        """
        Return the settings of channel layer, cache, sessions and Celery (namespace `CELERY`), to be put into a module:

            vars().update(Deployment(os.environ["REDIS_URL"], prefix="example").django_settings(routing="…"))

        routing: the default layer's ROUTING, a dotted path or a list. Whatever is assigned after it overrides it.
        """
        return {
            **self._channels(routing),
            **self._cache(),
            **self._sessions(),
            **self._broker(),
            **self._results(),
            **self._worker(),
        }

    def _channels(self, routing: str | Sequence[Any]) -> dict[str, Any]:
        config = {"hosts": [self.address.for_redis()], "prefix": self.layer_prefix}
        return {
            "CHANNEL_LAYERS": {"default": {"BACKEND": "chancelery.layers.redis", "ROUTING": routing, "CONFIG": config}}
        }

    def _cache(self) -> dict[str, Any]:
        return {
            "CACHES": {
                "default": {
                    "BACKEND": "chancelery.deployment.cache.PrefixedRedisCache",
                    "LOCATION": self.address.for_redis(),
                    "KEY_PREFIX": self.cache_prefix.removesuffix(":"),  # Django puts the colon
                }
            },
        }

    def _sessions(self) -> dict[str, Any]:
        return {
            "SESSION_ENGINE": "django.contrib.sessions.backends.cache",
            "CHANNEL_SESSION_ENGINE": "chancelery.sessions.redis",
            "CHANCELERY_SESSIONS": {"URL": self.address.for_redis(), "PREFIX": self.session_prefix},
        }

    def _broker(self) -> dict[str, Any]:
        return {
            "CELERY_BROKER_URL": self.address.for_celery().removeprefix("redis+"),
            "CELERY_BROKER_TRANSPORT": f"chancelery.tasks.engine.transport:{self._transport()}",
            **({"CELERY_BROKER_FAILOVER_STRATEGY": _stay} if self.address.sentinels else {}),
            "CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP": True,
            "CELERY_BROKER_TRANSPORT_OPTIONS": {
                "global_keyprefix": self.broker_prefix,
                "job_keyprefix": self.job_prefix,
                "visibility_timeout": VISIBILITY_TIMEOUT_SECONDS,
                "unacked_restore_interval": 10,
                "unacked_restore_throttle": 1,
                "unacked_mutex_expire": 60,
                "socket_timeout": SOCKET_TIMEOUT_SECONDS,
                "socket_connect_timeout": CONNECT_TIMEOUT_SECONDS,
                "socket_keepalive": True,
                **self._sentinels(),
            },
        }

    def _transport(self) -> str:
        return {"unix": "SocketTransport", "sentinel": "SentinelTransport"}.get(self.address.scheme, "Transport")

    def _sentinels(self) -> dict[str, Any]:
        """Return what Celery's transports want to know beside the URL of Sentinels."""
        address = self.address
        if not address.sentinels:
            return {}
        asking = {
            "socket_timeout": SENTINEL_TIMEOUT_SECONDS,
            "socket_connect_timeout": SENTINEL_TIMEOUT_SECONDS,
            "retry": Retry(NoBackoff(), 0),  # the next Sentinel is asked instead
        }
        return {"master_name": address.service, "sentinel_kwargs": {**asking, **address.sentinel_options()}}

    def _results(self) -> dict[str, Any]:
        url = self.address.for_celery().removeprefix("redis+")
        backend = "sentinel:SentinelJobBackend" if self.address.sentinels else "backend:JobBackend"
        return {
            "CELERY_RESULT_BACKEND": f"chancelery.tasks.engine.{backend}+{url}",
            "CELERY_RESULT_BACKEND_TRANSPORT_OPTIONS": {
                "global_keyprefix": self.result_prefix,
                "job_keyprefix": self.job_prefix,
                **self._sentinels(),
            },
            "CELERY_RESULT_BACKEND_ALWAYS_RETRY": True,
            "CELERY_RESULT_BACKEND_MAX_RETRIES": 20,  # about a minute
            "CELERY_RESULT_EXPIRES": 3600,
            "CELERY_RESULT_CHORD_EXPIRES": 86400,
            "CELERY_REDIS_SOCKET_TIMEOUT": SOCKET_TIMEOUT_SECONDS,
            "CELERY_REDIS_SOCKET_CONNECT_TIMEOUT": CONNECT_TIMEOUT_SECONDS,
            "CELERY_REDIS_SOCKET_KEEPALIVE": self.address.scheme != "unix",
        }

    def _worker(self) -> dict[str, Any]:
        return {
            "CELERY_TASK_ACKS_LATE": True,
            "CELERY_TASK_TRACK_STARTED": True,
            "CELERY_WORKER_PREFETCH_MULTIPLIER": 1,
        }


def _stay(urls: Sequence[str]) -> Iterator[str]:
    """
    Have kombu keep its transport when a connection fails.

    Given the URL of another Sentinel, it would go on with its own transport for that scheme; given a name alone, with
    what it has, and that asks every Sentinel.
    """
    return itertools.repeat(urls[0].rpartition("@")[2].partition("/")[0])
