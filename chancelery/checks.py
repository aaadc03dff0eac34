"""
What `manage.py check` can see of a deployment that will not work, before anybody waits for it.

`register` is called when the apps are ready. Checks that talk to a server run with `--deploy` only.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core import checks
from django.core.cache import caches
from django.core.cache.backends.redis import RedisCache
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from chancelery import conf
from chancelery.deployment.address import Address, parse, url_of_pair
from chancelery.deployment.cache import PrefixedRedisCache
from chancelery.deployment.server import examine
from chancelery.exceptions import InvalidSessionEngine, LayerUnavailable
from chancelery.layers.memory import InMemoryChannelLayer
from chancelery.registry import ChannelLayerWrapper, channel_layers
from chancelery.sessions import connection, redis

TAG = "chancelery"
REDIS_TAG = "chancelery_redis"

_CLUSTER = re.compile(r"[a-z+.:]*cluster[a-z+.:]*://|(?:[^/]*\+)?rediss?://(?:[^/]*@)?(?![^/]*@)[^/]*,", re.IGNORECASE)
_FLUSHING_CACHES = ("django_redis.cache.RedisCache",)
_RIVALS = ("django.contrib.staticfiles", "daphne")
"""Apps that have a `runserver`, too."""


def register() -> None:
    """Tell Django of the checks."""
    for check in (
        check_options,
        check_channel_layers,
        check_several_processes,
        check_cluster,
        check_caches,
        check_sessions,
        check_subprotocols,
        check_order_of_apps,
    ):
        checks.register(check, TAG)
    checks.register(check_servers, REDIS_TAG, deploy=True)


def check_options(**_: object) -> list[checks.CheckMessage]:
    """E001: the CHANCELERY setting has only known options, with values that they can have."""
    try:
        conf.current()
    except ImproperlyConfigured as error:
        return [checks.Error(str(error), id="chancelery.E001")]
    return []


def check_channel_layers(**_: object) -> list[checks.CheckMessage]:
    """E002: each entry of CHANNEL_LAYERS can be made, and its routing compiled."""
    return [message for _, message in _made() if isinstance(message, checks.CheckMessage)]


def check_several_processes(**_: object) -> list[checks.CheckMessage]:
    """W001: no layer lives in one process's memory where several processes have to meet."""
    if not _celery_runs_elsewhere():
        return []
    return [
        checks.Warning(
            f"CHANNEL_LAYERS[{alias!r}] is in this process's memory, but Celery's workers are other processes: nothing "
            f"that they send arrives",
            hint='Use the BACKEND "chancelery.layers.redis", as the settings of chancelery.deployment.Deployment do.',
            id="chancelery.W001",
        )
        for alias, made in _made()
        if isinstance(made, ChannelLayerWrapper) and isinstance(made.layer, InMemoryChannelLayer)
    ]


def check_cluster(**_: object) -> list[checks.CheckMessage]:
    """E003: no URL names a Redis Cluster."""
    return [
        checks.Error(
            f"{setting} names a Redis Cluster, which neither the channel layer nor Celery's broker can use",
            hint="Use one Redis or Valkey server, with a replica if it shall not be the only one.",
            id="chancelery.E003",
        )
        for setting, url in _urls()
        if _CLUSTER.match(url)
    ]


def check_caches(**_: object) -> list[checks.CheckMessage]:
    """E004: no cache would remove queues and jobs with its own keys when it is cleared; E005: ours can be made."""
    return [message for alias in settings.CACHES for message in _cache_errors(alias, settings.CACHES[alias])]


def check_sessions(**_: object) -> list[checks.CheckMessage]:
    """E009, W002: the engine of channel sessions can keep them; E010: that of sessions in Redis knows where to."""
    engine = connection.engine_name()
    if redis.__name__ in (engine, settings.SESSION_ENGINE):
        try:
            redis.server()
        except ImproperlyConfigured as error:
            return [checks.Error(str(error), id="chancelery.E010")]
    try:
        connection.session_class(engine)
    except InvalidSessionEngine as error:
        if getattr(settings, "CHANNEL_SESSION_ENGINE", None):
            return [checks.Error(str(error), id="chancelery.E009")]
        # Nobody has asked for channel sessions: the decorators may not be used at all.
        return [checks.Warning(str(error), id="chancelery.W002")]
    return []


def check_subprotocols(**_: object) -> list[checks.CheckMessage]:
    """E011: CHANNELS_WS_PROTOCOLS is a list of texts."""
    found = getattr(settings, "CHANNELS_WS_PROTOCOLS", None) or []
    if isinstance(found, list | tuple) and all(isinstance(name, str) for name in found):
        return []
    return [checks.Error(f"CHANNELS_WS_PROTOCOLS is a list of texts, not {found!r}", id="chancelery.E011")]


def check_order_of_apps(**_: object) -> list[checks.CheckMessage]:
    """W003: `manage.py runserver` is ours."""
    names = (config.name for config in apps.get_app_configs())
    before = set(itertools.takewhile(lambda name: name != "chancelery", names))
    return [
        checks.Warning(
            f"{rival!r} comes before 'chancelery' in INSTALLED_APPS: `manage.py runserver` is its command then, which "
            f"serves no sockets and runs no consumers",
            hint="Put 'chancelery' before it.",
            id="chancelery.W003",
        )
        for rival in _RIVALS
        if rival in before
    ]


def check_servers(**_: object) -> list[checks.CheckMessage]:
    """E006: every Redis answers and is new enough; E007: it evicts nothing; E008: it is no member of a cluster."""
    found: list[checks.CheckMessage] = []
    for url in sorted({address.for_redis() for _, address in _addresses()}):
        shown = parse(url).for_display()
        try:
            server = examine(url)
        except LayerUnavailable as error:
            found.append(checks.Error(str(error), id="chancelery.E006"))
            continue
        if server.eviction != "noeviction":
            found.append(
                checks.Error(
                    f"Redis at {shown} has the maxmemory-policy {server.eviction}: when its memory is full it drops "
                    f"queues and jobs in silence",
                    hint="Set maxmemory-policy noeviction, and give the caches timeouts.",
                    id="chancelery.E007",
                )
            )
        if server.clustered:
            found.append(checks.Error(f"Redis at {shown} is a member of a Redis Cluster", id="chancelery.E008"))
    return found


def _made() -> Iterator[tuple[str, ChannelLayerWrapper | checks.CheckMessage]]:
    """Yield each alias with its layer, closed again, or with what is wrong."""
    try:
        aliases = list(channel_layers.configs)
    except ImproperlyConfigured as error:
        yield "", checks.Error(str(error), id="chancelery.E002")
        return
    for alias in aliases:
        try:
            made = channel_layers.make_backend(alias)
            made.layer.close()
            _ = made.router
        except ImproperlyConfigured as error:
            yield alias, checks.Error(str(error), id="chancelery.E002")
        else:
            yield alias, made


def _celery_runs_elsewhere() -> bool:
    broker = getattr(settings, "CELERY_BROKER_URL", None)
    return (
        isinstance(broker, str)
        and not broker.startswith("memory")
        and not getattr(settings, "CELERY_TASK_ALWAYS_EAGER", False)
    )


def _cache_errors(alias: str, config: dict[str, Any]) -> Iterator[checks.CheckMessage]:
    backend = config.get("BACKEND", "")
    if _flushes(backend):
        shared = {address.location: setting for setting, address in _addresses()}
        for url in _locations(config.get("LOCATION", "")):
            address = _address(url)
            if address is not None and address.location in shared:
                yield checks.Error(
                    f"CACHES[{alias!r}] has the BACKEND {backend}, whose clear() removes everything in its database: "
                    f"{shared[address.location]} is the same one",
                    hint='Use the BACKEND "chancelery.deployment.cache.PrefixedRedisCache" with a KEY_PREFIX.',
                    id="chancelery.E004",
                )
    elif backend == f"{PrefixedRedisCache.__module__}.{PrefixedRedisCache.__qualname__}":
        try:
            caches.create_connection(alias)
        except ImproperlyConfigured as error:
            yield checks.Error(f"CACHES[{alias!r}]: {error}", id="chancelery.E005")


def _flushes(backend: str) -> bool:
    if backend in _FLUSHING_CACHES:
        return True
    try:
        found = import_string(backend)
    except ImportError:
        return False  # Django says so itself
    return isinstance(found, type) and issubclass(found, RedisCache) and not issubclass(found, PrefixedRedisCache)


def _locations(location: str | list[str]) -> list[str]:
    return re.split("[;,]", location) if isinstance(location, str) else list(location)


def _urls() -> Iterator[tuple[str, str]]:
    """Yield each URL that the settings of layers and of Celery name, with the setting's name."""
    layers = getattr(settings, "CHANNEL_LAYERS", {})
    for alias, config in layers.items() if isinstance(layers, dict) else ():
        options = config.get("CONFIG", {}) if isinstance(config, dict) else {}
        hosts = options.get("hosts", ()) if isinstance(options, dict) else ()
        for host in [hosts] if isinstance(hosts, str) else hosts:
            yield f"CHANNEL_LAYERS[{alias!r}]", str(url_of_pair(host))
    for setting in ("CELERY_BROKER_URL", "CELERY_RESULT_BACKEND"):
        url = getattr(settings, setting, None)
        if isinstance(url, str):
            yield setting, url


def _addresses() -> Iterator[tuple[str, Address]]:
    for setting, url in _urls():
        address = _address(url)
        if address is not None:
            yield setting, address


def _address(url: str) -> Address | None:
    """Return where *url*, in the manner of redis-py or Celery, leads to; None when that is no Redis of one host."""
    scheme, mark, rest = url.partition("://")
    scheme = scheme.rpartition("+")[2].replace("socket", "unix")
    options = rest.partition("?")[2].replace("virtual_host=", "db=")
    for query in (f"?{options}", ""):
        try:
            return parse(f"{scheme}{mark}{rest.partition('?')[0]}{query}")
        except ImproperlyConfigured:
            continue
    return None
