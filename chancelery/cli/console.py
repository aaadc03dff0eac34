"""What `chancelery dev` prints: lines of many processes, each with its time and its process's name and colour."""

from __future__ import annotations

import os
import threading
from datetime import datetime
from typing import TYPE_CHECKING, TextIO

from honcho.colour import get_colours
from honcho.printer import Message, Printer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_OWN_NAME = "chancelery"


class Console:
    """Lines from any thread, each printed whole."""

    def __init__(self, names: Iterable[str], output: TextIO, *, on_closed: Callable[[], None]) -> None:
        """on_closed: called when it turns out that nobody reads *output* any more."""
        self._colours = dict(zip(names, get_colours(), strict=False))
        width = max(map(len, [_OWN_NAME, *self._colours]))
        self._printer = Printer(output, width=width, colour="NO_COLOR" not in os.environ)
        self._output = output
        self._on_closed = on_closed
        self._lock = threading.Lock()

    def say(self, text: str) -> None:
        """Print *text* as the command's own."""
        self.line(_OWN_NAME, text)

    def line(self, name: str, text: bytes | str) -> None:
        """Print *text* as that of the process *name*."""
        now = datetime.now().astimezone()
        message = Message(type="line", data=text, time=now, name=name, colour=self._colours.get(name))
        with self._lock:
            try:
                self._printer.write(message)
            except BrokenPipeError:
                self._discard()

    def _discard(self) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._output.fileno())  # what is in the buffer, too, must go somewhere when Python ends
        os.close(nowhere)
        self._on_closed()
