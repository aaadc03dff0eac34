"""
Does what pages tell their reader to do: writes the files, runs the commands, talks to the sockets.

What a block is for is in its language and caption: `console` with a caption is what happens in that terminal, `console`
without one is commands to run, any other block with a caption is a file, or `FILE, at the end`.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sysconfig
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Self

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.docs.blocks import Block
from tests.docs.likeness import frames_alike, line_pattern

PATIENCE_SECONDS = 60
SCRIPTS = sysconfig.get_path("scripts")
_DONE_ALREADY = re.compile(r"mkdir |python3 -m venv |\. \.venv/|pip install ")
"""The tests have an environment and a folder already."""
_CLIENT = "$ python -m websockets "
_RUNNING = [r"Worker ready: ", r"Listening on TCP ", r"celery@\S+ ready\.", r"chancelery \| open http"]


class Dev:
    """One run of `chancelery dev`, and all that it printed."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.output = ""
        self._grown = threading.Condition()
        self._ended = False
        self._process = subprocess.Popen(
            [Path(SCRIPTS) / "chancelery", "dev"],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_for(self, pattern: str | re.Pattern[str]) -> None:
        with self._grown:
            self._grown.wait_for(lambda: self._ended or re.search(pattern, self.output), PATIENCE_SECONDS)
            assert re.search(pattern, self.output), f"{pattern!r} is not in what was printed:\n{self.output}"

    def tell(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def status(self) -> int:
        """Return the exit status of what was told to stop."""
        status = self._process.wait(PATIENCE_SECONDS)
        self._reader.join(PATIENCE_SECONDS)
        return status

    def end(self) -> None:
        """Stop it, if it was not: gently, and then at once."""
        for number in (signal.SIGINT, signal.SIGINT, signal.SIGKILL):
            if self._process.poll() is None:
                self.tell(number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(PATIENCE_SECONDS)
        self._reader.join(PATIENCE_SECONDS)

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as output:
            for line in output:
                with self._grown:
                    self.output += line
                    self._grown.notify_all()
        with self._grown:
            self._ended = True
            self._grown.notify_all()


class Walk:
    """A folder in which pages are followed. Their ports 8000 and 8001 become free ones."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.web_port, self.sockets_port = free_ports(2)
        kept = {key: value for key, value in os.environ.items() if key not in {"DJANGO_SETTINGS_MODULE", "REDIS_URL"}}
        self.environment = {**kept, "NO_COLOR": "1", "PATH": f"{SCRIPTS}:{os.environ['PATH']}"}
        self.dev: Dev | None = None
        self._clients: dict[str, ClientConnection] = {}
        self._opened = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()
        if self.dev is not None:
            self.dev.end()

    def follow(self, blocks: Iterable[Block]) -> None:
        """Do everything that the blocks say, in their order."""
        for block in blocks:
            try:
                self._act(block)(block)
            except Exception as error:
                error.add_note(f"in the block at {block}")
                raise

    def here(self, text: str) -> str:
        """Return *text* with this walk's ports."""
        ports = {"8000": str(self.web_port), "8001": str(self.sockets_port)}
        return re.sub(r"\b800[01]\b", lambda found: ports[found[0]], text)

    def start(self) -> None:
        """Run the site, and return once all of it is up."""
        self.dev = Dev(self.folder, self.environment)
        for pattern in _RUNNING:
            self.dev.wait_for(pattern)

    def stop(self) -> None:
        """Stop the site as Ctrl-C does; whoever is at a socket sees a service restart."""
        self.dev.tell(signal.SIGINT)
        assert self.dev.status() == 0, self.dev.output
        clients, self._clients = self._clients, {}
        assert [_close_code(client) for client in clients.values()] == [1012] * len(clients)

    def _act(self, block: Block) -> Callable[[Block], None]:
        if block.language == "console":
            return self._converse if block.is_conversation else self._run
        return self._write if block.caption else _ignore

    def _write(self, block: Block) -> None:
        name, comma, where = block.caption.partition(", ")
        assert where in {"", "at the end"}, f"{block.caption!r} says neither a file nor its end"
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        before = path.read_text().rstrip("\n") + "\n\n\n" if comma else ""
        path.write_text(before + self.here(block.source))

    def _run(self, block: Block) -> None:
        for step in re.split(r"^\$ ", self.here(block.source), flags=re.MULTILINE)[1:]:
            command, _, shown = step.partition("\n")
            if _DONE_ALREADY.match(command):
                continue
            done = subprocess.run(
                command, shell=True, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
            )
            printed = done.stdout + done.stderr
            assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{printed}"
            for line in filter(_tells, shown.splitlines()):
                assert line_pattern(line).search(printed), f"{command} did not print {line!r}, but\n{printed}"

    def _converse(self, block: Block) -> None:
        for line in self.here(block.source).splitlines():
            if block.caption == "Terminal 1":
                self._in_the_first_terminal(line)
            elif block.caption.startswith("Terminal "):
                self._at_a_socket(block.caption, line)

    def _in_the_first_terminal(self, line: str) -> None:
        if line == "$ chancelery dev":
            self.start()
        elif line == "^C":
            self.stop()
        elif _tells(line):
            self.dev.wait_for(line_pattern(line))

    def _at_a_socket(self, terminal: str, line: str) -> None:
        if line.startswith(_CLIENT):
            if terminal in self._clients:
                self._clients.pop(terminal).close()
            opening = connect(line.removeprefix(_CLIENT), open_timeout=PATIENCE_SECONDS)
            self._clients[terminal] = self._opened.enter_context(opening)
        elif line.startswith("> "):
            self._clients[terminal].send(line[2:])
        elif line.startswith("< "):
            found = self._clients[terminal].recv(PATIENCE_SECONDS)
            assert isinstance(found, str)
            assert frames_alike(line[2:], found), f"not like {line[2:]}:\n{found}"
        else:
            assert line.startswith("Connected to "), f"{line!r} is none of what a client shows"


def _ignore(_: Block) -> None:
    """It is there to be read."""


def _tells(line: str) -> bool:
    return bool(line.strip(" …"))


def _close_code(client: ClientConnection) -> int | None:
    try:
        while True:
            client.recv(PATIENCE_SECONDS)
    except ConnectionClosed:
        return client.close_code


def free_ports(number: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
