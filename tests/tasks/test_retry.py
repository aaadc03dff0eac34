"""How long a failed task waits."""

from __future__ import annotations

from typing import Any

import pytest

from chancelery.tasks import Retry


@pytest.mark.parametrize(
    ("options", "delays"),
    [
        ({}, [2, 4, 8, 16]),
        ({"backoff": 1}, [1, 1, 1]),
        ({"backoff": 0}, [0, 0, 0]),
        ({"backoff": 10, "max_delay": 30}, [10, 30, 30]),
        ({"backoff": 1e300, "max_delay": 5}, [5, 5]),
    ],
)
def test_each_wait_is_longer_up_to_the_longest(options: dict[str, Any], delays: list[float]) -> None:
    retry = Retry(on=OSError, jitter=False, **options)
    assert [retry.delay(repetition) for repetition in range(1, len(delays) + 1)] == delays


def test_jitter_takes_off_up_to_a_half() -> None:
    retry = Retry(on=(OSError, ValueError), backoff=2)
    waits = {retry.delay(3) for _ in range(100)}
    assert len(waits) > 90
    assert all(4 <= wait <= 8 for wait in waits)


@pytest.mark.parametrize(
    ("options", "error", "complaint"),
    [
        ({"on": ()}, TypeError, "an exception class or a tuple of some, not"),
        ({"on": "OSError"}, TypeError, "not 'OSError'"),
        ({"on": (OSError, KeyboardInterrupt)}, TypeError, "KeyboardInterrupt"),
        ({"on": OSError, "max": -1}, ValueError, "a whole number from 0, not -1"),
        ({"on": OSError, "max": 1.5}, ValueError, "a whole number from 0, not 1.5"),
        ({"on": OSError, "backoff": -2}, ValueError, r"Retry\(backoff=…\) takes a number of seconds from 0, not -2"),
        ({"on": OSError, "max_delay": float("inf")}, ValueError, r"max_delay=…\) takes a number"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], error: Any, complaint: str) -> None:
    with pytest.raises(error, match=complaint):
        Retry(**options)
