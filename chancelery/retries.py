"""
Trying again: when, and how often.

`retry` is for consumers, whose message is then handled again later; `Retry` says when, for `consumer_task` too. Knows
messages and exceptions; the worker does what is asked for here.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, ParamSpec, TypeVar, cast

from asgiref.sync import iscoroutinefunction

from chancelery import trail
from chancelery.exceptions import ConsumeLater, ConsumerControl
from chancelery.log import room
from chancelery.message import Message
from chancelery.types import RETRIES

P = ParamSpec("P")
R = TypeVar("R")

_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 10.0
_MOST_DOUBLINGS: Final = 10

_log = room("worker")


@dataclass(frozen=True, kw_only=True)
class Retry:
    """
    Try again after certain exceptions, later each time: before the n-th repetition come `backoff ** n` seconds.

    Raises: TypeError, ValueError, which name the option, what was given and what is allowed.
    """

    on: tuple[type[Exception], ...] | type[Exception]
    """The exceptions, and their subclasses, after which it makes sense to try again."""
    max: int = 3
    """How many times it is tried again after the first time."""
    backoff: float = 2
    """0 to try again at once, 1 to wait a second each time, 2 to wait 2, 4, 8 … seconds."""
    jitter: bool = True
    """Whether each wait is shortened by a random part, up to a half, so that what failed together does not return
    together."""
    max_delay: float = 600
    """The longest wait, in seconds."""

    def __post_init__(self) -> None:
        kinds = self.on if isinstance(self.on, tuple) else (self.on,)
        if not kinds or not all(isinstance(kind, type) and issubclass(kind, Exception) for kind in kinds):
            raise TypeError(f"Retry(on=…) takes an exception class or a tuple of some, not {self.on!r}")
        if isinstance(self.max, bool) or not isinstance(self.max, int) or self.max < 0:
            raise ValueError(f"Retry(max=…) takes a whole number from 0, not {self.max!r}")
        for name in ("backoff", "max_delay"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
                raise ValueError(f"Retry({name}=…) takes a number of seconds from 0, not {value!r}")

    def delay(self, repetition: int) -> float:
        """Return how many seconds to wait before the *repetition*, which counts from 1."""
        try:
            longest = min(float(self.backoff) ** repetition, self.max_delay)
        except OverflowError:
            longest = self.max_delay
        return _shortened(longest) if self.jitter else longest


class RetryLater(ConsumeLater):
    """Raised by `retry`: its own rule says how often, instead of the worker's `message_retries`."""


def retry(
    *,
    on: tuple[type[Exception], ...] | type[Exception],
    max: int = 3,  # noqa: A002 - the field of Retry
    backoff: float = 2,
    jitter: bool = True,
    max_delay: float = 600,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """
    Have a consumer, a function or method, plain or async, tried again later when it raises one of *on*.

    What it has sent and deferred until then is discarded, and its connection's other messages wait. After *max*
    repetitions the exception is the consumer's failure. The options are those of `Retry`; what says what shall happen
    with the message, such as DenyConnection, is passed on. Raises: as `Retry`; TypeError for what is no consumer.
    """
    rule = Retry(on=on, max=max, backoff=backoff, jitter=jitter, max_delay=max_delay)
    return functools.partial(_retried, rule)


def retries_of(content: Mapping[str, Any]) -> int:
    """Return how often the message with this *content* was handed out again since a consumer asked for it."""
    count = content.get(RETRIES, 0)
    return count if type(count) is int and count > 0 else 0


def pause_before(repetition: int) -> float:
    """Return how many seconds a message waits before its *repetition* unless the consumer says: longer each time."""
    longest = _FIRST_PAUSE * 2.0 ** min(repetition - 1, _MOST_DOUBLINGS)
    return _shortened(min(longest, _LONGEST_PAUSE))


def _retried(rule: Retry, consumer: Callable[P, R]) -> Callable[P, R]:
    if isinstance(consumer, type) or not callable(consumer) or hasattr(consumer, "routed_consumer"):
        raise TypeError(f"retry() decorates a consumer that is a function or method, not {consumer!r}")
    if iscoroutinefunction(consumer):

        @functools.wraps(consumer)
        async def awaited(*args: P.args, **kwargs: P.kwargs) -> Any:
            with _Attempt(rule, consumer, _message_among(args)):
                return await cast("Any", consumer)(*args, **kwargs)

        return cast("Callable[P, R]", awaited)

    @functools.wraps(consumer)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        with _Attempt(rule, consumer, _message_among(args)):
            return consumer(*args, **kwargs)

    return called


class _Attempt:
    """Turns what is raised within into the wish to be called again, as long as *rule* allows it."""

    def __init__(self, rule: Retry, consumer: object, message: Message) -> None:
        self._rule = rule
        self._consumer = consumer
        self._message = message
        self._repetition = retries_of(message.content) + 1

    def __enter__(self) -> None:
        self._message.__doomed__ = self._repetition > self._rule.max

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        is_wanted = isinstance(error, self._rule.on) and not isinstance(error, ConsumerControl)
        if is_wanted and self._repetition <= self._rule.max:
            delay = self._rule.delay(self._repetition)
            self._report(error, delay)
            raise RetryLater(delay) from error

    def _report(self, error: BaseException | None, delay: float) -> None:
        _log.warning(
            '%s failed on a message of channel "%s", and is tried again in %.1f seconds, %d of %d times: %r; it came '
            "by: %s",
            getattr(self._consumer, "__qualname__", self._consumer),
            self._message.channel,
            delay,
            self._repetition,
            self._rule.max,
            error,
            trail.describe(self._message.trail),
        )


def _message_among(args: tuple[Any, ...]) -> Message:
    for candidate in (*args[:2], getattr(args[0], "message", None) if args else None):
        if isinstance(candidate, Message):
            return candidate
    raise ValueError(
        f"retry() is for consumers, whose first argument (after self) is a message, and for methods of consumer "
        f"classes; got {args[:2]!r}"
    )


def _shortened(seconds: float) -> float:
    return random.uniform(seconds / 2, seconds)  # noqa: S311 - not a secret
