"""When a job may start, and by when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from django.test import override_settings

from chancelery.tasks import times

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
IN_BERLIN = datetime(2026, 3, 1, 14, tzinfo=timezone(timedelta(hours=1)))


@pytest.mark.parametrize(
    ("eta", "countdown", "expected"),
    [
        (None, None, None),
        (None, 0, NOW),
        (None, 90, NOW + timedelta(seconds=90)),
        (None, 0.5, NOW + timedelta(seconds=0.5)),
        (None, timedelta(days=1), NOW + timedelta(days=1)),
        (IN_BERLIN, None, NOW + timedelta(hours=1)),
        (NOW - timedelta(days=1), None, NOW - timedelta(days=1)),
    ],
)
def test_a_job_starts_when_it_was_asked_to(eta: Any, countdown: Any, expected: Any) -> None:
    assert times.start(eta, countdown, NOW) == expected


@pytest.mark.parametrize(
    ("expires", "begins", "expected"),
    [
        (None, NOW, None),
        (60, None, NOW + timedelta(seconds=60)),
        (timedelta(hours=2), NOW + timedelta(hours=1), NOW + timedelta(hours=2)),
        (IN_BERLIN, NOW, NOW + timedelta(hours=1)),
        (0, None, NOW),
    ],
)
def test_a_job_expires_when_it_was_asked_to(expires: Any, begins: Any, expected: Any) -> None:
    assert times.deadline(expires, begins, NOW) == expected


@pytest.mark.parametrize(
    ("eta", "countdown", "error", "complaint"),
    [
        (NOW, 1, ValueError, "pass one of them"),
        (None, -1, ValueError, "countdown=-1 lies in the past"),
        (None, "soon", TypeError, "countdown is a number of seconds or a timedelta, not 'soon'"),
        (None, True, TypeError, "countdown is a number"),
        (None, float("nan"), TypeError, "countdown is a number"),
        (None, float("inf"), TypeError, "countdown is a number"),
        (60, None, TypeError, "eta is a datetime, not 60"),
        (datetime(2026, 3, 1), None, ValueError, "has no time zone, and USE_TZ is on"),  # noqa: DTZ001
    ],
)
def test_other_starts_are_refused(eta: Any, countdown: Any, error: Any, complaint: str) -> None:
    with pytest.raises(error, match=complaint):
        times.start(eta, countdown, NOW)


@pytest.mark.parametrize(
    ("expires", "begins", "error", "complaint"),
    [
        (
            60,
            NOW + timedelta(seconds=60),
            ValueError,
            r"would expire at 2026-03-01T12:01:00\+00:00, before it may start",
        ),
        (-60, None, ValueError, "lies in the past"),
        ("never", None, TypeError, "expires is a number of seconds or a timedelta"),
        (datetime(2026, 3, 1), None, ValueError, "has no time zone"),  # noqa: DTZ001
    ],
)
def test_other_ends_are_refused(expires: Any, begins: Any, error: Any, complaint: str) -> None:
    with pytest.raises(error, match=complaint):
        times.deadline(expires, begins, NOW)


@override_settings(USE_TZ=False, TIME_ZONE="Asia/Tokyo")
def test_without_time_zones_a_datetime_is_local() -> None:
    assert times.start(datetime(2026, 3, 1, 21), None, NOW) == NOW  # noqa: DTZ001
