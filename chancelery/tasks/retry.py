"""When a failed consumer task is tried again. Pure; knows nothing of Celery."""

from __future__ import annotations

import random
from dataclasses import dataclass


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
    """Whether each wait is shortened by a random part, up to a half, so that tasks that failed together do not return
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
        return random.uniform(longest / 2, longest) if self.jitter else longest  # noqa: S311 - not a secret
