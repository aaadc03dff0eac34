"""
Celery's configuration from Django's settings, without what a look at it costs.

Celery asks for some ten settings whenever it publishes or runs a task, each under up to four names, most of which are
in no settings: an exception each, 20 to 40 µs a look. Here what a project does not set is known until its settings
change, however they do. Source: celery.utils.collections, django.conf.
"""

from __future__ import annotations

import functools
from typing import Any

from celery.utils.collections import DictAttribute
from django.conf import LazySettings

_UNSET = object()


class DjangoSettings(DictAttribute):  # type: ignore[misc]
    """As `DictAttribute(django.conf.settings)` among the maps of *conf*; has Celery's default for what is not set."""

    def __init__(self, settings: LazySettings, conf: Any) -> None:
        super().__init__(settings)
        for name, value in {"_conf": conf, "_settings": vars(settings), "_unset": {}, "_seen": None}.items():
            object.__setattr__(self, name, value)

    def __getitem__(self, key: str) -> Any:
        """Return the setting, or what takes its place. Raises: KeyError."""
        found = self._settings.get(key, _UNSET)  # where Django keeps what somebody has asked for
        if found is not _UNSET:
            return found
        settings = self._settings["_wrapped"]  # another one within override_settings
        seen = (settings, len(vars(settings)))
        if seen != self._seen:
            self._unset.clear()
            object.__setattr__(self, "_seen", seen)
        if key not in self._unset:
            if hasattr(self.obj, key):
                return getattr(self.obj, key)
            self._unset[key] = self._otherwise(key)
        default = self._unset[key]
        if default is _UNSET:
            raise KeyError(key)
        return default

    def _otherwise(self, key: str) -> Any:
        """Return what Celery finds after it has not found *key* in the settings."""
        asked = key.removeprefix(self._conf.prefix or "").lower()
        names = self._conf._to_keys(asked)  # noqa: SLF001 - as the maps are, Celery's own
        if key != names[0]:
            return _UNSET
        later = self._conf.maps[self._conf.maps.index(self) + 1 :]
        for found in (self.obj, *later):
            for name in names:
                value = getattr(found, name, _UNSET) if found is self.obj else found.get(name, _UNSET)
                if value is not _UNSET:
                    return value
        return _UNSET


def look_up(conf: Any, name: str) -> Any:
    """Return `conf[name]` of a Celery app, in a third of the time where Django's settings have the first word."""
    names = conf._to_keys(name)  # noqa: SLF001 - as above
    changed, first = conf.maps[:2]
    if type(first) is DjangoSettings and changed.keys().isdisjoint(names):
        return first[names[0]]
    return conf[name]


def read_quickly(app: Any) -> None:
    """Have *app*, a Celery app that is configured from Django's settings, find them like this."""
    conf = app.conf
    # Celery makes up the names of a setting for every look at it, which takes as long as the look.
    vars(conf).setdefault("_to_keys", functools.lru_cache(maxsize=1024)(conf._to_keys))  # noqa: SLF001 - as above
    for position, found in enumerate(conf.maps):
        if type(found) is DictAttribute and isinstance(found.obj, LazySettings):
            conf.maps[position] = DjangoSettings(found.obj, conf)
