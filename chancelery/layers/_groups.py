"""
The in-memory layer's memberships: who is in which group, until when. Not safe for threads: the layer holds its lock.
"""

from __future__ import annotations

from chancelery import names


class Groups:
    """Members by group and by process; those that are not process-local are kept under an empty name."""

    def __init__(self) -> None:
        self._groups: dict[str, dict[str, dict[str, int]]] = {}

    def add(self, group: str, channel: str, deadline_ms: int) -> None:
        """Make *channel* a member until *deadline_ms*."""
        members = self._groups.setdefault(group, {}).setdefault(names.process_of(channel), {})
        members.pop(channel, None)  # so that deadlines rise from first to last, as `_drop_expired` wants them
        members[channel] = deadline_ms

    def discard(self, group: str, channel: str) -> bool:
        """End a membership; return whether there was one."""
        return self._groups.get(group, {}).get(names.process_of(channel), {}).pop(channel, None) is not None

    def channels(self, group: str, now_ms: int) -> list[str]:
        """Return every member of *group*."""
        return [channel for members in self._living(group, now_ms).values() for channel in members]

    def plain(self, group: str, now_ms: int) -> list[str]:
        """Return the members of *group* that are not process-local."""
        return list(self._living(group, now_ms).get("", ()))

    def processes(self, group: str, now_ms: int) -> list[str]:
        """Return the processes that have members in *group*."""
        return [process for process in self._living(group, now_ms) if process]

    def of(self, process: str, now_ms: int) -> list[tuple[str, str, int]]:
        """Return `(group, channel, deadline_ms)` of every membership of *process*."""
        return [
            (group, channel, deadline_ms)
            for group in list(self._groups)
            for channel, deadline_ms in self._living(group, now_ms).get(process, {}).items()
        ]

    def sizes(self, now_ms: int) -> list[tuple[str, int]]:
        """Return every group that has members, and how many."""
        return [(group, len(members)) for group in sorted(self._groups) if (members := self.channels(group, now_ms))]

    def sweep(self, now_ms: int) -> None:
        """Forget groups whose members have all gone."""
        for group in list(self._groups):
            self._living(group, now_ms)

    def _living(self, group: str, now_ms: int) -> dict[str, dict[str, int]]:
        by_process = self._groups.get(group, {})
        for process, members in list(by_process.items()):
            _drop_expired(members, now_ms)
            if not members:
                del by_process[process]
        if not by_process:
            self._groups.pop(group, None)
        return by_process


def _drop_expired(members: dict[str, int], now_ms: int) -> None:
    while members:
        channel, deadline_ms = next(iter(members.items()))
        if deadline_ms > now_ms:
            return
        del members[channel]
