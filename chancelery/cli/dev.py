"""
`chancelery dev`: a project's whole Procfile on one machine, with a Valkey of its own when there is no Redis.

Order: Valkey, the release line to its end, everything else; and backwards: everything else, then Valkey.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

from chancelery.cli.console import Console
from chancelery.cli.interrupts import Interrupts
from chancelery.cli.procfile import Procfile, expand, is_one_program, ports, read_environment, read_procfile
from chancelery.cli.supervisor import Ended, Supervisor
from chancelery.deployment.embedded import EmbeddedValkey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

_KILLED_STATUS = 1
_HURRIED_STATUS = 130
_CONNECT_SECONDS = 0.5


def dev(path: Path, *, grace_seconds: float) -> int:
    """
    Run the Procfile at *path* and return an exit status.

    0 when it was asked to stop (Ctrl-C, SIGTERM) and all stopped within the grace, 1 when some had to be killed, 130
    after a second Ctrl-C; else the status of the process that ended (1 for 0), or of the release line that failed.
    Raises: ImproperlyConfigured, EmbeddedServerError, KeyboardInterrupt while Valkey starts; nothing runs then.
    """
    procfile = read_procfile(path)
    environment = read_environment(procfile.directory, os.environ)
    look = expand(procfile.look, environment)
    if look and _answers(look):
        raise ImproperlyConfigured(f"something answers at {look} already: stop it, or choose another port")
    with Interrupts() as interrupts:
        console = Console(["valkey", "release", *procfile.processes], sys.stdout, on_closed=interrupts.ask)
        supervisor = Supervisor(console, interrupts, directory=procfile.directory, grace_seconds=grace_seconds)
        with _redis(environment, procfile, supervisor, interrupts) as url:
            try:
                ended = _run(procfile, {**environment, "REDIS_URL": url}, supervisor, console, look)
                console.say(f"stopping everything, within {grace_seconds:g} s; Ctrl-C again kills at once")
            finally:
                gentle = supervisor.stop()
        console.say("everything has stopped")
        return _status(ended, gentle=gentle, hurried=interrupts.hurried)


@contextlib.contextmanager
def _redis(
    environment: Mapping[str, str], procfile: Procfile, supervisor: Supervisor, interrupts: Interrupts
) -> Iterator[str]:
    """Yield the URL of the Redis that is there, or of an embedded Valkey, which is stopped at the end."""
    if environment.get("REDIS_URL"):
        yield environment["REDIS_URL"]
        return
    valkey = EmbeddedValkey(procfile.directory / ".chancelery" / "valkey")
    process = valkey.start(interrupted=lambda: interrupts.asked)
    try:
        supervisor.watch("valkey", process, about=f"data, log and URL in {valkey.directory}")
        yield valkey.url
    finally:
        valkey.stop()


def _run(
    procfile: Procfile, environment: Mapping[str, str], supervisor: Supervisor, console: Console, look: str
) -> Ended | None:
    """Run the release line, then everything else. Return what ended first, or None when asked to stop."""
    if procfile.release:
        supervisor.start("release", procfile.release, environment)
        ended = supervisor.wait()
        if ended is None or ended != Ended("release", 0):
            return ended
        supervisor.stop()  # what it may have left behind
    for name, port in ports(procfile.processes, environment).items():
        command = procfile.processes[name]
        if not is_one_program(command):
            console.say(f"{name} is more than one program: put exec before the one that shall be told to stop")
        supervisor.start(name, command, {**environment, "PORT": port})
    return supervisor.wait(_announcement(look, console))


def _announcement(look: str, console: Console) -> Callable[[], None]:
    """Return what says where to look, once, as soon as something answers there."""
    open_url = [look] if look else []

    def announce() -> None:
        if open_url and _answers(open_url[0]):
            console.say(f"open {open_url.pop()}")

    return announce


def _answers(url: str) -> bool:
    try:
        parts = urlsplit(url)
        address = (parts.hostname or "", parts.port or {"https": 443}.get(parts.scheme, 80))
    except ValueError as error:
        raise ImproperlyConfigured(f"the Procfile's comment open: {url} is not a URL: {error}") from None
    try:
        socket.create_connection(address, _CONNECT_SECONDS).close()
    except OSError:
        return False
    return True


def _status(ended: Ended | None, *, gentle: bool, hurried: bool) -> int:
    if ended is not None:
        return ended.status or 1
    if hurried:
        return _HURRIED_STATUS
    return 0 if gentle else _KILLED_STATUS
