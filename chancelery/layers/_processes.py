"""
The in-memory layer's processes: which are alive, and the wills of their connections.

Not safe for threads: the layer holds its lock. What a will is, is told in `base`.
"""

from __future__ import annotations

from chancelery import names
from chancelery.layers.values import Will


class Processes:
    """Processes that left wills. Times are milliseconds by the layer's clock."""

    def __init__(self) -> None:
        self._deadlines: dict[str, int] = {}
        self._wills: dict[str, dict[str, Will]] = {}
        self._ended: dict[str, bool] = {}
        """process -> whether it has learned of it"""

    def leave(self, lane: str, will: Will, deadline_ms: int) -> None:
        """Keep the will of *lane*'s connection; its process is alive until *deadline_ms*, or as it was known to be."""
        process = names.process_of(lane)
        self._deadlines.setdefault(process, deadline_ms)
        self._wills.setdefault(process, {})[lane] = will

    def has_left(self, lane: str, *, again: bool) -> bool:
        """Tell whether the last message of *lane*'s connection, sent *again* or for the first time, or its will was."""
        process = names.process_of(lane)
        return lane not in self._wills.get(process, {}) and (again or process in self._ended)

    def was_ended(self, process: str) -> bool:
        """Tell whether *process* was ended and has not learned of it."""
        return self._ended.get(process) is False

    def void(self, lane: str) -> None:
        """Forget the will of a connection that has closed."""
        self._wills.get(names.process_of(lane), {}).pop(lane, None)

    def renew(self, process: str, deadline_ms: int) -> bool:
        """Note that *process* is alive; tell whether it has been taken for dead, which is told once."""
        if process in self._deadlines:
            self._deadlines[process] = deadline_ms
        if not self.was_ended(process):
            return False
        self._ended[process] = True
        return True

    def overdue(self, now_ms: int) -> str | None:
        """Return a process that has been silent for too long."""
        return next((process for process, deadline_ms in self._deadlines.items() if deadline_ms <= now_ms), None)

    def end(self, process: str) -> bool:
        """Forget *process* if no connection of it has a will; tell whether it was."""
        if self._wills.get(process):
            return False
        self._deadlines.pop(process, None)
        self._wills.pop(process, None)
        self._ended[process] = False
        return True

    def bury(self, process: str) -> dict[str, Will]:
        """Take *process* for dead, and return the wills of its connections by lane."""
        del self._deadlines[process]
        self._ended[process] = False
        return self._wills.pop(process, {})
