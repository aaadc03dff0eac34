"""Waiting for processes while signals arrive."""

from __future__ import annotations

import io
import os
import signal
import threading
import time
from pathlib import Path

from chancelery.cli.console import Console
from chancelery.cli.interrupts import Interrupts
from chancelery.cli.supervisor import Supervisor


def test_signals_whose_handlers_are_slow_do_not_stop_it_from_looking(tmp_path: Path) -> None:
    """As on a machine so busy that the handler of Ctrl-C returns after the tenth of a second was over."""
    looks = 0

    def look() -> None:
        nonlocal looks
        looks += 1
        if looks == 5:
            interrupts.ask()

    before = signal.signal(signal.SIGUSR1, lambda *_: time.sleep(0.12))
    interrupts = Interrupts()
    supervisor = Supervisor(
        Console([], io.StringIO(), on_closed=interrupts.ask), interrupts, directory=tmp_path, grace_seconds=1
    )
    over = threading.Event()
    sender = threading.Thread(target=_signal_every_tenth, args=(over,))
    sender.start()
    try:
        assert supervisor.wait(look) is None
    finally:
        over.set()
        sender.join()
        signal.signal(signal.SIGUSR1, before)
    assert looks == 5


def _signal_every_tenth(over: threading.Event) -> None:
    while not over.wait(0.15):
        os.kill(os.getpid(), signal.SIGUSR1)
