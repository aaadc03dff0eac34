"""
What a job says, in the forms that its record and its addresses take: JSON for frames, msgpack for messages.

Pure. Clients see codes, references and texts that were meant for them; what happened in full is in the log, under the
reference.
"""

from __future__ import annotations

import json
import secrets
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec
from django.core.serializers.json import DjangoJSONEncoder

from chancelery.exceptions import TaskError
from chancelery.layers import codec

ENDS = frozenset({"result", "error", "cancelled"})
"""The kinds of event of which a job has exactly one, its last."""

FAILED_TEXT = "the task failed"
"""What clients are told of an error whose text is not meant for them."""

FAULTS = {
    "unsendable_result": "its result cannot be JSON: return text, numbers, booleans, None, lists, dicts, dates, UUIDs",
    "not_a_message": 'with reply="message" it returns a dict of text, bytes, numbers, booleans, None, lists and dicts',
    "result_too_large": "its result is larger than the layer's max_message_bytes: include chancelery.tasks.urls in the "
    "URLconf, so that clients can fetch it, up to JOB_RESULT_BYTES; or return less, or raise max_message_bytes",
}
"""Why a result could not be sent, by the code that the client gets, and what to do."""

_NO_TRAIL = codec.pack_body({}).removeprefix(b"\x80")


class Event(NamedTuple):
    """An event and its data."""

    kind: str
    json: bytes
    packed: bytes
    """For an ordinary channel; empty for events that it does not get."""
    reference: str = ""
    """Under which the log has the whole of an error."""
    sender: str = ""
    """Of the trail's last hop: what caused it."""
    fraction: float | None = None
    """Of progress: how much of its task is done, from 0 to 1; None if it does not say."""


class Result(NamedTuple):
    """A task's result in every form that may be wanted; an empty form is one that it cannot take."""

    json: bytes
    packed: bytes
    is_message: bool
    """Whether `packed` is what was returned and can be sent as it is, being a plain dict."""
    reference: str
    """For the error that takes its place if it cannot be sent."""
    fault: str
    """Why it cannot take some form, or an empty string."""


def event(kind: str, data: dict[str, Any], sender: str = "") -> Event:
    """Return an event that sockets and groups get. Raises: TypeError, ValueError when *data* cannot be JSON."""
    return Event(kind, _json(data), b"", sender=sender)


def progress(told: dict[str, Any], done: Any, total: Any, note: str | None, sender: str) -> Event:
    """Return the event that a task has done so much. Raises: TypeError, ValueError when it cannot be JSON."""
    found = event("progress", {**told, "done": done, "total": total, "note": note}, sender)
    return found._replace(fraction=_fraction(done, total))


def accepted(of: int, eta: datetime | None, sender: str) -> Event:
    """Return the first event of a job of so many tasks."""
    data = {"of": of, "eta": eta.isoformat() if eta else None}
    return Event("accepted", msgspec.json.encode(data), b"", sender=sender)


def retry(told: dict[str, Any], error: object, when: object, now: datetime) -> Event:
    """Return the event for an attempt that failed with *error* and is repeated *when*: in seconds, or an ETA."""
    at = _moment(when, now)
    waiting = {"in_seconds": max((at - now).total_seconds(), 0) if at else None, "at": at.isoformat() if at else None}
    return event("retry", {**told, "error": _code(error), **waiting})


def failure(error: object) -> Event:
    """Return the event that ends a job whose task raised *error*."""
    return ended("error", _code(error), str(error) if isinstance(error, TaskError) else FAILED_TEXT)


def expired() -> Event:
    """Return the event that ends a job one of whose tasks was not started in time."""
    return ended("error", "expired", "the task expired before it was started")


def cancelled(reason: str) -> Event:
    """Return the event that ends a job which was not to go on. reason: cancelled, or as Celery has it."""
    data = {"reason": reason}
    return Event("cancelled", _json(data), msgspec.msgpack.encode(data))


def ended(kind: str, code: str | None, message: str) -> Event:
    """Return an event that ends a job with an error."""
    reference = _new_reference()
    data = {"code": code, "reference": reference, "message": message}
    return Event(kind, _json(data), msgspec.msgpack.encode(data), reference)


def result(value: Any) -> Result:
    """Return *value*, which may be anything that Celery can store, in every form that it can take."""
    packed, faults = b"", []
    try:
        packed = codec.pack_body(value).removesuffix(_NO_TRAIL)
    except TypeError as error:
        faults.append(str(error))
    is_message = bool(packed)
    text = b""
    try:
        text = _json(value)
        packed = packed or msgspec.msgpack.encode(json.loads(text))
    except (TypeError, ValueError, OverflowError) as error:
        faults.append(str(error))
    return Result(text, packed, is_message, _new_reference(), "; ".join(faults))


def _json(data: Any) -> bytes:
    text = json.dumps(data, cls=DjangoJSONEncoder, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode()


def _fraction(done: Any, total: Any) -> float | None:
    known = all(isinstance(part, int | float | Decimal) for part in (done, total))
    return min(max(float(done / total), 0.0), 1.0) if known and total > 0 else None


def _new_reference() -> str:
    return secrets.token_hex(4)


def _code(error: object) -> str | None:
    if error is None:
        return None
    # Celery wraps what cannot be pickled, under the name that it had.
    return str(getattr(error, "exc_cls_name", "") or type(error).__name__)


def _moment(when: object, now: datetime) -> datetime | None:
    """Return the moment that Celery's `Retry.when` stands for: seconds from now, or an ETA."""
    if isinstance(when, int | float):
        return now + timedelta(seconds=when)
    if isinstance(when, datetime):
        return when if when.tzinfo else when.replace(tzinfo=UTC)
    return None
