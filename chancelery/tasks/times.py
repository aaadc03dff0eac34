"""When a job may start, and by when it must have. Pure but for Django's time zone settings."""

from __future__ import annotations

from datetime import datetime, timedelta

from chancelery.moments import moment, span, span_ms

_LEAVE_MS = {"detach": -1, "cancel": 0}


def start(eta: datetime | None, countdown: float | timedelta | None, now: datetime) -> datetime | None:
    """
    Return the moment before which nothing is run, in UTC, or None for at once.

    eta: a datetime; countdown: seconds, or a timedelta. Raises: TypeError, ValueError, which say what is allowed.
    """
    if eta is not None and countdown is not None:
        raise ValueError("eta and countdown say the same thing: pass one of them")
    if countdown is not None:
        return now + span("countdown", countdown)
    return None if eta is None else moment("eta", eta)


def leave_ms(on_disconnect: str | float | timedelta) -> int:
    """
    Return how many milliseconds a job goes on when the last of its sockets has gone, or -1 for ever.

    on_disconnect: `detach`, `cancel`, or seconds, or a timedelta. Raises: TypeError, ValueError.
    """
    if not isinstance(on_disconnect, str):
        return span_ms("on_disconnect", on_disconnect)
    if on_disconnect not in _LEAVE_MS:
        raise ValueError(f'on_disconnect is "detach", "cancel", or a number of seconds, not {on_disconnect!r}')
    return _LEAVE_MS[on_disconnect]


def deadline(expires: datetime | float | timedelta | None, begins: datetime | None, now: datetime) -> datetime | None:
    """
    Return the moment after which nothing is started, in UTC, or None for no such moment.

    expires: a datetime, or seconds or a timedelta from now. Raises: as `start`, and ValueError when it is not after
    *begins*.
    """
    if expires is None:
        return None
    until = moment("expires", expires) if isinstance(expires, datetime) else now + span("expires", expires)
    if begins is not None and until <= begins:
        raise ValueError(
            f"the job would expire at {until.isoformat()}, before it may start at {begins.isoformat()}: let expires be "
            f"after eta or countdown"
        )
    return until
