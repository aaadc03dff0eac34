"""
Drops what a worker is given of a job that was cancelled when the worker could not be told.

Workers hear of a cancel by a broadcast, which nobody keeps for one that is just being restarted or has lost its
connection; what the job has in the queues, or is given back later, would run. Source: celery.worker.state of 5.7.
"""

from __future__ import annotations

from typing import Any

from celery.worker import state as workers


def drop(headers: dict[str, Any]) -> None:
    """Have this worker discard the task of a message with these *headers*, as if it had been told to revoke it."""
    if isinstance(headers.get("id"), str):
        workers.revoked.add(headers["id"])
