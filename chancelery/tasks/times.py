"""When a job may start, and by when it must have. Pure but for Django's time zone settings."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.utils import timezone

_LONGEST_SECONDS = timedelta(days=36500).total_seconds()


def start(eta: datetime | None, countdown: float | timedelta | None, now: datetime) -> datetime | None:
    """
    Return the moment before which nothing is run, in UTC, or None for at once.

    eta: a datetime; countdown: seconds, or a timedelta. Raises: TypeError, ValueError, which say what is allowed.
    """
    if eta is not None and countdown is not None:
        raise ValueError("eta and countdown say the same thing: pass one of them")
    if countdown is not None:
        return now + _span("countdown", countdown)
    return None if eta is None else _moment("eta", eta)


def deadline(expires: datetime | float | timedelta | None, begins: datetime | None, now: datetime) -> datetime | None:
    """
    Return the moment after which nothing is started, in UTC, or None for no such moment.

    expires: a datetime, or seconds or a timedelta from now. Raises: as `start`, and ValueError when it is not after
    *begins*.
    """
    if expires is None:
        return None
    until = _moment("expires", expires) if isinstance(expires, datetime) else now + _span("expires", expires)
    if begins is not None and until <= begins:
        raise ValueError(
            f"the job would expire at {until.isoformat()}, before it may start at {begins.isoformat()}: let expires be "
            f"after eta or countdown"
        )
    return until


def _moment(name: str, value: datetime) -> datetime:
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


def _span(name: str, value: float | timedelta) -> timedelta:
    if isinstance(value, timedelta):
        span = value
    elif (
        isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < timedelta.max.total_seconds()
    ):
        raise TypeError(f"{name} is a number of seconds or a timedelta, not {value!r}")
    else:
        span = timedelta(seconds=value)
    if span < timedelta(0):
        raise ValueError(f"{name}={value!r} lies in the past: pass 0 or more seconds")
    return span
