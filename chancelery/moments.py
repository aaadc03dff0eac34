"""
What may be said of a time: a moment, or a span until then.

Knows Django's time zone settings and nothing else. Every error names the option, what was given and what is allowed.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.utils import timezone

_LONGEST = timedelta(days=36500)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def moment(name: str, value: datetime) -> datetime:
    """
    Return *value* in UTC. Without a time zone, it means local time, unless USE_TZ is on.

    Raises: TypeError, ValueError.
    """
    if not isinstance(value, datetime):
        raise TypeError(f"{name} is a datetime, not {value!r}")
    if timezone.is_naive(value):
        if settings.USE_TZ:
            raise ValueError(
                f"{name}={value!r} has no time zone, and USE_TZ is on: pass an aware datetime, such as "
                f"django.utils.timezone.now() + timedelta(…)"
            )
        value = timezone.make_aware(value)
    return value.astimezone(UTC)


def span(name: str, value: float | timedelta) -> timedelta:
    """Return *value*, seconds or a timedelta, as a timedelta from 0. Raises: TypeError, ValueError."""
    if isinstance(value, timedelta):
        found = value
    elif (
        isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < timedelta.max.total_seconds()
    ):
        raise TypeError(f"{name} is a number of seconds or a timedelta, not {value!r}")
    else:
        found = timedelta(seconds=value)
    if found < timedelta(0):
        raise ValueError(f"{name}={value!r} lies in the past: pass 0 or more seconds")
    return found


def span_ms(name: str, value: float | timedelta) -> int:
    """Return `span` in milliseconds, rounded up. Raises: as `span`, and ValueError beyond a hundred years."""
    found = span(name, value)
    if found > _LONGEST:
        raise ValueError(f"{name}={value!r} is too long: pass at most {_LONGEST.days} days")
    return math.ceil(found / _MILLISECOND)


def moment_ms(name: str, value: datetime) -> int:
    """Return `moment` in milliseconds since the epoch, 1 at least, rounded up. Raises: as `moment`."""
    return max(math.ceil((moment(name, value) - _EPOCH) / _MILLISECOND), 1)
