"""Flame graphs of a system's processes while it echoes, by py-spy, when that is installed."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Self

from tests.benchmarks.processes import Running

ROLES = ("server", "worker")
SAMPLES_PER_SECOND = 200
LONGEST_SECONDS = 3600
WRITE_SECONDS = 60


def spy() -> str:
    """Return the path of py-spy, of the environment that runs this or else of PATH; empty when there is none."""
    beside = Path(sys.executable).with_name("py-spy")
    return str(beside) if beside.is_file() else shutil.which("py-spy") or ""


def record(site: Running, directory: Path, seconds: float) -> list[str]:
    """
    Run the echo load once more, which is not counted, and record the gateway and the worker meanwhile.

    Writes an SVG and a speedscope file for each. Returns what there is to say about it.
    """
    if not spy():
        return ["no flame graphs: py-spy is not installed (pip install py-spy)"]
    directory.mkdir(parents=True, exist_ok=True)
    said = []
    for form, ending in (("flamegraph", "svg"), ("speedscope", "json")):
        with contextlib.ExitStack() as stack:
            for role in ROLES:
                for number, pid in enumerate(site.pids.get(role, ())):
                    path = directory / f"{site.system.name}-{role}{number or ''}.{ending}"
                    recorder = stack.enter_context(Recorder(pid, form, path))
                    stack.callback(lambda recorder=recorder: said.append(recorder.finish()))
            site.measure("echo", seconds)
    return said


class Recorder:
    """One py-spy. Records until `finish` is called."""

    def __init__(self, pid: int, form: str, path: Path) -> None:
        self._path = path
        command = [spy(), "record", "--pid", str(pid), "--format", form, "--output", str(path)]
        command += ["--rate", str(SAMPLES_PER_SECOND), "--duration", str(LONGEST_SECONDS), "--nonblocking"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def finish(self) -> str:
        """Have it write what it has, and return where that is, or why there is nothing."""
        self._process.send_signal(signal.SIGINT)
        _, complaint = self._process.communicate(timeout=WRITE_SECONDS)
        if self._path.is_file():
            return f"flame graph: {self._path}"
        return f"no {self._path.name}: {complaint.strip() or 'py-spy wrote nothing'}"
