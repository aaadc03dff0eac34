"""
The CHANCELERY setting, checked and with its defaults.

    CHANCELERY = {"CAPACITY_WAIT": 5, …}

Knows Django's settings and nothing else of the package; `current()` is read once and again when tests change settings.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, fields
from typing import Any, Final, Literal, TypeAlias, get_args

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

OutgoingPolicy: TypeAlias = Literal["close", "drop_oldest", "keep_latest"]
"""What becomes of a socket whose client does not read what is sent to it."""

_CHOICES: Final = {"OutgoingPolicy": get_args(OutgoingPolicy)}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Each field is a key of the CHANCELERY setting, in capitals there. Durations are in seconds, sizes in bytes."""

    capacity_wait: float = 2.0
    """How long a sender waits for room on a full channel before it gives up."""
    drain_seconds: float = 10.0
    """How long a gateway or worker that was told to stop may take to end what it has begun."""
    connect_timeout: float = 20.0
    """How long a connecting socket waits for its connect consumer before it is turned away with 403."""
    http_timeout: float = 60.0
    """How long an HTTP request over the layer waits for its response before it is answered with 503."""
    max_body_bytes: int = 100 * 1024 * 1024
    """The largest HTTP body that the gateway takes; a larger one is answered with 413."""
    outgoing_buffer_bytes: int = 4 * 1024 * 1024
    """What may wait for one slow websocket client; `outgoing_policy` says what happens beyond."""
    outgoing_policy: OutgoingPolicy = "close"
    """`close` with 1013, `drop_oldest`, or `keep_latest`: only the latest frame, or the latest of each key, waits."""
    response_buffer_bytes: int = 16 * 1024 * 1024
    """What of a response over the layer may wait for a slow HTTP client before its connection is dropped."""
    incoming_frames_per_second: float | None = None
    """How many frames a socket may send; one that sends more is read from more slowly. None: as many as it likes."""
    incoming_bytes_per_second: float | None = None
    """How many bytes a socket's frames may have; one that sends more is read from more slowly. None: any number."""
    incoming_patience: float | None = None
    """How long a socket that keeps sending too much is slowed before it is closed with 1008. None: for ever."""
    check_origin: bool = True
    """Whether a browser's Origin must be in ALLOWED_HOSTS (on any port) or in CSRF_TRUSTED_ORIGINS."""
    session_key_in_url: bool = False
    """Whether `?session_key=` names the browser's session where no cookie does. URLs end up in logs and histories."""
    close_on_logout: bool = False
    """Whether a logout, or a change of a user's password or `is_active`, closes the sockets concerned with 4401."""
    recheck_user: bool = False
    """Whether each message is checked for its socket's user being logged in still; if not, it is closed with 4401."""
    job_expiry: float = 86400.0
    """How long the record of a job that has not ended is kept."""
    job_result_expiry: float = 3600.0
    """How long the record and events of a job are kept after its end."""
    job_events: int = 1000
    """How many events of a job are kept."""
    job_long_wait: float = 30.0
    """A task that is due later than so is kept in Redis until then; a shorter time, Celery's worker waits."""
    job_claim_expiry: float = 86400.0
    """How long a claim to a job is good for, from when it was made."""
    job_input_bytes: int = 65536
    """The largest input that a job takes from a socket, as JSON; a larger one is answered with `too_large`."""
    job_result_bytes: int = 33554432
    """The largest result, as JSON, that is kept to be fetched because no frame can carry it."""
    job_staff_access: bool = False
    """Whether sockets of staff may resume, cancel and feed the jobs of everybody."""


@functools.lru_cache(maxsize=1)
def current() -> Settings:
    """Return the settings in force. Raises: ImproperlyConfigured, naming the key, the value and what is allowed."""
    given: Any = getattr(settings, "CHANCELERY", {})
    if not isinstance(given, dict):
        raise ImproperlyConfigured(f"CHANCELERY is a dict of options, not {given!r}")
    known = {field.name.upper(): field for field in fields(Settings)}
    values: dict[str, Any] = {}
    for key, value in given.items():
        if key not in known:
            raise ImproperlyConfigured(f"CHANCELERY has no option {key!r}; known are {', '.join(sorted(known))}")
        values[known[key].name] = _checked(key, value, str(known[key].type))
    return Settings(**values)


def _checked(key: str, value: object, kind: str) -> object:
    if kind in _CHOICES:
        if value in _CHOICES[kind]:
            return value
        raise ImproperlyConfigured(f"CHANCELERY[{key!r}] is one of {', '.join(_CHOICES[kind])}, not {value!r}")
    if kind == "bool":
        if isinstance(value, bool):
            return value
        raise ImproperlyConfigured(f"CHANCELERY[{key!r}] is True or False, not {value!r}")
    number, optional, _ = kind.partition(" | None")
    if optional and value is None:
        return None
    allowed = int if number == "int" else (int, float)
    if isinstance(value, bool) or not isinstance(value, allowed) or not 0 < value < math.inf:
        or_none = " or None" if optional else ""
        raise ImproperlyConfigured(f"CHANCELERY[{key!r}] is a number above 0{or_none} (type {number}), not {value!r}")
    return value


def _forget(*, setting: str, **_: object) -> None:
    if setting == "CHANCELERY":
        current.cache_clear()


setting_changed.connect(_forget)
