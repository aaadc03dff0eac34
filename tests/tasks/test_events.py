"""What clients are told, in which form."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from celery.utils.serialization import UnpickleableExceptionWrapper

from chancelery.exceptions import TaskError
from chancelery.tasks import events

NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, None),
        ("grün", "grün"),
        ([1, (2, 3)], [1, [2, 3]]),
        ({1: "a"}, {"1": "a"}),
        ({"on": dt.date(2024, 2, 29)}, {"on": "2024-02-29"}),
        ({"id": uuid.UUID(int=1), "sum": Decimal("1.10")}, {"id": str(uuid.UUID(int=1)), "sum": "1.10"}),
    ],
)
def test_a_result_takes_both_forms(value: Any, told: Any) -> None:
    found = events.result(value)
    assert json.loads(found.json) == told
    assert msgspec.msgpack.decode(found.packed) == told


@pytest.mark.parametrize("value", [b"\x00", {"a": {1, 2}}, float("nan"), object(), "\ud800"])
def test_what_cannot_be_json_says_why(value: Any) -> None:
    found = events.result(value)
    assert found.json == b""
    assert found.fault


@pytest.mark.parametrize(
    ("value", "is_message"),
    [
        ({"text": "a"}, True),
        ({"bytes": b"\x00"}, True),
        ({"on": NOW}, False),
        ({1: 2}, False),
        ([], False),
        ("a", False),
    ],
)
def test_a_plain_dict_can_be_a_message(value: Any, is_message: bool) -> None:
    found = events.result(value)
    assert found.is_message is is_message
    if is_message:
        assert msgspec.msgpack.decode(found.packed) == value


def test_a_number_that_only_json_can_carry_is_told_to_sockets() -> None:
    found = events.result(2**70)
    assert (json.loads(found.json), found.packed) == (2**70, b"")


class OddError(Exception):
    """Not meant for clients."""


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (OddError("secret"), "OddError", "the task failed"),
        (TaskError("the printer is out of paper"), "TaskError", "the printer is out of paper"),
        (UnpickleableExceptionWrapper("pkg", "LockError", ("secret",)), "LockError", "the task failed"),
    ],
)
def test_an_error_is_a_code_and_a_text_that_is_meant_for_clients(error: Any, code: str, message: str) -> None:
    found = events.failure(error)
    data = json.loads(found.json)
    assert data == {"code": code, "reference": found.reference, "message": message}
    assert msgspec.msgpack.decode(found.packed) == data
    assert b"secret" not in found.json


@pytest.mark.parametrize(
    ("when", "in_seconds", "at"),
    [
        (1.5, 1.5, "2026-03-01T12:00:01.500000+00:00"),
        (NOW + dt.timedelta(minutes=1), 60, "2026-03-01T12:01:00+00:00"),
        (dt.datetime(2026, 3, 1, 12), 0, "2026-03-01T12:00:00+00:00"),  # noqa: DTZ001 - Celery's are in UTC
        (NOW - dt.timedelta(minutes=1), 0, "2026-03-01T11:59:00+00:00"),
        (None, None, None),
    ],
)
def test_a_retry_says_when(when: Any, in_seconds: float | None, at: str | None) -> None:
    data = json.loads(events.retry({"attempt": 1}, OddError("secret"), when, NOW).json)
    assert data == {"attempt": 1, "error": "OddError", "in_seconds": in_seconds, "at": at}


@pytest.mark.parametrize(
    ("done", "total", "fraction"),
    [
        (1, 4, 0.25), (5, 4, 1), (-1, 4, 0), (1, None, None), (1, 0, None), (1.5, 3, 0.5), (Decimal(1), 4, 0.25),
        ("a", 4, None), (2**2000, 2**2001, 0.5),
    ],
)  # fmt: skip
def test_progress_says_how_much_is_done_if_it_knows(done: Any, total: Any, fraction: float | None) -> None:
    found = events.progress({"task": "t"}, done, total, None, "")
    assert found.fraction == fraction
    assert json.loads(found.json)["total"] == total


def test_a_retry_without_an_exception_has_no_code() -> None:
    assert json.loads(events.retry({}, None, 1, NOW).json)["error"] is None
