"""What may come of a job of each shape. Pure, so that the checker needs no Celery."""

from __future__ import annotations

from typing import Any

RESULTS: dict[str, Any] = {
    "task": 5,
    "consumer": [True, 1],
    "chain": [True, 3],
    "group": [1, [True, 2], 3],
    "chord": 6,
    "chord in chain": 15,
    "stream": 5,
    "retries": 3,
    "replaced": 10,
    "countdown": 2,
    "due": [1, 2],
    "once": "paid",
    "limited": 6,
    "long": [True, 12],
}
"""Shape -> the data of its `result`; one that is not here always fails."""

FAILURE = "UnwellError"
CHUNKS = {"stream": [0, 1, 2, 3, 4]}
"""Shape -> the chunks that come before its `result`."""

OF_A_KILL = frozenset({"WorkerLostError", "ChordError"})
"""Codes of errors that a killed child or worker explains."""
OF_THE_STORE = frozenset(
    {
        "LayerUnavailable", "OperationalError", "ConnectionError", "TimeoutError", "BackendStoreError", "ChordError",
        "publish_failed", "OSError", "Reject", "BusyLoadingError", "ConnectionResetError", "BrokenPipeError",
    }
)  # fmt: skip
"""Codes of errors that a killed Redis explains, in a task or in publishing one; Reject is that of a failed retry."""
