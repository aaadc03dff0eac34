"""
Runs commands, passes their output on, and stops them all, gently.

Each command runs in a process session of its own, so that Ctrl-C reaches this process alone. To stop one, SIGTERM goes
to its leader only, never to the group: a Celery child that gets one beside its parent loses its job (seen). What a
leader leaves behind when it ends has nobody else to tell it, so that is told then. honcho's manager does neither.
"""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from django.core.exceptions import ImproperlyConfigured

from chancelery.cli.procfile import as_leader

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from chancelery.cli.console import Console
    from chancelery.cli.interrupts import Interrupts

_LOOK_EVERY_SECONDS = 0.1
_AFTER_KILL_SECONDS = 5.0
_LAST_LINES_SECONDS = 1.0
_LINE_BYTES = 65536


class Ended(NamedTuple):
    """A process that ended."""

    name: str
    status: int
    """As a shell has it: 128 and the signal's number when one ended it."""


class Child:
    """A command that runs: its leader, and the group of those that the leader started."""

    def __init__(self, name: str, process: subprocess.Popen[bytes]) -> None:
        self.name = name
        self.process = process
        self.reporter: threading.Thread | None = None
        """Ends when all that the leader wrote has been printed, and its end reported."""
        self._leader_told = False
        self._others_told = False

    @property
    def alive(self) -> bool:
        """Whether the leader has not ended yet."""
        return self.process.poll() is None

    def stopped(self) -> bool:
        """Ask who is left to stop, each once, and tell whether nobody is."""
        if self.alive:
            if not self._leader_told:
                self.process.terminate()
                self._leader_told = True
            return False
        number = 0 if self._others_told else signal.SIGTERM
        self._others_told = True
        return not self._signal_group(number)

    def kill(self) -> None:
        """End the leader and its whole group, now."""
        self._signal_group(signal.SIGKILL)

    def _signal_group(self, number: int) -> bool:
        try:
            os.killpg(self.process.pid, number)
        except (ProcessLookupError, PermissionError):  # nobody is left; macOS answers with the second for the dead
            return False
        return True


class Supervisor:
    """Runs commands in *directory* until one ends or somebody asks to stop; then stops them, within *grace_seconds*."""

    def __init__(self, console: Console, interrupts: Interrupts, *, directory: Path, grace_seconds: float) -> None:
        self._console = console
        self._interrupts = interrupts
        self._directory = directory
        self._grace_seconds = grace_seconds
        self._children: list[Child] = []
        # No SimpleQueue: up to Python 3.11 its get() waits for ever when a signal's handler returns after the timeout.
        self._ends: queue.Queue[Ended] = queue.Queue()

    def start(self, name: str, command: str, environment: Mapping[str, str]) -> None:
        """Start *command*, in a shell that becomes it. Raises: ImproperlyConfigured when the system refuses to."""
        try:
            process = subprocess.Popen(  # noqa: S602 - a Procfile's lines are shell commands
                as_leader(command),
                shell=True,
                cwd=self._directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise ImproperlyConfigured(f"the Procfile's process {name} cannot be started: {error}") from error
        child = Child(name, process)
        self._children.append(child)
        child.reporter = self.watch(name, process)

    def watch(self, name: str, process: subprocess.Popen[bytes], *, about: str = "") -> threading.Thread:
        """Print the output and report the end of *process*, which its starter will stop, in the thread returned."""
        self._console.say(f"{name} runs (process {process.pid}{about and ', '}{about})")
        reader = threading.Thread(target=self._pass_on, args=(name, process), daemon=True)
        reader.start()

        def report() -> None:
            status = process.wait()
            reader.join(_LAST_LINES_SECONDS)  # what it left behind may hold the pipe open
            self._ends.put(Ended(name, status if status >= 0 else 128 - status))

        reporter = threading.Thread(target=report, daemon=True)
        reporter.start()
        return reporter

    def wait(self, meanwhile: Callable[[], None] = lambda: None) -> Ended | None:
        """
        Return the first process that ends, or None once somebody asks to stop.

        meanwhile: called every tenth of a second.
        """
        while not self._interrupts.asked:
            ended = self._next_end()
            if ended is not None:
                return ended
            meanwhile()
        return None

    def stop(self) -> bool:
        """
        Stop everything that was started here, and tell whether all went within the grace.

        Who does not is killed; so is everybody, at once, when somebody is impatient. Nobody is left when this returns.
        """
        deadline = time.monotonic() + self._grace_seconds
        gentle = self._await(
            lambda: not [child for child in self._children if not child.stopped()],  # asks each of them
            give_up=lambda: self._interrupts.hurried or time.monotonic() > deadline,
        )
        if not gentle:
            self._kill()
        for child in self._children:
            if child.reporter is not None:
                child.reporter.join(2 * _LAST_LINES_SECONDS)
        while not self._ends.empty():
            self._next_end()
        self._children.clear()
        return gentle

    def _kill(self) -> None:
        names = ", ".join(child.name for child in self._children if child.alive)
        self._console.say(f"killing {names or 'what they left behind'}")
        for child in self._children:
            child.kill()
        deadline = time.monotonic() + _AFTER_KILL_SECONDS
        self._await(
            lambda: not any(child.alive for child in self._children), give_up=lambda: time.monotonic() > deadline
        )

    def _await(self, over: Callable[[], bool], *, give_up: Callable[[], bool]) -> bool:
        while not over():
            if give_up():
                return False
            self._next_end()
        return True

    def _next_end(self) -> Ended | None:
        try:
            ended = self._ends.get(timeout=_LOOK_EVERY_SECONDS)
        except queue.Empty:
            return None
        self._console.say(f"{ended.name} ended with status {ended.status}")
        return ended

    def _pass_on(self, name: str, process: subprocess.Popen[bytes]) -> None:
        if process.stdout is not None:
            with process.stdout as output:
                while line := output.readline(_LINE_BYTES):
                    self._console.line(name, line)
