"""Workers as processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from chancelery.layers.redis import RedisChannelLayer


def command(*args: str) -> list[str]:
    """`runworker` with *args*."""
    return [sys.executable, "-W", "error", "-m", "django", "runworker", *args]


def environment(layer: RedisChannelLayer) -> dict[str, str]:
    """What a worker needs to find *layer*."""
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.worker.project.settings",
        "PYTHONPATH": str(Path.cwd()),
        "WORKER_REDIS_URL": layer.url,
        "WORKER_PREFIX": layer.prefix,
    }


def spawned(layer: RedisChannelLayer, *args: str) -> subprocess.Popen[str]:
    """Start `runworker` and return its process when it says that it is ready."""
    process = subprocess.Popen(
        command(*args), env=environment(layer), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    process.first_line = process.stdout.readline()  # type: ignore[attr-defined, union-attr]
    return process
