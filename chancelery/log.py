"""Loggers by room, and lines that are written once per burst instead of once per drop."""

from __future__ import annotations

import logging
import time

_MOST_KEYS = 1000


def room(name: str) -> logging.Logger:
    """Return the logger of a room: `chancelery.<name>`."""
    return logging.getLogger(f"chancelery.{name}")


class Burst:
    """
    Says something at most once per *quiet_seconds* and key, with the number of times that it would have been said.

    Not exact under threads by design: a line more or less is harmless, a lock on the hot path is not.
    """

    def __init__(self, logger: logging.Logger, level: int = logging.WARNING, quiet_seconds: float = 5.0) -> None:
        self._logger = logger
        self._level = level
        self._quiet_seconds = quiet_seconds
        self._said: dict[str, float] = {}
        self._held: dict[str, int] = {}

    def say(self, key: str, message: str, *args: object) -> None:
        """Log *message* % *args* unless *key* was logged a moment ago; then only count it."""
        now = time.monotonic()
        if now - self._said.get(key, -self._quiet_seconds) < self._quiet_seconds:
            self._held[key] = self._held.get(key, 0) + 1
            return
        if len(self._said) > _MOST_KEYS:
            self._said.clear()
        self._said[key] = now
        held = self._held.pop(key, 0)
        if held:
            message, args = f"{message} (%d more since the last line)", (*args, held)
        self._logger.log(self._level, message, *args)
