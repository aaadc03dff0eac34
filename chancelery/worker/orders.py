"""The signals that a worker process obeys: the first one drains it, the second one ends it at once."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextlib.contextmanager
def obeyed(stop: Callable[[], object]) -> Iterator[None]:
    """Within it, SIGTERM and SIGINT call *stop*. Only a process's main thread can have it so: elsewhere, nothing is."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    told = False

    def obey(number: int, _: FrameType | None) -> None:
        nonlocal told
        if told:
            os._exit(128 + number)
        told = True
        stop()

    before = [(number, signal.signal(number, obey)) for number in _SIGNALS]
    try:
        yield
    finally:
        for number, handler in before:
            if handler is not None:  # one that Python has not set cannot be set again
                signal.signal(number, handler)
