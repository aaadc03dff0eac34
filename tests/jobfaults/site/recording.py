"""Where this process writes down what it does; a child of Celery's pool has a file of its own."""

from __future__ import annotations

import os
from typing import Any

from django.conf import settings

from tests.faults.recorder import Recorder

_recorders: dict[int, Recorder] = {}


def record(event: str, **fields: Any) -> None:
    """Append an event; it is there though the process is killed at once."""
    pid = os.getpid()
    if pid not in _recorders:
        _recorders[pid] = Recorder(settings.FAULTS["folder"], settings.FAULTS["role"])
    _recorders[pid](event, **fields)
