"""A copy of the project `paper`, served by `runserver` as a real process."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from socket import socket
from urllib.parse import urlsplit

from websockets.sync.client import ClientConnection, connect

PATIENCE_SECONDS = 60
_PROJECT = Path(__file__).parent / "paper"


class Site:
    """A folder with a copy of the project, and one run of `runserver` in it."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        self.port = free_port()
        self.output = ""
        kept = {name: value for name, value in os.environ.items() if name != "REDIS_URL"}
        self.environment = {
            **kept,
            "DJANGO_SETTINGS_MODULE": "paper.settings",
            "PYTHONPATH": f"{folder}:{Path.cwd()}",
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",  # a change within the same second is a change
            "DJANGO_COLORS": "nocolor",
            **environment,
        }
        self._grown = threading.Condition()
        self.process: subprocess.Popen[str] | None = None
        shutil.copytree(_PROJECT, folder / "paper")

    def start(self, *options: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "django", "runserver", str(self.port), *options],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        threading.Thread(target=self._read, args=(self.process,), daemon=True).start()

    def manage(self, *args: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "django", *args]
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )

    def wait_for(self, pattern: str, *, after: int = 0) -> int:
        """Return where in the output the pattern ends, which comes behind the place *after*."""

        def found() -> re.Match[str] | None:
            return re.compile(pattern, re.MULTILINE).search(self.output, after)

        with self._grown:
            assert self._grown.wait_for(found, PATIENCE_SECONDS), f"{pattern!r} is not in\n{self.output[after:]}"
            return found().end()

    def change(self, old: str, new: str, *names: str) -> int:
        """Replace a text in files, have what runs notice, and return where the output was before."""
        before = len(self.output)
        for name in names:
            path = self.folder / "paper" / name
            text = path.read_text()
            assert old in text
            path.write_text(text.replace(old, new))
        while self.process is not None and not self._notices(before):
            for name in names:  # the reloader may not have looked before
                os.utime(self.folder / "paper" / name)
        return before

    def say(self, word: str, *names: str) -> int:
        """Have the code in files say another word; as `change`."""
        spoken = re.search(r'WORD = ".*"', (self.folder / "paper" / names[0]).read_text())[0]
        return self.change(spoken, f'WORD = "{word}"', *names)

    def _notices(self, after: int) -> bool:
        with self._grown:
            return self._grown.wait_for(lambda: "changed, reloading" in self.output[after:], timeout=1.5)

    def get(self, path: str = "/") -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=PATIENCE_SECONDS) as response:
            return response.read().decode()

    def socket(self, path: str) -> contextlib.AbstractContextManager[ClientConnection]:
        return connect(f"ws://127.0.0.1:{self.port}{path}", open_timeout=PATIENCE_SECONDS)

    def ask(self, path: str, text: str) -> str:
        with self.socket(path) as client:
            client.send(text)
            return client.recv(PATIENCE_SECONDS)

    def tell(self, number: signal.Signals, *, all_of_terminal: bool = False) -> None:
        """Send a signal: to the process, or as Ctrl-C does, to all that share its terminal."""
        (os.killpg if all_of_terminal else os.kill)(self.process.pid, number)

    def ended(self) -> int:
        return self.process.wait(PATIENCE_SECONDS)

    def valkey_port(self) -> int:
        return urlsplit(self.valkey_url.read_text()).port or 0

    @property
    def valkey_url(self) -> Path:
        return self.folder / ".chancelery" / "valkey" / "url"

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            for number in (signal.SIGTERM, signal.SIGKILL):
                with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
                    self.tell(number)
                    self.process.wait(PATIENCE_SECONDS / 2)

    def _read(self, process: subprocess.Popen[str]) -> None:
        with process.stdout as output:
            for line in output:
                with self._grown:
                    self.output += line
                    self._grown.notify_all()


@contextlib.contextmanager
def copied(folder: Path, **environment: str) -> Iterator[Site]:
    """A site that is stopped at the end."""
    site = Site(folder, **environment)
    try:
        yield site
    finally:
        site.close()


def free_port() -> int:
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_free(port: int) -> bool:
    """Tell whether nobody listens on the port."""
    with socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def until(condition) -> None:
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < give_up_at
        time.sleep(0.02)
