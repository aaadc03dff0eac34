"""A tiny project, and `chancelery dev` in it as people run it: the installed script, its signals, its output."""

from __future__ import annotations

import os
import queue
import re
import signal
import subprocess
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PATIENCE_SECONDS = 60
CHILD = Path(__file__).with_name("child.py")


class Dev:
    """One run of `chancelery dev`."""

    def __init__(self, directory: Path, *arguments: str, environment: dict[str, str]) -> None:
        script = Path(sysconfig.get_path("scripts")) / "chancelery"
        output, inlet = os.pipe()
        self.process = subprocess.Popen(
            [script, "dev", *arguments],
            cwd=directory,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=inlet,
            stderr=subprocess.STDOUT,
        )
        os.close(inlet)
        self._output = os.fdopen(output)
        self._deaf = threading.Event()
        self.lines: list[str] = []
        self._incoming: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    @property
    def pids(self) -> list[int]:
        return [int(pid) for pid in re.findall(r"runs \(process (\d+)", self.output)]

    def wait_for(self, text: str) -> None:
        while text not in self.output:
            line = self._incoming.get(timeout=PATIENCE_SECONDS)
            assert line is not None, f"ended without printing {text!r}:\n{self.output}"
            self.lines.append(line)

    def stop_listening(self) -> None:
        self._deaf.set()
        self._reader.join(PATIENCE_SECONDS)

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def status(self) -> int:
        while (line := self._incoming.get(timeout=PATIENCE_SECONDS)) is not None:
            self.lines.append(line)
        return self.process.wait(PATIENCE_SECONDS)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.send_signal(signal.SIGINT)
            self.process.wait(PATIENCE_SECONDS)
        self._reader.join(PATIENCE_SECONDS)

    def _read(self) -> None:
        with self._output as output:
            for line in output:
                self._incoming.put(line.rstrip("\n"))
                if self._deaf.is_set():
                    break
        self._incoming.put(None)


def gone(*pids: int) -> bool:
    """Tell whether neither these processes nor their groups are left; a dead one may take its parent a moment."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while any(map(exists, pids)):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def exists(pid: int) -> bool:
    for signal_to in (os.kill, os.killpg):
        try:
            signal_to(pid, 0)
        except ProcessLookupError:
            continue
        return True
    return False


StartDev = Callable[..., Dev]


@pytest.fixture
def start_dev(tmp_path: Path) -> Iterator[StartDev]:
    """Writes a Procfile, in which `child NAME HOW` is a small program, and runs it."""
    runs: list[Dev] = []

    def start(procfile: str, *arguments: str, **environment: str) -> Dev:
        (tmp_path / "Procfile").write_text(procfile.replace("child ", f"python {CHILD} "))
        runs.append(Dev(tmp_path, *arguments, environment={"REDIS_URL": "redis://127.0.0.1:1/0", **environment}))
        return runs[-1]

    yield start
    for run in runs:
        run.close()
