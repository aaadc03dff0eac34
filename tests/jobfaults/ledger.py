"""
What a client knows of its jobs, as a page would: drops what it has by `(job, seq)`, and asks for what is missing.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

ENDS = frozenset({"result", "error", "cancelled"})


@dataclass
class Known:
    """One job."""

    last: int = 0
    """The seq up to which nothing is missing."""
    claim: str = ""
    ended: bool = False
    wants: bool = False
    """Whether this connection has to ask for what comes after `last`."""
    asked_at: float = float("-inf")


class Ledger:
    """The jobs of one client."""

    def __init__(self) -> None:
        self.jobs: dict[str, Known] = {}

    def add(self, jobs: Iterable[str]) -> None:
        """Take note of jobs that it did not know of: it asks for all that they have said."""
        for job in jobs:
            self.jobs.setdefault(job, Known(wants=True))

    def hear(self, event: dict[str, Any]) -> None:
        """Take note of an event."""
        known = self.jobs.setdefault(event["job"], Known())
        known.claim = event.get("claim", known.claim)
        seq, kind = event["seq"], event["kind"]
        if kind == "progress" or seq <= known.last:
            return
        if kind != "snapshot" and seq > known.last + 1:
            known.wants = True
            return
        known.last = seq
        known.ended = known.ended or kind in ENDS

    def answered(self, job: str, *, is_fine: bool) -> None:
        """Take note that a question was answered; one that was refused is asked again after a while."""
        if job in self.jobs and is_fine:
            self.jobs[job].wants = False

    def forget_questions(self) -> None:
        """Begin anew with a new connection: everything that has not ended is to be asked for."""
        for known in self.jobs.values():
            known.wants, known.asked_at = not known.ended, float("-inf")

    def unfinished(self) -> list[str]:
        """Return the jobs that have not ended as far as the client has heard."""
        return [job for job, known in self.jobs.items() if not known.ended]

    def questions(self, now: float, patience: float) -> Iterator[tuple[str, Known]]:
        """Yield the jobs that it has to ask for, and has not asked for within *patience* seconds."""
        for job, known in self.jobs.items():
            if known.wants and not known.ended and now - known.asked_at > patience:
                known.asked_at = now
                yield job, known
