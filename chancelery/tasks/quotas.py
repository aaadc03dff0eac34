"""
How many jobs of one key may run at a time: what may be said of that, and whether it can be kept to.

A job takes its place when it is to be published, and leaves it when it ends, whichever way; see `scripts/waiting.lua`.
"""

from __future__ import annotations

from typing import TypeAlias

from celery import current_app
from django.core.exceptions import ImproperlyConfigured

from chancelery.tasks.dedupe import checked_key
from chancelery.tasks.engine import waiting

Limit: TypeAlias = "tuple[str, int]"
"""A key, and how many jobs with it may run at a time."""


def checked(limit: Limit | None) -> Limit:
    """
    Return *limit*, or ("", 0) for none.

    Raises: TypeError, ValueError, which say what is allowed.
    """
    if limit is None:
        return "", 0
    if not isinstance(limit, tuple) or len(limit) != 2:  # noqa: PLR2004 - a pair
        raise TypeError(f'limit takes a key and a number, such as ("tenant-4", 3), not {limit!r}')
    key, most = limit
    if isinstance(most, bool) or not isinstance(most, int):
        raise TypeError(f"limit={limit!r}: how many jobs may run at a time is a whole number from 1, not {most!r}")
    if most < 1:
        raise ValueError(f"limit={limit!r}: at least 1 job must be able to run at a time, not {most}")
    return checked_key("limit", key), most


def required(limit: Limit | None) -> Limit:
    """Return `checked`. Raises: as that does, and ImproperlyConfigured when Celery's broker holds nothing back."""
    found = checked(limit)
    if limit is not None:
        _require_broker()
    return found


def _require_broker() -> None:
    if not waiting.holds(current_app):
        raise ImproperlyConfigured(
            "limit= needs a broker that keeps back what has no place: set CELERY_BROKER_URL and "
            "CELERY_BROKER_TRANSPORT_OPTIONS as the settings of chancelery.deployment.Deployment do"
        )
