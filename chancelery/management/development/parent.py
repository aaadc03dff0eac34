"""
The process that outlives reloads: runs the site in a child, again and again, and has the embedded Valkey if need be.

Django's own parent gives its child a quarter of a second after Ctrl-C, and kills it at once when it is told to stop
itself; sockets, consumers and tasks need longer. A child learns of its parent's end, even by SIGKILL, by a pipe.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from django.utils import autoreload

from chancelery.cli.interrupts import Interrupts
from chancelery.deployment.embedded import EmbeddedValkey

RELOAD: Final = 3
"""The status of a child that wants to be run again, as Django's autoreload has it."""
_FAMILY: Final = "CHANCELERY_RUNSERVER"
_HURRIED_STATUS: Final = 130
_SLICE_SECONDS: Final = 0.1


class Family(NamedTuple):
    """What a child knows of its parent."""

    pipe: int
    valkey: int
    """The process id of the embedded Valkey, or 0."""


def found_family() -> Family | None:
    """Return what this process's parent has told it, once; None when it is nobody's child."""
    told = os.environ.pop(_FAMILY, "")  # what is started from here is nobody's child
    return Family(*map(int, told.split(":"))) if told else None


def run_children(say: Callable[[str], object], *, with_valkey: bool) -> int:
    """
    Run this very command in children until one does not want to be run again, or somebody asks to stop.

    Returns the exit status. with_valkey: set REDIS_URL for them to that of an embedded Valkey, which is stopped last.
    Raises: EmbeddedServerError.
    """
    with Interrupts() as interrupts, contextlib.ExitStack() as opened:
        environment = {**os.environ, autoreload.DJANGO_AUTORELOAD_ENV: "true"}
        valkey = 0
        if with_valkey:
            try:
                valkey, environment["REDIS_URL"] = opened.enter_context(_valkey(say, interrupts))
            except KeyboardInterrupt:
                return 0
        reading, writing = os.pipe()
        opened.callback(os.close, reading)
        opened.callback(os.close, writing)
        environment[_FAMILY] = f"{reading}:{valkey}"
        alone = _orphanage()
        status = RELOAD
        while status == RELOAD and not interrupts.asked:
            status = _run_child(environment, reading, lambda: interrupts.asked or alone(), lambda: interrupts.hurried)
        if interrupts.asked:
            return _HURRIED_STATUS if interrupts.hurried else 0
        return status


@contextlib.contextmanager
def _valkey(say: Callable[[str], object], interrupts: Interrupts) -> Iterator[tuple[int, str]]:
    server = EmbeddedValkey(Path.cwd() / ".chancelery" / "valkey")
    process = server.start(interrupted=lambda: interrupts.asked)
    try:
        say(f"No Redis: an embedded Valkey runs (process {process.pid}), data, log and URL in {server.directory}")
        yield process.pid, server.url
    finally:
        server.stop()


def _orphanage() -> Callable[[], bool]:
    """Return what tells whether this process's own parent is gone, if that is Django's, which tells nobody."""
    if autoreload.DJANGO_AUTORELOAD_ENV not in os.environ:
        return lambda: False  # it may well outlive the shell that it was started from
    parent = os.getppid()
    return lambda: os.getppid() != parent


def _run_child(
    environment: dict[str, str], pipe: int, is_asked: Callable[[], bool], is_hurried: Callable[[], bool]
) -> int:
    """Run one child to its end, and tell it when somebody asks to stop."""
    process = subprocess.Popen(  # noqa: S603 - this command again
        autoreload.get_child_arguments(),
        env=environment,
        pass_fds=[pipe],
        # Ctrl-C reaches it, too, and would end it with a traceback while it still imports; it is told by us.
        preexec_fn=_ignore_interrupts,  # noqa: PLW1509 - this process has one thread
    )
    told = False
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            status = process.wait(_SLICE_SECONDS)
            return status if status >= 0 else 128 - status
        if is_hurried():
            process.kill()
        elif is_asked() and not told:
            process.terminate()
            told = True


def _ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
