"""
What may be asked for on `/ws/jobs/`: JSON objects with a "do", and for each of them which keys with which values.

A frame that is anything else is refused with a sentence for whoever wrote it. Knows nothing of sockets or jobs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

MAX_TEXT = 1_000_000  # the gateway takes frames of up to 1 MiB, whatever is in them
MAX_PARTS = 100
_ROOM = re.compile(r"[A-Za-z0-9_.-]{1,50}", re.ASCII)
_LARGEST = 10**6
_SHOWN = 60


class BadFrame(ValueError):
    """The frame asks for nothing that there is; the message says what is wrong with it and what is allowed."""

    ref: str | None = None


@dataclass(frozen=True, kw_only=True)
class Order:
    """A frame that was understood. Every key that its "do" knows is in `values`."""

    do: str
    values: dict[str, Any]
    ref: str | None
    """What the client calls it, to recognise the answer."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Which values a key may have."""

    allowed: str
    accepts: Callable[[Any], bool]
    default: Any = field(default=...)
    """What it is when it is missing; `...` when it must not be."""


def read(text: str | None) -> Order:
    """Return what a text frame asks for. Raises: BadFrame."""
    frame = _object(text)
    ref = frame.pop("ref", None)
    try:
        _require("ref", ref, _REF)
        do = _do(frame)
        return Order(do=do, values=_values(do, frame), ref=ref)
    except BadFrame as error:
        error.ref = ref if _REF.accepts(ref) else None
        raise


def _object(text: str | None) -> dict[str, Any]:
    if text is None:
        raise BadFrame("the frame is binary: send a JSON object as text")
    try:
        frame = json.loads(text)
    except (ValueError, RecursionError):
        raise BadFrame(f"the frame is not JSON, it begins with {_quoted(text)}: send a JSON object") from None
    if not isinstance(frame, dict):
        raise BadFrame(f'the frame is {_quoted(frame)}: send a JSON object such as {{"do": "chain", "value": 1}}')
    return frame


def _do(frame: dict[str, Any]) -> Any:
    if "do" not in frame:
        raise BadFrame(f'the frame has no "do": allowed is {_DO.allowed}')
    _require("do", frame["do"], _DO)
    return frame.pop("do")


def _values(do: str, frame: dict[str, Any]) -> dict[str, Any]:
    rules = ORDERS[do]
    for key in frame.keys() - rules.keys():
        raise BadFrame(f'{do} has no {_quoted(key)}: allowed are {", ".join(map(_quoted, rules))} and "ref"')
    values: dict[str, Any] = {}
    for key, rule in rules.items():
        if key not in frame and rule.default is ...:
            raise BadFrame(f'{do} needs "{key}": {rule.allowed}')
        values[key] = frame.get(key, rule.default)
        if key in frame:
            _require(key, frame[key], rule)
    return values


def _require(key: str, value: object, rule: Rule) -> None:
    if not rule.accepts(value):
        raise BadFrame(f'"{key}" is {_quoted(value)}: allowed is {rule.allowed}')


def _quoted(value: object) -> str:
    shown = json.dumps(value)
    return shown if len(shown) <= _SHOWN else shown[:_SHOWN] + "…"


def _whole(low: int, high: int, default: Any = ...) -> Rule:
    def accepts(value: object) -> bool:
        return type(value) is int and low <= value <= high

    return Rule(allowed=f"a whole number from {low} to {high}", accepts=accepts, default=default)


def _seconds(high: int) -> Rule:
    def accepts(value: object) -> bool:
        return type(value) in {int, float} and 0 <= value <= high  # type: ignore[operator]

    return Rule(allowed=f"a number of seconds from 0 to {high}", accepts=accepts)


def _text(longest: int, default: Any = ...) -> Rule:
    def accepts(value: object) -> bool:
        return isinstance(value, str) and 0 < len(value) <= longest and _is_unicode(value)

    return Rule(allowed=f"a text of 1 to {longest} characters", accepts=accepts, default=default)


def _room() -> Rule:
    def accepts(value: object) -> bool:
        return isinstance(value, str) and _ROOM.fullmatch(value) is not None

    return Rule(allowed="1 to 50 ASCII letters, digits, hyphens, underscores and periods", accepts=accepts)


def _is_unicode(value: str) -> bool:
    """Tell whether *value* can be encoded: JSON may spell half of a surrogate pair, which no text consists of."""
    return not any("\ud800" <= character <= "\udfff" for character in value)


_REF = Rule(
    allowed="nothing, or a text of 1 to 64 characters",
    accepts=lambda value: value is None or _text(64).accepts(value),
)

ORDERS: dict[str, dict[str, Rule]] = {
    "wordcount": {
        "text": _text(MAX_TEXT, default=None),
        "upload": _text(36, default=None),
        "parts": _whole(1, MAX_PARTS, default=10),
    },
    "chain": {"value": _whole(-_LARGEST, _LARGEST)},
    "flaky": {"fail": _whole(0, 10)},
    "later": {"seconds": _seconds(3600)},
    "announce": {"room": _room(), "text": _text(500)},
}

_DO = Rule(
    allowed=f'one of {", ".join(ORDERS)}; or, of a job whose id is the frame\'s "job", resume, cancel or input',
    accepts=lambda value: isinstance(value, str) and value in ORDERS,
)
