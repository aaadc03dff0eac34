"""
Which channel layer is behind an alias: the CHANNEL_LAYERS setting, read and checked when an alias is first used.

Knows backends by their dotted names only. The one global is `channel_layers`; it starts anew when settings change.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed

from chancelery import names
from chancelery.exceptions import InvalidChannelLayerError
from chancelery.layers.base import ChannelLayer
from chancelery.layers.memory import InMemoryChannelLayer
from chancelery.routing import Router

DEFAULT_CHANNEL_LAYER = "default"
_KEYS = ("BACKEND", "ROUTING", "CONFIG", "TEST_CONFIG")
_CHANNELS_1 = {
    "asgiref.inmemory": "chancelery.layers.memory",
    "asgiref.inmemory.ChannelLayer": "chancelery.layers.memory",
    "asgi_redis": "chancelery.layers.redis",
    "asgi_redis.RedisChannelLayer": "chancelery.layers.redis",
    "asgi_redis.core.RedisChannelLayer": "chancelery.layers.redis",
}
"""Channels 1's backends, which are there no more, and ours in their stead."""
_BACKENDS_INSTEAD = {
    "asgi_redis.RedisSentinelChannelLayer": 'use "chancelery.layers.redis" with hosts = ["sentinel://host:26379/service"]',
    "asgi_redis.RedisLocalChannelLayer": 'use "chancelery.layers.redis"',
    "asgi_ipc.IPCChannelLayer": 'use "chancelery.layers.redis"',
}
_OPTIONS_INSTEAD = {
    "symmetric_encryption_keys": "use encryption_keys, with keys of at least 32 characters",
    "stats_prefix": "leave it out: prefix is enough",
    "connection_kwargs": "leave it out: options of a connection stand in its URL",
    "services": 'use hosts = ["sentinel://host:26379/service"]',
    "sentinel_refresh_interval": "leave it out: Sentinels are asked whenever a connection is opened",
}
"""What else Channels 1's settings may name, and what to do about it."""


class ChannelLayerWrapper:
    """A channel layer with its alias and routing. Has everything that the layer has; `layer` is the raw one."""

    def __init__(self, layer: ChannelLayer, alias: str, routing: Any) -> None:
        self.layer = layer
        self.alias = alias
        self.routing = routing

    @functools.cached_property
    def router(self) -> Router:
        """
        The routing, compiled. Made at first use, so that a process which only sends imports no consumers.

        Raises: ImproperlyConfigured when the routing cannot be used.
        """
        return Router(self.routing)

    def local_only(self) -> bool:
        """Tell whether the layer lives in this process's memory, so that no other process sees what is sent."""
        return isinstance(self.layer, InMemoryChannelLayer)

    def __getattr__(self, name: str) -> Any:
        if name == "layer":  # not set yet: while it is being copied
            raise AttributeError(name)
        return getattr(self.layer, name)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.alias!r}: {type(self.layer).__name__}>"


class ChannelLayerManager:
    """The channel layers of this process by alias: `channel_layers["default"]`."""

    def __init__(self) -> None:
        self._wrappers: dict[str, ChannelLayerWrapper] = {}
        self._making = threading.Lock()

    def __getitem__(self, alias: str) -> ChannelLayerWrapper:
        found = self._wrappers.get(alias)
        return found if found is not None else self._made(alias)

    def __contains__(self, alias: object) -> bool:
        return alias in self._wrappers or alias in self.configs

    @property
    def configs(self) -> Mapping[str, Any]:
        """The CHANNEL_LAYERS setting. Raises: InvalidChannelLayerError when it is no dict."""
        found = getattr(settings, "CHANNEL_LAYERS", {})
        if not isinstance(found, dict):
            raise InvalidChannelLayerError(f"CHANNEL_LAYERS is a dict of alias -> configuration, not {found!r}")
        return found

    def set(self, alias: str, wrapper: ChannelLayerWrapper | None) -> ChannelLayerWrapper | None:
        """Put *wrapper* behind *alias* (None: whatever the settings say) and return what was there."""
        previous = self._wrappers.pop(alias, None)
        if wrapper is not None:
            self._wrappers[alias] = wrapper
        return previous

    def make_backend(self, alias: str) -> ChannelLayerWrapper:
        """
        Return a new layer as the settings describe it under *alias*.

        Raises: InvalidChannelLayerError, which names the alias, the key, what was found and what is allowed.
        """
        return self._made_with(alias, "CONFIG", self._config(alias).get("CONFIG", {}))

    def make_test_backend(self, alias: str) -> ChannelLayerWrapper:
        """
        Return a new layer as the settings describe it under *alias*, with its TEST_CONFIG for its CONFIG.

        It shares its keys with no other: something random is added to the prefix.
        Raises: InvalidChannelLayerError, also without a TEST_CONFIG.
        """
        options = self._config(alias).get("TEST_CONFIG")
        if options is None:
            raise _invalid(alias, "has no TEST_CONFIG: give it the options of its BACKEND in tests")
        made = self._made_with(alias, "TEST_CONFIG", options)
        if not hasattr(made.layer, "prefix"):
            return made
        made.layer.close()
        prefix = f"{options.get('prefix', 'test:')}{names.random_part()}:"
        return self._made_with(alias, "TEST_CONFIG", {**options, "prefix": prefix})

    def clear(self) -> None:
        """Close the layers that were made and forget them; the next use reads the settings again."""
        with self._making:
            wrappers, self._wrappers = self._wrappers, {}
        for wrapper in wrappers.values():
            wrapper.layer.close()

    def _made_with(self, alias: str, key: str, options: Any) -> ChannelLayerWrapper:
        config = self._config(alias)
        if not config.get("BACKEND"):
            raise _invalid(alias, 'has no BACKEND: name a class, such as "chancelery.layers.redis.RedisChannelLayer"')
        if "ROUTING" not in config:
            raise _invalid(alias, 'has no ROUTING: name a list of routes, such as "project.routing.channel_routing"')
        layer = _instance(alias, _backend(alias, config["BACKEND"]), key, options)
        return ChannelLayerWrapper(layer, alias, config["ROUTING"])

    def _made(self, alias: str) -> ChannelLayerWrapper:
        with self._making:
            if alias not in self._wrappers:
                self._wrappers[alias] = self.make_backend(alias)
            return self._wrappers[alias]

    def _config(self, alias: str) -> Mapping[str, Any]:
        if alias not in self.configs:
            known = ", ".join(map(repr, self.configs)) or "none: the setting is empty or missing"
            raise InvalidChannelLayerError(f"CHANNEL_LAYERS has no alias {alias!r}; known are {known}")
        config = self.configs[alias]
        if not isinstance(config, dict):
            raise _invalid(alias, f"is a dict of {', '.join(_KEYS)}, not {config!r}")
        for key in config:
            if key not in _KEYS:
                raise _invalid(alias, f"has no key {key!r}; known are {', '.join(_KEYS)}")
        return config


def _backend(alias: str, path: Any) -> Any:
    if not isinstance(path, str):
        return path
    path = _CHANNELS_1.get(path, path)
    if path in _BACKENDS_INSTEAD:
        raise _invalid(alias, f"has the BACKEND {path!r} of Channels 1, which there is not: {_BACKENDS_INSTEAD[path]}")
    module_name, _, attribute = path.rpartition(".")
    try:
        module = import_module(module_name) if module_name else None
        found = getattr(module, attribute, None)
        if isinstance(found, type):
            return found
        return import_module(path).ChannelLayer
    except (ImportError, AttributeError) as error:
        raise _invalid(
            alias, f"has the BACKEND {path!r}, which is neither a class nor a module with a ChannelLayer: {error}"
        ) from error


def _instance(alias: str, backend: Any, key: str, options: Any) -> ChannelLayer:
    if not isinstance(options, dict):
        raise _invalid(alias, f"has a {key} that is no dict of the backend's options: {options!r}")
    try:
        layer: ChannelLayer = backend(**options)
    except (TypeError, ValueError) as error:
        hints = [
            f"; {name!r} is Channels 1's: {_OPTIONS_INSTEAD[name]}" for name in options if name in _OPTIONS_INSTEAD
        ]
        raise _invalid(alias, f"has a {key} that its BACKEND refuses: {error}{''.join(hints)}") from error
    return layer


def _invalid(alias: str, complaint: str) -> InvalidChannelLayerError:
    return InvalidChannelLayerError(f"CHANNEL_LAYERS[{alias!r}] {complaint}")


channel_layers = ChannelLayerManager()


def _forget(*, setting: str, **_: object) -> None:
    if setting == "CHANNEL_LAYERS":
        channel_layers.clear()


setting_changed.connect(_forget)
